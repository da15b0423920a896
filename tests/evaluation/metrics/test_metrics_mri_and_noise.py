"""SNR, the Rician floor, and noise around slopes."""

from __future__ import annotations

import numpy as np
import pytest

from quell.errors import QuellError
from quell.evaluation.metrics.mri import low_signal_bias, snr, snr_of_pair
from quell.evaluation.metrics.noise import detrended_sd

SHAPE = (4, 100, 100)


def test_snr_of_a_pair_does_not_see_the_shading(rng: np.random.Generator) -> None:
    shading = np.linspace(80, 120, 100)
    first, second = shading + 2 * rng.standard_normal((2, 100, 100))
    # The standard error of an SD of 10000 values is 0.7 %.
    assert snr_of_pair(first, second) == pytest.approx(50, rel=0.03)
    assert snr(first) < 10


def test_the_floor_of_pure_rician_noise(rng: np.random.Generator) -> None:
    sigma = 5.0
    magnitude = sigma * np.hypot(*rng.standard_normal((2, *SHAPE)))
    everywhere = np.ones(SHAPE, bool)
    found = low_signal_bias(np.zeros(SHAPE), magnitude, sigma, everywhere)
    # sqrt(pi / 2) noise levels; the standard error over 40000 pixels is 0.003.
    assert found == pytest.approx(np.sqrt(np.pi / 2), abs=0.013)


def test_only_low_signal_counts() -> None:
    reference = np.zeros(SHAPE)
    reference[:2] = 100
    test = reference + np.where(reference == 0, 1.0, 50.0)
    assert low_signal_bias(reference, test, 2, np.ones(SHAPE, bool)) == pytest.approx(0.5)
    with pytest.raises(QuellError, match="no pixel"):
        low_signal_bias(reference, test, 2, reference > 0)
    with pytest.raises(QuellError, match="positive"):
        low_signal_bias(reference, test, 0, reference == 0)


def test_noise_is_measured_around_the_slope_of_each_slice(rng: np.random.Generator) -> None:
    noise = 3 * rng.standard_normal(SHAPE)
    slope = np.linspace(0, 100, 100)[:, None] + 10.0 * np.arange(4)[:, None, None]
    mask = np.zeros(SHAPE, bool)
    mask[:, 20:80, 20:80] = True
    assert detrended_sd(noise + slope, mask) == pytest.approx(detrended_sd(noise, mask))
    assert detrended_sd(noise, mask) == pytest.approx(3, rel=0.025)


def test_constant_values_and_tiny_regions() -> None:
    assert snr(np.ones(5)) == np.inf
    mask = np.zeros(SHAPE, bool)
    mask[0, 0, :3] = True
    with pytest.raises(QuellError, match="too small"):
        detrended_sd(np.zeros(SHAPE), mask)
