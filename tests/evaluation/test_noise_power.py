"""Noise power: known spectra come back, Parseval holds, trends and objects do not count."""

from __future__ import annotations

import numpy as np
import pytest

from quell.errors import QuellError
from quell.evaluation.noise_power import (
    Periodograms,
    periodograms_of_regions,
    periodograms_of_repeats,
    sd_map,
)
from quell.evaluation.noise_texture import (
    mean_frequency,
    noise_texture,
    peak_frequency,
    texture_shift,
)
from quell.noise.contracts import NoiseSpectrum
from quell.noise.measures import RadialSpectrum, first_moment, radial, variance
from quell.noise.spectrum import colour, frequency_axes, normalised, ramp_spectrum

SIGMA = 10.0
PIXEL = (0.5, 0.5)


def ramp(side: int) -> np.ndarray:
    """Return the relative power of CT-like noise in the order of an FFT, the same at every side."""
    fy, fx = frequency_axes(side, side)
    return ramp_spectrum(np.hypot(fy, fx).astype(float), 0.05, 0.2, 2.4)


def radial_spectrum(spectrum: NoiseSpectrum) -> RadialSpectrum:
    """Return the radial curve without the ring at zero, which the detrending empties."""
    curve = radial(spectrum)
    return RadialSpectrum(curve.frequency[1:], curve.power[1:])


def coloured(rng: np.random.Generator, slices: int, side: int) -> np.ndarray:
    white = rng.standard_normal((slices, side, side)).astype(np.float32)
    return SIGMA * colour(white, normalised(ramp(side)).astype(np.float32))


def truth(side: int, made_at: int) -> NoiseSpectrum:
    """Return the spectrum of `coloured` in units^2 mm^2."""
    power = ramp(side) / ramp(made_at).mean() * SIGMA**2 * PIXEL[0] * PIXEL[1]
    return NoiseSpectrum(np.fft.fftshift(power), PIXEL, 1)


def test_a_known_spectrum_comes_back_from_regions(rng: np.random.Generator) -> None:
    noise = coloured(rng, 40, 512)
    slope = np.linspace(0, 100, 512)[:, None] + np.linspace(-40, 40, 512) ** 2 / 100
    found = radial_spectrum(periodograms_of_regions(noise + slope, PIXEL).mean())
    true = radial_spectrum(truth(64, 512))
    assert found.frequency == pytest.approx(true.frequency)
    # 40 slices of 64 independent regions: a ring of k cells times 2 pi / 2 has a standard error of
    # 1 / sqrt(2560 * pi * k), 0.6 % for the third; the first two belong to the detrending.
    away = np.abs(found.power - true.power)[2:]
    assert away.max() < 0.02 * true.power.max()
    high = true.power[2:] > 0.3 * true.power.max()
    assert (away / true.power[2:])[high].max() < 0.025


def test_repeats_give_the_spectrum_even_on_an_object(rng: np.random.Generator) -> None:
    noise = coloured(rng, 1500, 64)
    scene = 500.0 * (np.hypot(*(np.mgrid[:64, :64] - 32)) < 15)
    found = periodograms_of_repeats(noise + scene, PIXEL, trend=-1, taper=False).mean()
    # Periodic noise in regions of its own size leaks nowhere; the standard error at the first ring (8
    # cells, 4 of them independent) is 1 / sqrt(4 * 1500) = 1.3 %, above the fourth below 0.5 %.
    away = radial_spectrum(found).power / radial_spectrum(truth(64, 64)).power - 1
    assert np.abs(away[:4]).max() < 0.05
    good = radial_spectrum(truth(64, 64)).power[4:] > 1e-3
    assert np.abs(away[4:][good]).max() < 0.02


def test_two_repeats_are_enough_for_the_level(rng: np.random.Generator) -> None:
    pair = np.stack([coloured(rng, 8, 256), coloured(rng, 8, 256)])
    found = periodograms_of_repeats(pair, PIXEL).mean()
    # About 10^4 independent samples a pair: 1 % for the variance, three of them.
    assert variance(found) == pytest.approx(SIGMA**2, rel=0.03)


@pytest.mark.parametrize("trend", [0, 1, 2])
def test_the_integral_is_the_variance(trend: int, rng: np.random.Generator) -> None:
    pixels = coloured(rng, 3, 100) + np.linspace(0, 30, 100)
    found = periodograms_of_regions(pixels, (0.7, 0.4), side=50, trend=trend, taper=False)
    y, x = np.mgrid[:50, :50].reshape(2, -1) / 50
    terms = [y**i * x**j for i in range(trend + 1) for j in range(trend + 1 - i)]
    basis = np.stack(terms, axis=1)
    expected = []
    for z in range(3):
        for row in (0, 25, 50):
            for column in (0, 25, 50):
                region = pixels[z, row : row + 50, column : column + 50].ravel().astype(float)
                fit = np.linalg.lstsq(basis, region, rcond=None)[0]
                expected.append(np.mean((region - basis @ fit) ** 2))
    assert found.mean().regions == 27
    assert variance(found.mean()) == pytest.approx(np.mean(expected), rel=1e-9)


def test_white_noise_is_flat_and_scales_with_the_pixel(rng: np.random.Generator) -> None:
    noise = 3 * rng.standard_normal((60, 128, 128))
    found = radial_spectrum(periodograms_of_regions(noise, (0.8, 0.4)).mean())
    assert found.power[3:] == pytest.approx(9 * 0.8 * 0.4, rel=0.05)
    assert found.power[3:].mean() == pytest.approx(9 * 0.8 * 0.4, rel=0.01)
    # The Nyquist frequency of the larger side ends the circle.
    assert found.frequency.max() <= 0.5 / 0.8 + 1e-9


