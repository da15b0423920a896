"""Areas, their intervals and tests: counted by hand, and right as often as they say."""

from __future__ import annotations

import math

import numpy as np
import pytest

from quell.errors import QuellError
from quell.evaluation.observers.auc import (
    auc,
    auc_interval,
    d_prime_from_auc,
    delong_variance,
    paired_delong,
)
from quell.evaluation.observers.bootstrap import auc_figure, bootstrap_interval, d_prime_figure
from quell.evaluation.observers.comparison import compare, holm
from quell.evaluation.observers.scores import Scores, auc_of, d_prime, detectability_of


def normal(rng: np.random.Generator, detectability: float, pairs: int) -> Scores:
    return Scores(rng.standard_normal(pairs) + detectability, rng.standard_normal(pairs))


def test_area_is_the_share_of_pairs_in_order_and_ties_are_halves() -> None:
    assert auc(Scores(np.array([1.0, 2.0, 3.0]), np.array([0.0, 2.0]))) == pytest.approx(4.5 / 6)
    rng = np.random.default_rng(0)
    present, absent = rng.integers(0, 6, 40), rng.integers(0, 5, 30)
    counted = [1.0 if p > a else 0.5 if p == a else 0.0 for p in present for a in absent]
    assert auc(Scores(present, absent)) == pytest.approx(np.mean(counted))


def test_figures_agree_with_their_plain_forms() -> None:
    scores = normal(np.random.default_rng(1), 1.0, 25)
    ones = np.ones((1, 25))
    assert auc_figure(scores)(ones, ones)[0] == pytest.approx(auc(scores))
    assert d_prime_figure(scores)(ones, ones)[0] == pytest.approx(d_prime(scores))


def test_variance_is_that_of_repeated_experiments() -> None:
    rng = np.random.default_rng(2)
    runs = [normal(rng, 1.0, 40) for _ in range(1500)]
    observed = np.var([auc(one) for one in runs])
    # The variance of 1500 values is known to about 4 %.
    assert np.mean([delong_variance(one) for one in runs]) == pytest.approx(observed, rel=0.15)


@pytest.mark.parametrize(("detectability", "pairs"), [(1.0, 30), (1.0, 100), (2.0, 40), (3.0, 40)])
def test_intervals_of_the_area_hold_the_truth_as_often_as_they_say(detectability: float, pairs: int) -> None:
    rng = np.random.default_rng(pairs)
    repeats = 800
    hits = np.zeros(2)
    for _ in range(repeats):
        scores = normal(rng, detectability, pairs)
        hits += auc_of(detectability) in auc_interval(scores), detectability in d_prime_from_auc(scores)
    # Three standard errors of a share of 0.95 in 800 are 0.023.
    assert np.abs(hits / repeats - 0.95).max() < 0.024


def test_bootstrap_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(4)
    repeats, hits = 200, np.zeros(2)
    for _ in range(repeats):
        scores = normal(rng, 1.2, 50)
        area = bootstrap_interval(scores, auc_figure(scores), rng, count=600)
        seen = bootstrap_interval(scores, d_prime_figure(scores), rng, count=600)
        hits += auc_of(1.2) in area, 1.2 in seen
    # Three standard errors of a share of 0.95 in 200 are 0.046.
    assert np.abs(hits / repeats - 0.95).max() < 0.05


def test_groups_widen_the_intervals_where_regions_are_alike() -> None:
    """Ten regions that share most of their score are worth little more than one."""
    rng = np.random.default_rng(5)
    repeats, hits = 300, np.zeros(3)
    groups = np.repeat(np.arange(15), 10)
    for _ in range(repeats):
        shared = np.repeat(rng.standard_normal((2, 15)), 10, axis=1)
        own = 0.3 * rng.standard_normal((2, 150))
        present, absent = shared + own
        plain, grouped = Scores(present + 1, absent), Scores(present + 1, absent, groups)
        truth = auc_of(1 / math.sqrt(1 + 0.09))
        drawn = bootstrap_interval(grouped, auc_figure(grouped), rng, count=200)
        hits += truth in auc_interval(plain), truth in auc_interval(grouped), truth in drawn
    assert hits[0] / repeats < 0.6
    # With 15 groups intervals of large-sample theory hold a little less than they say.
    assert hits[1] / repeats > 0.89 and hits[2] / repeats > 0.86


