"""The Hotelling observer without the error of learning: from a known covariance, or corrected for it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from quell.errors import QuellError
from quell.evaluation.observers.channels import Channels
from quell.evaluation.observers.scores import Array, Interval

if TYPE_CHECKING:
    from collections.abc import Callable


def ideal_detectability(signal: Array, covariance: Array, channels: Channels | None = None) -> float:
    """Return the d' of the Hotelling observer of a known signal in noise of known covariance.

    ``sqrt(s' K^-1 s)``; through channels U, ``sqrt(s' U (U' K U)^-1 U' s)`` (Barrett & Myers 2004,
    ch. 13 and 14).

    Parameters
    ----------
    signal : ndarray, shape (rows, columns)
    covariance : ndarray, shape (rows * columns, rows * columns)
    channels : Channels, optional
    """
    s, k = signal.ravel(), covariance
    if channels is not None:
        u = channels.matrix
        s, k = u.T @ s, u.T @ k @ u
    return math.sqrt(float(s @ np.linalg.solve(k, s)))


def stationary_covariance(power: Array) -> Array:
    """Return the covariance of periodic noise with a power spectrum.

    Parameters
    ----------
    power : ndarray, shape (rows, columns)
        Variance of each frequency in the order of an FFT; its mean is the variance of a pixel.

    Returns
    -------
    ndarray, shape (rows * columns, rows * columns)
    """
    correlation = np.fft.ifft2(power).real
    rows, columns = power.shape
    y, x = np.divmod(np.arange(rows * columns), columns)
    return np.asarray(correlation[(y[:, None] - y) % rows, (x[:, None] - x) % columns])


def spectral_detectability(signal: Array, power: Array) -> float:
    """Return the d' of the Hotelling observer in periodic noise: ``sqrt(mean(|S|^2 / power))``.

    The prewhitening matched filter (Barrett & Myers 2004, ch. 13); `power` as in
    `stationary_covariance`.
    """
    return math.sqrt(float((np.abs(np.fft.fft2(signal)) ** 2 / power).mean()))


def hotelling_interval(present: Array, absent: Array, level: float = 0.95) -> Interval:
    """Return the d' that a Hotelling observer of these channels would have if it knew all, exactly.

    For normal responses Hotelling's T^2 follows a non-central F distribution whose parameter holds the
    wanted d'^2; the interval inverts it, the value is the estimate of d'^2 without bias (Wunderlich,
    Noo, Gallas & Heilbrun, IEEE TMI 34:453, 2015). It needs no division into training and test.

    Parameters
    ----------
    present, absent : ndarray, shape (n, channels) and (m, channels)
        Responses of independent images (`Observation.present`, `Observation.absent`).
    level : float

    Raises
    ------
    QuellError
        If there are too few images for the channels, or SciPy is not installed.
    """
    n, m, p = len(present), len(absent), present.shape[1]
    freedom = n + m - 2
    if freedom <= p + 1:
        least = math.ceil((p + 4) / 2)
        raise QuellError(f"the observer with {p} channels needs at least {least} pairs, got {min(n, m)}")
    squared = _plug_in(present, absent)
    share = n * m / (n + m)
    statistic = share * squared * (freedom - p + 1) / (freedom * p)
    unbiased = max(0.0, squared * (freedom - p - 1) / freedom - p / share)
    tail = (1 - level) / 2
    low, high = (_noncentrality(statistic, p, freedom - p + 1, side) for side in (1 - tail, tail))
    found = [math.sqrt(value / share) for value in (low, high)]
    return Interval(math.sqrt(unbiased), found[0], found[1], level, "non-central F")


def _plug_in(present: Array, absent: Array) -> float:
    """Return d'^2 with the means and the covariance of the sample."""
    n, m = len(present), len(absent)
    pooled = (n - 1) * np.atleast_2d(np.cov(present.T)) + (m - 1) * np.atleast_2d(np.cov(absent.T))
    difference = present.mean(axis=0) - absent.mean(axis=0)
    return float(difference @ np.linalg.solve(pooled / (n + m - 2), difference))


def _noncentrality(statistic: float, first: int, second: int, share: float) -> float:
    """Find the parameter for which a share of the distribution lies below the statistic."""
    try:
        from scipy.stats import ncf
    except ImportError as error:
        raise QuellError("exact intervals need SciPy: pip install 'quell[lab]'") from error

    def below(parameter: float) -> float:
        return float(ncf.cdf(statistic, first, second, parameter))

    if below(0.0) <= share:
        return 0.0
    high = max(1.0, statistic * first)
    while below(high) > share:
        high *= 2
    return _bisect(lambda value: below(value) - share, 0.0, high)


def _bisect(falling: Callable[[float], float], low: float, high: float) -> float:
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return (low + high) / 2