def test_only_plain_regions_are_used(rng: np.random.Generator) -> None:
    pixels = rng.standard_normal((2, 128, 128))
    mask = np.zeros((128, 128), bool)
    mask[:, :64] = True
    spoiled = np.where(mask, pixels, 1e6)
    found = periodograms_of_regions(spoiled, PIXEL, mask, side=32)
    assert found.power.shape == (2, 32, 32) and found.mean().regions == 2 * 7 * 3
    assert variance(found.mean()) < 1.2


def test_a_map_of_deviations(rng: np.random.Generator) -> None:
    sigma = np.linspace(1, 5, 40)
    found = sd_map(sigma * rng.standard_normal((400, 30, 40)) + 7)
    # The standard error of each is 3.5 %, of the mean of 30 rows 0.65 %.
    assert found.mean(axis=0) == pytest.approx(sigma, rel=0.03)


def test_peak_and_mean_of_a_known_shape() -> None:
    f = np.linspace(0.01, 1, 100)
    power = np.exp(-((f - 0.4) ** 2) / (2 * 0.1**2))
    assert peak_frequency(f, power) == pytest.approx(0.4, abs=1e-3)
    assert mean_frequency(f, power) == pytest.approx(0.4, abs=1e-3)
    assert mean_frequency(f, np.ones(100)) == pytest.approx(0.505, abs=0.003)
    assert mean_frequency(f, np.zeros(100)) == 0


@pytest.fixture
def noisy(rng: np.random.Generator) -> Periodograms:
    return periodograms_of_regions(coloured(rng, 12, 256), PIXEL)


def test_texture_of_known_noise(noisy: Periodograms) -> None:
    found = noise_texture(noisy)
    true = radial_spectrum(truth(64, 256))
    assert found.sd.low < SIGMA * 1.01 and found.sd.high > SIGMA * 0.99
    assert found.sd.value == pytest.approx(SIGMA, rel=0.02)
    assert found.mean.value == pytest.approx(mean_frequency(true.frequency, true.power), rel=0.02)
    assert found.peak.value == pytest.approx(peak_frequency(true.frequency, true.power), rel=0.06)
    assert found.area.value == pytest.approx(np.trapezoid(true.power, true.frequency), rel=0.04)
    assert found.mean.low < found.mean.value < found.mean.high and found.mean.groups == 12


def test_the_mean_frequency_is_that_of_the_noise_room(noisy: Periodograms) -> None:
    # There the ring at zero has its say too, which detrending and taper leave nearly empty.
    assert noise_texture(noisy).mean.value == pytest.approx(first_moment(noisy.mean()), rel=0.02)


def test_half_the_noise_is_no_shift(rng: np.random.Generator) -> None:
    noise = coloured(rng, 6, 256)
    whole, half = (periodograms_of_regions(f * noise, PIXEL) for f in (1, 0.5))
    shift = texture_shift(whole, half)
    assert shift.sd.value == pytest.approx(-50)
    assert shift.area.value == pytest.approx(-75)
    assert (shift.peak.value, shift.mean.value, shift.shape.value) == pytest.approx((0, 0, 0), abs=1e-6)


def test_smoothing_moves_the_noise_to_lower_frequencies(rng: np.random.Generator) -> None:
    from scipy.ndimage import gaussian_filter

    noise = coloured(rng, 6, 256)
    smooth = gaussian_filter(noise, (0, 1.2, 1.2), mode="wrap")
    before, after = (periodograms_of_regions(n, PIXEL) for n in (noise, smooth))
    shift = texture_shift(before, after)
    # What a Gaussian of 1.2 pixels (0.6 mm) leaves: the power times exp(-(2 pi f s)^2).
    true = radial_spectrum(truth(64, 256))
    left = true.power * np.exp(-((2 * np.pi * true.frequency * 0.6) ** 2))
    expected = mean_frequency(true.frequency, left) / mean_frequency(true.frequency, true.power) - 1
    assert shift.mean.value == pytest.approx(100 * expected, abs=2)
    assert shift.mean.high < -20 and shift.peak.high < 0 and shift.shape.value > 0.3


def test_one_region_gives_no_interval(rng: np.random.Generator) -> None:
    found = noise_texture(periodograms_of_regions(coloured(rng, 1, 64), PIXEL))
    assert found.sd.groups == 1 and np.isnan(found.sd.low)


def test_what_cannot_be_measured_is_told(rng: np.random.Generator, noisy: Periodograms) -> None:
    pixels = rng.standard_normal((2, 64, 64))
    with pytest.raises(QuellError, match="no plain region of 64"):
        periodograms_of_regions(pixels, mask=np.eye(64, dtype=bool))
    with pytest.raises(QuellError, match="at least 16"):
        periodograms_of_regions(pixels, side=8)
    with pytest.raises(QuellError, match="not finite"):
        periodograms_of_regions(np.full((1, 64, 64), np.nan))
    with pytest.raises(QuellError, match="shape"):
        periodograms_of_regions(pixels[0])
    with pytest.raises(QuellError, match="at least two"):
        periodograms_of_repeats(pixels[:1])
    with pytest.raises(QuellError, match="at least two"):
        sd_map(pixels[:1])
    with pytest.raises(QuellError, match="not the same"):
        texture_shift(noisy, periodograms_of_regions(pixels, PIXEL))
    silent = periodograms_of_regions(np.zeros((2, 64, 64)))
    with pytest.raises(QuellError, match="no noise"):
        texture_shift(silent, silent)
