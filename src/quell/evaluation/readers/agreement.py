"""How well readers agree: kappa for choices, intraclass correlation for scores."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

from quell.evaluation.observers.scores import Array


def fleiss_kappa(choices: npt.ArrayLike) -> float:
    """Return the agreement of several readers on categories, beyond chance.

    ``(P - Pe) / (1 - Pe)``, P the mean share of pairs of readers that agree on a case, Pe what chance
    gives (Fleiss, Psychol. Bull. 76:378, 1971).

    Parameters
    ----------
    choices : ndarray, shape (readers, cases)
        Any values; cases with a missing one (not a number) are left out.

    Returns
    -------
    float
        1 for full agreement, 0 for that of chance; not a number where all chose the same, or fewer than
        two readers or cases are left.
    """
    values = _complete(choices)
    readers, cases = values.shape
    if readers < 2 or cases < 2:
        return float("nan")
    counts = np.stack([(values == kind).sum(axis=0) for kind in np.unique(values)])
    agreeing = ((counts**2).sum(axis=0) - readers) / (readers * (readers - 1))
    shares = counts.sum(axis=1) / (readers * cases)
    chance = float((shares**2).sum())
    return float((agreeing.mean() - chance) / (1 - chance)) if chance < 1 else float("nan")


def weighted_kappa(scores: npt.ArrayLike) -> float:
    """Return the agreement on ordered scores, disagreement weighted by its square.

    Cohen, Psychol. Bull. 70:213, 1968; the mean over the pairs of readers where there are more than two.

    Parameters
    ----------
    scores : ndarray, shape (readers, images)
        Images with a missing score are left out.

    Returns
    -------
    float
        Not a number where it is not defined.
    """
    values = _complete(scores)
    found = [_two(values[i], values[j]) for i, j in itertools.combinations(range(len(values)), 2)]
    return float(np.mean(found)) if found else float("nan")


def _two(first: Array, second: Array) -> float:
    """``1 - mean((a - b)^2) / mean over all pairs of images of (a_i - b_j)^2``, the same as with weights."""
    if len(first) < 2:
        return float("nan")
    expected = float(first.var() + second.var() + (first.mean() - second.mean()) ** 2)
    return 1 - float(((first - second) ** 2).mean()) / expected if expected > 0 else float("nan")


def intraclass_correlation(scores: npt.ArrayLike) -> float:
    """Return ICC(2,1): the share of the variance of single scores that is due to the images.

    Two-way random effects, absolute agreement, single reader (Shrout & Fleiss, Psychol. Bull. 86:420,
    1979): ``(MSR - MSE) / (MSR + (k - 1) MSE + k (MSC - MSE) / n)``.

    Parameters
    ----------
    scores : ndarray, shape (readers, images)
        Images with a missing score are left out.

    Returns
    -------
    float
        Not a number where it is not defined.
    """
    values = _complete(scores).T
    n, k = values.shape
    if n < 2 or k < 2:
        return float("nan")
    mean = values.mean()
    rows, columns = values.mean(axis=1), values.mean(axis=0)
    between = k * float(((rows - mean) ** 2).sum()) / (n - 1)
    readers = n * float(((columns - mean) ** 2).sum()) / (k - 1)
    rest = values - rows[:, None] - columns + mean
    error = float((rest**2).sum()) / ((n - 1) * (k - 1))
    total = between + (k - 1) * error + k * (readers - error) / n
    return (between - error) / total if total > 0 else float("nan")


def _complete(values: npt.ArrayLike) -> Array:
    """Drop columns with a missing value."""
    table = np.asarray(values, np.float64)
    return np.asarray(table[:, np.isfinite(table).all(axis=0)])
