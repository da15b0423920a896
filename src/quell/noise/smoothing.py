"""Gaussian smoothing by Fourier transforms, with NumPy alone; also with a width that varies by rows."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

REACH = 4.0
"""Standard deviations after which a Gaussian is taken to have ended."""


@lru_cache(maxsize=256)
def fast_length(n: int) -> int:
    """Return the smallest number from `n` on whose prime factors are 2, 3 and 5."""
    while True:
        rest = n
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return n
        n += 1


def transfer(n: int, sigma: npt.NDArray[np.floating[Any]] | float) -> npt.NDArray[np.float32]:
    """Return the transform of Gaussians of area 1, shape (..., n) for `sigma` (...) in samples."""
    f = np.fft.fftfreq(n).astype(np.float32)
    gain: npt.NDArray[np.float32] = np.exp(-2 * (np.pi * np.asarray(sigma, np.float32)[..., None] * f) ** 2)
    return gain


def smooth(
    field: npt.NDArray[Any], rows: float, columns: float | npt.NDArray[np.floating[Any]]
) -> npt.NDArray[np.complex64]:
    """Convolve with a Gaussian of area 1; what lies beyond the field is zero.

    Parameters
    ----------
    field : ndarray, shape (y, x)
        Real or complex. Two real fields are smoothed at the cost of one as real and imaginary part.
    rows : float
        Standard deviation along y, samples; 0 for none.
    columns : float or ndarray, shape (y,)
        Standard deviation along x, samples; one for all rows or one for each. Columns come first: what
        lies in a row is spread by the width of that row.

    Returns
    -------
    ndarray of complex64, shape (y, x)
    """
    across = _convolve(field, np.asarray(columns, float)) if np.any(columns) else field
    return _convolve(across.T, np.asarray(rows, float)).T if rows else across.astype(np.complex64, copy=False)


def _convolve(field: npt.NDArray[Any], sigma: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.complex64]:
    """Convolve the rows of `field`, each with its own Gaussian where `sigma` has an entry for each."""
    n = field.shape[1]
    size = fast_length(n + int(np.ceil(REACH * float(np.max(sigma)))))
    # The inverse transform of the mirrored field is its transform. NumPy (2.4) takes four times as long
    # for a forward transform in single precision.
    mirrored = np.zeros((field.shape[0], size), np.complex64)
    mirrored[:, 0] = field[:, 0]
    mirrored[:, size - n + 1 :] = field[:, :0:-1]
    spectrum = np.fft.ifft(mirrored, axis=1, norm="forward").astype(np.complex64, copy=False)
    spectrum *= transfer(size, sigma)
    result: npt.NDArray[np.complex64] = np.fft.ifft(spectrum, axis=1)[:, :n].astype(np.complex64, copy=False)
    return result
