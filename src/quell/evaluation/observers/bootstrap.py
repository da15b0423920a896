"""Intervals by drawing the cases anew, for any figure that scores give."""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist
from typing import NamedTuple, TypeAlias

import numpy as np

from quell.evaluation.observers.scores import Array, IntArray, Interval, Scores, hedges_factor

Figure: TypeAlias = Callable[[Array, Array], Array]
"""A figure of merit: from weights of the cases with and without the signal, shapes (draws, n) and
(draws, m), each row summing to n and m, to one value a draw."""


class Draws(NamedTuple):
    """Weights of cases: how often each was drawn."""

    present: Array
    absent: Array


def auc_figure(scores: Scores) -> Figure:
    """Return the area under the curve as a function of the weights of the cases."""
    difference = scores.present[:, None] - scores.absent[None, :]
    higher = (np.sign(difference) + 1) / 2

    def figure(present: Array, absent: Array) -> Array:
        wins = ((present @ higher) * absent).sum(axis=1)
        return np.asarray(wins / (present.sum(axis=1) * absent.sum(axis=1)))

    return figure


def d_prime_figure(scores: Scores) -> Figure:
    """Return the detectability, as `d_prime` defines it, as a function of the weights of the cases."""
    middle = (scores.present.mean() + scores.absent.mean()) / 2
    factor = hedges_factor(len(scores.present) + len(scores.absent) - 2)

    def moments(weights: Array, values: Array) -> tuple[Array, Array]:
        total = weights.sum(axis=1)
        mean = weights @ values / total
        variance = (weights @ values**2 / total - mean**2) * total / (total - 1)
        return mean, np.maximum(variance, 0.0)

    def figure(present: Array, absent: Array) -> Array:
        first, first_variance = moments(present, scores.present - middle)
        second, second_variance = moments(absent, scores.absent - middle)
        spread = np.sqrt((first_variance + second_variance) / 2)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.nan_to_num(factor * (first - second) / spread, nan=0.0))

    return figure


def draw_cases(scores: Scores, rng: np.random.Generator, count: int) -> Draws:
    """Draw cases with replacement, as many as there are, those with and without the signal apart.

    Parameters
    ----------
    scores : Scores
        Where it has groups, whole groups are drawn.
    rng : numpy.random.Generator
    count : int
        Number of draws.
    """
    if scores.groups is None:
        n, m = len(scores.present), len(scores.absent)
        return Draws(_multinomial(rng, n, count), _multinomial(rng, m, count))
    index, groups = _numbered(scores.groups)
    present, absent = (_multinomial(rng, groups, count)[:, index] for _ in range(2))
    return Draws(present, absent)


def bootstrap_interval(
    scores: Scores, figure: Figure, rng: np.random.Generator, *, count: int = 2000, level: float = 0.95
) -> Interval:
    """Return a figure and its interval by the bootstrap, bias corrected and accelerated.

    Efron, J. Am. Stat. Assoc. 82:171, 1987; the acceleration by leaving out one case at a time, for
    two samples as in Davison & Hinkley, Bootstrap Methods, 1997, ch. 5. Falls back to plain
    percentiles where a figure is at the end of its range.

    Parameters
    ----------
    scores : Scores
        Decides how cases are drawn.
    figure : callable
        Such as ``auc_figure(scores)``.
    rng : numpy.random.Generator
    count : int
        Number of draws.
    level : float
    """
    drawn = figure(*draw_cases(scores, rng, count))
    value = float(figure(np.ones((1, len(scores.present))), np.ones((1, len(scores.absent))))[0])
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    # Ties count one half, so that a discrete figure is not pushed to one side.
    below = float(np.mean(drawn < value) + np.mean(drawn == value) / 2)
    if not 0 < below < 1:
        low, high = np.quantile(drawn, tails)
        return Interval(value, float(low), float(high), level, "bootstrap, percentiles")
    shift, acceleration = NormalDist().inv_cdf(below), _acceleration(scores, figure)
    z = np.array([NormalDist().inv_cdf(tail) for tail in tails])
    bent = shift + (shift + z) / (1 - acceleration * (shift + z))
    low, high = np.quantile(drawn, [NormalDist().cdf(float(b)) for b in bent])
    return Interval(value, float(low), float(high), level, "bootstrap, BCa")


def _acceleration(scores: Scores, figure: Figure) -> float:
    """Return how fast the spread of a figure changes with its value."""
    n, m = len(scores.present), len(scores.absent)
    if scores.groups is not None:
        index, groups = _numbered(scores.groups)
        left = 1.0 - np.eye(groups)[:, index]
        parts = [figure(left, np.ones_like(left)), figure(np.ones_like(left), left)]
    else:
        parts = [
            figure(1.0 - np.eye(n), np.ones((n, m))),
            figure(np.ones((m, n)), 1.0 - np.eye(m)),
        ]
    cubes = squares = 0.0
    for values in parts:
        size = len(values)
        influence = (size - 1) * (values.mean() - values) / size
        cubes, squares = cubes + float((influence**3).sum()), squares + float((influence**2).sum())
    return cubes / (6 * squares**1.5) if squares > 0 else 0.0


def _numbered(groups: IntArray) -> tuple[IntArray, int]:
    """Return the number of the group of each case from 0, and how many groups there are."""
    names, index = np.unique(groups, return_inverse=True)
    return np.asarray(index, np.int64), len(names)


def _multinomial(rng: np.random.Generator, size: int, count: int) -> Array:
    return rng.multinomial(size, np.full(size, 1 / size), size=count).astype(np.float64)
