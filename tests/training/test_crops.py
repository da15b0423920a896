"""Crops for training come from where they should and can be drawn again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

pytest.importorskip("torch", reason="torch is not installed")

from quell.inference.kinds import KINDS, one_hot
from quell.noise.spectrum import describe
from quell.training.crops import SLICES, Crops, CropSampler
from quell.training.laws import Law
from quell.training.made import RECIPES
from quell.training.pool import MADE_SHARES, SHARES


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


def sampler(pack: Path, seed: int = 0) -> CropSampler:
    return CropSampler(pack, seed)


def write_phantom(pack: Path, value: float) -> Path:
    """Add a constant volume as a phantom."""
    index = json.loads((pack / "index.json").read_text())
    np.save(pack / "phantom.npy", np.full((3, 40, 40), value, np.float32))
    row = {"file": "phantom.npy", "modality": "test", "phantom": True, "split": "train"}
    index.append(row | {"volume": True, "contrast": 1.0, "noise": 0.0})
    (pack / "index.json").write_text(json.dumps(index))
    return pack


def write_made(folder: Path, voxels: np.ndarray, descriptor: list[float], kind: str = "PT") -> Path:
    """Write a pack of one object that was scanned beforehand: clean, level, focus, noisy ones."""
    np.save(folder / "made.npy", voxels.astype(np.float32))
    row = {"file": "made.npy", "modality": kind, "made": True, "split": "train", "volume": True}
    row |= {"contrast": 4.0, "noise": 0.0, "descriptor": descriptor}
    (folder / "index.json").write_text(json.dumps([row]))
    return folder


def test_crops_have_their_shape_and_are_in_units_of_the_contrast(tmp_path: Path) -> None:
    pack = write_pack(tmp_path, ("CT", "train", True, np.full((5, 40, 50), 300.0)))
    crops = sampler(pack).draw(0, 40, 16)
    assert crops.clean.shape == (40, SLICES, 16, 16)
    assert crops.clean.dtype == np.float32
    # Crops are turned into their negative at random.
    assert {round(float(v), 4) for v in crops.clean.ravel()} == {0.3, -0.3}
    assert set(np.round(crops.noise, 4)) == {np.float32(0.02), np.float32(0.012)}
    assert not crops.descriptor.any() and (crops.level == 1).all() and not crops.focus.any()
    np.testing.assert_array_equal(crops.clean[::2], crops.clean[1::2])
    assert np.array_equal(crops.noisy, crops.clean)


def test_an_odd_number_of_crops_is_refused(tmp_path: Path) -> None:
    pack = write_pack(tmp_path, ("CT", "train", True, np.zeros((3, 20, 20))))
    with pytest.raises(ValueError, match="two and two"):
        sampler(pack).draw(0, 5, 8)


def test_references_and_phantoms_come_in_their_shares(tmp_path: Path) -> None:
    pack = write_phantom(write_pack(tmp_path, ("CT", "train", True, np.zeros((3, 20, 20)))), 5.0)
    crops = sampler(pack).draw(0, 1000, 8)
    share = float((np.abs(crops.clean).max(axis=(1, 2, 3)) > 1).mean())
    assert share == pytest.approx(SHARES["phantom"] / (SHARES["phantom"] + SHARES["CT"]), abs=0.06)


def test_the_shares_are_those_of_all_crops() -> None:
    assert sum(SHARES.values()) + sum(MADE_SHARES.values()) == pytest.approx(1)
    assert {*MADE_SHARES} == {recipe.kind for recipe in RECIPES} <= {*KINDS}


def test_only_references_for_training_are_used(tmp_path: Path) -> None:
    rows = (
        ("CT", "train", True, np.zeros((3, 20, 20))),
        ("CT", "validation", True, np.full((3, 20, 20), 2e6)),
    )
    crops = sampler(write_pack(tmp_path, *rows)).draw(0, 200, 8)
    assert np.abs(crops.clean).max() < 10


def test_crops_without_neighbours_have_equal_slices_and_single_images_have_none(tmp_path: Path) -> None:
    volume = sampler(write_pack(tmp_path, ("CT", "train", True, ramp(6, 30, 30)))).draw(0, 300, 8)
    equal = (volume.clean == volume.clean[:, :1]).all(axis=(1, 2, 3))
    assert equal[volume.alone].all()
    assert 0.15 < volume.alone.mean() < 0.45
    single = sampler(write_pack(tmp_path, ("US", "train", False, ramp(6, 30, 30)))).draw(0, 300, 8)
    assert single.alone.all()


def test_neighbours_are_neighbours(tmp_path: Path) -> None:
    voxels = np.broadcast_to(1000.0 * np.arange(9)[:, None, None], (9, 30, 30))
    crops = sampler(write_pack(tmp_path, ("CT", "train", True, voxels))).draw(0, 300, 8)
    steps = np.abs(np.diff(crops.clean[~crops.alone][:, :, 0, 0], axis=1))
    assert set(steps.ravel()) <= {0.0, 1.0}
    assert (steps == 1).mean() > 0.7


@pytest.mark.parametrize("shape", [(1, 5, 40), (2, 12, 7)])
def test_references_smaller_than_a_crop_are_extended(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    crops = sampler(write_pack(tmp_path, ("XR", "train", True, ramp(*shape)))).draw(0, 30, 16)
    assert crops.clean.shape == (30, SLICES, 16, 16)


def test_the_same_seed_draws_the_same(tmp_path: Path) -> None:
    pack = write_pack(tmp_path, ("MR", "train", True, ramp(6, 40, 40)))
    one, same, other = (sampler(pack, seed).draw(0, 20, 8).clean for seed in (4, 4, 5))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def same(one: Crops, other: Crops) -> bool:
    return all(np.array_equal(mine, vars(other)[name]) for name, mine in vars(one).items())


def test_a_batch_depends_on_its_number_alone(tmp_path: Path) -> None:
    pack = write_phantom(write_pack(tmp_path, ("MR", "train", True, ramp(6, 40, 40))), 5.0)
    first, second = sampler(pack, 1), sampler(pack, 1)
    forth = {number: first.draw(number, 8, 8) for number in range(6)}
    back = {number: second.draw(number, 8, 8) for number in (5, 2, 4, 0, 2)}
    for number, crops in back.items():
        assert same(crops, forth[number])
    assert not any(same(forth[a], forth[b]) for a in forth for b in forth if a < b)


def test_a_file_is_open_only_while_it_is_read(tmp_path: Path) -> None:
    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        pytest.skip("this system does not list the files of a process")
    pack = write_pack(tmp_path, *(("XR", "train", False, ramp(1, 20, 20)) for _ in range(30)))
    before = len(list(folder.iterdir()))
    held = sampler(pack)
    held.draw(0, 100, 8)
    assert len(list(folder.iterdir())) <= before + 2


def test_what_a_crop_is_said_to_show_is_its_modality_or_nothing(tmp_path: Path) -> None:
    pack = write_pack(tmp_path, ("MR", "train", True, ramp(6, 40, 40)))
    told = sampler(pack).draw(0, 400, 8).kind
    assert {tuple(one) for one in told} == {tuple(one_hot("MR")), tuple(one_hot(""))}
    assert 1 - told.sum() / 400 == pytest.approx(1 / 8, abs=0.06)


def test_objects_that_were_scanned_beforehand_keep_their_sign_and_their_noise(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    clean = np.broadcast_to(np.linspace(1, 9, 60), (4, 60, 60))
    level = 0.2 * clean
    focus = (clean > 5).astype(float)
    noisy = [clean + level * rng.standard_normal(clean.shape) for _ in range(2)]
    told = [*np.linspace(-1, 1, 8), 0.7]
    crops = sampler(write_made(tmp_path, np.stack([clean, level, focus, *noisy]), told)).draw(0, 120, 16)
    assert (crops.law == Law.MADE).all()
    assert crops.clean.min() >= 0.25 and crops.clean.max() <= 2.25
    np.testing.assert_allclose(crops.level, 0.2 * crops.clean[:, 1], rtol=1e-5)
    share = (crops.noisy - crops.clean)[:, 1] / crops.level
    # 120 crops of 256 pixels, of which some are the same.
    assert share.std() == pytest.approx(1, abs=0.03) and abs(share.mean()) < 0.03
    np.testing.assert_array_equal(crops.focus, (crops.clean[:, 1] > 1.25).astype(np.float32))
    # Two and two show the same place in two scans.
    np.testing.assert_array_equal(crops.clean[::2], crops.clean[1::2])
    one, other = share[::2].ravel(), share[1::2].ravel()
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.03
    assert not crops.noise.any()
    assert {tuple(one) for one in crops.kind} == {tuple(one_hot("PT")), tuple(one_hot(""))}


def test_more_power_along_one_axis_is_more_along_the_other_after_a_transposition(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    clean = np.zeros((3, 80, 80))
    # Averaged over rows: power is left where the frequency along x is the higher one.
    noise = ndimage.uniform_filter(rng.standard_normal(clean.shape), (0, 5, 0), mode="wrap")
    power = np.abs(np.fft.fft2(noise)) ** 2
    told = describe(power.mean(axis=0))
    assert told[-1] > 0.5
    pack = write_made(tmp_path, np.stack([clean, np.ones_like(clean), clean, noise, noise]), told.tolist())
    crops = sampler(pack).draw(0, 60, 64)
    assert set(np.sign(crops.descriptor[:, -1])) == {-1, 1}
    np.testing.assert_allclose(np.abs(crops.descriptor[:, -1]), told[-1], rtol=1e-5)
    np.testing.assert_allclose(crops.descriptor[:, :-1], np.tile(told[:-1], (60, 1)), rtol=1e-5)
    seen = describe((np.abs(np.fft.fft2(crops.noisy[:, 1])) ** 2).astype(np.float64))[:, -1]
    np.testing.assert_array_equal(np.sign(seen), np.sign(crops.descriptor[:, -1]))
