"""Variance stabilisation of counts that electronics have scaled and blurred with Gaussian noise."""

from __future__ import annotations

import numpy as np

from quell.image import FloatArray


def generalised_anscombe(values: FloatArray, gain: float, sigma: float, offset: float = 0.0) -> FloatArray:
    """Give values of variance ``gain * (value - offset) + sigma**2`` a variance of about 1.

    ``f(z) = 2 / g * sqrt(g z + 3/8 g^2 + sigma^2 - g offset)`` for ``z = g Poisson + N(offset, sigma^2)``
    (Murtagh, Starck and Bijaoui, Astron Astrophys Suppl 112 (1995) 179).

    Parameters
    ----------
    values : ndarray of float32
        In units of the image.
    gain : float
        Value of one quantum, positive: the slope of variance over mean.
    sigma : float
        Standard deviation of the Gaussian noise, in units of the image.
    offset : float
        Value of a pixel without quanta.

    Returns
    -------
    ndarray of float32, of the same shape
        0 where the root would be of a negative number.
    """
    _check_gain(gain)
    inside = gain * (values.astype(np.float64) - offset) + 0.375 * gain**2 + sigma**2
    return np.asarray(2 / gain * np.sqrt(np.maximum(inside, 0)), np.float32)


def inverse_anscombe(stable: FloatArray, gain: float, sigma: float, offset: float = 0.0) -> FloatArray:
    """Return the mean whose stabilised values have the mean `stable`, without the bias of the plain inverse.

    The closed form of Makitalo and Foi, "Optimal inversion of the generalized Anscombe transformation
    for Poisson-Gaussian noise", IEEE Trans Image Process 22 (2013) 91.

    Parameters
    ----------
    stable : ndarray of float32
        Denoised values on the scale of `generalised_anscombe`.
    gain, sigma, offset : float
        As given to `generalised_anscombe`.

    Returns
    -------
    ndarray of float32, of the same shape
        Not below `offset`.
    """
    _check_gain(gain)
    # Below the value of no quanta at all the form has a pole; there the mean is 0.
    least = 2 * np.sqrt(0.375 + (sigma / gain) ** 2)
    d = np.maximum(stable.astype(np.float64), max(least, 1e-3))
    root = np.sqrt(1.5)
    quanta = d**2 / 4 + root / (4 * d) - 11 / (8 * d**2) + 5 * root / (8 * d**3) - 0.125 - (sigma / gain) ** 2
    return np.asarray(offset + gain * np.maximum(quanta, 0), np.float32)


def _check_gain(gain: float) -> None:
    if not gain > 0:
        raise ValueError(f"the gain must be positive, got {gain:g}")
