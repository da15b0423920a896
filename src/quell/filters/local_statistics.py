"""Means and variances of neighbourhoods, which the adaptive filters of Wiener, Lee and Frost share."""

from __future__ import annotations

import numpy as np

from quell.filters.contracts import Pixels, library


def mean_and_variance(pixels: Pixels, side: int) -> tuple[Pixels, Pixels]:
    """Return mean and variance over the square of `side` pixels around each pixel, reflected at borders."""
    ndimage = library("scipy.ndimage", "SciPy")
    # Around their overall mean the squares of values keep their digits.
    offset = pixels.mean()
    centred = pixels - offset
    mean = ndimage.uniform_filter(centred, side, mode="reflect")
    squares = ndimage.uniform_filter(centred**2, side, mode="reflect")
    return mean + offset, np.maximum(squares - mean**2, 0)
