"""Maps of blocks: averaging down and interpolating up."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import BSpline

from quell.noise.grid import block_mean, smooth_upsample, upsample

SHAPES = [(4, 4), (3, 7), (1, 5), (1, 1), (2, 3, 2, 5)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [1, 2, 8])
def test_a_constant_stays_constant_on_its_way_up(shape: tuple[int, ...], size: int) -> None:
    up = upsample(np.full(shape, 3.25, np.float32), size)
    assert up.shape == (*shape[:-2], shape[-2] * size, shape[-1] * size)
    np.testing.assert_allclose(up, 3.25, rtol=1e-6)


@pytest.mark.parametrize("size", [2, 6, 8])
def test_a_ramp_stays_a_ramp_between_the_outer_block_centres(size: int) -> None:
    rows, columns = 5, 7
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    up = upsample(2 * y - 3 * x + 1, size)
    half = size // 2
    place_y, place_x = ((np.arange(n * size) + 0.5) / size - 0.5 for n in (rows, columns))
    expected = 2 * place_y[:, None] - 3 * place_x[None] + 1
    inner = (slice(half, -half), slice(half, -half))
    np.testing.assert_allclose(up[inner], expected[inner], atol=1e-4)


def test_beyond_the_outer_block_centres_it_is_constant(rng: np.random.Generator) -> None:
    grid = rng.random((3, 4)).astype(np.float32)
    up = upsample(grid, 8)
    np.testing.assert_allclose(up[:4, :4], grid[0, 0], rtol=1e-6)
    np.testing.assert_allclose(up[-4:, -4:], grid[-1, -1], rtol=1e-6)


def test_interpolation_stays_between_the_lowest_and_the_highest_value(rng: np.random.Generator) -> None:
    grid = rng.standard_normal((6, 5)).astype(np.float32)
    up = upsample(grid, 8)
    assert grid.min() - 1e-6 <= up.min() and up.max() <= grid.max() + 1e-6


def test_the_mean_of_blocks_undoes_interpolation_of_what_is_linear() -> None:
    y, x = np.mgrid[:6, :9].astype(np.float32)
    grid = 0.5 * y + x
    back = block_mean(upsample(grid, 8), 8)
    np.testing.assert_allclose(back[1:-1, 1:-1], grid[1:-1, 1:-1], atol=1e-4)


def test_the_mean_of_blocks_keeps_the_mean_and_knows_its_block(rng: np.random.Generator) -> None:
    pixels = rng.random((2, 12, 20)).astype(np.float32)
    means = block_mean(pixels, 4)
    assert means.shape == (2, 3, 5)
    np.testing.assert_allclose(means.mean(axis=(1, 2)), pixels.mean(axis=(1, 2)), rtol=1e-5)
    np.testing.assert_allclose(means[1, 2, 3], pixels[1, 8:12, 12:16].mean(), rtol=1e-5)


def test_rows_and_columns_are_treated_alike(rng: np.random.Generator) -> None:
    grid = rng.random((3, 5)).astype(np.float32)
    np.testing.assert_allclose(upsample(grid.T.copy(), 8), upsample(grid, 8).T, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_torch_and_numpy_agree(rng: np.random.Generator, dtype: str) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    grid = rng.random((2, 3, 5)).astype(dtype)
    up = upsample(torch.from_numpy(grid), 8)
    assert str(up.dtype) == f"torch.{dtype}"
    np.testing.assert_allclose(up.numpy(), upsample(grid, 8), rtol=1e-5)
    np.testing.assert_allclose(block_mean(up, 4).numpy(), block_mean(upsample(grid, 8), 4), rtol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_spline_keeps_constants_and_stays_within_its_coefficients(
    shape: tuple[int, ...], rng: np.random.Generator
) -> None:
    np.testing.assert_allclose(smooth_upsample(np.full(shape, 3.25, np.float32), 8), 3.25, rtol=1e-6)
    grid = rng.random(shape).astype(np.float32)
    up = smooth_upsample(grid, 8)
    assert up.shape == (*shape[:-2], shape[-2] * 8, shape[-1] * 8)
    assert grid.min() - 1e-6 <= up.min() and up.max() <= grid.max() + 1e-6


def test_a_spline_is_that_of_scipy(rng: np.random.Generator) -> None:
    grid = rng.random(12).astype(np.float32)
    place = (np.arange(12 * 8) + 0.5) / 8 - 0.5
    knots = np.arange(-2, 14)
    expected = BSpline(knots, grid.astype(np.float64), 3)(place)
    # Where the repeated ends have no part.
    inner = slice(2 * 8, -2 * 8)
    found = smooth_upsample(grid[None].repeat(3, 0), 8)[12]
    np.testing.assert_allclose(found[inner], expected[inner], atol=1e-5)


def test_a_spline_has_no_kinks(rng: np.random.Generator) -> None:
    grid = rng.random((6, 6)).astype(np.float32)
    bends = [np.abs(np.diff(up(grid, 16), 3, axis=0)).max() for up in (smooth_upsample, upsample)]
    # A kink is a jump of the first difference; of the spline only the third one jumps.
    assert bends[0] < 0.05 * bends[1]
