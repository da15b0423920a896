"""Single numbers of a noise map, taken where there is something to see."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from quell.image import BoolArray, Image, Modality
from quell.inference.contracts import NoiseMap

_CT_BODY = -500.0
_SIGNAL = 0.1


def level_percentiles(noise: NoiseMap, image: Image, percentiles: tuple[float, ...]) -> tuple[float, ...]:
    """Return percentiles of the noise level over the foreground of an image, in its units.

    Zeros where nothing of it has any noise.
    """
    inside = _foreground(image, noise.block)
    rows, columns = inside.shape[1:]
    level = noise.level[:, :rows, :columns]
    chosen = level[inside & (level > 0)]
    if chosen.size == 0:
        chosen = level[level > 0]
    if chosen.size == 0:
        return tuple(0.0 for _ in percentiles)
    return tuple(float(value) for value in np.percentile(chosen, percentiles))


def with_median(noise: NoiseMap, image: Image, sigma: float) -> NoiseMap:
    """Scale a noise map so that its median over the foreground of an image is `sigma`.

    The map keeps its shape: a level that is known is known on the average, seldom point by point.
    """
    (median,) = level_percentiles(noise, image, (50,))
    return noise.scaled(sigma / median) if median > 0 else noise


def _foreground(image: Image, block: int) -> BoolArray:
    """Return the blocks whose centre shows the patient: body in CT, signal elsewhere, no padding."""
    y, x = (_middles(length, block) for length in image.shape[1:])
    centres = image.voxels[:, y][:, :, x]
    real = np.ones(centres.shape, bool)
    if image.padding is not None:
        real = ~image.padding[:, y][:, :, x]
    if image.modality is Modality.CT:
        return real & (centres > _CT_BODY)
    low, high = np.percentile(centres, (0.5, 99.5))
    inside: BoolArray = real & (centres > low + _SIGNAL * (high - low))
    return inside


def _middles(length: int, side: int) -> npt.NDArray[np.intp]:
    """Return the middle pixel of each block along an axis; the last block may be cut."""
    return np.minimum(np.arange(0, length, side) + side // 2, length - 1)
