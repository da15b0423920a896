"""The noise that is left in plain regions."""

from __future__ import annotations

import numpy as np

from quell.errors import QuellError
from quell.evaluation.metrics.contracts import Direction, Metric, Need, Sample, Values
from quell.image import BoolArray

_PLANE = 3
"""Numbers that a fitted plane takes from the degrees of freedom."""


def detrended_sd(values: Values, mask: BoolArray) -> float:
    """Return the standard deviation in a region around the best plane of each slice.

    Parameters
    ----------
    values : ndarray, shape (z, y, x)
    mask : ndarray of bool, shape (z, y, x)

    Raises
    ------
    QuellError
        If no slice has more than three pixels of the region.
    """
    squares, freedom = 0.0, 0
    for pixels, inside in zip(values, mask, strict=True):
        y, x = np.nonzero(inside)
        if y.size <= _PLANE:
            continue
        plane = np.stack([np.ones(y.size), y - y.mean(), x - x.mean()], axis=1)
        found = np.asarray(pixels[inside], np.float64)
        residual = found - plane @ np.linalg.lstsq(plane, found, rcond=None)[0]
        squares += float((residual**2).sum())
        freedom += y.size - _PLANE
    if freedom == 0:
        raise QuellError("the region is too small to measure noise in it")
    return float(np.sqrt(squares / freedom))


def _sd(sample: Sample) -> float:
    return detrended_sd(sample.test, sample.mask)


def _reduction(sample: Sample) -> float:
    before = detrended_sd(sample.given(sample.noisy), sample.mask)
    return 0.0 if before == 0 else 100 * (1 - _sd(sample) / before)


NOISE: tuple[Metric, ...] = (
    Metric("noise SD", "image", Direction.LOWER, _sd, frozenset({Need.REGION})),
    Metric("noise reduction", "%", Direction.HIGHER, _reduction, frozenset({Need.NOISY, Need.REGION})),
)
