"""The noise level of an image by plain means: one number, fast, from its quiet parts."""

from __future__ import annotations

import numpy as np

from quell.image import FloatArray, Image, Modality
from quell.noise.flat import quiet_level

QUIET_SHARE = 0.2
"""Share of the blocks that is taken for the quiet ones."""

QUANTILE_OF_WHITE = 0.924
"""The lower fifth of the standard deviations of 8 x 8 blocks of white noise, around their planes, over the
true one: 1 - 0.84 / sqrt(2 * 61)."""

_CT_BODY = -500.0
_SIGNAL = 0.1
_MAD = 0.6745


def foreground(image: Image) -> tuple[float, float]:
    """Return the values between which the patient lies: above -500 HU in CT, above a tenth of the span of
    values elsewhere."""
    real = image.voxels if image.padding is None else image.voxels[~image.padding]
    if real.size == 0:
        return -np.inf, np.inf
    if image.modality is Modality.CT:
        return _CT_BODY, np.inf
    low, high = np.percentile(real, (0.5, 99.5))
    return float(low + _SIGNAL * (high - low)), np.inf


def noise_sigma(image: Image) -> float:
    """Return the noise level of an image by plain means.

    `quell.noise.flat.quiet_level` over the foreground, put right for the quantile it takes of white noise;
    where there are too few blocks, the median absolute diagonal difference (Donoho and Johnstone 1994).
    Correlated noise comes out too low, since part of it looks like slopes.

    Returns
    -------
    float
        In the units of the image; 0 for a constant one.
    """
    level = quiet_level(_real(image), foreground(image), QUIET_SHARE)
    return level / QUANTILE_OF_WHITE if level > 0 else _diagonal_level(image.voxels)


def _real(image: Image) -> FloatArray:
    """Return the voxels with padding moved out of every foreground."""
    if image.padding is None or not image.padding.any():
        return image.voxels
    real: FloatArray = np.where(image.padding, np.float32(np.finfo(np.float32).min), image.voxels)
    return real


def _diagonal_level(voxels: FloatArray) -> float:
    if min(voxels.shape[1:]) < 2:
        return 0.0
    a, b = voxels[:, ::2, ::2], voxels[:, 1::2, 1::2]
    c, d = voxels[:, ::2, 1::2], voxels[:, 1::2, ::2]
    rows, columns = b.shape[1:]
    cut = (slice(None), slice(rows), slice(columns))
    diagonal = (a[cut].astype(np.float64) + b[cut] - c[cut] - d[cut]) / 2
    return float(np.median(np.abs(diagonal)) / _MAD)
