"""Counts: how they are thinned, and whether numbers are counts at all.

Keeping each of N events with probability a leaves a number of events that is Poisson with mean a times the
mean of N, and independent of the number that was left out (Raikov 1937; Kingman, *Poisson Processes*,
1993, section 5.1). No approximation is in it: a scan thinned to a quarter is a scan at a quarter of the dose.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quell.noise.contracts import check_dose

_TILE = 16
_LEAST_COUNTS = 32
_FEWEST_TILES = 10
_CONTRAST = (1.0, -2.0, 1.0)
_WEIGHT = sum(w**2 for w in _CONTRAST) ** 2
_OVERLAP = 3.78
"""Windows overlap: their squared contrasts have correlations that add up to this."""

_FREEDOM = _TILE**2 / _OVERLAP
_MEDIAN_OF_TILE = (1 - 2 / (9 * _FREEDOM)) ** 3
"""Median over mean of a chi-squared variable with as many degrees of freedom as a tile has."""

_EXPECTED_AT_GAP = 15.0
_DOUBLED_SIGMA = 6.0
_SMALL = 10


@dataclass(frozen=True)
class Dispersion:
    """How far numbers scatter, against what counts do.

    Attributes
    ----------
    ratio : float
        Variance over mean in the plain parts: 1 for counts, below 1 after smoothing, k after
        multiplication by k. NaN where too little was counted to say.
    error : float
        Standard error of the ratio.
    """

    ratio: float
    error: float

    @property
    def known(self) -> bool:
        return bool(np.isfinite(self.ratio))


def thin_counts(
    counts: npt.NDArray[np.floating] | npt.NDArray[np.integer], dose: float, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Keep each event with probability `dose`.

    Parameters
    ----------
    counts : ndarray of any shape
        Non-negative integers, of any type of number.
    dose : float
        Share of the events to keep, in (0, 1].
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of int64
        Events that were kept. Those left out are `counts` minus these, and independent of them.

    Raises
    ------
    ValueError
        If the dose is outside (0, 1], or a value is negative or no integer.
    """
    check_dose(dose)
    # Most of a scan is empty, and a draw costs the same there.
    some = np.flatnonzero(counts)
    values = counts.ravel()[some]
    whole = values.astype(np.int64)
    if not np.array_equal(whole, values) or whole.min(initial=0) < 0:
        raise ValueError("only non-negative integers can be thinned")
    kept = np.zeros(counts.size, np.int64)
    kept[some] = rng.binomial(whole, dose)
    return kept.reshape(counts.shape)


def dispersion(counts: npt.NDArray[np.floating], usable: npt.NDArray[np.bool_] | None = None) -> Dispersion:
    """Measure variance over mean in the plain parts of frames.

    The second difference along rows and columns, a sum over 3 x 3 pixels with weights w, has the variance
    sum(w^2 mean), for which sum(w^2 count) stands, at any level of counts. Slopes, bends along one
    axis and straight edges drop out of it; the median over tiles leaves out what else is structure.

    Parameters
    ----------
    counts : ndarray, shape (frames, y, x)
    usable : ndarray of bool, same shape, optional
        Where there is a measurement.
    """
    values = counts.astype(np.float32, copy=False)
    squares = _windows(values, _CONTRAST) ** 2
    sums = _windows(values, tuple(w**2 for w in _CONTRAST))
    if usable is not None:
        whole = _windows(usable.astype(np.float32), (1.0, 1.0, 1.0)) > len(_CONTRAST) ** 2 - 0.5
        squares, sums = squares * whole, sums * whole
    squares, sums = _tiles(squares), _tiles(sums)
    enough = sums >= _LEAST_COUNTS * _WEIGHT
    if enough.sum() < _FEWEST_TILES:
        return Dispersion(float("nan"), float("nan"))
    ratios = squares[enough] / sums[enough]
    # A chi-squared mean with k degrees of freedom has variance 2 / k; a median scatters 1.25 times as much.
    error = 1.25 * np.sqrt(2 / _FREEDOM / enough.sum())
    return Dispersion(float(np.median(ratios)) / _MEDIAN_OF_TILE, float(error))


def rescaled_at(counts: npt.NDArray[np.floating]) -> int | None:
    """Return the smallest number that is too rare or too common beside its neighbours in a histogram.

    Multiplying integers and rounding again leaves some numbers out (factor above 1) or lets two fall on
    one (factor below 1). Counts have smooth histograms.

    Parameters
    ----------
    counts : ndarray of any shape
        Non-negative integers.

    Returns
    -------
    int or None
        None where the histogram is smooth, as that of counts is.
    """
    largest = min(int(counts.max()), 65535)
    histogram = np.bincount(counts[counts <= largest].astype(np.int64), minlength=largest + 1).astype(float)
    if histogram.size < 3:
        return None
    around = (histogram[:-2] + histogram[2:]) / 2
    middle = histogram[1:-1]
    gap = (middle == 0) & (around >= _EXPECTED_AT_GAP)
    double = (middle > 1.5 * around) & (middle - around > _DOUBLED_SIGMA * np.sqrt(1.5 * around + 1))
    # A field of few counts has a histogram with a peak of its own.
    double[:_SMALL] = False
    found = np.flatnonzero(gap | double)
    return int(found[0]) + 1 if found.size else None


def _windows(frames: npt.NDArray[np.float32], weights: tuple[float, ...]) -> npt.NDArray[np.float32]:
    """Sum over 3 x 3 pixels with weights along both axes, wherever the window fits."""
    first, middle, last = (np.float32(w) for w in weights)
    rows = first * frames[:, :-2] + middle * frames[:, 1:-1] + last * frames[:, 2:]
    return np.asarray(first * rows[:, :, :-2] + middle * rows[:, :, 1:-1] + last * rows[:, :, 2:])


def _tiles(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Sum over tiles; what does not fill a tile is left out."""
    depth, rows, columns = values.shape[0], values.shape[1] // _TILE, values.shape[2] // _TILE
    cut = values[:, : rows * _TILE, : columns * _TILE].reshape(depth, rows, _TILE, columns, _TILE)
    summed: npt.NDArray[np.float32] = cut.sum(axis=(2, 4))
    return summed
