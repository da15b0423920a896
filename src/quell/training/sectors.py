"""Maps of the directional noise of CT for references, and their share of a crop."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from quell.image import FloatArray
from quell.noise.ct_wedge import SECTORS, crop_variance, sector_variance

CELLS = 12
"""Cells along a side of a crop's maps."""

_GRID = 64
_SMALLEST = 0.02


class Place(NamedTuple):
    """Where a crop lies: slice, first row, first column, side in pixels of the reference."""

    z: int
    y: int
    x: int
    size: int


def sector_maps(voxels: FloatArray, pixel_mm: float) -> npt.NDArray[np.float16]:
    """Return how strong the noise of a CT is in each direction and place.

    Parameters
    ----------
    voxels : ndarray of float32, shape (z, y, x)
        HU.
    pixel_mm : float

    Returns
    -------
    ndarray of float16, shape (z, SECTORS, rows, columns)
        Variance over its mean in the slice.
    """
    maps = [sector_variance(pixels, pixel_mm, grid=_GRID) for pixels in voxels]
    return np.stack([m / m.mean() for m in maps]).astype(np.float16)


def crop_sectors(
    maps: npt.NDArray[np.float16] | None, place: Place, shape: tuple[int, ...]
) -> npt.NDArray[np.float32]:
    """Return the maps of a crop, shape (SECTORS, CELLS, CELLS), mean 1; ones where there are none.

    Parameters
    ----------
    maps : ndarray, shape (z, SECTORS, rows, columns), optional
        See `sector_maps`.
    place : Place
    shape : tuple of int
        Of the reference, (z, y, x).
    """
    if maps is None:
        return np.ones((SECTORS, CELLS, CELLS), np.float32)
    # Cells of the crop are the pixels of a slice that is reduced by the side of a cell.
    cell = place.size / CELLS
    reduced = (max(1, round(shape[1] / cell)), max(1, round(shape[2] / cell)))
    top, left = round(place.y / cell), round(place.x / cell)
    found = crop_variance(maps[place.z].astype(np.float32), reduced, top, left, (CELLS, CELLS))
    relative: npt.NDArray[np.float32] = np.maximum(found / found.mean(), _SMALLEST)
    return relative


def turned_sectors(maps: FloatArray, flips: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Turn the maps as the crop is turned: places move, and so do directions.

    Parameters
    ----------
    maps : ndarray of float32, shape (SECTORS, CELLS, CELLS)
    flips : ndarray of bool
        Of the rows, the columns, the slices, along the diagonal.
    """
    sectors = len(maps)
    direction = np.arange(sectors)
    turned: npt.NDArray[np.float32] = maps
    for flip, axis in ((flips[0], 1), (flips[1], 2)):
        if flip:
            # A mirror turns the direction t into -t.
            turned = np.flip(turned, axis)[-direction % sectors]
    if flips[3]:
        turned = turned.transpose(0, 2, 1)[(sectors // 2 - direction) % sectors]
    return np.ascontiguousarray(turned, np.float32)
