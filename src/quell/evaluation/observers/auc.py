"""The area under the ROC curve without a model, its variance, its intervals, and its paired test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from quell.errors import QuellError
from quell.evaluation.observers.scores import Array, Interval, Scores, detectability_of


def placements(values: Array, among: Array) -> Array:
    """Return for each value the share of the others that lie below it; ties count one half."""
    order = np.sort(among)
    below = np.searchsorted(order, values, "left") + np.searchsorted(order, values, "right")
    return np.asarray(below / (2 * len(order)))


def auc(scores: Scores) -> float:
    """Return the area under the ROC curve.

    The share of pairs in which the image with the signal has the higher score; ties count one half
    (the statistic of Mann & Whitney; Bamber, J. Math. Psychol. 12:387, 1975).
    """
    return float(placements(scores.present, scores.absent).mean())


def delong_covariance(readings: Sequence[Scores]) -> Array:
    """Return the covariance of the areas of several observers of the same cases.

    DeLong, DeLong & Clarke-Pearson, Biometrics 44:837, 1988: the covariance of the placements of the
    images with the signal over their number, plus that of the images without. Regions of one image
    (`Scores.groups`) count as one case of several parts (Obuchowski, Biometrics 53:567, 1997).

    Parameters
    ----------
    readings : sequence of Scores
        Of the same cases in the same order.

    Returns
    -------
    ndarray, shape (observers, observers)

    Raises
    ------
    QuellError
        If the numbers of cases differ, or fewer than two are independent.
    """
    same_cases(readings)
    first = readings[0]
    present = np.stack([placements(one.present, one.absent) for one in readings])
    absent = np.stack([1 - placements(one.absent, one.present) for one in readings])
    if first.groups is not None:
        return _clustered(present, absent, first.groups)
    n, m = present.shape[1], absent.shape[1]
    return np.asarray(np.atleast_2d(np.cov(present)) / n + np.atleast_2d(np.cov(absent)) / m)


def same_cases(readings: Sequence[Scores]) -> None:
    """Raise QuellError unless observers read the same numbers of cases, grouped in the same way."""
    first = readings[0]
    for one in readings[1:]:
        if (len(one.present), len(one.absent)) != (len(first.present), len(first.absent)):
            raise QuellError("a paired comparison needs the scores of the same cases")
        a, b = first.groups, one.groups
        if (a is None) != (b is None) or (a is not None and b is not None and not np.array_equal(a, b)):
            raise QuellError("a paired comparison needs the same groups of cases")


def _clustered(present: Array, absent: Array, groups: Array | np.ndarray) -> Array:
    """Covariance of areas where the parts of a group are not independent (Obuchowski 1997).

    Present and absent regions of one group come from different images, hence have no common part.
    """
    _, index = np.unique(groups, return_inverse=True)
    count = int(index.max()) + 1
    if count < 2:
        raise QuellError("all regions come from one image: nothing says how images differ")
    total = np.zeros((len(present), len(present)))
    for part in (present, absent):
        centred = part - part.mean(axis=1, keepdims=True)
        sums = np.stack([np.bincount(index, row, count) for row in centred])
        total += count / (count - 1) * sums @ sums.T / part.shape[1] ** 2
    return total


def delong_variance(scores: Scores) -> float:
    """Return the variance of the area under the curve (DeLong)."""
    return float(delong_covariance([scores])[0, 0])


def auc_interval(scores: Scores, level: float = 0.95) -> Interval:
    """Return the area under the curve and its interval.

    The variance is DeLong's, the interval symmetric on the logit scale, which keeps it within 0 and 1
    and its coverage near areas of 1 (Pepe, The Statistical Evaluation of Medical Tests, 2003).
    Where all scores are in order and the variance is 0, the interval is that of Newcombe (Stat. Med.
    25:559, 2006, method 5).
    """
    area, variance = auc(scores), delong_variance(scores)
    if variance <= 0 or not 0 < area < 1:
        return _newcombe(area, len(scores.present), len(scores.absent), level)
    slope = 1 / (area * (1 - area))
    reach = normal_quantile(level) * math.sqrt(variance) * slope
    middle = math.log(area / (1 - area))
    low, high = (1 / (1 + math.exp(-(middle + side * reach))) for side in (-1, 1))
    return Interval(area, low, high, level, "DeLong, logit")


def _newcombe(area: float, n: int, m: int, level: float) -> Interval:
    """Find the areas that lie as many standard deviations away as the level asks for."""
    z = normal_quantile(level)

    def edge(inner: float, outer: float) -> float:
        """Halve the way between an area in the interval and the farthest one."""
        for _ in range(60):
            middle = (inner + outer) / 2
            inside = abs(area - middle) <= z * math.sqrt(_hanley_mcneil(middle, n, m))
            inner, outer = (middle, outer) if inside else (inner, middle)
        return inner

    return Interval(area, edge(area, 0.0), edge(area, 1.0), level, "Newcombe")


def _hanley_mcneil(area: float, n: int, m: int) -> float:
    """Variance of an area (Hanley & McNeil, Radiology 143:29, 1982), numbers made equal as by Newcombe."""
    others = (n + m) / 2 - 1
    first, second = area / (2 - area), 2 * area**2 / (1 + area)
    spread = area * (1 - area) + others * (first - area**2) + others * (second - area**2)
    return max(spread, 0.0) / (n * m)


def normal_quantile(level: float) -> float:
    """Return how many standard deviations to both sides hold a share `level` of a normal distribution."""
    if not 0 < level < 1:
        raise ValueError(f"the level of an interval lies between 0 and 1, got {level:g}")
    return NormalDist().inv_cdf((1 + level) / 2)


def d_prime_from_auc(scores: Scores, level: float = 0.95) -> Interval:
    """Return ``d'_A = sqrt(2) Phi^-1(AUC)`` without its bias of the second order.

    The area is unbiased, a curved function of it is not: half its second derivative times the variance
    (DeLong) is taken away, ``g'' = sqrt(2) z / phi(z)^2``. The ends of the interval are those of the
    area. Makes no use of how scores are distributed, but for the name d'.

    Returns
    -------
    Interval
        Infinite where all scores are in order.
    """
    area = auc_interval(scores, level)
    low, high = detectability_of(area.low), detectability_of(area.high)
    value = detectability_of(area.value)
    if math.isfinite(value):
        z = value / math.sqrt(2)
        density = NormalDist().pdf(z)
        bias = math.sqrt(2) * z / density**2 * delong_variance(scores) / 2
        # Close to an area of 1 the expansion breaks down: it must not leave the interval.
        value = min(max(value - bias, low), high)
    return Interval(value, low, high, level, "from the area, bias corrected")


@dataclass(frozen=True)
class PairedTest:
    """A difference of two figures of the same cases.

    Attributes
    ----------
    difference : Interval
        Second minus first.
    p_value : float
        Probability of a difference as large where there is none (two-sided).
    """

    difference: Interval
    p_value: float


def paired_delong(first: Scores, second: Scores, level: float = 0.95) -> PairedTest:
    """Compare the areas of two observers, or of one observer before two sets of the same cases.

    DeLong et al. 1988: the difference over its standard deviation, in which what both have in common
    cancels, is normal.

    Raises
    ------
    QuellError
        If the cases differ.
    """
    covariance = delong_covariance([first, second])
    difference = auc(second) - auc(first)
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    # Rounding alone makes the variance of identical scores differ from 0.
    spread = math.sqrt(variance) if variance > 1e-15 else 0.0
    reach = normal_quantile(level) * spread
    if spread > 0:
        p_value = 2 * NormalDist().cdf(-abs(difference) / spread)
    else:
        p_value = 1.0 if difference == 0 else 0.0
    return PairedTest(
        Interval(difference, difference - reach, difference + reach, level, "DeLong, paired"), p_value
    )
