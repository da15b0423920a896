"""Noise power spectra: coloured noise has the power that was asked for, and the descriptor reads it."""

from __future__ import annotations

import numpy as np
import pytest

from quell.noise.spectrum import (
    DESCRIPTOR_SIZE,
    RADIAL_BINS,
    bin_centres,
    colour,
    describe,
    frequency_axes,
    normalised,
    radial_power,
    ramp_spectrum,
)

SHAPE = (48, 40)
REALISATIONS = 400


def ramp(rows: int = SHAPE[0], columns: int = SHAPE[1], stretch: float = 1.0) -> np.ndarray:
    fy, fx = frequency_axes(rows, columns)
    return normalised(ramp_spectrum(np.hypot(fy * stretch, fx / stretch), 0.05, 0.25, 2.0))


def periodogram(noise: np.ndarray) -> np.ndarray:
    """Return the mean over realisations of |F|^2 / N, which is 1 for white noise of unit variance."""
    transformed = np.fft.fft2(noise.astype(np.float64))
    return (np.abs(transformed) ** 2).mean(axis=0) / noise[0].size


@pytest.mark.parametrize("shape", [(48, 40), (33, 40), (32, 27), (9, 64)])
def test_coloured_noise_has_the_power_that_was_asked_for(
    rng: np.random.Generator, shape: tuple[int, int]
) -> None:
    power = ramp(*shape, stretch=1.4)
    noise = colour(rng.standard_normal((REALISATIONS, *shape)), power)
    ratio = periodogram(noise) / power
    # Each ratio is a mean of exponential variables: SD 1 / sqrt(n), twice the variance where F is real.
    assert np.abs(ratio - 1).max() < 6 * np.sqrt(2 / REALISATIONS)
    assert ratio.mean() == pytest.approx(1, abs=5 / np.sqrt(REALISATIONS * noise[0].size / 2))


def test_coloured_noise_has_unit_variance_everywhere(rng: np.random.Generator) -> None:
    noise = colour(rng.standard_normal((REALISATIONS, *SHAPE)), ramp())
    variance = noise.var(axis=0)
    assert np.abs(variance - 1).max() < 6 * np.sqrt(2 / REALISATIONS)
    assert variance.mean() == pytest.approx(1, abs=0.02)


def test_white_power_leaves_noise_as_it_is(rng: np.random.Generator) -> None:
    white = rng.standard_normal((3, *SHAPE))
    np.testing.assert_allclose(colour(white, np.ones(SHAPE)), white, atol=1e-12)


def test_the_ramp_is_halved_at_f50_and_is_the_offset_at_zero() -> None:
    for exponent in (1.5, 3.0):
        assert ramp_spectrum(np.array(0.2), 0.1, 0.2, exponent) == pytest.approx(0.5 * (0.2 + 0.1))
        assert ramp_spectrum(np.array(0.0), 0.1, 0.2, exponent) == pytest.approx(0.1)


@pytest.mark.parametrize("shape", [(48, 40), (17, 96)])
def test_white_noise_is_described_by_zeros(shape: tuple[int, int]) -> None:
    found = describe(np.full(shape, 7.0))
    assert found.shape == (DESCRIPTOR_SIZE,)
    # The floor that keeps the logarithm finite adds 0.001.
    np.testing.assert_allclose(found, 0, atol=1.1e-3)


def test_the_descriptor_does_not_depend_on_the_level() -> None:
    np.testing.assert_allclose(describe(ramp()), describe(250 * ramp()), atol=1e-5)


def test_the_descriptor_of_a_ramp_is_the_mean_of_its_formula_over_each_ring() -> None:
    found = describe(ramp_spectrum(np.hypot(*frequency_axes(256, 256)), 0.05, 0.25, 2.0))
    # The rings integrated in polar coordinates, the corners of the last one on a grid of their own.
    fine = (np.arange(1000) + 0.5) / 1000
    fy, fx = np.meshgrid(0.5 * fine, 0.5 * fine)
    radius = np.hypot(fy, fx)
    value = (radius + 0.05) * np.exp(-np.log(2) * (radius / 0.25) ** 2)
    edges = np.linspace(0, 0.5, RADIAL_BINS + 1)
    for k in range(RADIAL_BINS - 1):
        f = edges[k] + (edges[k + 1] - edges[k]) * fine
        mean = np.average((f + 0.05) * np.exp(-np.log(2) * (f / 0.25) ** 2), weights=f)
        assert found[k] == pytest.approx(np.log(mean / value.mean()), abs=0.01)
    last = value[radius >= edges[-2]].mean()
    assert found[RADIAL_BINS - 1] == pytest.approx(np.log(last / value.mean()), abs=0.01)


@pytest.mark.parametrize("stretch", [0.6, 1.0, 1.7])
def test_transposing_turns_the_sign_of_the_last_number_alone(stretch: float) -> None:
    power = ramp(40, 40, stretch)
    upright, turned = describe(power), describe(power.T.copy())
    np.testing.assert_allclose(turned[:RADIAL_BINS], upright[:RADIAL_BINS], atol=1e-5)
    assert turned[-1] == pytest.approx(-upright[-1], abs=1e-5)
    assert (abs(upright[-1]) < 1e-4) == (stretch == 1.0)


def test_the_last_number_is_positive_where_the_power_lies_along_x() -> None:
    fy, fx = frequency_axes(32, 32)
    assert describe(1.0 + 3 * (np.abs(fx) > np.abs(fy)))[-1] == pytest.approx(np.log(4), abs=0.01)


def test_the_descriptor_of_measured_noise_is_that_of_its_power(rng: np.random.Generator) -> None:
    power = ramp(64, 64, stretch=1.3)
    noise = colour(rng.standard_normal((100, 64, 64)), power)
    np.testing.assert_allclose(describe(periodogram(noise)), describe(power), atol=0.1)


def test_shares_of_the_power_sum_to_one_and_are_those_of_the_spectrum() -> None:
    power = ramp(256, 256)
    shares = radial_power(describe(power))
    assert shares.sum() == pytest.approx(1)
    radius = np.hypot(*frequency_axes(256, 256))
    bins = np.minimum((radius * 2 * RADIAL_BINS).astype(int), RADIAL_BINS - 1)
    measured = np.array([power[bins == k].sum() for k in range(RADIAL_BINS)]) / power.sum()
    np.testing.assert_allclose(shares, measured, atol=0.005)


def test_bin_centres_lie_in_the_middle_of_equal_bins_up_to_nyquist() -> None:
    centres = bin_centres()
    np.testing.assert_allclose(np.diff(centres), 0.5 / RADIAL_BINS)
    assert centres[0] + centres[-1] == pytest.approx(0.5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_torch_and_numpy_agree(rng: np.random.Generator, dtype: str) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    white, power = rng.standard_normal((2, *SHAPE)).astype(dtype), ramp().astype(dtype)
    one, other = colour(torch.from_numpy(white), torch.from_numpy(power)), colour(white, power)
    np.testing.assert_allclose(one.numpy(), other, atol=1e-4)
    described = describe(torch.from_numpy(power)[None])
    np.testing.assert_allclose(described.numpy()[0], describe(power), atol=1e-4)
