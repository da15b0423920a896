"""The plain measure of noise in flat parts."""

from __future__ import annotations

import numpy as np
import pytest

from quell.image import Image
from quell.noise.flat import SIDE, blocks, detrended_sd, flat_noise_ratio, quiet_level, share_in_a_block
from quell.noise.spectrum import DESCRIPTOR_SIZE, colour, describe, frequency_axes, normalised

SHAPE = (3, 96, 120)


def edges() -> np.ndarray:
    """Return steps of contrast 10 along one column of blocks in three, and slopes between them."""
    x = np.arange(SHAPE[2])
    stairs = 10.0 * ((x + SIDE // 2) // (3 * SIDE)) + 0.02 * (x % (3 * SIDE))
    return np.broadcast_to(stairs, SHAPE).astype(np.float32)


def levels(value: float) -> np.ndarray:
    return np.full((SHAPE[0], SHAPE[1] // SIDE, SHAPE[2] // SIDE), value, np.float32)


@pytest.fixture
def noise(rng: np.random.Generator) -> np.ndarray:
    return (0.5 * rng.standard_normal(SHAPE)).astype(np.float32)


@pytest.mark.parametrize("factor", [0.0, 0.25, 0.7, 1.0, 1.5])
def test_scaled_noise_gives_its_factor(noise: np.ndarray, factor: float) -> None:
    ratio = flat_noise_ratio(Image(3 + noise), 3 + np.float32(factor) * noise, levels(0.5))
    assert ratio == pytest.approx(factor, abs=1e-4)


def test_edges_and_slopes_do_not_count(noise: np.ndarray) -> None:
    before = edges() + noise
    # What is done to the edges must not show: there the "denoised" image is worse than the noisy one.
    worse = np.where(np.abs(np.gradient(edges(), axis=2)) > 1, 3.0, 0.0).astype(np.float32)
    after = edges() + 0.3 * noise + worse
    assert flat_noise_ratio(Image(before), after, levels(0.5)) == pytest.approx(0.3, abs=0.01)


def test_padding_does_not_count(noise: np.ndarray) -> None:
    padding = np.zeros(SHAPE, bool)
    padding[:, :, 40:] = True
    after = np.where(padding, noise, 0.4 * noise)
    assert flat_noise_ratio(Image(noise), after, levels(0.5)) > 0.9
    assert flat_noise_ratio(Image(noise, padding=padding), after, levels(0.5)) == pytest.approx(0.4, abs=1e-4)


@pytest.mark.parametrize("shape", [(1, 5, 5), (2, 7, 40)])
def test_without_a_flat_block_there_is_nothing_to_measure(shape: tuple[int, int, int]) -> None:
    voxels = np.zeros(shape, np.float32)
    level = np.ones((shape[0], 4, 8), np.float32)
    assert flat_noise_ratio(Image(voxels), voxels, level) is None
    still = np.zeros(SHAPE, np.float32)
    assert flat_noise_ratio(Image(still), still, levels(1)) is None


def test_the_quiet_level_is_that_of_the_noise_beside_edges(noise: np.ndarray) -> None:
    # A quantile of 0.2 lies below the median of a block's SD by 0.84 / sqrt(2 * 61).
    expected = 0.5 * (1 - 0.84 / np.sqrt(2 * (SIDE * SIDE - 3)))
    assert quiet_level(noise, (-5, 5)) == pytest.approx(expected, rel=0.03)
    assert quiet_level(edges() + noise, (-5, 100)) == pytest.approx(expected, rel=0.1)


def test_the_quiet_level_looks_only_where_it_is_told(noise: np.ndarray) -> None:
    tissue, air = 100 + noise, np.float32(0.01) * noise
    both = np.concatenate([tissue, air], axis=1)
    assert quiet_level(both, (50, 150)) == quiet_level(tissue, (50, 150))
    assert quiet_level(both, (-1, 150)) < 0.1


def test_too_few_blocks_give_no_quiet_level(noise: np.ndarray) -> None:
    assert quiet_level(noise[:1, :32, :32], (-5, 5)) == 0
    assert quiet_level(np.full(SHAPE, 2, np.float32), (-5, 5)) == 0


@pytest.mark.parametrize(("f50", "tolerance"), [(0.05, 0.3), (0.08, 0.1), (0.15, 0.05), (0.3, 0.05)])
def test_the_share_that_shows_in_a_block_is_that_of_noise_of_the_spectrum(
    f50: float, tolerance: float
) -> None:
    fy, fx = frequency_axes(512, 512)
    power = normalised(np.exp(-np.log(2) * (fy**2 + fx**2) / f50**2))
    white = np.random.default_rng(6).standard_normal((512, 512)).astype(np.float32)
    measured = np.sqrt(np.square(detrended_sd(blocks(colour(white, power)))).mean())
    # In the lowest bin one frequency stands for all.
    assert share_in_a_block(describe(power[None])[0]) == pytest.approx(measured, rel=tolerance)


def test_white_noise_shows_all_of_its_level_in_a_block() -> None:
    assert share_in_a_block(np.zeros(DESCRIPTOR_SIZE, np.float32)) == pytest.approx(1)
