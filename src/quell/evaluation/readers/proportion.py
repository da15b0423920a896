"""Shares of choices with exact intervals."""

from __future__ import annotations

import math
from collections.abc import Callable

from quell.evaluation.observers.scores import Interval


def binomial_interval(hits: int, trials: int, level: float = 0.95) -> Interval:
    """Return a share and its exact interval (Clopper & Pearson, Biometrika 26:404, 1934).

    Parameters
    ----------
    hits, trials : int
    level : float

    Returns
    -------
    Interval
        0 to 1 with a value that is not a number, where there was no trial.

    Raises
    ------
    ValueError
        If there are more hits than trials.
    """
    if not 0 <= hits <= trials:
        raise ValueError(f"{hits} of {trials} is no share")
    if trials == 0:
        return Interval(math.nan, 0.0, 1.0, level, "Clopper-Pearson")
    tail = (1 - level) / 2
    low = 0.0 if hits == 0 else _root(lambda p: _at_least(hits, trials, p) - tail)
    high = 1.0 if hits == trials else _root(lambda p: tail - (1 - _at_least(hits + 1, trials, p)))
    return Interval(hits / trials, low, high, level, "Clopper-Pearson")


def sign_test(hits: int, trials: int) -> float:
    """Return the probability of a split as uneven as this where both sides are equal (two-sided, exact)."""
    if trials == 0:
        return 1.0
    return min(1.0, 2 * _at_least(max(hits, trials - hits), trials, 0.5))


def _at_least(hits: int, trials: int, share: float) -> float:
    """Probability of this many hits or more."""
    if hits <= 0:
        return 1.0
    if share <= 0:
        return 0.0
    if share >= 1:
        return 1.0
    logs = (
        math.lgamma(trials + 1)
        - math.lgamma(k + 1)
        - math.lgamma(trials - k + 1)
        + k * math.log(share)
        + (trials - k) * math.log1p(-share)
        for k in range(hits, trials + 1)
    )
    return min(1.0, math.fsum(math.exp(log) for log in logs))


def _root(rising: Callable[[float], float]) -> float:
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if rising(middle) > 0 else (middle, high)
    return (low + high) / 2
