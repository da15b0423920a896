"""Two denoisers on the same cases: which one lets the observer see more, and is it sure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from quell.evaluation.observers.auc import PairedTest, paired_delong, same_cases
from quell.evaluation.observers.bootstrap import bootstrap_interval, d_prime_figure
from quell.evaluation.observers.scores import Array, Scores


@dataclass(frozen=True)
class Comparison:
    """A second observer (or denoiser) against a first one, on the same cases.

    Attributes
    ----------
    auc : PairedTest
        Difference of the areas under the curve, by DeLong.
    d_prime : PairedTest
        Difference of the detectabilities, by drawing the cases anew.
    """

    auc: PairedTest
    d_prime: PairedTest


def compare(
    first: Scores,
    second: Scores,
    rng: np.random.Generator,
    *,
    level: float = 0.95,
    count: int = 2000,
) -> Comparison:
    """Compare two sets of scores of the same cases.

    What both share (easy and difficult cases) cancels; that is why the same noisy images go through
    both denoisers.

    Parameters
    ----------
    first, second : Scores
    rng : numpy.random.Generator
        For the bootstrap.
    level : float
        Of the intervals.
    count : int
        Draws of the bootstrap.

    Raises
    ------
    QuellError
        If the cases differ.
    """
    same_cases([first, second])
    one, other = d_prime_figure(first), d_prime_figure(second)

    def difference(present: Array, absent: Array) -> Array:
        return np.asarray(other(present, absent) - one(present, absent))

    interval = bootstrap_interval(first, difference, rng, count=count, level=level)
    p_value = _p_value(first, second, rng, count)
    return Comparison(paired_delong(first, second, level), PairedTest(interval, p_value))


def _p_value(first: Scores, second: Scores, rng: np.random.Generator, count: int) -> float:
    """Exchange the two scores of each case (of each group) by chance, and see how often d' differs as much.

    The scores are first brought to one spread, since those of two observers have no common unit.
    """
    pairs = [np.stack([one, other]) for one, other in zip(_both(first), _both(second), strict=True)]
    found = abs(float(_gap(pairs, [np.ones((1, p.shape[1])) for p in pairs])[0]))
    signs = [_signs(rng, count, _size(first, p.shape[1])) for p in pairs]
    if first.groups is not None:
        _, index = np.unique(first.groups, return_inverse=True)
        signs = [sign[:, index] for sign in signs]
    drawn = np.abs(_gap(pairs, signs))
    # The arrangement that was found is one of those that could have been.
    return float((1 + np.sum(drawn >= found * (1 - 1e-12))) / (1 + count))


def _signs(rng: np.random.Generator, count: int, size: int) -> Array:
    return np.asarray(1 - 2 * rng.integers(0, 2, (count, size)), np.float64)


def _size(scores: Scores, cases: int) -> int:
    return cases if scores.groups is None else len(np.unique(scores.groups))


def _both(scores: Scores) -> tuple[Array, Array]:
    """Return the scores with and without the signal over their common spread, about their middle."""
    spread = np.sqrt((scores.present.var() + scores.absent.var()) / 2) or 1.0
    middle = (scores.present.mean() + scores.absent.mean()) / 2
    return (scores.present - middle) / spread, (scores.absent - middle) / spread


def _gap(pairs: list[Array], signs: list[Array]) -> Array:
    """Return the difference of d' for every set of signs: -1 exchanges the two scores of a case."""
    means, squares = [], []
    for (one, other), sign in zip(pairs, signs, strict=True):
        n = len(one)
        half, apart = (one + other) / 2, (one - other) / 2
        shift, cross = sign @ apart / n, sign @ (half * apart) * 2 / n
        base = (half**2 + apart**2).mean()
        means.append((half.mean() + shift, half.mean() - shift))
        squares.append((base + cross, base - cross))
    values = []
    for k in (0, 1):
        variances = [squares[c][k] - means[c][k] ** 2 for c in (0, 1)]
        values.append((means[0][k] - means[1][k]) / np.sqrt(np.maximum(sum(variances) / 2, 1e-300)))
    return np.asarray(values[1] - values[0])


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return p-values that hold for several comparisons at once (Holm, Scand. J. Stat. 6:65, 1979)."""
    order = np.argsort(p_values)
    adjusted = np.zeros(len(p_values))
    highest = 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * float(p_values[index])))
        adjusted[index] = highest
    return tuple(float(p) for p in adjusted)
