"""Numbers of a spectrum against spectra whose numbers are known."""

from __future__ import annotations

import numpy as np
import pytest

from quell.noise import measures
from quell.noise.contracts import NoiseSpectrum


def spectrum(power: np.ndarray, spacing: tuple[float, float] = (1.0, 1.0)) -> NoiseSpectrum:
    return NoiseSpectrum(np.asarray(power, np.float64), spacing, 10)


def radius(n: int, spacing: tuple[float, float] = (1.0, 1.0)) -> np.ndarray:
    fy, fx = (np.fft.fftshift(np.fft.fftfreq(n, d)) for d in spacing)
    return np.hypot(fy[:, None], fx[None, :])


@pytest.mark.parametrize("spacing", [1.0, 0.5, 2.0])
def test_white_noise(spacing: float) -> None:
    white = spectrum(np.full((32, 32), 9.0 * spacing**2), (spacing, spacing))
    assert measures.variance(white) == pytest.approx(9)
    assert measures.first_moment(white) == pytest.approx(0.25 / spacing)
    assert measures.anisotropy(white) == pytest.approx(1)
    assert measures.correlation_length(white) == pytest.approx(spacing * 2 / np.sqrt(np.pi))
    assert measures.ramp_ratio(white) == pytest.approx(1)
    curve = measures.radial(white)
    np.testing.assert_allclose(curve.power, 9.0 * spacing**2)
    assert curve.frequency[0] == 0 and curve.frequency[-1] == pytest.approx(0.5 / spacing)


def test_first_moment_of_a_gaussian_spectrum() -> None:
    # The mean of f over exp(-f^2 / 2 s^2) from 0 to infinity is s sqrt(2 / pi).
    s = 0.08
    found = measures.first_moment(spectrum(np.exp(-(radius(128) ** 2) / (2 * s**2))))
    assert found == pytest.approx(s * np.sqrt(2 / np.pi), rel=0.01)


def test_correlation_of_a_gaussian_spectrum() -> None:
    # Power exp(-f^2 / 2 s^2) has autocorrelation exp(-2 pi^2 s^2 x^2), whose square integrates to
    # 1 / (4 pi s^2): a disc of diameter 1 / (pi s).
    s = 0.06
    found = spectrum(np.exp(-(radius(64) ** 2) / (2 * s**2)))
    assert measures.correlation_length(found) == pytest.approx(1 / (np.pi * s), rel=0.02)
    row = measures.correlation(found)[32, 32:40]
    np.testing.assert_allclose(row, np.exp(-2 * np.pi**2 * s**2 * np.arange(8) ** 2), atol=0.01)


@pytest.mark.parametrize("turned", [False, True])
def test_anisotropy_is_the_stretch(turned: bool) -> None:
    fy, fx = np.meshgrid(*2 * [np.fft.fftshift(np.fft.fftfreq(64))], indexing="ij")
    if turned:
        fy, fx = (fy + fx) / np.sqrt(2), (fy - fx) / np.sqrt(2)
    stretched = np.exp(-((fy / 0.1) ** 2) - (fx / 0.05) ** 2)
    assert measures.anisotropy(spectrum(stretched)) == pytest.approx(2, rel=0.02)


def test_pixels_that_are_not_square_are_seen_in_millimetres() -> None:
    spacing = (2.0, 0.5)
    power = np.exp(-((radius(64, spacing) / 0.1) ** 2))
    found = spectrum(power, spacing)
    assert measures.anisotropy(found) == pytest.approx(1, abs=0.02)
    assert measures.radial(found).frequency[-1] == pytest.approx(0.25)


def test_ramps_are_told_from_other_reconstructions() -> None:
    f = radius(32)
    ramp = f * np.exp(-np.log(2) * (f / 0.3) ** 2.4)
    smooth = np.exp(-np.log(2) * (f / 0.12) ** 2)
    assert measures.is_ramp_like(spectrum(ramp))
    assert not measures.is_ramp_like(spectrum(smooth))
    assert not measures.is_ramp_like(spectrum(np.ones((32, 32))))
    assert measures.ramp_ratio(spectrum(np.exp(-f / 0.06))) > measures.LOW_PASS
    assert measures.peak_frequency(spectrum(ramp)) == pytest.approx(0.23, abs=0.04)


def test_no_power_has_no_numbers() -> None:
    nothing = spectrum(np.zeros((16, 16)))
    assert measures.variance(nothing) == 0 and measures.first_moment(nothing) == 0
    assert measures.correlation_length(nothing) == 0 and measures.ramp_ratio(nothing) == 1
    assert not measures.correlation(nothing).any()
