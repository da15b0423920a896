"""What single methods must do by their definition."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.signal import wiener

from quell.errors import InputError, QuellError
from quell.filters.bilateral import Bilateral
from quell.filters.bm3d import power_at
from quell.filters.butterworth import Butterworth
from quell.filters.diffusion import AnisotropicDiffusion
from quell.filters.frost import Frost
from quell.filters.gaussian import Gaussian
from quell.filters.lee import Lee
from quell.filters.level import NoiseLevel, noise_sigma
from quell.filters.median import Median
from quell.filters.registry import find_filter
from quell.filters.srad import Srad
from quell.filters.total_variation import TotalVariation
from quell.filters.wavelet import SYMLET4, Wavelet
from quell.filters.wiener import Wiener
from quell.image import Image
from quell.noise.contracts import NoiseEstimate, NoiseSpectrum
from quell.noise.spectrum import colour, frequency_axes, normalised, ramp_spectrum

NOISE = NoiseLevel(10.0, 0.1, 1.0)


@pytest.fixture
def pixels(rng: np.random.Generator) -> np.ndarray:
    y, x = np.mgrid[:80, :90]
    return np.where(np.hypot(y - 40, x - 45) < 20, 200.0, 100.0) + 10 * rng.standard_normal((80, 90))


def test_the_gaussian_is_the_gaussian(pixels: np.ndarray) -> None:
    assert np.array_equal(Gaussian(1.3).apply(pixels, NOISE), gaussian_filter(pixels, 1.3, mode="reflect"))


def test_a_bilateral_filter_that_sees_no_differences_is_the_gaussian(pixels: np.ndarray) -> None:
    found = Bilateral(1.2, 1e6).apply(pixels, NOISE)
    expected = gaussian_filter(pixels, 1.2, mode="reflect", radius=3)
    assert found == pytest.approx(expected, abs=1e-6)


def test_a_bilateral_filter_follows_its_definition(pixels: np.ndarray) -> None:
    found = Bilateral(1.0, 2.0).apply(pixels, NOISE)
    y, x = np.mgrid[-3:4, -3:4]
    for row, column in ((40, 45), (40, 26), (20, 60)):
        near = pixels[row - 3 : row + 4, column - 3 : column + 4]
        weight = np.exp(-(y**2 + x**2) / 2 - (near - pixels[row, column]) ** 2 / (2 * 20.0**2))
        assert found[row, column] == pytest.approx((weight * near).sum() / weight.sum())


def test_a_median_takes_a_hot_pixel_and_leaves_a_straight_edge() -> None:
    step = np.where(np.arange(40) < 20, 0.0, 100.0) * np.ones((40, 1))
    hot = step.copy()
    hot[20, 10] = 1000
    assert np.array_equal(Median(3).apply(hot, NOISE), step)


@pytest.mark.parametrize("conduction", ["exponential", "rational"])
def test_diffusion_keeps_the_mean_and_its_bounds(pixels: np.ndarray, conduction: str) -> None:
    found = AnisotropicDiffusion(40, 1.5, conduction).apply(pixels, NOISE)
    assert found.mean() == pytest.approx(pixels.mean(), rel=1e-12)
    assert found.min() >= pixels.min() and found.max() <= pixels.max()
    assert found.std() < pixels.std()


def test_diffusion_with_an_open_gate_is_heat(pixels: np.ndarray) -> None:
    found = AnisotropicDiffusion(10, 1e6).apply(pixels, NOISE)
    # Ten steps of 0.2 are a Gaussian of variance 2 * 10 * 0.2, but for the four neighbours.
    assert found[10:-10, 10:-10] == pytest.approx(gaussian_filter(pixels, 2.0)[10:-10, 10:-10], abs=2.5)


def test_less_total_variation_and_the_same_mean(pixels: np.ndarray) -> None:
    found = TotalVariation(1.0).apply(pixels, NOISE)
    variation = [np.abs(np.diff(p, axis=0)).sum() + np.abs(np.diff(p)).sum() for p in (pixels, found)]
    assert variation[1] < 0.4 * variation[0]
    assert found.mean() == pytest.approx(pixels.mean(), abs=0.1)


def test_the_wavelet_is_orthonormal_and_blind_to_cubics() -> None:
    low = np.array(SYMLET4)
    products = [(low[: len(low) - 2 * k] * low[2 * k :]).sum() for k in range(4)]
    assert products == pytest.approx([1, 0, 0, 0], abs=1e-12)
    assert low.sum() == pytest.approx(np.sqrt(2), abs=1e-12)
    high = low[::-1] * (-1.0) ** np.arange(8)
    assert [(high * np.arange(8.0) ** k).sum() for k in range(4)] == pytest.approx([0] * 4, abs=1e-8)


@pytest.mark.parametrize("shape", [(64, 64), (33, 50)])
def test_the_wavelet_transform_gives_back_what_went_in(
    shape: tuple[int, int], rng: np.random.Generator
) -> None:
    values = rng.standard_normal(shape)
    nothing = NoiseLevel(1e-9, 0.0, 0.0)
    assert Wavelet(levels=4).apply(values, nothing) == pytest.approx(values, abs=1e-7)


def test_wavelets_leave_nothing_of_white_noise_but_its_coarsest_part(rng: np.random.Generator) -> None:
    noise = 10 * rng.standard_normal((256, 256))
    found = Wavelet(levels=4, factor=1.0).apply(noise, NOISE)
    # The low pass of four levels keeps one part in 4^4 of the variance; chance keeps some bands open.
    assert found.std() < 2.0


def test_wiener_is_that_of_scipy_inside(pixels: np.ndarray) -> None:
    found = Wiener(5, 1.0).apply(pixels, NOISE)
    assert found[2:-2, 2:-2] == pytest.approx(wiener(pixels, 5, 100.0)[2:-2, 2:-2], abs=1e-8)


def test_counts_keep_their_mean_under_the_transform(rng: np.random.Generator) -> None:
    counts = rng.poisson(2.0, (1, 200, 200)).astype(np.float32)
    found = find_filter("anscombe+gaussian", width=3.0).denoise(Image(counts, units="counts")).image.voxels
    # The plain inverse of the square root would come out a quarter of a count too low; the standard
    # error of the mean is 0.007.
    assert found.mean() == pytest.approx(2.0, abs=0.04)


def test_anscombe_treats_dim_and_bright_alike(rng: np.random.Generator) -> None:
    mean = np.where(np.arange(200) < 100, 10.0, 1000.0) * np.ones((1, 100, 1))
    image = Image((3 * rng.poisson(mean)).astype(np.float32))
    found = find_filter("anscombe+gaussian", width=1.0).denoise(image).image.voxels
    left = [
        (found[:, :, s] - 3 * mean[:, :, s]).std() / np.sqrt(9 * m)
        for s, m in ((slice(10, 80), 10), (slice(120, 190), 1000))
    ]
    assert left[0] == pytest.approx(left[1], rel=0.15)


def test_anscombe_takes_electronic_noise_below_zero_but_no_signed_image(rng: np.random.Generator) -> None:
    counts = rng.poisson(8.0, (1, 64, 64)).astype(np.float32)
    counts[0, 5, 5] = -0.6
    found = find_filter("anscombe+gaussian", width=1.0).denoise(Image(counts, units="counts")).image.voxels
    assert np.isfinite(found).all()
    signed = Image(counts - 8, units="counts")
    with pytest.raises(QuellError, match="negative"):
        find_filter("anscombe+gaussian", width=1.0).denoise(signed)


def test_butterworth_has_its_response() -> None:
    x = np.arange(256)
    for frequency in (1 / 16, 1 / 8, 1 / 4):
        wave = np.cos(2 * np.pi * frequency * (x + 0.5)) * np.ones((64, 1))
        found = Butterworth(0.125, 4).apply(wave, NOISE)
        expected = 1 / np.sqrt(1 + (frequency / 0.125) ** 8)
        assert found[20:44, 64:192] == pytest.approx(expected * wave[20:44, 64:192], abs=2e-3)


@pytest.mark.parametrize("method", [Lee(7), Frost(7), Srad(60)])
def test_speckle_filters_smooth_plain_parts_and_keep_bright_points(
    method: Lee | Frost | Srad, rng: np.random.Generator
) -> None:
    pixels = 100 * (1 + 0.1 * rng.standard_normal((80, 80)))
    pixels[40, 40] = 1000
    found = method.apply(pixels, NOISE)
    away = np.ones((80, 80), bool)
    away[30:51, 30:51] = False
    assert found[away].std() < 0.45 * pixels[away].std()
    assert found[away].mean() == pytest.approx(100, rel=0.01)
    assert found[40, 40] > 800


def test_the_level_of_white_noise_is_found(rng: np.random.Generator) -> None:
    large = Image((100 + 4 * rng.standard_normal((3, 128, 128))).astype(np.float32))
    small = Image((100 + 4 * rng.standard_normal((1, 24, 30))).astype(np.float32))
    assert noise_sigma(large) == pytest.approx(4, rel=0.05)
    assert noise_sigma(small) == pytest.approx(4, rel=0.25)


def test_bm3d_is_asked_for_in_its_own_terms(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    calls = []

    def fake(pixels: np.ndarray, noise: object) -> np.ndarray:
        calls.append((pixels, noise))
        return 0.5 * pixels

    for name in ("bm3d", "bm4d"):
        module = ModuleType(name)
        setattr(module, name, fake)
        monkeypatch.setitem(sys.modules, name, module)
    image = Image((50 + 4 * rng.standard_normal((2, 40, 48))).astype(np.float32), volume=True)
    spectrum = NoiseSpectrum(np.full((16, 16), 16.0), (1.0, 1.0), 3)
    estimate = NoiseEstimate(np.full((2, 5, 6), 4.0, np.float32), 8, spectrum)
    for name, noise in (("bm3d (sigma)", 1.0), ("bm3d (spectrum)", 40 * 48), ("bm4d (sigma)", 1.0)):
        calls.clear()
        find_filter(name, estimate=lambda _: estimate).denoise(image)
        assert [c[0].shape for c in calls] == ([(2, 40, 48)] if "bm4d" in name else [(40, 48)] * 2)
        # The image comes in units of the noise level, and so does the level, or the power.
        assert calls[0][0].std() == pytest.approx(1, abs=0.1)
        assert np.mean(calls[0][1]) == pytest.approx(noise)
    with pytest.raises(QuellError, match="needs an estimate of the noise spectrum"):
        find_filter("bm3d (spectrum)").denoise(image, sigma=4.0)
    with pytest.raises(InputError, match="needs a volume"):
        find_filter("bm4d (sigma)").denoise(replace(image, volume=False))
    monkeypatch.setattr(sys.modules["bm3d"], "bm3d", lambda pixels, noise: np.no_longer_there)
    with pytest.raises(QuellError, match="bm3d failed under NumPy"):
        find_filter("bm3d (sigma)").denoise(image)


def test_the_power_for_bm3d_is_that_of_the_noise(rng: np.random.Generator) -> None:
    fy, fx = frequency_axes(48, 64)
    power = normalised(ramp_spectrum(np.hypot(fy, fx).astype(float), 0.05, 0.2, 2.4))
    noise = colour(rng.standard_normal((400, 48, 64)), power)
    expected = (np.abs(np.fft.fft2(noise)) ** 2).mean(axis=0)
    gy, gx = frequency_axes(64, 64)
    density = np.fft.fftshift(ramp_spectrum(np.hypot(gy, gx).astype(float), 0.05, 0.2, 2.4))
    found = power_at(NoiseSpectrum(7 * density, (0.5, 0.5), 1), (48, 64))
    assert np.abs(found - expected).max() < 0.3 * expected.max()
    assert found.mean() == pytest.approx(48 * 64) and expected.mean() == pytest.approx(48 * 64, rel=0.01)
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.99


def test_without_bm3d_its_licence_is_told(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    monkeypatch.setitem(sys.modules, "bm3d", None)
    image = Image(rng.standard_normal((1, 64, 64)).astype(np.float32))
    with pytest.raises(QuellError, match="non-commercial"):
        find_filter("bm3d (sigma)").denoise(image)
