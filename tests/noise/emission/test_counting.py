"""Thinning is binomial and its remainder independent; counts are told from what was done to them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quell.noise.emission.counting import dispersion, rescaled_at, thin_counts


def test_thinned_poisson_is_poisson_and_independent_of_the_rest(rng: np.random.Generator) -> None:
    expected = rng.uniform(0.2, 60, (400, 400))
    counts = rng.poisson(expected)
    dose = 0.3
    kept = thin_counts(counts, dose, rng)
    left = (kept - dose * expected) / np.sqrt(dose * expected)
    rest = (counts - kept - (1 - dose) * expected) / np.sqrt((1 - dose) * expected)
    # 160,000 pixels: a mean of squares scatters by sqrt((2 + 1/mean)/n) < 0.006, a correlation by 0.0025.
    assert np.mean(left**2) == pytest.approx(1, abs=0.025)
    assert np.mean(rest**2) == pytest.approx(1, abs=0.025)
    assert np.mean(left * rest) == pytest.approx(0, abs=0.01)


def test_thinning_twice_is_thinning_by_the_product(rng: np.random.Generator) -> None:
    counts = np.full(60_000, 9)
    twice = thin_counts(thin_counts(counts, 0.5, rng), 0.4, rng)
    once = thin_counts(counts, 0.2, rng)
    table = np.array([np.bincount(np.minimum(values, 5), minlength=6) for values in (twice, once)])
    chi = ((table[0] - table[1]) ** 2 / table.sum(axis=0)).sum()
    # Chi-squared with 5 degrees of freedom exceeds 20.5 once in a thousand.
    assert chi < 20.5


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=20), st.floats(0.001, 1))
def test_no_count_is_invented(counts: list[int], dose: float) -> None:
    kept = thin_counts(np.array(counts), dose, np.random.default_rng(3))
    assert ((kept >= 0) & (kept <= counts)).all()


@pytest.mark.parametrize("values", [[0.5], [-1.0]])
def test_only_counts_are_thinned(values: list[float], rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="non-negative integers"):
        thin_counts(np.array(values), 0.5, rng)


@pytest.mark.parametrize("mean", [0.3, 2.0, 15.0, 120.0])
def test_dispersion_of_counts_is_one_at_every_level_and_under_structure(
    mean: float, rng: np.random.Generator
) -> None:
    y, x = np.mgrid[:256, :256]
    # A steep slope and upright edges, which the contrast must not see.
    expected = mean * (0.3 + x / 256 + (y % 60 < 20))
    found = dispersion(rng.poisson(expected)[None].astype(np.float32))
    assert found.known
    assert abs(found.ratio - 1) < 4 * found.error + 0.01


@pytest.mark.parametrize("factor", [0.5, 2.0, 3.0])
def test_dispersion_is_the_factor_of_scaling(factor: float, rng: np.random.Generator) -> None:
    scaled = factor * rng.poisson(40, (1, 256, 256)).astype(np.float32)
    found = dispersion(scaled)
    assert found.ratio == pytest.approx(factor, rel=5 * found.error)


def test_too_few_counts_are_said_to_be_too_few() -> None:
    assert not dispersion(np.zeros((1, 64, 64), np.float32)).known


@pytest.mark.parametrize("factor", [0.75, 0.9, 0.97, 1.04, 1.1, 1.5])
def test_scaling_and_rounding_shows_in_the_histogram(factor: float, rng: np.random.Generator) -> None:
    counts = rng.poisson(rng.uniform(0, 80, (256, 256)))
    assert rescaled_at(counts) is None
    assert rescaled_at(np.rint(counts * factor)) is not None


def test_even_histograms_of_a_flat_field_are_smooth(rng: np.random.Generator) -> None:
    for mean in (0.05, 1, 8, 30, 400):
        assert rescaled_at(rng.poisson(mean, (200, 200))) is None
