"""Single numbers of a noise map, taken where there is something to see."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from quell.image import BoolArray, FloatArray, Image, Modality
from quell.inference.contracts import NoiseMap
from quell.noise.flat import SIDE as BLOCK
from quell.noise.spectrum import DESCRIPTOR_SIZE

_CT_BODY = -500.0
_SIGNAL = 0.1


def level_percentiles(noise: NoiseMap, image: Image, percentiles: tuple[float, ...]) -> tuple[float, ...]:
    """Return percentiles of the noise level over the foreground of an image, in its units.

    Zeros where nothing of it has any noise.
    """
    level = foreground_level(noise, image)
    chosen = level[level > 0]
    if chosen.size == 0:
        return tuple(0.0 for _ in percentiles)
    return tuple(float(value) for value in np.percentile(chosen, percentiles))


def foreground_level(noise: NoiseMap, image: Image) -> FloatArray:
    """Return the level on the grid of blocks, and 0 where a block does not show the patient."""
    inside = _foreground(image, noise.block)
    level: FloatArray = np.where(inside, noise.level[:, : inside.shape[1], : inside.shape[2]], np.float32(0))
    return level


def median_level(noise: NoiseMap, image: Image) -> float:
    """Return the median noise level over the foreground of an image, in its units."""
    return level_percentiles(noise, image, (50,))[0]


def with_median(noise: NoiseMap, image: Image, sigma: float) -> NoiseMap:
    """Scale a noise map so that its median over the foreground of an image is `sigma`.

    The map keeps its shape: a level that is known is known on the average, seldom point by point.
    """
    median = median_level(noise, image)
    return noise.scaled(sigma / median) if median > 0 else noise


def even_noise(image: Image, sigma: float, descriptor: npt.NDArray[np.float32] | None = None) -> NoiseMap:
    """Return a noise map of one level for all blocks, white where no descriptor is given."""
    depth, rows, columns = image.shape
    level = np.full((depth, -(-rows // BLOCK), -(-columns // BLOCK)), sigma, np.float32)
    white = np.zeros(DESCRIPTOR_SIZE, np.float32)
    return NoiseMap(level, BLOCK, image.shape, white if descriptor is None else descriptor)


def value_range(image: Image) -> tuple[float, float]:
    """Return the lowest and the highest real value: removing noise cannot leave that range."""
    voxels = image.voxels if image.padding is None else image.voxels[~image.padding]
    if voxels.size == 0:
        return -np.inf, np.inf
    return float(voxels.min()), float(voxels.max())


def _foreground(image: Image, block: int) -> BoolArray:
    """Return the blocks whose middle shows the patient: body in CT, signal elsewhere, no padding.

    Blocks in which nothing varies are left out. Where no block is left, all that are no padding are
    taken; where those are none, all.
    """
    y, x = (_middles(length, block) for length in image.shape[1:])
    centres = image.voxels[:, y][:, :, x]
    real = np.ones(centres.shape, bool)
    if image.padding is not None:
        real = ~image.padding[:, y][:, :, x]
        real = real if real.any() else ~real
    if image.modality is Modality.CT:
        threshold = _CT_BODY
    else:
        low, high = np.percentile(centres, (0.5, 99.5))
        threshold = float(low + _SIGNAL * (high - low))
    varied = real & _varies(image.voxels, y, x)
    real = varied if varied.any() else real
    inside: BoolArray = real & (centres > threshold)
    return inside if inside.any() else real


def _varies(voxels: FloatArray, y: npt.NDArray[np.intp], x: npt.NDArray[np.intp]) -> BoolArray:
    """Say at which pixels a neighbour differs: the black around a sector or a masked brain is none."""
    rows, columns = voxels.shape[1:]
    centres = voxels[:, y][:, :, x]
    varies = np.zeros(centres.shape, bool)
    for dy, dx in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        beside = voxels[:, np.clip(y + dy, 0, rows - 1)][:, :, np.clip(x + dx, 0, columns - 1)]
        varies |= beside != centres
    return varies


def _middles(length: int, side: int) -> npt.NDArray[np.intp]:
    """Return the middle pixel of each block along an axis; the last block may be cut."""
    return np.minimum(np.arange(0, length, side) + side // 2, length - 1)
