"""The non-prewhitening observer: analytic values, agreement of its two forms, the eye."""

from __future__ import annotations

import math

import numpy as np
import pytest
from known_noise import SIDE, blob, coloured_power, noise

from quell.errors import QuellError
from quell.evaluation.observers.nonprewhitening import (
    EyeFilter,
    frequencies,
    nonprewhitening_detectability,
    nonprewhitening_observer,
)
from quell.evaluation.observers.scores import d_prime
from quell.noise.contracts import NoiseSpectrum

NO_EYE = EyeFilter(0.0, 0.0)
SPACING = (0.8, 0.8)
POWER = coloured_power()


def spectrum(variance_of_frequency: np.ndarray) -> NoiseSpectrum:
    """Return power in the units of a spectrum: mm^2 per variance."""
    return NoiseSpectrum(np.fft.fftshift(variance_of_frequency) * SPACING[0] * SPACING[1], SPACING, 1)


def test_eye_peaks_at_four_cycles_per_degree() -> None:
    per_mm = np.linspace(0.01, 2, 4000)
    eye = EyeFilter()
    peak = per_mm[eye(per_mm).argmax()]
    assert peak * eye.distance_mm * math.pi / 180 == pytest.approx(4.0, abs=0.02)
    near = EyeFilter(magnification=2.0)
    assert per_mm[near(per_mm).argmax()] == pytest.approx(2 * peak, rel=0.01)


def test_white_noise_gives_the_energy_of_the_signal() -> None:
    signal = 0.3 * blob()
    found = nonprewhitening_detectability(signal, spectrum(np.full((SIDE, SIDE), 4.0)), eye=NO_EYE)
    assert found == pytest.approx(math.sqrt((signal**2).sum()) / 2)


def test_coloured_noise_gives_the_analytic_value() -> None:
    """``s's / sqrt(s' K s)`` for a template that is the signal."""
    signal = 0.5 * blob()
    spread = (np.abs(np.fft.fft2(signal)) ** 2 * POWER).mean()
    found = nonprewhitening_detectability(signal, spectrum(POWER), eye=NO_EYE)
    assert found == pytest.approx((signal**2).sum() / math.sqrt(spread))


def test_blur_of_signal_and_noise_alike_costs_nothing_without_internal_noise() -> None:
    """A filter that can be undone is not undone by this observer, which is why it prefers some blur."""

    def transfer(f: np.ndarray) -> np.ndarray:
        return np.exp(-((f / 0.3) ** 2))

    blurred = POWER * transfer(frequencies((SIDE, SIDE), SPACING)) ** 2
    before = nonprewhitening_detectability(blob(), spectrum(POWER), eye=NO_EYE)
    after = nonprewhitening_detectability(blob(), spectrum(blurred), transfer, eye=NO_EYE)
    assert after > before
    noisy = nonprewhitening_detectability(blob(), spectrum(blurred), transfer, eye=NO_EYE, internal_noise=0.5)
    assert noisy < after


@pytest.mark.parametrize("eye", [NO_EYE, EyeFilter()])
@pytest.mark.parametrize("known", [True, False])
def test_images_and_spectrum_agree(eye: EyeFilter, known: bool) -> None:
    rng = np.random.default_rng(3)
    signal = blob()
    signal = signal * 1.8 / nonprewhitening_detectability(signal, spectrum(POWER), eye=eye)
    present, absent = noise(rng, 400, POWER) + signal, noise(rng, 400, POWER)
    seen = nonprewhitening_observer(present, absent, SPACING, eye=eye, signal=signal if known else None)
    # The standard error of d' is about 0.085; a template learned from 400 pairs loses some 3 %.
    assert d_prime(seen.scores) == pytest.approx(1.8 if known else 1.75, abs=0.25)


def test_learning_that_the_signal_is_round_saves_most_of_it() -> None:
    rng = np.random.default_rng(4)
    signal = blob() * 1.8 / nonprewhitening_detectability(blob(), spectrum(POWER))
    present, absent = noise(rng, 200, POWER) + signal, noise(rng, 200, POWER)
    round_, any_ = (
        d_prime(nonprewhitening_observer(present, absent, SPACING, round_signal=known).scores)
        for known in (True, False)
    )
    assert round_ > 1.4 > any_ + 0.5


def test_half_trains_and_half_tests() -> None:
    rng = np.random.default_rng(5)
    present, absent = noise(rng, 60, POWER) + 2 * blob(), noise(rng, 60, POWER)
    from quell.evaluation.observers.splits import Split

    seen = nonprewhitening_observer(present, absent, SPACING, split=Split("half"))
    assert (len(seen.scores.present), seen.training_pairs) == (30, 30)
    assert seen.kind == "non-prewhitening with eye filter"


def test_bad_input_is_refused() -> None:
    with pytest.raises(QuellError, match="does not fit"):
        nonprewhitening_detectability(np.ones((40, 40)), spectrum(POWER))
    with pytest.raises(QuellError, match="power spectrum is 0"):
        nonprewhitening_detectability(blob(), spectrum(0 * POWER))
    with pytest.raises(QuellError, match="at least 10 pairs, got 5"):
        nonprewhitening_observer(np.ones((5, 9, 9)), np.zeros((5, 9, 9)), SPACING)
