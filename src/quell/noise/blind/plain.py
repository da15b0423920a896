"""Find the plain regions of an image and the spectrum of what is in them.

Structure only ever adds: power at low frequencies, and a few coefficients that stand out. Plain
regions are therefore the leftmost group in the distribution of two measures (low over high
frequencies; arithmetic over robust mean), and the width of that group is known from the number of
coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quell.image import BoolArray
from quell.noise.blind.cosine import coefficients, radius
from quell.noise.blind.periodogram import extrapolated, periodograms, radial_frequency
from quell.noise.blind.robust import SPREAD_OF_LEVEL, SPREAD_OF_RATIO, left_edge, power_mean

Array = npt.NDArray[np.float64]

ROUNDS = 6
BAND_FLOOR = 0.03
"""Coefficients with less than this share of the largest variance count for little: they hold leftovers."""

_LIMIT = 1.5
_QUANTILE = 0.3
_ENOUGH = 30
_FIRST_CUT = 0.15


@dataclass(frozen=True, eq=False)
class Plain:
    """The plain regions and their noise.

    Attributes
    ----------
    power : ndarray, shape (n, n)
        Spectrum in the order of an FFT; its mean is the variance of a typical plain region.
    deviation : ndarray, shape (count,)
        How far each region lies from the plain ones, in widths of their distribution; below 1.5 for
        those that were averaged.
    level : ndarray, shape (count,)
        Standard deviation of each region, robust against structure.
    """

    power: Array
    deviation: Array
    level: Array

    @property
    def averaged(self) -> BoolArray:
        """Which regions the spectrum is the average of."""
        chosen: BoolArray = self.deviation < _LIMIT
        return chosen


def find_plain(values: Array) -> Plain:
    """Find the plain ones among regions, and the spectrum of their noise.

    Parameters
    ----------
    values : ndarray, shape (count, n, n)
        Regions with the mean of each taken away; at least a few.
    """
    n = values.shape[-1]
    amplitude = np.abs(coefficients(values))
    power = periodograms(values)
    expected, cut = np.ones((n, n)), _FIRST_CUT
    for _ in range(ROUNDS):
        level, deviation = _judge(amplitude, expected, cut)
        plain = deviation < _LIMIT
        shape = _average(power[plain] / level[plain, None, None] ** 2)
        expected = _coefficient_variances(shape)
        cut = float(np.clip(0.6 * _median_frequency(shape), 2.5 / (2 * n), 0.2))
    typical = np.median(level[plain]) ** 2
    return Plain(shape * typical, deviation, level)


def band_weights(expected: Array, usable: BoolArray | bool = True) -> Array:
    """Return weights that sum to 1 for coefficients of the given variances."""
    weights = expected / (expected + BAND_FLOOR * expected.max()) * usable
    return np.asarray(weights / weights.sum(), np.float64)


def _judge(amplitude: Array, expected: Array, cut: float) -> tuple[Array, Array]:
    """Return level and distance from the plain ones of each region, for expected variances."""
    n = expected.shape[0]
    frequency = radius(n)
    high = band_weights(expected, frequency >= cut)
    low = np.where((frequency < cut) & (frequency > 0.6 / n), expected, 0.0)
    scaled = amplitude / np.sqrt(expected)
    level = power_mean(scaled, high)
    rms = np.sqrt((scaled**2 * high).sum(axis=(1, 2)))
    below = (amplitude**2 * (low > 0)).sum(axis=(1, 2)) / low.sum()
    spread = float(np.sqrt((high**2).sum()))
    rough = _log(rms / level)
    width = SPREAD_OF_RATIO * spread
    roughness = (rough - left_edge(rough, width)) / width
    slow = _log(below / level**2)
    width = float(np.hypot(np.sqrt(2 * (low**2).sum()) / low.sum(), 2 * SPREAD_OF_LEVEL * spread))
    calm = roughness < max(_LIMIT, float(np.sort(roughness)[: _ENOUGH // 3].max()))
    return level, np.maximum(roughness, (slow - left_edge(slow[calm], width)) / width)


def _average(ratio: Array) -> Array:
    """Average spectra of plain regions; a low quantile where there are enough of them.

    The power at one frequency follows an exponential distribution, whose quantiles are known; what
    structure is left lies above.
    """
    if len(ratio) > _ENOUGH:
        mean = np.quantile(ratio, _QUANTILE, axis=0) / -np.log(1 - _QUANTILE)
    else:
        mean = ratio.mean(axis=0)
    return extrapolated(mean)


def _coefficient_variances(shape: Array) -> Array:
    """Return the variance of the cosine coefficients of whole regions, read off their spectrum."""
    n = shape.shape[0]
    half = np.arange(n) / 2
    below, share = np.floor(half).astype(int), half % 1
    mirrored = np.roll(shape[::-1], 1, axis=0)
    both = 0.5 * (shape + mirrored)
    rows = (1 - share)[:, None] * both[below % n] + share[:, None] * both[(below + 1) % n]
    found = (1 - share) * rows[:, below % n] + share * rows[:, (below + 1) % n]
    return np.asarray(np.maximum(found, 1e-6 * found.max()), np.float64)


def _median_frequency(shape: Array) -> float:
    """Return the radial frequency below which half of the power lies, cycles per pixel."""
    frequency = radial_frequency(shape.shape[0]).ravel()
    order = np.argsort(frequency)
    sums = np.cumsum(shape.ravel()[order])
    return float(frequency[order][np.searchsorted(sums, 0.5 * sums[-1])])


def _log(ratio: Array) -> Array:
    return np.asarray(np.log(np.maximum(ratio, 1e-30)))
