"""Random crops of clean references, of procedural anatomy and of scanned objects for training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from quell.image import FloatArray
from quell.inference.kinds import one_hot
from quell.training.laws import Law, draw_kind, draw_law
from quell.training.pool import MADE, Pool, Reference
from quell.training.sectors import Place, crop_sectors, turned_sectors

SLICES = 3


@dataclass(frozen=True, eq=False)
class Crops:
    """A batch; values are divided by each reference's contrast.

    Two and two, the first and the second, the third and the fourth, are one and the same crop, for two
    noises: what is wrong in both is no chance.

    Attributes
    ----------
    clean : ndarray of float32, shape (n, SLICES, size, size)
    noise : ndarray of float32, shape (n,)
        Own noise of the references.
    alone : ndarray of bool, shape (n,)
        True where there are no neighbouring slices.
    law : ndarray of int, shape (n,)
        Which noise is to be added, see `quell.training.laws.Law`.
    sectors : ndarray of float32, shape (n, sectors, rows, columns)
        Variance maps of crops with streaks, on a coarse grid; ones elsewhere.
    kind : ndarray of float32, shape (n, kinds)
        What the image is said to show, see `quell.inference.kinds.one_hot`.
    noisy : ndarray of float32, shape (n, SLICES, size, size)
        Where the law is ``MADE``; elsewhere as `clean`.
    level : ndarray of float32, shape (n, size, size)
        Of the middle slice, where the law is ``MADE``, with 0 where nothing is to be learned; ones elsewhere.
    descriptor : ndarray of float32, shape (n, DESCRIPTOR_SIZE)
        Where the law is ``MADE``.
    focus : ndarray of float32, shape (n, size, size)
        From 0 to 1, where a lesion was put in beforehand; zeros elsewhere.
    """

    clean: FloatArray
    noise: FloatArray
    alone: npt.NDArray[np.bool_]
    law: npt.NDArray[np.int64]
    sectors: FloatArray
    kind: FloatArray
    noisy: FloatArray
    level: FloatArray
    descriptor: FloatArray
    focus: FloatArray


_Crop: TypeAlias = "dict[str, Any]"
"""One of `Crops`, by its columns."""

_COLUMNS: dict[str, npt.DTypeLike] = {
    "clean": np.float32,
    "noise": np.float32,
    "alone": np.bool_,
    "law": np.int64,
    "sectors": np.float32,
    "kind": np.float32,
    "noisy": np.float32,
    "level": np.float32,
    "descriptor": np.float32,
    "focus": np.float32,
}


class CropSampler:
    """Draw batches of crops from packed references.

    What is in a batch depends on the seed and on its number alone: a run that stopped goes on with the same,
    and several processes can draw side by side.

    Parameters
    ----------
    pack : Path
        Folder with an ``index.json``, as ``quell train release`` makes it.
    seed : int
    kind : str
        The one kind of image to draw (`quell.inference.kinds.KINDS`), see `quell.training.pool`; all if
        empty.

    Raises
    ------
    QuellError
        If nothing in the pack can pass for that kind.
    """

    def __init__(self, pack: Path, seed: int, kind: str = "") -> None:
        self._seed, self._kind = seed, kind
        self._rng = np.random.default_rng(seed)
        self._pool = Pool(pack, kind)

    def draw(self, number: int, count: int, size: int) -> Crops:
        """Return batch `number`: `count` crops of `size` x `size` pixels, two and two alike.

        Raises
        ------
        ValueError
            If `count` is odd.
        """
        if count % 2:
            raise ValueError(f"crops come two and two, not {count}")
        self._rng = np.random.default_rng([self._seed, number])
        crops = [crop for _ in range(count // 2) for crop in self._two(size)]
        columns = {
            name: np.stack([np.asarray(one[name], dtype) for one in crops])
            for name, dtype in _COLUMNS.items()
        }
        return Crops(**columns)

    def _two(self, size: int) -> tuple[_Crop, _Crop]:
        """Return a crop twice; one that was scanned beforehand with two noises."""
        reference = self._pool.draw(self._rng)
        if reference.made:
            return self._made(reference, size)
        drawn = self._drawn(reference, size)
        return drawn, drawn

    def _drawn(self, reference: Reference, size: int) -> _Crop:
        """Return a crop that gets its noise later."""
        law = draw_law(self._rng, reference.kind, reference.sectors_file is not None, self._kind)
        rows, columns = reference.shape[-2:]
        # Averaging pixels halves the reference's own noise and adds a second scale of anatomy.
        factor = 2 if min(rows, columns) >= 2 * size and self._rng.random() < 0.35 else 1
        index, alone, place = self._place(reference, factor * size)
        stack = _cut(reference.voxels, index, place)
        clean = _halved(stack) if factor == 2 else stack
        maps = reference.sectors if law is Law.STREAKS else None
        sectors = crop_sectors(maps, place, reference.shape)
        flips = self._rng.random(5) < 0.5
        # Counts and echoes have a floor: upside down they obey no law.
        flips[4] &= law in (Law.GENERAL, Law.STREAKS)
        clean = _turned(clean / np.float32(reference.contrast), flips)
        return {
            "clean": clean,
            "noise": reference.noise / reference.contrast * (0.6 if factor == 2 else 1.0),
            "alone": alone,
            "law": law,
            "sectors": turned_sectors(sectors, flips),
            "kind": one_hot(draw_kind(self._rng, reference.kind, law, self._kind)),
            "noisy": clean,
            "level": np.ones((size, size)),
            "descriptor": reference.descriptor,
            "focus": np.zeros((size, size)),
        }

    def _made(self, reference: Reference, size: int) -> tuple[_Crop, _Crop]:
        """Return a crop of an object that was scanned beforehand, in two scans that keep noise and sign."""
        index, alone, place = self._place(reference, size)
        clean, level, focus, *noisy = reference.voxels
        first, second = self._rng.choice(len(noisy), 2, replace=False)
        flips = self._rng.random(5) < 0.5
        flips[4] = False
        contrast = np.float32(reference.contrast)
        truth, one, other, deviation, where = (
            _turned(_cut(array, index, place), flips)
            for array in (clean, noisy[first], noisy[second], level, focus)
        )
        told = np.array(reference.descriptor)
        # The last number says along which axis there is more power.
        told[-1] *= -1 if flips[3] else 1
        kind = reference.kind.removeprefix(MADE)
        crop = {
            "clean": truth / contrast,
            "noise": 0.0,
            "alone": alone,
            "law": Law.MADE,
            "sectors": crop_sectors(None, place, reference.shape[1:]),
            "kind": one_hot("" if self._rng.random() < 0.125 else kind),
            "noisy": one / contrast,
            "level": deviation[SLICES // 2] / contrast,
            "descriptor": told,
            "focus": np.abs(where[SLICES // 2]),
        }
        return crop, crop | {"noisy": other / contrast}

    def _place(self, reference: Reference, size: int) -> tuple[list[int], bool, Place]:
        """Draw a place: the slices, whether they are one and the same, and the corner."""
        depth, rows, columns = reference.shape[-3:]
        z = int(self._rng.integers(depth))
        alone = not reference.volume or self._rng.random() < 0.3
        reach = SLICES // 2
        index = [z] * SLICES if alone else [min(max(z + k, 0), depth - 1) for k in range(-reach, reach + 1)]
        if not alone and self._rng.random() < 0.1:
            index[0] = z
        y = int(self._rng.integers(max(rows - size, 0) + 1))
        x = int(self._rng.integers(max(columns - size, 0) + 1))
        return index, alone, Place(z, y, x, size)


def _cut(voxels: FloatArray, index: list[int], place: Place) -> FloatArray:
    """Return slices of a square, mirrored where the reference is smaller than it."""
    size = place.size
    rows, columns = slice(place.y, place.y + size), slice(place.x, place.x + size)
    stack = np.stack([voxels[i, rows, columns] for i in index])
    short = [(0, 0), (0, size - stack.shape[1]), (0, size - stack.shape[2])]
    return np.pad(stack, short, mode="symmetric") if any(b for _, b in short) else stack


def _halved(stack: FloatArray) -> FloatArray:
    """Average two by two pixels."""
    rows: FloatArray = stack[:, ::2] + stack[:, 1::2]
    return (rows[:, :, ::2] + rows[:, :, 1::2]) / np.float32(4)


def _turned(stack: FloatArray, flips: npt.NDArray[np.bool_]) -> FloatArray:
    """Flip, transpose, reverse and negate: noise and anatomy know no preferred side."""
    stack = stack[:, ::-1] if flips[0] else stack
    stack = stack[:, :, ::-1] if flips[1] else stack
    stack = stack[::-1] if flips[2] else stack
    stack = stack.transpose(0, 2, 1) if flips[3] else stack
    return -stack if flips[4] else stack
