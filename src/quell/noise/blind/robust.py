"""Robust means of Gaussian coefficients, and the leftmost group of a distribution."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

HALF_MOMENT = 0.8222
"""Mean of the square root of the absolute value of a standard normal: 2^(1/4) Gamma(3/4) / sqrt(pi)."""

SPREAD_OF_LEVEL = 0.849
"""Relative standard deviation of `power_mean` times the square root of the number of coefficients."""

SPREAD_OF_RATIO = 0.471
"""The same for the logarithm of root mean square over `power_mean`, of the same coefficients."""

MEAN_LOG_LEVEL = -0.18
"""Mean of the logarithm of `power_mean` of unit noise, times the number of coefficients."""

EDGE_LOG_RATIO = -0.03
"""Where `left_edge` puts the logarithm of root mean square over `power_mean` of unit noise, times the
number of coefficients: measured, since the distribution is skewed."""

_BELOW = 0.317
"""Share of what lies left of the centre of a Gaussian that lies left of minus one sigma."""

_FEWEST = 10


def power_mean(scaled: Array, weights: Array) -> Array:
    """Return the scale of Gaussian coefficients by their mean absolute value to the power one half.

    A few large coefficients, as edges give them, count for much less than in a root mean square.

    Parameters
    ----------
    scaled : ndarray, shape (..., n, n)
        Absolute values over the square roots of the expected variances.
    weights : ndarray, shape (n, n)
        Sum to 1.

    Returns
    -------
    ndarray, shape (...)
    """
    mean = (np.sqrt(scaled) * weights).sum(axis=(-2, -1)) / HALF_MOMENT
    return np.asarray(mean**2, np.float64)


def left_edge(values: Array, width: float) -> float:
    """Return the centre of the leftmost Gaussian of a mixture, whose standard deviation is known.

    Of what lies left of the centre of a Gaussian, 32 % lies left of minus one sigma; further out it
    is less. The first value at which that share is reached, with an allowance for chance, is taken.
    What is mixed in from the right, in whatever amount, hardly moves it.

    Parameters
    ----------
    values : ndarray, shape (count,)
    width : float
        Standard deviation of the Gaussian.
    """
    ordered = np.sort(values)
    below = np.arange(1, len(ordered) + 1)
    further = np.searchsorted(ordered, ordered - width, side="right") / below
    allowance = np.sqrt(_BELOW * (1 - _BELOW) / below)
    reached = np.nonzero((further >= _BELOW + allowance) & (below >= _FEWEST))[0]
    return float(ordered[reached[0]]) if len(reached) else float(np.median(ordered))
