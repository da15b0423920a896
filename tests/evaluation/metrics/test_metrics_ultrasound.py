"""Contrast and speckle against their closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from quell.errors import QuellError
from quell.evaluation.metrics.ultrasound import (
    RAYLEIGH_SNR,
    contrast_to_noise,
    envelope,
    equivalent_looks,
    generalised_contrast_to_noise,
    speckle_snr,
)

N = 40000


def rayleigh(rng: np.random.Generator, size: int = N) -> np.ndarray:
    return np.hypot(*rng.standard_normal((2, size)))


def test_fully_developed_speckle_has_its_known_ratios(rng: np.random.Generator) -> None:
    found = rayleigh(rng)
    # The standard error of SD over mean of 40000 samples is about 0.5 %; of the intensity about 1 %.
    assert speckle_snr(found) == pytest.approx(RAYLEIGH_SNR, rel=0.02)
    assert pytest.approx(1.913, abs=1e-3) == RAYLEIGH_SNR
    assert equivalent_looks(found) == pytest.approx(1, rel=0.04)


@pytest.mark.parametrize("looks", [2, 4, 16])
def test_averaged_intensities_have_as_many_looks(looks: int, rng: np.random.Generator) -> None:
    intensity = (rayleigh(rng, N * looks) ** 2).reshape(looks, N).mean(axis=0)
    assert equivalent_looks(np.sqrt(intensity)) == pytest.approx(looks, rel=0.05)


@pytest.mark.parametrize("distance", [0.0, 0.5, 1.0, 2.0, 4.0])
def test_gcnr_of_two_gaussians_is_one_minus_their_overlap(distance: float, rng: np.random.Generator) -> None:
    a, b = rng.standard_normal(N), distance + rng.standard_normal(N)
    # Two normal densities a distance d apart overlap by 2 Phi(-d / 2).
    assert generalised_contrast_to_noise(a, b) == pytest.approx(1 - 2 * norm.cdf(-distance / 2), abs=0.02)


def test_gcnr_does_not_know_the_dynamic_range(rng: np.random.Generator) -> None:
    a, b = rayleigh(rng), 2 * rayleigh(rng)
    found = generalised_contrast_to_noise(a, b)
    assert generalised_contrast_to_noise(np.log(a), np.log(b)) == pytest.approx(found, abs=1e-9)
    assert generalised_contrast_to_noise(a**3, b**3) == pytest.approx(found, abs=1e-9)
    assert abs(contrast_to_noise(a, b) - contrast_to_noise(a**3, b**3)) > 0.1


def test_cnr_is_the_difference_over_both_deviations(rng: np.random.Generator) -> None:
    a, b = 5 + 3 * rng.standard_normal(N), 15 + 4 * rng.standard_normal(N)
    assert contrast_to_noise(a, b) == pytest.approx(2, rel=0.02)


def test_log_compression_is_undone(rng: np.random.Generator) -> None:
    found = rayleigh(rng)
    grey = 255 + 20 * np.log10(found / found.max()) * 255 / 60
    assert speckle_snr(envelope(grey, 60 / 255)) == pytest.approx(speckle_snr(found))
    assert envelope(found, None) is found
    with pytest.raises(QuellError, match="must be positive"):
        envelope(grey, 0)


def test_constant_regions() -> None:
    one, two = np.ones(9), np.full(9, 2.0)
    assert contrast_to_noise(one, one) == 0 and contrast_to_noise(one, two) == np.inf
    assert generalised_contrast_to_noise(one, one) == 0
    assert generalised_contrast_to_noise(one, two) == 1
    assert equivalent_looks(one) == speckle_snr(one) == np.inf
