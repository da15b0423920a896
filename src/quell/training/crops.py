"""Random crops of clean references, of procedural anatomy and of scanned objects for training."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from quell.image import FloatArray
from quell.inference.kinds import one_hot
from quell.noise.spectrum import DESCRIPTOR_SIZE
from quell.training.laws import Law, draw_kind, draw_law
from quell.training.sectors import Place, crop_sectors, turned_sectors

SLICES = 3

SHARES = {"CT": 0.33, "MR": 0.1, "US": 0.01, "XR": 0.06, "phantom": 0.21}
MADE_SHARES = {"PT": 0.1, "SPECT": 0.05, "NM": 0.06, "US": 0.06, "XR": 0.02}
"""How often a crop comes from each kind of reference, and of object that was scanned beforehand.

PET is learned from drawn objects alone: the grains of real PET look like structure to a network that is
shown them as the truth. Real ultrasound has a small share for the same reason.
"""

MADE = "made:"
"""Before the kind of objects that were scanned beforehand."""


@dataclass(frozen=True, eq=False)
class Reference:
    """One volume or a set of single images that stand for the truth.

    Attributes
    ----------
    file : Path
        Of the voxels: float32, shape (z, y, x).
    shape : tuple of int
        Of the array in the file.
    contrast : float
        The span of values that matters (1000 HU in CT), in the units of the voxels.
    noise : float
        Standard deviation of the noise that it has itself.
    volume : bool
        True when slices are neighbours.
    kind : str
        Modality, or the style of a phantom: decides which laws of noise it may get. That of objects that
        were scanned beforehand begins with `MADE`; their voxels have the shape (3 + n, z, y, x): clean,
        level, where lesions were put in, noisy.
    sectors_file : Path, optional
        How strong the noise of a CT is in each direction and place, see `quell.training.sectors`.
    descriptor : tuple of float
        Of the noise of objects that were scanned beforehand.

    Notes
    -----
    A file is open only while it is read: there are more of them than a process may hold open.
    """

    file: Path
    shape: tuple[int, ...]
    contrast: float
    noise: float
    volume: bool
    kind: str = ""
    sectors_file: Path | None = None
    descriptor: tuple[float, ...] = (0.0,) * DESCRIPTOR_SIZE

    @property
    def voxels(self) -> FloatArray:
        """The array in the file, of which only what is used gets read."""
        array: FloatArray = np.load(self.file, mmap_mode="r")
        return array

    @property
    def sectors(self) -> npt.NDArray[np.float16] | None:
        """The maps of directional noise, shape (z, sectors, rows, columns)."""
        return None if self.sectors_file is None else np.load(self.sectors_file, mmap_mode="r")

    @property
    def made(self) -> bool:
        """Whether it was scanned beforehand."""
        return self.kind.startswith(MADE)


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
    """

    def __init__(self, pack: Path, seed: int) -> None:
        self._seed = seed
        self._rng = np.random.default_rng(seed)
        self._references: dict[str, list[Reference]] = {}
        for entry in json.loads((pack / "index.json").read_text()):
            if entry["split"] == "train":
                self._add(pack, entry)
        # A reference counts by the root of its size, so that one long series does not drown the rest.
        self._weights = {
            kind: roots / roots.sum()
            for kind, references in self._references.items()
            for roots in [np.sqrt([math.prod(one.shape) for one in references])]
        }
        shares = SHARES | {MADE + kind: share for kind, share in MADE_SHARES.items()}
        self._kinds = [kind for kind in shares if kind in self._references]
        chosen = np.array([shares[k] for k in self._kinds])
        self._shares = chosen / chosen.sum()

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

    def _add(self, pack: Path, entry: dict[str, Any]) -> None:
        file = pack / entry["file"]
        shape = np.load(file, mmap_mode="r").shape
        kind = (MADE if entry.get("made") else "") + entry["modality"]
        sectors = pack / entry["sectors"] if entry.get("sectors") else None
        told = tuple(entry.get("descriptor", Reference.descriptor))
        held = (file, shape, entry["contrast"], entry["noise"], entry["volume"], kind, sectors, told)
        group = "phantom" if entry.get("phantom") else kind
        self._references.setdefault(group, []).append(Reference(*held))

    def _reference(self) -> Reference:
        kind = self._kinds[int(self._rng.choice(len(self._kinds), p=self._shares))]
        pool = self._references[kind]
        return pool[int(self._rng.choice(len(pool), p=self._weights[kind]))]

    def _two(self, size: int) -> tuple[_Crop, _Crop]:
        """Return a crop twice; one that was scanned beforehand with two noises."""
        reference = self._reference()
        if reference.made:
            return self._made(reference, size)
        drawn = self._drawn(reference, size)
        return drawn, drawn

    def _drawn(self, reference: Reference, size: int) -> _Crop:
        """Return a crop that gets its noise later."""
        law = draw_law(self._rng, reference.kind, reference.sectors_file is not None)
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
            "kind": one_hot(draw_kind(self._rng, reference.kind, law)),
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