def test_perfect_order_still_has_an_interval() -> None:
    found = auc_interval(Scores(np.arange(20.0) + 100, np.arange(20.0)))
    assert found.value == found.high == 1.0
    # The rule of three: one of about 20 could have been out of order.
    assert 0.75 < found.low < 0.95
    assert auc_interval(Scores(np.arange(20.0), np.arange(20.0) + 100)).low == 0.0


def test_d_prime_has_no_bias_in_small_samples() -> None:
    rng = np.random.default_rng(6)
    runs = [normal(rng, 1.5, 12) for _ in range(3000)]
    # One d' has a standard deviation of about 0.5: 0.009 for the mean.
    assert np.mean([d_prime(one) for one in runs]) == pytest.approx(1.5, abs=0.03)


def test_correction_of_d_prime_from_the_area_takes_bias_away() -> None:
    rng = np.random.default_rng(7)
    runs = [normal(rng, 1.5, 40) for _ in range(1500)]
    plain = np.mean([detectability_of(auc(one)) for one in runs])
    corrected = np.mean([d_prime_from_auc(one).value for one in runs])
    # Standard deviation of one about 0.27, of the mean 0.007.
    assert plain > 1.515
    assert corrected == pytest.approx(1.5, abs=0.022)


def test_area_and_detectability_are_inverse() -> None:
    for value in (-1.0, 0.0, 0.7, 3.0):
        assert detectability_of(auc_of(value)) == pytest.approx(value)
    assert detectability_of(1.0) == math.inf
    with pytest.raises(ValueError, match="between 0 and 1"):
        detectability_of(1.2)


def paired(rng: np.random.Generator, gain: float, pairs: int = 50) -> tuple[Scores, Scores]:
    """Return two readings that share most of their cases' difficulty, on scales of their own."""
    common = rng.standard_normal((2, pairs))
    one, other = (common + 0.6 * rng.standard_normal((2, pairs)) for _ in range(2))
    return Scores(one[0] + 1.2, one[1]), Scores(5 * (other[0] + 1.2 + gain) - 3, 5 * other[1] - 3)


def test_paired_test_is_symmetric() -> None:
    first, second = paired(np.random.default_rng(8), 0.4)
    one, other = paired_delong(first, second), paired_delong(second, first)
    assert one.p_value == pytest.approx(other.p_value)
    assert one.difference.value == pytest.approx(-other.difference.value)
    assert one.difference.low == pytest.approx(-other.difference.high)
    forth = compare(first, second, np.random.default_rng(0), count=400).d_prime
    back = compare(second, first, np.random.default_rng(0), count=400).d_prime
    assert forth.difference.value == pytest.approx(-back.difference.value)
    assert forth.p_value == pytest.approx(back.p_value)
    assert forth.difference.low == pytest.approx(-back.difference.high, abs=0.05)


def test_paired_tests_err_as_often_as_they_say() -> None:
    rng = np.random.default_rng(9)
    repeats, errors = 300, np.zeros(2)
    for _ in range(repeats):
        found = compare(*paired(rng, 0.0), rng, count=200)
        errors += found.auc.p_value < 0.05, found.d_prime.p_value < 0.05
    # Three standard errors of a share of 0.05 in 300 are 0.038.
    assert (errors / repeats < 0.09).all() and (errors / repeats > 0.01).all()


def test_pairing_finds_what_unpaired_intervals_miss() -> None:
    first, second = paired(np.random.default_rng(10), 0.6, 80)
    found = compare(first, second, np.random.default_rng(1), count=500)
    assert found.auc.p_value < 0.05 and found.d_prime.p_value < 0.05
    assert 0.0 not in found.d_prime.difference
    assert auc_interval(first).high > auc_interval(second).low


def test_nothing_differs_from_itself() -> None:
    scores = normal(np.random.default_rng(11), 1.0, 30)
    found = compare(scores, scores, np.random.default_rng(2), count=200)
    assert (found.auc.difference.value, found.auc.p_value) == (0.0, 1.0)
    assert (found.d_prime.difference.value, found.d_prime.p_value) == (0.0, 1.0)


def test_holm_is_that_of_the_textbook() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx((0.03, 0.06, 0.06))


def test_bad_scores_are_refused() -> None:
    with pytest.raises(QuellError, match="at least 2"):
        Scores(np.array([1.0]), np.array([1.0, 2.0]))
    with pytest.raises(QuellError, match="not finite"):
        Scores(np.array([1.0, np.nan]), np.array([1.0, 2.0]))
    with pytest.raises(QuellError, match="same cases"):
        paired_delong(Scores(np.arange(5.0), np.arange(5.0)), Scores(np.arange(4.0), np.arange(5.0)))
