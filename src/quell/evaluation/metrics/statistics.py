"""Intervals by bootstrap, and tests of paired differences, over patients rather than pixels."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quell.errors import QuellError
from quell.evaluation.metrics.contracts import Values

REPEATS = 2000

FEWEST_FOR_WILCOXON = 6
"""With fewer pairs even a difference that is the same in all gives p > 0.05 on two sides."""


@dataclass(frozen=True)
class Interval:
    """A number and where it may lie.

    Attributes
    ----------
    value : float
    low, high : float
        Ends of the interval; NaN where one patient (or one group) alone gives none.
    level : float
        Nominal coverage.
    groups : int
        How many independent groups it rests on.
    """

    value: float
    low: float
    high: float
    level: float
    groups: int

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


@dataclass(frozen=True)
class PairedTest:
    """Whether two methods differ on the same cases.

    Attributes
    ----------
    difference : Interval
        Mean of the first minus the second.
    wilcoxon, student : float
        Two-sided p values of Wilcoxon's signed-rank test and of the paired t test; NaN where there are
        fewer than two groups.
    warnings : tuple of str
    """

    difference: Interval
    wilcoxon: float
    student: float
    warnings: tuple[str, ...] = ()


def bootstrap_mean(
    values: npt.ArrayLike,
    groups: Sequence[Hashable] | None = None,
    *,
    level: float = 0.95,
    repeats: int = REPEATS,
    seed: int = 0,
) -> Interval:
    """Return the mean of values with a bootstrap interval.

    Whole groups are drawn, since the slices of one patient are no independent witnesses. The interval is
    bias-corrected and accelerated (BCa; Efron 1987, JASA 82:171), see `bca_bounds`.

    Parameters
    ----------
    values : array-like of float
    groups : sequence, optional
        The patient (or study) of each value; by default every value is a group of its own.
    level : float
        Nominal coverage.
    repeats : int
    seed : int
        The same seed gives the same interval.

    Raises
    ------
    QuellError
        If there are no values, or one of them is NaN.
    """
    sums, counts = _by_group(values, groups)
    value = float(sums.sum() / counts.sum())
    number = len(sums)
    if number < 2 or not np.isfinite(value):
        return Interval(value, float("nan"), float("nan"), level, number)
    drawn = np.random.default_rng(seed).integers(0, number, (repeats, number))
    replicates = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    without = (sums.sum() - sums) / (counts.sum() - counts)
    return Interval(value, *bca_bounds(value, replicates, without, level), level, number)


def bca_bounds(value: float, replicates: Values, without: Values, level: float = 0.95) -> tuple[float, float]:
    """Return the ends of a bias-corrected and accelerated bootstrap interval.

    Expanded for small numbers as Hesterberg 2015 (Am Stat 69:371) does with percentile intervals: Student's
    quantiles times sqrt(n / (n - 1)) in place of the normal ones.

    Parameters
    ----------
    value : float
        The statistic on all data.
    replicates : ndarray, shape (repeats,)
        The statistic on the bootstrap samples.
    without : ndarray, shape (groups,)
        The statistic with each group left out in turn.
    level : float
        Nominal coverage.
    """
    from scipy.stats import norm, t

    # Ties count half, or a statistic that hardly varies would look biased.
    below = np.mean(replicates < value) + 0.5 * np.mean(replicates == value)
    centre = norm.ppf(np.clip(below, 1 / (2 * len(replicates)), 1 - 1 / (2 * len(replicates))))
    spread = without.mean() - without
    size = float((spread**2).sum()) ** 1.5
    acceleration = float((spread**3).sum()) / (6 * size) if size > 0 else 0.0
    number = len(without)
    # Resampled data vary too little, by (n - 1) / n, and few data say little of how much they vary.
    reach = np.sqrt(number / (number - 1)) * t.ppf((1 + level) / 2, number - 1)
    at = centre + np.array([-reach, reach])
    shares = norm.cdf(centre + at / (1 - acceleration * at))
    low, high = np.quantile(replicates, shares)
    return float(low), float(high)


def compare_paired(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    groups: Sequence[Hashable] | None = None,
    *,
    level: float = 0.95,
    seed: int = 0,
) -> PairedTest:
    """Test whether two methods differ on the same cases.

    Parameters
    ----------
    first, second : array-like of float, shape (cases,)
        The same metric of the same cases under either method.
    groups : sequence, optional
        The patient of each case; the tests then compare the means of the patients.
    level : float
        Nominal coverage of the interval of the difference.
    seed : int

    Raises
    ------
    QuellError
        If the numbers of cases differ or a value is not finite.
    """
    from scipy.stats import ttest_rel, wilcoxon

    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.shape != b.shape:
        raise QuellError(f"a paired test needs the same cases on both sides, got {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise QuellError("a paired test needs finite values")
    (sums_a, counts), (sums_b, _) = _by_group(a, groups), _by_group(b, groups)
    means_a, means_b = sums_a / counts, sums_b / counts
    difference = bootstrap_mean(means_a - means_b, level=level, seed=seed)
    number = len(means_a)
    if number < 2:
        return PairedTest(difference, float("nan"), float("nan"), ("one patient alone gives no test",))
    warnings: tuple[str, ...] = ()
    if number < FEWEST_FOR_WILCOXON:
        warnings = (f"with {number} groups Wilcoxon's test cannot show a difference at 5 %",)
    if np.ptp(means_a - means_b) == 0:
        # A constant difference has no variance: the t test is 0 / 0 for none, infinitely sure for one.
        same = means_a[0] == means_b[0]
        rank = 1.0 if same else float(wilcoxon(means_a - means_b).pvalue)
        return PairedTest(difference, rank, 1.0 if same else 0.0, warnings)
    rank = float(wilcoxon(means_a, means_b).pvalue)
    return PairedTest(difference, rank, float(ttest_rel(means_a, means_b).pvalue), warnings)


def holm(p_values: npt.ArrayLike) -> Values:
    """Return p values adjusted for their number by Holm's step-down method (1979).

    Parameters
    ----------
    p_values : array-like of float, shape (tests,)
    """
    found = np.asarray(p_values, np.float64)
    order = np.argsort(found)
    steps = found[order] * (len(found) - np.arange(len(found)))
    adjusted = np.empty_like(found)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def _by_group(values: npt.ArrayLike, groups: Sequence[Hashable] | None) -> tuple[Values, Values]:
    """Return sum and number of the values of each group, in the order in which the groups appear."""
    found = np.asarray(values, np.float64).ravel()
    if found.size == 0:
        raise QuellError("there are no values to summarise")
    if np.isnan(found).any():
        raise QuellError("a value to summarise is not a number (NaN)")
    if groups is None:
        return found, np.ones(found.size)
    if len(groups) != found.size:
        raise QuellError(f"{found.size} values, but {len(groups)} groups")
    order = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    index = np.array([order[group] for group in groups])
    sums: Values = np.bincount(index, found).astype(np.float64)
    return sums, np.bincount(index).astype(np.float64)
