"""Grain is the fine part of the noise, and no other."""

from __future__ import annotations

import numpy as np
import pytest

from quell.inference.grain import without_grain

RNG = np.random.default_rng(0)


def power(noise: np.ndarray) -> np.ndarray:
    return np.abs(np.fft.fft2(noise)) ** 2


def test_no_grain_changes_nothing_and_all_grain_leaves_what_is_smooth() -> None:
    noise = RNG.standard_normal((40, 50)).astype(np.float32)
    assert without_grain(noise.copy(), 0) is not None
    np.testing.assert_array_equal(without_grain(noise.copy(), 0), noise)
    flat = np.full((20, 30), 3, np.float32)
    np.testing.assert_allclose(without_grain(flat.copy(), 1), 3, rtol=1e-6)


def test_the_share_is_that_of_the_binomial_filter_at_every_frequency() -> None:
    # Far from the border a wave is scaled by the response of 1, 4, 6, 4, 1 along both axes.
    y, x = np.mgrid[:64, :64]
    for fy, fx in ((0, 0), (4, 0), (0, 16), (12, 20), (32, 32)):
        wave = np.cos(2 * np.pi * (fy * y + fx * x) / 64).astype(np.float32)
        response = np.cos(np.pi * fy / 64) ** 4 * np.cos(np.pi * fx / 64) ** 4
        for grain in (0.3, 1.0):
            expected = (1 - grain + grain * response) * wave
            found = without_grain(wave.copy(), grain)
            np.testing.assert_allclose(found[4:-4, 4:-4], expected[4:-4, 4:-4], atol=1e-5)


def test_it_is_linear_in_the_grain_and_keeps_the_sum() -> None:
    noise = RNG.standard_normal((32, 24)).astype(np.float32)
    none, half, all_ = (without_grain(noise.copy(), grain) for grain in (0.0, 0.5, 1.0))
    np.testing.assert_allclose(half, (none + all_) / 2, atol=1e-6)
    assert all_.sum() == pytest.approx(noise.sum(), rel=1e-4)


@pytest.mark.parametrize("shape", [(1, 7), (7, 1), (1, 1), (2, 2)])
def test_images_smaller_than_the_filter_are_no_special_case(shape: tuple[int, int]) -> None:
    noise = RNG.standard_normal(shape).astype(np.float32)
    found = without_grain(noise.copy(), 1.0)
    assert found.shape == shape and np.isfinite(found).all()
    assert found.sum() == pytest.approx(noise.sum(), rel=1e-4)


def test_it_keeps_the_fine_noise_and_takes_the_coarse() -> None:
    noise = RNG.standard_normal((256, 256)).astype(np.float32)
    left = noise - without_grain(noise.copy(), 0.8)
    spectrum = power(left) / power(noise)
    fy = np.abs(np.fft.fftfreq(256))[:, None]
    fx = np.abs(np.fft.fftfreq(256))[None, :]
    assert spectrum[(fy < 0.05) & (fx < 0.05)].mean() < 0.02
    assert spectrum[(fy > 0.4) & (fx > 0.4)].mean() > 0.6
