"""Gaussian blur as a matrix: exact transpose, no wrap-around, and nothing but NumPy."""

from __future__ import annotations

import math

import numpy as np

from quell.image import FloatArray

SIGMA_OF_FWHM = 1 / math.sqrt(8 * math.log(2))
"""Standard deviation of a Gaussian over its full width at half maximum."""

_NARROW = 0.65


def blur_matrix(size: int, sigma: float) -> FloatArray:
    """Return the matrix that convolves a line with a Gaussian.

    Parameters
    ----------
    size : int
        Length of the line.
    sigma : float
        Standard deviation in pixels. 0 gives the identity.

    Returns
    -------
    ndarray of float32, shape (size, size)
        Symmetric. Within the line the columns sum to 1; what is blurred beyond its ends is lost.
    """
    if sigma <= 0:
        return np.eye(size, dtype=np.float32)
    offset = np.arange(-size, size + 1)
    if sigma < _NARROW:
        # A Gaussian sampled so coarsely is too narrow; these three weights have the right variance.
        side = sigma**2 / 2
        kernel = np.where(offset == 0, 1 - 2 * side, np.where(np.abs(offset) == 1, side, 0))
    else:
        kernel = np.exp(-0.5 * (offset / sigma) ** 2)
        kernel /= kernel.sum()
    place = np.arange(size)
    matrix: FloatArray = kernel[size + place[:, None] - place].astype(np.float32)
    return matrix


def blur_slices(stack: FloatArray, sigma: tuple[float, float]) -> FloatArray:
    """Convolve each slice with a Gaussian.

    Parameters
    ----------
    stack : ndarray of float32, shape (..., y, x)
    sigma : tuple of float
        Standard deviations along y and x in pixels.

    Returns
    -------
    ndarray of float32, same shape
        What is blurred beyond the border is lost.
    """
    if max(sigma) <= 0:
        return stack
    rows, columns = (blur_matrix(n, s) for n, s in zip(stack.shape[-2:], sigma, strict=True))
    return np.asarray(np.matmul(np.matmul(rows, stack), columns), np.float32)
