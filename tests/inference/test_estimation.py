"""From the estimates of single slices to the noise of a series, with an estimator that is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from quell.image import Image
from quell.inference.contracts import NoiseMap
from quell.inference.estimation import SPARSE_FROM, estimate_noise, filled_in, surveyed
from quell.inference.slices import Slices
from quell.noise.spectrum import DESCRIPTOR_SIZE

BLOCK = 8
SIDE = 32


def standard_deviation(scaled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Stand in for the network: the logarithm of the standard deviation, everywhere the same."""
    level = np.full((1, 1, SIDE // BLOCK, SIDE // BLOCK), np.log(scaled.std()), np.float32)
    return level, np.full((1, DESCRIPTOR_SIZE), scaled.std(), np.float32)


def series(sigmas: Sequence[float], **fields: object) -> Image:
    """Return slices of one noise pattern with the given standard deviations, exactly."""
    pattern = np.random.default_rng(1).standard_normal((SIDE, SIDE))
    pattern = (pattern - pattern.mean()) / pattern.std()
    return Image(np.stack([5 + s * pattern for s in sigmas]).astype(np.float32), **fields)


def estimate(image: Image, told: list[int] | None = None) -> NoiseMap:
    def step(name: str, count: int) -> None:
        assert name == "estimate"
        if told is not None:
            told.append(count)

    return estimate_noise(Slices(image, SIDE), standard_deviation, BLOCK, 2, step)


def profile(image: Image) -> np.ndarray:
    level = estimate(image).level
    assert level.dtype == np.float32
    assert (level == level[:, :1, :1]).all()
    return level[:, 0, 0]


@pytest.mark.parametrize("depth", [1, 2, 5, SPARSE_FROM, SPARSE_FROM + 3])
@pytest.mark.parametrize("volume", [True, False])
def test_constant_noise_is_found_in_every_slice(depth: int, volume: bool) -> None:
    np.testing.assert_allclose(profile(series([0.7] * depth, volume=volume)), 0.7, rtol=1e-4)


def test_frames_are_estimated_each_by_itself() -> None:
    sigmas = [0.1, 3.0, 0.2, 1.0, 0.5, 4.0, 0.1, 2.0, 0.3, 1.0]
    np.testing.assert_allclose(profile(series(sigmas)), sigmas, rtol=1e-4)


def test_in_a_volume_a_slow_change_is_followed_through_the_slices_between() -> None:
    sigmas = np.exp(0.05 * np.arange(21))
    np.testing.assert_allclose(profile(series(sigmas, volume=True))[2:-2], sigmas[2:-2], rtol=1e-3)


def test_in_a_volume_the_estimates_of_neighbours_are_evened_out() -> None:
    log = np.random.default_rng(3).normal(0, 0.2, 40)
    found = np.log(profile(series(np.exp(log), volume=True)))
    assert found.std() < 0.75 * log.std()
    assert abs(found.mean() - log.mean()) < 0.1


@pytest.mark.parametrize("first", [3, 10, 11])
def test_levels_do_not_pass_a_gap(first: int) -> None:
    image = series([1.0] * first + [9.0] * 12, volume=True, gaps=(first - 1,))
    np.testing.assert_allclose(profile(image), [1.0] * first + [9.0] * 12, rtol=1e-4)
    joined = profile(series([1.0] * first + [9.0] * 12, volume=True))
    assert joined[first - 1] > 1.5


@pytest.mark.parametrize("blank", [0, 4, 5, 11])
def test_blank_slices_have_no_noise_and_give_none(blank: int) -> None:
    sigmas = [2.0] * 12
    sigmas[blank] = 0.0
    found = profile(series(sigmas, volume=True))
    np.testing.assert_allclose(found, sigmas, rtol=1e-4)


def test_an_image_without_noise_has_level_and_descriptor_zero() -> None:
    found = estimate(series([0.0] * 3, volume=True))
    assert not found.level.any()
    assert not found.descriptor.any()


def test_the_descriptor_is_the_mean_over_the_slices_that_are_not_blank() -> None:
    alone = estimate(series([2.0])).descriptor
    np.testing.assert_allclose(estimate(series([2.0, 0.0, 2.0])).descriptor, alone, rtol=1e-5)


@pytest.mark.parametrize(("depth", "volume"), [(1, False), (7, True), (8, True), (15, True), (9, False)])
def test_the_steps_that_are_told_add_up_to_the_slices(depth: int, volume: bool) -> None:
    told: list[int] = []
    estimate(series([1.0] * depth, volume=volume), told)
    assert sum(told) == depth
    assert min(told) >= 0


def test_gain_and_offset_of_the_image_are_those_of_the_level() -> None:
    image = series([0.5, 0.7], volume=True)
    changed = image.with_voxels(100 * image.voxels - 1000)
    np.testing.assert_allclose(profile(changed), 100 * profile(image), rtol=1e-3)


def test_the_map_of_pixels_has_the_shape_of_a_slice() -> None:
    found = NoiseMap(np.full((2, 4, 4), 0.5, np.float32), BLOCK, (2, 27, 30), np.zeros(9, np.float32))
    assert found.pixels(1).shape == (27, 30)
    np.testing.assert_allclose(found.scaled(4).pixels(0), 2.0, rtol=1e-6)


@pytest.mark.parametrize("blank", [None, 0, 6, 20])
def test_slices_taken_out_of_a_volume_tell_what_the_volume_tells(blank: int | None) -> None:
    sigmas = np.linspace(0.5, 4, 21) ** 2
    if blank is not None:
        sigmas[blank] = 0
    whole = series(sigmas, volume=True)
    known = surveyed(21)
    assert known == list(range(0, 21, 2))
    few = series(sigmas[known], volume=True)
    seen = estimate_noise(Slices(few, SIDE), standard_deviation, BLOCK, 2, lambda name, count: None, True)
    found, expected = filled_in(seen, known, 21), estimate(whole)
    assert found.shape == expected.shape == whole.shape
    np.testing.assert_allclose(found.level, expected.level, rtol=1e-5)
    np.testing.assert_allclose(found.descriptor, expected.descriptor, rtol=1e-5)


def test_slices_without_noise_fill_in_none() -> None:
    few = series([0.0, 0.0, 0.0], volume=True)
    seen = estimate_noise(Slices(few, SIDE), standard_deviation, BLOCK, 2, lambda name, count: None, True)
    assert not filled_in(seen, [0, 2, 4], 5).level.any()
