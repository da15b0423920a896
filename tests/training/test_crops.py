"""Crops for training come from where they should and can be drawn again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from quell.training.crops import SHARES, SLICES, CropSampler, PhantomPool


@pytest.fixture(autouse=True)
def phantoms(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Put constants in the place of anatomy, which would take long to draw; return their values."""
    values: list[float] = []

    def constant(rng: np.random.Generator, shape: tuple[int, int, int], style: str) -> np.ndarray:
        values.append(float(np.float32(rng.uniform(5, 6))))
        return np.full(shape, values[-1], np.float32)

    monkeypatch.setattr("quell.training.crops.random_anatomy", constant)
    yield values


def write_pack(folder: Path, *rows: tuple[str, str, bool, np.ndarray]) -> Path:
    index = []
    for number, (modality, split, volume, voxels) in enumerate(rows):
        np.save(folder / f"{number}.npy", voxels.astype(np.float32))
        index.append(
            {
                "file": f"{number}.npy",
                "modality": modality,
                "split": split,
                "volume": volume,
                "contrast": 1000.0,
                "noise": 20.0,
            }
        )
    (folder / "index.json").write_text(json.dumps(index))
    return folder


def ramp(*shape: int) -> np.ndarray:
    """Return a volume in which every voxel has another value."""
    return np.arange(np.prod(shape)).reshape(shape)


def sampler(pack: Path, seed: int = 0, **options: int) -> CropSampler:
    return CropSampler(pack, np.random.default_rng(seed), **options)


def test_crops_have_their_shape_and_are_in_units_of_the_contrast(tmp_path: Path) -> None:
    pack = write_pack(tmp_path, ("CT", "train", True, np.full((5, 40, 50), 300.0)))
    crops = sampler(pack).draw(40, 16)
    assert crops.clean.shape == (40, SLICES, 16, 16)
    assert crops.clean.dtype == np.float32
    real = np.abs(crops.clean).max(axis=(1, 2, 3)) < 1
    # Crops are turned into their negative at random.
    assert {round(float(v), 4) for v in crops.clean[real].ravel()} == {0.3, -0.3}
    assert set(np.round(crops.noise[real], 4)) <= {np.float32(0.02), np.float32(0.012)}
    assert not crops.noise[~real].any()


def test_references_and_phantoms_come_in_their_shares(tmp_path: Path) -> None:
    pack = write_pack(tmp_path, ("CT", "train", True, np.zeros((3, 20, 20))))
    crops = sampler(pack, phantoms=3).draw(1000, 8)
    share = float((np.abs(crops.clean).max(axis=(1, 2, 3)) > 1).mean())
    assert share == pytest.approx(SHARES["phantom"] / (SHARES["phantom"] + SHARES["CT"]), abs=0.06)


def test_only_references_for_training_are_used(tmp_path: Path) -> None:
    rows = (
        ("CT", "train", True, np.zeros((3, 20, 20))),
        ("CT", "validation", True, np.full((3, 20, 20), 2e6)),
    )
    crops = sampler(write_pack(tmp_path, *rows)).draw(200, 8)
    assert np.abs(crops.clean).max() < 10


def test_crops_without_neighbours_have_equal_slices_and_single_images_have_none(tmp_path: Path) -> None:
    volume = sampler(write_pack(tmp_path, ("CT", "train", True, ramp(6, 30, 30)))).draw(300, 8)
    equal = (volume.clean == volume.clean[:, :1]).all(axis=(1, 2, 3))
    assert equal[volume.alone].all()
    assert 0.15 < volume.alone.mean() < 0.45
    single = sampler(write_pack(tmp_path, ("US", "train", False, ramp(6, 30, 30)))).draw(300, 8)
    real = np.abs(single.clean).max(axis=(1, 2, 3)) > 0.0
    from_phantom = np.ptp(single.clean, axis=(1, 2, 3)) == 0
    assert single.alone[real & ~from_phantom].all()


def test_neighbours_are_neighbours(tmp_path: Path) -> None:
    voxels = np.broadcast_to(1000.0 * np.arange(9)[:, None, None], (9, 30, 30))
    crops = sampler(write_pack(tmp_path, ("CT", "train", True, voxels)), phantoms=1).draw(300, 8)
    real = (crops.clean == np.round(crops.clean)).all(axis=(1, 2, 3))
    steps = np.abs(np.diff(crops.clean[real & ~crops.alone][:, :, 0, 0], axis=1))
    assert set(steps.ravel()) <= {0.0, 1.0}
    assert (steps == 1).mean() > 0.7


@pytest.mark.parametrize("shape", [(1, 5, 40), (2, 12, 7)])
def test_references_smaller_than_a_crop_are_extended(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    crops = sampler(write_pack(tmp_path, ("PT", "train", True, ramp(*shape)))).draw(30, 16)
    assert crops.clean.shape == (30, SLICES, 16, 16)


def test_the_same_seed_draws_the_same(tmp_path: Path) -> None:
    pack = write_pack(tmp_path, ("MR", "train", True, ramp(6, 40, 40)))
    one, same, other = (sampler(pack, seed).draw(20, 8).clean for seed in (4, 4, 5))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_a_sampler_goes_on_where_another_stopped(tmp_path: Path) -> None:
    pack = write_pack(tmp_path, ("MR", "train", True, ramp(6, 40, 40)))
    rng = np.random.default_rng(1)
    first = CropSampler(pack, rng, phantoms=3, renew=2)
    for _ in range(11):
        first.draw(8, 8)
    later = np.random.default_rng(1)
    second = CropSampler(pack, later, phantoms=3, renew=2)
    later.bit_generator.state = rng.bit_generator.state
    second.draws = first.draws
    for _ in range(5):
        np.testing.assert_array_equal(first.draw(8, 8).clean, second.draw(8, 8).clean)


def test_one_phantom_is_replaced_in_every_so_many_draws() -> None:
    pool = PhantomPool(seed=3, size=4, renew=5)

    def values(draws: int) -> list[float]:
        return [float(pool.get(place, draws).voxels[0, 0, 0]) for place in range(4)]

    before = values(0)
    assert len(set(before)) == 4
    assert values(4) == before
    for renewal in range(1, 10):
        after = values(5 * renewal)
        assert sum(a != b for a, b in zip(before, after, strict=True)) == 1
        before = after


def test_phantoms_are_drawn_only_when_asked_for(phantoms: list[float]) -> None:
    pool = PhantomPool(seed=3, size=400, renew=20)
    assert len(pool) == 400
    pool.get(7, 0)
    pool.get(7, 1)
    assert len(phantoms) == 1
