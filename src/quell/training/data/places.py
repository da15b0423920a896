"""Where crops are taken: images, positions and orientations, drawn all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quell.image import FloatArray, Modality
from quell.training.data.contracts import Stack

BLOCK = 8
"""Side in pixels of the blocks by whose means crops are judged."""

TRIES = 4
"""Positions that are looked at before one with next to nothing in it is taken."""

FOREGROUND = 0.1
"""Least mean of a crop that counts as something, between the lowest and the highest values."""

AT_POINTS = 0.5
"""Share of the crops of images with points that are placed to hold one."""

_GRID = (np.arange(4) + 0.5) / 4

Integers = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Places:
    """Where n crops lie, as sums of three parts of a position in a flat array.

    Attributes
    ----------
    slices, rows, columns : ndarray of int64, shapes (n, depth), (n, height) and (n, width)
        Steps from the first voxel of the image to those of the crop.
    points : ndarray of float64, shape (n, p, 3)
        In pixels of the crop; NaN outside of it.
    """

    slices: Integers
    rows: Integers
    columns: Integers
    points: npt.NDArray[np.float64]


class Atlas:
    """What there is to know of the stacks in order to place crops in them.

    Parameters
    ----------
    stacks : sequence of Stack
    dimensions : int
        2: slices are stacked around the one that is drawn, and end slices repeated. 3: depth is cropped as
        rows and columns are.
    """

    def __init__(self, stacks: Sequence[Stack], dimensions: int) -> None:
        self._deep = dimensions == 3
        self._shape = np.array([s.shape for s in stacks], np.int64)
        runs = [s.runs() for s in stacks]
        self._slice = _starts([len(run) for run in runs])
        self._runs = np.concatenate(runs)
        maps = [foreground_map(s) for s in stacks]
        self._map = _starts([m.size for m in maps])
        self._map_shape = np.array([m.shape for m in maps], np.int64)
        self._maps = np.concatenate([m.ravel() for m in maps])
        most = max(len(s.points) for s in stacks)
        self._points = np.full((len(stacks), most, 3), np.nan)
        for number, stack in enumerate(stacks):
            self._points[number, : len(stack.points)] = stack.points
        self._pointed = np.array([len(s.points) for s in stacks], np.int64)
        sound = np.array([s.modality is Modality.US for s in stacks])
        self._square = np.array([s.square for s in stacks]) & ~sound
        self._upright, self._volume = sound, np.array([s.volume for s in stacks])

    def draw(self, rng: np.random.Generator, which: Integers, patch: tuple[int, int, int]) -> Places:
        """Place a crop of the shape `patch` in each of the stacks `which`, shape (n,)."""
        start = self._positions(rng, which, patch)
        shape = self._shape[which]
        z = self._slices_of(which, start[:, 0], patch[0])
        y, x = (
            _mirrored(start[:, axis, None] + np.arange(patch[axis]), shape[:, axis, None]) for axis in (1, 2)
        )
        begin = np.stack([start[:, 0] - (0 if self._deep else patch[0] // 2), start[:, 1], start[:, 2]], 1)
        points = self._points[which] - begin[:, None]
        return self._turned(rng, which, patch, (z, y, x), points)

    def _positions(self, rng: np.random.Generator, which: Integers, patch: tuple[int, int, int]) -> Integers:
        """Return slice, first row and first column, shape (n, 3), the best of several tries."""
        shape, n = self._shape[which], len(which)
        free = np.maximum(shape[:, None, 1:] - np.array(patch[1:]) + 1, 1)
        corner = (rng.random((n, TRIES, 2)) * free).astype(np.int64)
        # What is smaller than the crop lies in its middle.
        corner += np.minimum((shape[:, None, 1:] - np.array(patch[1:])) // 2, 0)
        z = (rng.random((n, TRIES)) * shape[:, None, 0]).astype(np.int64)
        filled = self._filled(which, z, corner, patch) > FOREGROUND
        first = np.argmax(filled, axis=1)
        each = np.arange(n)
        start = np.concatenate([z[each, first, None], corner[each, first]], axis=1)
        start = self._with_points(rng, which, start, patch)
        if self._deep:
            start[:, 0] = self._first_slice(which, start[:, 0], patch[0])
        return start

    def _filled(
        self, which: Integers, z: Integers, corner: Integers, patch: tuple[int, int, int]
    ) -> npt.NDArray[np.float32]:
        """Return about the mean of each candidate, shape (n, tries), from the blocks it lies on."""
        shape = self._map_shape[which]
        rows, columns = (
            np.clip(
                (corner[:, :, axis, None] + (_GRID * patch[axis + 1]).astype(np.int64)) // BLOCK,
                0,
                shape[:, None, None, axis + 1] - 1,
            )
            for axis in (0, 1)
        )
        line = (z * shape[:, None, 1])[:, :, None] + rows
        place = line[:, :, :, None] * shape[:, None, None, None, 2] + columns[:, :, None, :]
        found: npt.NDArray[np.float32] = self._maps[self._map[which][:, None, None, None] + place].mean(
            axis=(2, 3)
        )
        return found

    def _with_points(
        self, rng: np.random.Generator, which: Integers, start: Integers, patch: tuple[int, int, int]
    ) -> Integers:
        """Move a share of the crops so that they hold a point, anywhere in them."""
        n = len(which)
        share, pick, shift = rng.random(n), rng.random(n), rng.random((n, 3))
        if not self._pointed.any():
            return start
        count = self._pointed[which]
        point = self._points[which, (pick * count).astype(np.int64)]
        goal = np.rint(np.nan_to_num(point)).astype(np.int64)
        shape = self._shape[which]
        moved = goal - (shift * np.array(patch)).astype(np.int64)
        moved[:, 1:] = np.clip(moved[:, 1:], 0, np.maximum(shape[:, 1:] - np.array(patch[1:]), 0))
        moved[:, 1:] += np.minimum((shape[:, 1:] - np.array(patch[1:])) // 2, 0)
        # In depth the slice in the middle is told, from which the first follows.
        moved[:, 0] = goal[:, 0] if not self._deep else moved[:, 0] + patch[0] // 2
        moved[:, 0] = np.clip(moved[:, 0], 0, shape[:, 0] - 1)
        taken = (share < AT_POINTS) & (count > 0)
        return np.where(taken[:, None], moved, start)

    def _first_slice(self, which: Integers, z: Integers, depth: int) -> Integers:
        low, high = self._runs[self._slice[which] + z].T
        short = high - low + 1 < depth
        inside = np.clip(z - depth // 2, low, np.maximum(high - depth + 1, low))
        centred = low - (depth - (high - low + 1)) // 2
        return np.asarray(np.where(short, centred, inside), np.int64)

    def _slices_of(self, which: Integers, z: Integers, depth: int) -> Integers:
        """Return the slices of each crop, shape (n, depth)."""
        if not self._deep:
            low, high = self._runs[self._slice[which] + z].T
            near = z[:, None] + np.arange(depth) - depth // 2
            return np.asarray(np.clip(near, low[:, None], high[:, None]), np.int64)
        within = np.clip(z + depth // 2, 0, self._shape[which, 0] - 1)
        low, high = self._runs[self._slice[which] + within].T
        index = z[:, None] + np.arange(depth) - low[:, None]
        return np.asarray(low[:, None] + _mirrored(index, (high - low + 1)[:, None]), np.int64)

    def _turned(
        self,
        rng: np.random.Generator,
        which: Integers,
        patch: tuple[int, int, int],
        index: tuple[Integers, Integers, Integers],
        points: npt.NDArray[np.float64],
    ) -> Places:
        """Flip and transpose the crops as the physics of each allows."""
        flips = rng.random((len(which), 4)) < 0.5
        # The beam comes from above, and shadows lie below; frames have an order in time.
        flips[:, 0] &= self._volume[which] & ~self._upright[which]
        flips[:, 1] &= ~self._upright[which]
        flips[:, 3] &= self._square[which] & (patch[1] == patch[2])
        z, y, x = (
            np.where(flip[:, None], part[:, ::-1], part)
            for flip, part in zip(flips.T[:3], index, strict=True)
        )
        last = np.array(patch) - 1.0
        points = np.where(flips[:, None, :3], last - points, points)
        plane, row = self._shape[which, 1] * self._shape[which, 2], self._shape[which, 2]
        y, x = y * row[:, None], x
        if patch[1] == patch[2]:
            over = flips[:, 3]
            y, x = np.where(over[:, None], x, y), np.where(over[:, None], y, x)
            points = np.where(over[:, None, None], points[:, :, [0, 2, 1]], points)
        outside = (points < -0.5) | (points > last + 0.5)
        points = np.where(outside.any(axis=2, keepdims=True), np.nan, points)
        return Places(z * plane[:, None], y, x, points)


def foreground_map(stack: Stack) -> FloatArray:
    """Return means of blocks of `BLOCK` pixels, 0 for the lowest and 1 for the highest values.

    Shape (z, rows, columns), of the clean image where there is one. Blocks at the lower and the right edge
    may be cut short.
    """
    variant = stack.variants[0]
    source = np.asarray(stack.voxels[variant.clean if variant.clean >= 0 else variant.noisy])
    low, high = np.quantile(source[:: max(1, len(source) // 16)], (0.005, 0.995))
    edges = [np.arange(0, n, BLOCK) for n in source.shape[1:]]
    sums = np.add.reduceat(np.add.reduceat(source, edges[0], axis=1), edges[1], axis=2)
    counts = np.outer(*(np.diff(np.append(e, n)) for e, n in zip(edges, source.shape[1:], strict=True)))
    span = float(high - low) or 1.0
    found: FloatArray = ((sums / counts - low) / span).astype(np.float32)
    return found


def _starts(sizes: Sequence[int]) -> Integers:
    return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)[:-1]])


def _mirrored(index: Integers, length: Integers) -> Integers:
    """Fold indices back at both ends of 0 to length - 1, without repeating the end."""
    period = np.maximum(2 * (length - 1), 1)
    folded = np.mod(index, period)
    return np.where(length > 1, np.where(folded >= length, period - folded, folded), 0)
