"""One slice through the network: normalise, run, take a share of what it found away."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from quell.image import FloatArray
from quell.inference.contracts import NoiseMap
from quell.inference.grain import without_grain
from quell.inference.normalise import local_mean
from quell.inference.slices import Slices
from quell.inference.tiling import tiles
from quell.models.card import ModelCard
from quell.noise.grid import upsample

Told: TypeAlias = Callable[[FloatArray], "tuple[FloatArray, ...]"]
"""A network that has been told the noise and the kind of image: from slices to its outputs."""


@dataclass(frozen=True)
class Dose:
    """How much of the estimated noise goes.

    Attributes
    ----------
    strength, grain : float
        Share of all that goes, and of its fine part that stays nevertheless.
    """

    strength: float
    grain: float


class Buffer(threading.local):
    """An array for each thread: fresh memory for every slice costs as much as its use."""

    _array: FloatArray | None = None

    def of(self, shape: tuple[int, ...]) -> FloatArray:
        """Return this thread's array, which the next call of the thread overwrites."""
        if self._array is None or self._array.shape != shape:
            self._array = np.empty(shape, np.float32)
        return self._array


@dataclass(frozen=True, eq=False)
class Treatment:
    """Takes the noise out of slices; may be called from several threads.

    Attributes
    ----------
    slices : Slices
    noise : NoiseMap
        Of all of them.
    dose : Dose
    network : Told
    card : ModelCard
    tile : int
        Longest side in pixels that is run in one piece.
    bounds : tuple of float
        No voxel leaves this range.
    buffer : Buffer
    """

    slices: Slices
    noise: NoiseMap
    dose: Dose
    network: Told
    card: ModelCard
    tile: int
    bounds: tuple[float, float]
    buffer: Buffer

    def __call__(self, z: int) -> FloatArray:
        """Return slice `z` without its noise, shape (y, x)."""
        image = self.slices.image
        _, rows, columns = image.shape
        if self.dose.strength == 0 or not self.noise.level[z].any():
            untouched: FloatArray = image.voxels[z]
            return untouched
        centre = self.slices.padded(z)
        level = upsample(self.noise.level[z], self.noise.block)
        removed = without_grain(self._tiled(self._normalised(z, centre, level)), self.dose.grain)
        removed *= level
        removed *= np.float32(self.dose.strength)
        np.subtract(centre, removed, out=removed)
        denoised: FloatArray = np.clip(removed, *self.bounds, out=removed)[:rows, :columns]
        if image.padding is not None:
            denoised = np.where(image.padding[z], image.voxels[z], denoised)
        return denoised

    def _normalised(self, z: int, centre: FloatArray, level: FloatArray) -> FloatArray:
        """Return a slice and its neighbours around the local mean, in units of the level."""
        mean = local_mean(centre)
        stack = self.buffer.of((1, self.card.slices, *self.slices.padded_shape))
        for channel, index in enumerate(self.slices.neighbours(z, self.card.slices)):
            pixels = centre if index == z else self.slices.padded(index)
            np.subtract(pixels, mean, out=stack[0, channel])
            stack[0, channel] /= level
        return stack

    def _tiled(self, stack: FloatArray) -> FloatArray:
        rows, columns = stack.shape[2:]
        if max(rows, columns) <= self.tile:
            whole: FloatArray = self.network(stack)[0][0, 0]
            return whole
        result = np.empty((rows, columns), np.float32)
        for y, x in tiles((rows, columns), self.tile, self.card.halo, self.card.multiple):
            piece = np.ascontiguousarray(stack[:, :, y.start : y.stop, x.start : x.stop])
            noise = self.network(piece)[0][0, 0]
            result[y.keep_start : y.keep_stop, x.keep_start : x.keep_stop] = noise[
                y.keep_start - y.start : y.keep_stop - y.start, x.keep_start - x.start : x.keep_stop - x.start
            ]
        return result
