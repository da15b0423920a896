"""Slices of an image as a network wants them: padded, without holes, with their neighbours."""

from __future__ import annotations

import numpy as np

from quell.image import FloatArray, Image


class Slices:
    """Hand out padded slices of an image.

    Parameters
    ----------
    image : Image
    multiple : int
        Rows and columns are extended, by reflection, to a multiple of this.

    Attributes
    ----------
    image : Image
    padded_shape : tuple of int
        Rows and columns of what `padded` returns.
    """

    def __init__(self, image: Image, multiple: int) -> None:
        self.image = image
        self._extra = [(0, -length % multiple) for length in image.shape[1:]]
        rows, columns = (n + extra[1] for n, extra in zip(image.shape[1:], self._extra, strict=True))
        self.padded_shape = rows, columns
        self._fill = self._lowest() if image.padding is not None else 0.0

    def padded(self, z: int) -> FloatArray:
        """Return slice `z` with its holes filled, shape `padded_shape`."""
        pixels: FloatArray = self.image.voxels[z]
        if self.image.padding is not None:
            pixels = np.where(self.image.padding[z], np.float32(self._fill), pixels)
        if any(after for _, after in self._extra):
            pixels = np.pad(pixels, self._extra, mode="symmetric")
        return pixels

    def neighbours(self, z: int, count: int) -> tuple[int, ...]:
        """Return the indices of the `count` slices around `z`.

        Where there is no neighbour (the ends of the volume, a gap, frames over time), the slice
        itself stands in, as it did in training.
        """
        reach = count // 2
        return (*reversed(self._walk(z, -1, reach)), z, *self._walk(z, 1, reach))

    def _walk(self, z: int, direction: int, reach: int) -> list[int]:
        found: list[int] = []
        for _ in range(reach):
            last = found[-1] if found else z
            found.append(last + direction if self._adjacent(last, last + direction) else last)
        return found

    def _adjacent(self, z: int, other: int) -> bool:
        inside = self.image.volume and 0 <= other < self.image.shape[0]
        return inside and min(z, other) not in self.image.gaps

    def _lowest(self) -> float:
        """Return the lowest real value: what lies outside the field of view is mostly air."""
        assert self.image.padding is not None
        real = ~self.image.padding
        return float(self.image.voxels[real].min()) if real.any() else 0.0
