"""Colour images that are grey in fact."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_LOSSY_TOLERANCE = 6


def luminance(rgb: npt.NDArray[np.integer[Any]], lossy: bool) -> npt.NDArray[np.integer[Any]] | None:
    """Return the grey values of an image whose three colours are equal, or None if they are not.

    Parameters
    ----------
    rgb : ndarray of unsigned int, shape (rows, columns, 3)
    lossy : bool
        Allow the few levels that lossy compression of the colour differences adds.

    Returns
    -------
    ndarray of the same type, shape (rows, columns), or None
        Rec. 601 luminance, which equals the grey value where the colours are equal.
    """
    red, green, blue = (rgb[..., i] for i in range(3))
    if np.array_equal(red, green) and np.array_equal(red, blue):
        return red
    spread = rgb.max(axis=-1) - rgb.min(axis=-1)
    if not lossy or spread.max() > _LOSSY_TOLERANCE:
        return None
    mixed = 0.299 * red + 0.587 * green + 0.114 * blue
    grey: npt.NDArray[np.integer[Any]] = np.rint(mixed).astype(rgb.dtype)
    return grey
