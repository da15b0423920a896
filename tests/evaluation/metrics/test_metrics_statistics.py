"""Intervals cover as often as they say; paired tests find what is there."""

from __future__ import annotations

import numpy as np
import pytest

from quell.errors import QuellError
from quell.evaluation.metrics.statistics import bootstrap_mean, compare_paired, holm


@pytest.mark.parametrize("skewed", [False, True])
@pytest.mark.parametrize("number", [8, 40])
def test_intervals_cover_the_truth_as_often_as_they_say(
    number: int, skewed: bool, rng: np.random.Generator
) -> None:
    trials, covered = 300, 0
    for seed in range(trials):
        values = rng.exponential(size=number) if skewed else 1 + rng.standard_normal(number)
        found = bootstrap_mean(values, level=0.9, repeats=400, seed=seed)
        covered += found.low <= 1 <= found.high
    # A share of 0.9 in 300 trials has a standard error of 0.017; eight skewed values cover about 0.87.
    # Three of these below 0.87, and above 0.9.
    assert 0.82 <= covered / trials <= 0.952


def test_slices_of_one_patient_are_not_taken_for_patients(rng: np.random.Generator) -> None:
    patients = np.repeat(np.arange(12), 30)
    values = rng.standard_normal(12)[patients] + 0.1 * rng.standard_normal(360)
    grouped = bootstrap_mean(values, patients.tolist())
    alone = bootstrap_mean(values)
    # Between 12 patients of SD 1 the mean has a standard error of 0.29; between 360 slices of 0.05.
    assert grouped.high - grouped.low > 3 * (alone.high - alone.low)
    assert grouped.groups == 12 and grouped.value == pytest.approx(values.mean())


def test_the_seed_decides(rng: np.random.Generator) -> None:
    values = rng.standard_normal(20)
    assert bootstrap_mean(values, seed=3) == bootstrap_mean(values, seed=3)
    assert bootstrap_mean(values, seed=3) != bootstrap_mean(values, seed=4)


def test_one_group_gives_no_interval() -> None:
    found = bootstrap_mean([1.0, 2.0], ["a", "a"])
    assert found.value == 1.5 and np.isnan(found.low) and found.groups == 1


def test_a_difference_between_methods_is_found_where_cases_vary_more(rng: np.random.Generator) -> None:
    cases = 10 * rng.standard_normal(30)
    first = cases + 0.5 + 0.2 * rng.standard_normal(30)
    found = compare_paired(first, cases)
    assert found.difference.low > 0.3 and found.difference.high < 0.7
    assert found.wilcoxon < 1e-4 and found.student < 1e-4 and not found.warnings


def test_where_there_is_no_difference_p_is_uniform(rng: np.random.Generator) -> None:
    values = [compare_paired(*rng.standard_normal((2, 20))).student for _ in range(200)]
    # 5 % of 200 with a standard error of 1.5 %.
    assert np.mean(np.array(values) < 0.05) < 0.11
    assert 0.4 < np.mean(values) < 0.6


def test_few_and_equal_cases() -> None:
    same = compare_paired([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    assert same.wilcoxon == same.student == 1 and "3 groups" in same.warnings[0]
    assert compare_paired([2.0] * 8, [1.0] * 8).wilcoxon == pytest.approx(2 / 2**8)
    assert np.isnan(compare_paired([1.0, 2.0], [3.0, 4.0], ["a", "a"]).wilcoxon)


def test_holm_steps_down() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == pytest.approx([1, 1])


def test_senseless_values_are_told() -> None:
    with pytest.raises(QuellError, match="no values"):
        bootstrap_mean([])
    with pytest.raises(QuellError, match="NaN"):
        bootstrap_mean([1.0, float("nan")])
    with pytest.raises(QuellError, match="groups"):
        bootstrap_mean([1.0, 2.0], ["a"])
    with pytest.raises(QuellError, match="same cases"):
        compare_paired([1.0], [1.0, 2.0])
    with pytest.raises(QuellError, match="finite"):
        compare_paired([1.0, float("inf")], [1.0, 2.0])
