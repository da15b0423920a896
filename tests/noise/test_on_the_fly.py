"""Noise laws of one pass: each has the moments, the spectrum and the tails that its law says."""

from __future__ import annotations

import numpy as np
import pytest

from quell.noise.on_the_fly import (
    log_speckle,
    log_speckle_power,
    proportional,
    rician,
    rician_moments,
    scaled_bessel,
)
from quell.noise.spectrum import colour, frequency_axes, normalised

COUNT = 400_000


def white(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape)


def test_bessel_functions_are_those_of_scipy() -> None:
    special = pytest.importorskip("scipy.special", reason="scipy is not installed")
    y = np.concatenate([np.linspace(0, 8, 801), np.geomspace(8, 1e4, 100)])
    i0, i1 = scaled_bessel(y)
    np.testing.assert_allclose(i0, special.i0e(y), rtol=1e-6)
    np.testing.assert_allclose(i1, special.i1e(y), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("snr", [0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 30.0])
def test_rician_samples_have_the_moments_of_the_law(rng: np.random.Generator, snr: float) -> None:
    signal = np.full(COUNT, 3.0 * snr)
    found = rician(signal, 3.0, white(rng, COUNT), white(rng, COUNT))
    mean, sd = rician_moments(signal, np.full(COUNT, 3.0))
    # The standard error of the mean is sd / sqrt(n), that of the SD about sd / sqrt(2 n); four of each.
    assert abs(found.mean() - mean[0]) < 4 * sd[0] / COUNT**0.5
    assert abs(found.std() - sd[0]) < 4 * sd[0] / COUNT**0.5
    assert abs((found**2).mean() - (signal[0] ** 2 + 18)) < 0.005 * (signal[0] ** 2 + 18)


def test_the_rician_background_is_rayleigh() -> None:
    mean, sd = rician_moments(np.zeros(1), np.ones(1))
    assert abs(mean[0] - np.sqrt(np.pi / 2)) < 1e-6
    assert abs(sd[0] - np.sqrt(2 - np.pi / 2)) < 1e-6


def test_log_speckle_has_unit_variance_and_dark_tails(rng: np.random.Generator) -> None:
    found = log_speckle(white(rng, COUNT), white(rng, COUNT))
    assert abs(found.mean()) < 4 / COUNT**0.5
    # The kurtosis of the law is 5.4, so the error of the variance is sqrt(4.4 / n).
    assert abs(found.var() - 1) < 4 * (4.4 / COUNT) ** 0.5
    skewness = ((found - found.mean()) ** 3).mean() / found.std() ** 3
    # 12 sqrt(6) zeta(3) / pi^3 = 1.1395, turned round.
    assert abs(skewness + 1.1395) < 0.05


def test_the_spectrum_of_log_speckle_follows_from_that_of_the_echo(rng: np.random.Generator) -> None:
    fy, fx = frequency_axes(48, 64)
    power = normalised(np.exp(-((fy / 0.08) ** 2) - (fx / 0.15) ** 2))
    echo = colour(white(rng, 2, 400, 48, 64), power)
    measured = (np.abs(np.fft.fft2(log_speckle(echo[0], echo[1]))) ** 2).mean(axis=0) / (48 * 64)
    told = log_speckle_power(power)
    strong = told > 0.05 * told.max()
    strong[0, 0] = False
    ratio = measured[strong] / told[strong]
    # The higher terms of the dilogarithm move some power outwards.
    assert abs(np.median(ratio) - 1) < 0.2
    assert np.corrcoef(np.log(measured[strong]), np.log(told[strong]))[0, 1] > 0.97


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_proportional_noise_keeps_the_mean_and_scales_with_it(rng: np.random.Generator, share: float) -> None:
    for mean in (1.0, 20.0):
        found = proportional(np.full(COUNT, mean), share, white(rng, COUNT))
        assert found.min() >= 0
        assert abs(found.mean() - mean) < 4 * share * mean / COUNT**0.5
        assert abs(found.std() - share * mean) < 0.02 * share * mean


def test_torch_gives_what_numpy_gives(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    a, b, c = (rng.standard_normal((2, 8, 8)) for _ in range(3))
    signal = np.abs(a) * 4

    def both(function: object, *arrays: np.ndarray) -> None:
        ours = function(*arrays)  # type: ignore[operator]
        theirs = function(*(torch.from_numpy(array) for array in arrays))  # type: ignore[operator]
        for one, other in zip(np.atleast_1d(ours), np.atleast_1d(np.stack([*theirs])), strict=True):
            np.testing.assert_allclose(other, one, rtol=1e-9, atol=1e-12)

    sigma = np.full_like(signal, 0.7)
    both(rician, signal, sigma, b, c)
    both(log_speckle, b, c)
    both(log_speckle_power, normalised(signal + signal[:, ::-1, ::-1]))
    both(proportional, signal, sigma, b)
    for one, other in zip(
        rician_moments(signal, sigma),
        rician_moments(torch.from_numpy(signal), torch.from_numpy(sigma)),
        strict=True,
    ):
        np.testing.assert_allclose(other, one, rtol=1e-9)
