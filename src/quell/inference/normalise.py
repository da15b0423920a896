"""Bring an image to unit noise around a local mean, and back.

Written against the Python array API, so that training (torch) and use (NumPy) share one code. With
it the whole denoiser is equivariant: a gain or an offset of the image comes out of it unchanged.
"""

from __future__ import annotations

from typing import Any

import array_api_compat

from quell.noise.grid import block_mean, smooth_upsample, upsample

MEAN_BLOCK = 32
"""Side in pixels of the blocks of the local mean.

The network cannot see what the mean takes away, so blocks must be wide against the noise's own
correlation; it must take away offsets such as the -1000 HU of air, which a 16-bit float rounds
coarsely.
"""


def difference_scale(pixels: Any) -> Any:
    """Return the mean absolute difference of neighbours along x and y, one number an image.

    Parameters
    ----------
    pixels : array, shape (..., y, x)

    Returns
    -------
    array, shape (..., 1, 1)
        In the units of the image; 0 for a constant image.
    """
    xp = array_api_compat.array_namespace(pixels)
    along_x = xp.mean(xp.abs(pixels[..., 1:] - pixels[..., :-1]), axis=(-2, -1), keepdims=True)
    along_y = xp.mean(xp.abs(pixels[..., 1:, :] - pixels[..., :-1, :]), axis=(-2, -1), keepdims=True)
    return (along_x + along_y) / 2


def local_mean(pixels: Any) -> Any:
    """Return a smooth background (..., y, x); rows and columns must be multiples of `MEAN_BLOCK`.

    A spline: along a body's border a mean that is only continuous has kinks of hundreds of times the
    noise, and the network took them for lines.
    """
    return smooth_upsample(block_mean(pixels, MEAN_BLOCK), MEAN_BLOCK)


def level_from_log(log_level: Any, block: int) -> Any:
    """Turn a coarse map of log levels (..., rows, columns) into a level for each pixel."""
    xp = array_api_compat.array_namespace(log_level)
    return upsample(xp.exp(log_level), block)
