"""Repeats of things that are known: what differs, what is shared, what moved."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from quell.errors import InputError
from quell.image import Geometry, Image, Modality
from quell.noise.repeat import compare_repeats, repeat_frames

SHAPE = (3, 160, 160)


def disc(shift: float = 0.0) -> np.ndarray:
    _, y, x = np.mgrid[tuple(slice(0, n) for n in SHAPE)]
    return 100 / (1 + np.exp(np.hypot(y - 80, x - 80 - shift) - 60))


@pytest.fixture
def scan(rng: np.random.Generator) -> Callable[..., Image]:
    """Return a maker of scans of a disc, each with noise of its own."""

    def make(truth: np.ndarray, sigma: float = 4.0, **fields: object) -> Image:
        voxels = truth + sigma * rng.standard_normal(truth.shape)
        options = {"modality": Modality.MR, "volume": True, "name": "scan", **fields}
        return Image(voxels.astype(np.float32), **options)  # type: ignore[arg-type]

    return make


def test_the_difference_has_the_noise_of_one(scan: Callable[..., Image]) -> None:
    found = compare_repeats(scan(disc()), scan(disc()))
    # Some 500 blocks of 64 pixels inside the disc: known to better than 1 %.
    assert found.level == pytest.approx(4, rel=0.04)
    assert found.still and found.remarks == ()
    assert abs(found.shared) < 0.1 and abs(found.excess - 1) < 0.15
    assert found.noise.spectrum is not None
    power = found.noise.spectrum.power
    assert np.sqrt(power.mean()) == pytest.approx(4, rel=0.04)


def test_what_both_have_in_common_is_no_noise(scan: Callable[..., Image], rng: np.random.Generator) -> None:
    texture = disc() + 3 * rng.standard_normal(SHAPE)
    found = compare_repeats(scan(texture), scan(texture))
    assert found.level == pytest.approx(4, rel=0.05)
    assert found.shared == pytest.approx(9 / 25, abs=0.07)


def test_a_small_shift_is_found_and_made_up_for(scan: Callable[..., Image]) -> None:
    found = compare_repeats(scan(disc()), scan(disc(0.3)))
    # Noise in the derivatives draws the shift towards zero, here by a seventh.
    assert 0.24 < abs(found.shift[1]) < 0.32 and abs(found.shift[0]) < 0.02
    assert found.level == pytest.approx(4, rel=0.05)
    assert not found.still and "moved by 0.2" in found.remarks[0]


def test_a_change_of_edges_is_told(scan: Callable[..., Image]) -> None:
    wider = 100 / (1 + np.exp(np.hypot(*np.mgrid[:160, :160] - 79.5) - 62.0)) * np.ones(SHAPE)
    found = compare_repeats(scan(disc()), scan(wider))
    assert found.excess > 1.5 and not found.still
    assert found.level == pytest.approx(4, rel=0.08)


def test_frames_that_hold_still_and_frames_that_drift(scan: Callable[..., Image]) -> None:
    still = np.concatenate([disc()[:1]] * 5)
    found = repeat_frames(scan(still, volume=False))
    assert found is not None and found.still and found.pairs == 4
    assert found.level == pytest.approx(4, rel=0.05)
    assert found.growth == pytest.approx(1, abs=0.03)
    moving = np.concatenate([disc(0.8 * k)[:1] for k in range(5)])
    found = repeat_frames(scan(moving, volume=False))
    assert found is None or not found.still


def test_volumes_one_after_the_other_are_repeats(scan: Callable[..., Image]) -> None:
    both = scan(np.concatenate([disc(), disc()]), gaps=(2,))
    found = repeat_frames(both)
    assert found is not None and found.still and found.pairs == 3
    assert found.level == pytest.approx(4, rel=0.05)


def test_slices_of_one_volume_are_no_repeats(scan: Callable[..., Image]) -> None:
    assert repeat_frames(scan(disc())) is None
    assert repeat_frames(scan(disc(), gaps=(0,))) is None
    assert repeat_frames(scan(disc()[:1], volume=False)) is None


def test_what_cannot_be_a_repeat_is_refused(scan: Callable[..., Image]) -> None:
    first = scan(disc())
    with pytest.raises(InputError, match="voxels"):
        compare_repeats(first, scan(disc()[:2], name="other"))
    with pytest.raises(InputError, match="modality"):
        compare_repeats(first, scan(disc(), modality=Modality.CT))
    spaced = [scan(disc(), geometry=Geometry((1, d, d), known=True)) for d in (1.0, 1.1)]
    with pytest.raises(InputError, match="spacing"):
        compare_repeats(*spaced)
