"""Blocks in the cosine transform: noise of a known spectrum has coefficients of known variance."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_FLOOR = 1e-6
"""Least variance of a coefficient as a share of the largest."""


@lru_cache(maxsize=8)
def cosine_matrix(side: int) -> Array:
    """Return the orthonormal matrix of the type-II discrete cosine transform, shape (side, side)."""
    k, x = np.arange(side)[:, None], np.arange(side)[None, :]
    matrix = np.cos(np.pi * (x + 0.5) * k / side) * np.sqrt(2 / side)
    matrix[0] /= np.sqrt(2)
    return np.asarray(matrix, np.float64)


def coefficients(blocks: Array) -> Array:
    """Return the two-dimensional cosine transform of blocks (..., side, side)."""
    matrix = cosine_matrix(blocks.shape[-1])
    transformed: Array = matrix @ blocks @ matrix.T
    return transformed


def radius(side: int) -> Array:
    """Return the radial frequency of each coefficient, cycles per pixel, shape (side, side)."""
    k = np.arange(side) / (2 * side)
    return np.asarray(np.hypot(k[:, None], k[None, :]), np.float64)


def variances(autocovariance: Array, side: int) -> Array:
    """Return the variance of each coefficient of a block of stationary noise.

    Parameters
    ----------
    autocovariance : ndarray, shape (n, n)
        Of the noise, lag (0, 0) first and negative lags at the end, as an inverse FFT gives it;
        n is at least 2 * `side`.
    side : int
        Of the block.

    Returns
    -------
    ndarray, shape (side, side)
    """
    n = autocovariance.shape[0]
    lags = np.arange(-side + 1, side)
    near = autocovariance[np.ix_(lags % n, lags % n)]
    sums = _lagged_products(side)
    found = sums @ near @ sums.T
    return np.asarray(np.maximum(found, _FLOOR * found.max()), np.float64)


@lru_cache(maxsize=8)
def _lagged_products(side: int) -> Array:
    """Return the sum over x of d_k(x) d_k(x + lag) for every basis function and lag."""
    return np.stack([np.correlate(row, row, "full") for row in cosine_matrix(side)])
