"""Leave a part of the finest noise: what is left of it then looks as noise did before."""

from __future__ import annotations

import numpy as np

from quell.image import FloatArray


def without_grain(noise: FloatArray, grain: float) -> FloatArray:
    """Return estimated noise without a share of its fine part.

    What a network leaves of the noise is coarse. The fine part that it found is the safest to put back: it is
    above the frequencies of what a reader looks for, and it is what gives noise its texture.

    Parameters
    ----------
    noise : ndarray of float32, shape (y, x)
        Changed in place.
    grain : float
        Share of the fine part that is not taken away, 0 to 1. Fine is what a binomial filter of five by five
        pixels (standard deviation 1 pixel) takes out.

    Returns
    -------
    ndarray of float32, shape (y, x)
        ``noise - grain * (noise - smooth(noise))``.
    """
    if grain == 0:
        return noise
    smooth = _smooth(_smooth(noise, 0), 1)
    smooth *= np.float32(grain)
    noise *= np.float32(1 - grain)
    noise += smooth
    return noise


def _smooth(noise: FloatArray, axis: int) -> FloatArray:
    """Weigh five neighbours along an axis with 1, 4, 6, 4, 1; beyond the border its value goes on."""
    return _pairs(_pairs(noise, axis), axis)


def _pairs(noise: FloatArray, axis: int) -> FloatArray:
    """Weigh three neighbours along an axis with 1, 2, 1."""
    along = noise if axis == 0 else noise.T
    half = along * np.float32(0.5)
    quarter = half * np.float32(0.5)
    half[1:] += quarter[:-1]
    half[:-1] += quarter[1:]
    half[0] += quarter[0]
    half[-1] += quarter[-1]
    return half if axis == 0 else half.T
