"""What an observer says of images with and without a signal, and what is read from it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from quell.errors import QuellError

Array: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Interval:
    """A figure and how sure it is.

    Attributes
    ----------
    value : float
    low, high : float
        Ends of the interval.
    level : float
        Share of such intervals that hold the truth.
    method : str
        How it was found, in a few words.
    """

    value: float
    low: float
    high: float
    level: float = 0.95
    method: str = ""

    def __contains__(self, number: float) -> bool:
        return self.low <= number <= self.high


@dataclass(frozen=True, eq=False)
class Scores:
    """One number for every image: the higher, the surer the observer is that the signal is there.

    Attributes
    ----------
    present : ndarray, shape (n,)
        Of the images with the signal.
    absent : ndarray, shape (m,)
        Of those without.
    groups : ndarray of int, shape (n,), optional
        Which regions were cut from one image, the same for present and absent (n = m): regions of one
        image share the work of a denoiser, and are resampled together.
    """

    present: Array
    absent: Array
    groups: IntArray | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "present", checked(self.present, "with the signal"))
        object.__setattr__(self, "absent", checked(self.absent, "without the signal"))
        if self.groups is not None and not len(self.groups) == len(self.present) == len(self.absent):
            raise QuellError("groups need one number for every pair of an image with and without the signal")


def checked(scores: npt.ArrayLike, which: str) -> Array:
    """Return scores as a vector of two or more finite numbers.

    Raises
    ------
    QuellError
        If there are fewer, or one is not finite.
    """
    values = np.asarray(scores, np.float64)
    if values.ndim != 1 or len(values) < 2:
        raise QuellError(f"an observer needs at least 2 images {which}, got shape {values.shape}")
    if not np.isfinite(values).all():
        raise QuellError(f"the scores of the images {which} hold values that are not finite")
    return values


def d_prime(scores: Scores) -> float:
    """Return the detectability: the distance of the mean scores over their standard deviation.

    ``d' = (mean(present) - mean(absent)) / sqrt((var(present) + var(absent)) / 2)`` (Barrett & Myers,
    Foundations of Image Science, 2004, ch. 13), times the factor of Hedges (J. Educ. Stat. 6:107,
    1981) that takes away the upward bias of small samples.

    Returns
    -------
    float
        Infinite where the scores do not vary.
    """
    present, absent = scores.present, scores.absent
    freedom = len(present) + len(absent) - 2
    spread = math.sqrt((float(present.var(ddof=1)) + float(absent.var(ddof=1))) / 2)
    distance = float(present.mean() - absent.mean())
    if spread == 0:
        return math.copysign(math.inf, distance) if distance else 0.0
    return hedges_factor(freedom) * distance / spread


def hedges_factor(freedom: int) -> float:
    """Return what a standardised difference is to be multiplied by to be unbiased (Hedges 1981)."""
    if freedom < 2:
        return 1.0
    log = math.lgamma(freedom / 2) - math.lgamma((freedom - 1) / 2)
    return math.exp(log) / math.sqrt(freedom / 2)


def auc_of(detectability: float) -> float:
    """Return the area under the curve of normal scores of equal variance, ``Phi(d' / sqrt 2)``."""
    return NormalDist().cdf(detectability / math.sqrt(2))


def detectability_of(area: float) -> float:
    """Return the d' of normal scores of equal variance, ``sqrt(2) * Phi^-1(AUC)``.

    Raises
    ------
    ValueError
        If the area is not in [0, 1].
    """
    if not 0 <= area <= 1:
        raise ValueError(f"an area under the curve lies between 0 and 1, got {area:g}")
    if area in (0.0, 1.0):
        return math.inf if area else -math.inf
    return math.sqrt(2) * NormalDist().inv_cdf(area)
