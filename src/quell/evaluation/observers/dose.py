"""The equivalent dose: "the denoised quarter dose reads like x % dose"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from quell.errors import QuellError
from quell.evaluation.observers.bootstrap import d_prime_figure, draw_cases
from quell.evaluation.observers.scores import Array, Interval, Scores


@dataclass(frozen=True, eq=False)
class DosePoint:
    """How an observer read the images of one dose.

    Attributes
    ----------
    dose : float
        As a fraction of the full dose.
    scores : Scores
    """

    dose: float
    scores: Scores


@dataclass(frozen=True, eq=False)
class EquivalentDose:
    """The dose at which images without denoising read as well as denoised ones.

    Attributes
    ----------
    dose : Interval
        As a fraction of the full dose. No end leaves the doses that were measured: an end that equals
        the highest (lowest) of them says "at least" ("at most") that much.
    beyond : str
        ``"above"`` or ``"below"`` where the value itself lies outside the measured doses.
    d_prime : float
        Of the denoised images.
    doses, curve : ndarray
        The measured doses and the monotone d' of them.
    """

    dose: Interval
    beyond: Literal["", "above", "below"]
    d_prime: float
    doses: Array
    curve: Array


def equivalent_dose(
    points: Sequence[DosePoint],
    denoised: DosePoint,
    rng: np.random.Generator,
    *,
    level: float = 0.95,
    count: int = 2000,
) -> EquivalentDose:
    """Find the dose whose images, not denoised, an observer reads as well as denoised ones of a lower dose.

    d' over the dose is made monotone by isotonic regression and interpolated linearly over the square
    root of the dose, in which it is a straight line where quanta are all the noise (Rose 1948). The
    interval draws the cases of all doses anew (percentiles); the denoised images and those they came
    from are drawn together.

    Parameters
    ----------
    points : sequence of DosePoint
        Two or more doses, not denoised.
    denoised : DosePoint
        The denoised images and the dose of those they came from. Where `points` has this dose with the
        same number of cases, they are taken to be the same cases.
    rng : numpy.random.Generator
    level : float
    count : int
        Draws of the bootstrap.

    Raises
    ------
    QuellError
        If fewer than two doses are given, or one twice.
    """
    ordered = sorted(points, key=lambda point: point.dose)
    doses = np.array([point.dose for point in ordered])
    if len(doses) < 2 or (np.diff(doses) <= 0).any() or not doses[0] > 0:
        raise QuellError(f"an equivalent dose needs two or more different doses, got {doses.tolist()}")
    curves, targets = _drawn(ordered, denoised, rng, count)
    curves = isotonic(curves)
    found = np.array([inverse(doses, y, t) for y, t in zip(curves, targets, strict=True)])
    value = float(found[0])
    low, high = np.quantile(found[1:], [(1 - level) / 2, (1 + level) / 2])
    beyond: Literal["", "above", "below"] = ""
    if targets[0] > curves[0, -1]:
        beyond = "above"
    elif targets[0] < curves[0, 0]:
        beyond = "below"
    # The value is a percentile of itself only in the mean.
    interval = Interval(
        value, min(float(low), value), max(float(high), value), level, "bootstrap, percentiles"
    )
    return EquivalentDose(interval, beyond, float(targets[0]), doses, curves[0])


def _drawn(
    points: Sequence[DosePoint], denoised: DosePoint, rng: np.random.Generator, count: int
) -> tuple[Array, Array]:
    """Return d' of the doses, shape (1 + count, doses), and of the denoised; as measured comes first."""
    columns, target = [], None
    for point in points:
        weights = _with_all(point.scores, rng, count)
        columns.append(d_prime_figure(point.scores)(*weights))
        if target is None and _same(point, denoised):
            target = d_prime_figure(denoised.scores)(*weights)
    if target is None:
        target = d_prime_figure(denoised.scores)(*_with_all(denoised.scores, rng, count))
    return np.stack(columns, axis=1), target


def _with_all(scores: Scores, rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    """Return weights of drawn cases, with a first row in which every case is there once."""
    present, absent = draw_cases(scores, rng, count)
    return (
        np.concatenate([np.ones((1, present.shape[1])), present]),
        np.concatenate([np.ones((1, absent.shape[1])), absent]),
    )


def _same(point: DosePoint, denoised: DosePoint) -> bool:
    one, other = point.scores, denoised.scores
    sizes = (len(one.present), len(one.absent)) == (len(other.present), len(other.absent))
    return point.dose == denoised.dose and sizes


def isotonic(values: Array) -> Array:
    """Return the nearest rising sequences, shape (n, points) as given (least squares).

    ``max over j <= i of min over k >= i of mean(y_j ... y_k)`` (Barlow et al., Statistical Inference
    under Order Restrictions, 1972).
    """
    points = values.shape[1]
    sums = np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)
    rising = np.empty_like(values)
    for i in range(points):
        lowest = []
        for j in range(i + 1):
            ends = np.arange(i + 1, points + 1)
            means = (sums[:, ends] - sums[:, [j]]) / (ends - j)
            lowest.append(means.min(axis=1))
        rising[:, i] = np.max(lowest, axis=0)
    return rising


def inverse(doses: Array, curve: Array, target: float) -> float:
    """Return the dose at which a rising curve reaches a value; the middle where it is flat there.

    Never outside the doses.
    """
    roots = np.sqrt(doses)
    if target <= curve[0]:
        flat = int(np.searchsorted(curve, curve[0], "right")) - 1
        return float(doses[0] if target < curve[0] else (roots[0] + roots[flat]) ** 2 / 4)
    if target >= curve[-1]:
        flat = int(np.searchsorted(curve, curve[-1], "left"))
        return float(doses[-1] if target > curve[-1] else (roots[-1] + roots[flat]) ** 2 / 4)
    left, right = int(np.searchsorted(curve, target, "left")), int(np.searchsorted(curve, target, "right"))
    if right > left:
        return float((roots[left] + roots[right - 1]) ** 2 / 4)
    share = (target - curve[left - 1]) / (curve[left] - curve[left - 1])
    return float((roots[left - 1] + share * (roots[left] - roots[left - 1])) ** 2)
