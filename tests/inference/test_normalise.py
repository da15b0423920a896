"""The normalisation knows gain and offset of an image and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from quell.inference.normalise import MEAN_BLOCK, difference_scale, level_from_log, local_mean


@pytest.fixture
def pixels(rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((2, 2 * MEAN_BLOCK, 3 * MEAN_BLOCK)).astype(np.float32)


def test_the_scale_grows_with_the_gain_and_knows_no_offset(pixels: np.ndarray) -> None:
    scale = difference_scale(pixels)
    assert scale.shape == (2, 1, 1)
    np.testing.assert_allclose(difference_scale(3 * pixels + 7), 3 * scale, rtol=1e-4)


def test_the_scale_of_white_noise_is_the_mean_absolute_difference_of_two_samples(pixels: np.ndarray) -> None:
    # The difference of two normal samples has SD sqrt(2); its mean absolute value is 2 / sqrt(pi).
    np.testing.assert_allclose(difference_scale(pixels), 2 / np.sqrt(np.pi), rtol=0.05)


def test_the_scale_of_a_constant_is_zero() -> None:
    assert difference_scale(np.full((8, 8), 3.3, np.float32)).item() == 0


def test_the_local_mean_of_a_constant_is_the_constant_and_it_is_linear(pixels: np.ndarray) -> None:
    np.testing.assert_allclose(local_mean(np.full_like(pixels, -1000)), -1000, rtol=1e-6)
    np.testing.assert_allclose(local_mean(2 * pixels + 5), 2 * local_mean(pixels) + 5, atol=1e-5)


def test_the_local_mean_of_noise_is_small(pixels: np.ndarray) -> None:
    assert np.abs(local_mean(pixels)).max() < 6 / MEAN_BLOCK


def test_a_map_of_logarithms_becomes_levels() -> None:
    grid = np.log(np.full((2, 3), 0.25, np.float32))
    np.testing.assert_allclose(level_from_log(grid, 8), np.full((16, 24), 0.25), rtol=1e-6)


def test_torch_and_numpy_agree(pixels: np.ndarray) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    for function in (difference_scale, local_mean):
        np.testing.assert_allclose(
            function(torch.from_numpy(pixels)).numpy(), function(pixels), rtol=1e-4, atol=1e-6
        )
