"""Maps on a coarse grid of blocks and their way back to pixels.

Written against the Python array API, so that training (torch) and use (NumPy) share one code.
"""

from __future__ import annotations

from typing import Any

import array_api_compat


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
        Side of a block in pixels, an even number.

    Returns
    -------
    array, shape (..., rows * size, columns * size)
    """
    # Weighted sums rather than a product of matrices: a threaded BLAS under several slices at a time
    # has its threads fight for the cores. Columns first, while the grid is small.
    xp = array_api_compat.array_namespace(grid)
    columns = xp.matrix_transpose(_stretch_rows(xp.matrix_transpose(grid), size))
    return _stretch_rows(columns, size)


def _stretch_rows(grid: Any, size: int) -> Any:
    """Interpolate (..., rows, columns) linearly to (..., rows * size, columns); `size` must be even."""
    xp = array_api_compat.array_namespace(grid)
    device = array_api_compat.device(grid)
    rows, columns = grid.shape[-2:]
    ends = xp.concat((grid[..., :1, :], grid, grid[..., -1:, :]), axis=-2)
    # The pixels between two block centres share their two values; the half blocks at the ends, too.
    share = (xp.arange(size, dtype=grid.dtype, device=device) + 0.5) / size
    steps = (ends[..., 1:, :] - ends[..., :-1, :])[..., :, None, :]
    fine = steps * share[:, None]
    fine += ends[..., :-1, None, :]
    whole = xp.reshape(fine, (*grid.shape[:-2], (rows + 1) * size, columns))
    return whole[..., size // 2 : size // 2 + rows * size, :]
