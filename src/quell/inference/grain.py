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
    smooth = _smooth(noise)
    smooth *= np.float32(grain / 256)
    noise *= np.float32(1 - grain)
    noise += smooth
    return noise


def _smooth(noise: FloatArray) -> FloatArray:
    """Weigh five by five neighbours with 1, 4, 6, 4, 1 along both axes; beyond the border it is mirrored.

    Four sums of two neighbours along each axis, which need no memory but two arrays. The result is 256 times
    the mean.
    """
    one = np.pad(noise, 2, mode="symmetric")
    other = np.empty_like(one)
    rows, columns = one.shape
    for _ in range(4):
        rows -= 1
        np.add(one[:rows], one[1 : rows + 1], out=other[:rows])
        one, other = other, one
    for _ in range(4):
        columns -= 1
        np.add(one[:rows, :columns], one[:rows, 1 : columns + 1], out=other[:rows, :columns])
        one, other = other, one
    return one[:rows, :columns]
