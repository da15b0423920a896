"""The spectrum that is told of wedge noise is the one that it has."""

from __future__ import annotations

import numpy as np
import pytest

from quell.noise.ct_wedge import wedge_noise, wedge_power, wedge_variance
from quell.noise.spectrum import frequency_axes, normalised, ramp_spectrum

ROWS, COLUMNS, SECTORS = 48, 56, 8


def ramp() -> np.ndarray:
    return normalised(ramp_spectrum(np.hypot(*frequency_axes(ROWS, COLUMNS)), 0.02, 0.25, 2.4))


def test_noise_without_direction_has_the_spectrum_of_the_ramp() -> None:
    found = wedge_power(np.full((SECTORS, 3, 4), 2.0), ramp())
    np.testing.assert_allclose(found, 2 * ramp(), rtol=1e-5)


def test_the_mean_periodogram_is_the_told_spectrum(rng: np.random.Generator) -> None:
    maps = np.broadcast_to(rng.uniform(0.1, 4, (SECTORS, 1, 1)), (SECTORS, ROWS, COLUMNS))
    count = 600
    noise = wedge_noise(rng.standard_normal((count, ROWS, COLUMNS)), maps, ramp())
    measured = (np.abs(np.fft.fft2(noise)) ** 2).mean(axis=0) / (ROWS * COLUMNS)
    told = wedge_power(maps, ramp())
    strong = told > 0.01 * told.max()
    ratio = measured[strong] / told[strong]
    # Each is a mean of exponential variates: SD 1 / sqrt(count), more at the four real frequencies.
    assert abs(ratio.mean() - 1) < 0.01
    assert ratio.std() < 2 / count**0.5


def test_its_mean_is_the_variance(rng: np.random.Generator) -> None:
    # Many directions in a ring: the sum over the square grid of frequencies is close to the integral.
    maps = rng.uniform(0.5, 2, (SECTORS, ROWS, COLUMNS))
    assert wedge_power(maps, ramp()).mean() == pytest.approx(wedge_variance(maps).mean(), rel=0.05)
