"""Maps on a coarse grid of blocks and their way back to pixels.

Written against the Python array API, so that training (torch) and use (NumPy) share one code.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import array_api_compat
import numpy as np
import numpy.typing as npt


def block_mean(pixels: Any, size: int) -> Any:
    """Average over square blocks.

    Parameters
    ----------
    pixels : array, shape (..., y, x)
        Rows and columns must be multiples of `size`.
    size : int
        Side of a block in pixels.

    Returns
    -------
    array, shape (..., y / size, x / size)
    """
    xp = array_api_compat.array_namespace(pixels)
    *lead, rows, columns = pixels.shape
    blocks = xp.reshape(pixels, (*lead, rows // size, size, columns // size, size))
    # Rows first: summing along the contiguous axis last is several times faster in NumPy.
    return xp.mean(xp.mean(blocks, axis=-3), axis=-1)


def upsample(grid: Any, size: int) -> Any:
    """Interpolate a map of blocks linearly to pixels, constant beyond the outer block centres.

    Parameters
    ----------
    grid : array, shape (..., rows, columns)
        Values at the block centres.
    size : int
        Side of a block in pixels.

    Returns
    -------
    array, shape (..., rows * size, columns * size)
    """
    xp = array_api_compat.array_namespace(grid)
    device = array_api_compat.device(grid)
    rows = xp.asarray(_weights(grid.shape[-2], size), dtype=grid.dtype, device=device)
    columns = xp.asarray(_weights(grid.shape[-1], size), dtype=grid.dtype, device=device)
    return rows @ (grid @ xp.permute_dims(columns, (1, 0)))


@lru_cache(maxsize=64)
def _weights(count: int, size: int) -> npt.NDArray[np.float32]:
    """Return the matrix (count * size, count) of linear interpolation from block centres."""
    position = (np.arange(count * size) + 0.5) / size - 0.5
    position = np.clip(position, 0, count - 1)
    low = np.minimum(position.astype(int), max(count - 2, 0))
    fraction = position - low
    weights = np.zeros((count * size, count), dtype=np.float32)
    index = np.arange(count * size)
    weights[index, low] = 1 - fraction
    weights[index, np.minimum(low + 1, count - 1)] += fraction
    return weights
