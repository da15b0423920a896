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
    columns = _row_by_row(xp.matrix_transpose(_stretch_rows(xp.matrix_transpose(grid), size)))
    return _stretch_rows(columns, size)


def smooth_upsample(grid: Any, size: int) -> Any:
    """Bring a map of blocks to pixels by a cubic B-spline, without a kink anywhere.

    Parameters
    ----------
    grid : array, shape (..., rows, columns)
        Coefficients at the block centres; repeated beyond the outer ones.
    size : int
        Side of a block in pixels, an even number.

    Returns
    -------
    array, shape (..., rows * size, columns * size)
        Between the lowest and the highest coefficient; second derivatives are continuous.

    References
    ----------
    Unser, "Splines: a perfect fit for signal and image processing", IEEE Signal Processing Magazine
    16(6):22, 1999, equation 4.
    """
    xp = array_api_compat.array_namespace(grid)
    columns = _row_by_row(xp.matrix_transpose(_spline_rows(xp.matrix_transpose(grid), size)))
    return _spline_rows(columns, size)


def _row_by_row(transposed: Any) -> Any:
    """Return the same values with each row in one piece of memory, which NumPy's sums run along."""
    xp = array_api_compat.array_namespace(transposed)
    return xp.reshape(xp.reshape(transposed, (-1,)), transposed.shape)


def _spline_rows(grid: Any, size: int) -> Any:
    """Do one direction of `smooth_upsample`: (..., rows, columns) to (..., rows * size, columns)."""
    xp = array_api_compat.array_namespace(grid)
    device = array_api_compat.device(grid)
    rows, columns = grid.shape[-2:]
    first, last = grid[..., :1, :], grid[..., -1:, :]
    ends = xp.concat((first, first, grid, last, last), axis=-2)
    a, b, c, d = (ends[..., k : k + rows + 1, None, :] for k in range(4))
    share = ((xp.arange(size, dtype=grid.dtype, device=device) + 0.5) / size)[:, None]
    # The cubic between two block centres, by Horner's scheme.
    fine = (d - 3 * c + 3 * b - a) / 6 * share
    fine += (c - 2 * b + a) / 2
    fine *= share
    fine += (c - a) / 2
    fine *= share
    fine += (a + 4 * b + c) / 6
    whole = xp.reshape(fine, (*grid.shape[:-2], (rows + 1) * size, columns))
    return whole[..., size // 2 : size // 2 + rows * size, :]


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
