"""Random crops of clean references and of procedural anatomy for training."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from quell.image import FloatArray
from quell.phantoms.procedural import random_anatomy, random_style
from quell.training.laws import Law, draw_law
from quell.training.sectors import Place, crop_sectors, sector_maps, turned_sectors

SLICES = 3

SHARES = {"CT": 0.45, "MR": 0.11, "US": 0.02, "XR": 0.05, "phantom": 0.37}
"""How often a crop comes from each kind of reference.

PET is learned from phantoms alone: the grains of real PET look like structure to a network that is
shown them as the truth. Ultrasound has a small share for the same reason.
"""


@dataclass(frozen=True, eq=False)
class Reference:
    """One volume or a set of single images that stand for the truth.

    Attributes
    ----------
    voxels : ndarray of float32, shape (z, y, x)
    contrast : float
        The span of values that matters (1000 HU in CT), in the units of the voxels.
    noise : float
        Standard deviation of the noise that it has itself.
    volume : bool
        True when slices are neighbours.
    kind : str
        Modality, or the style of a phantom: decides which laws of noise it may get.
    sectors : ndarray of float16, shape (z, sectors, rows, columns), optional
        How strong the noise of a CT is in each direction and place, see `quell.training.sectors`.
    """

    voxels: FloatArray
    contrast: float
    noise: float
    volume: bool
    kind: str = ""
    sectors: npt.NDArray[np.float16] | None = None


@dataclass(frozen=True, eq=False)
class Crops:
    """A batch; values are divided by each reference's contrast.

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
    """

    clean: FloatArray
    noise: FloatArray
    alone: np.ndarray
    law: npt.NDArray[np.int64]
    sectors: FloatArray


@dataclass(frozen=True, eq=False)
class _Crop:
    """One of `Crops`."""

    clean: FloatArray
    noise: float
    alone: bool
    law: Law
    sectors: FloatArray


class PhantomPool:
    """An ever-changing pool of phantoms, each drawn when it is first asked for.

    What is in it depends on the seed and on how far the run is, not on how it came there: a run that
    stopped goes on with the same phantoms.

    Parameters
    ----------
    seed : int
    size : int
    renew : int
        One phantom is replaced, in turn, in every so many draws.
    """

    def __init__(self, seed: int, size: int, renew: int) -> None:
        self._seed, self._size, self._renew = seed, size, renew
        self._drawn: dict[int, tuple[int, Reference]] = {}

    def __len__(self) -> int:
        return self._size

    def get(self, place: int, draws: int) -> Reference:
        """Return the phantom at a place of the pool after a number of draws."""
        renewals = draws // self._renew
        turns = -(-max(renewals - place, 0) // self._size)
        if self._drawn.get(place, (-1,))[0] != turns:
            rng = np.random.default_rng([self._seed, place, turns])
            style = random_style(rng)
            voxels = random_anatomy(rng, (SLICES, 256, 256), style)
            sectors = sector_maps(1000 * voxels, rng.uniform(0.8, 2.0)) if style == "body" else None
            self._drawn[place] = turns, Reference(voxels, 1.0, 0.0, True, style, sectors)
        return self._drawn[place][1]


class CropSampler:
    """Draw batches of crops from packed references and from an ever-changing pool of phantoms.

    Parameters
    ----------
    pack : Path
        Folder written by ``python -m quell.training.pack``.
    rng : Generator
    phantoms : int
        Size of the pool; one of them is replaced in every `renew` draws.

    Attributes
    ----------
    draws : int
        Batches drawn so far; to be set, with the state of `rng`, by a run that goes on.
    """

    def __init__(self, pack: Path, rng: np.random.Generator, phantoms: int = 400, renew: int = 20) -> None:
        self._rng = rng
        self.draws = 0
        self._phantoms = PhantomPool(int(rng.integers(2**32)), phantoms, renew)
        self._references: dict[str, list[Reference]] = {}
        for entry in json.loads((pack / "index.json").read_text()):
            if entry["split"] != "train":
                continue
            voxels = np.load(pack / entry["file"], mmap_mode="r")
            kind, file = entry["modality"], entry.get("sectors")
            sectors = np.load(pack / file, mmap_mode="r") if file else None
            reference = Reference(voxels, entry["contrast"], entry["noise"], entry["volume"], kind, sectors)
            self._references.setdefault(entry["modality"], []).append(reference)
        # A reference counts by the root of its size, so that one long series does not drown the rest.
        self._weights = {
            kind: np.sqrt([r.voxels.size for r in rs]) / np.sqrt([r.voxels.size for r in rs]).sum()
            for kind, rs in self._references.items()
        }
        self._kinds = [k for k in SHARES if k in self._references or k == "phantom"]
        shares = np.array([SHARES[k] for k in self._kinds])
        self._shares = shares / shares.sum()

    def draw(self, count: int, size: int) -> Crops:
        """Return `count` crops of `size` x `size` pixels."""
        self.draws += 1
        crops = [self._one(size) for _ in range(count)]
        return Crops(
            np.stack([c.clean for c in crops]),
            np.array([c.noise for c in crops], dtype=np.float32),
            np.array([c.alone for c in crops]),
            np.array([c.law for c in crops], dtype=np.int64),
            np.stack([c.sectors for c in crops]),
        )

    def _reference(self) -> Reference:
        kind = self._kinds[int(self._rng.choice(len(self._kinds), p=self._shares))]
        if kind == "phantom":
            return self._phantoms.get(int(self._rng.integers(len(self._phantoms))), self.draws)
        pool = self._references[kind]
        return pool[int(self._rng.choice(len(pool), p=self._weights[kind]))]

    def _one(self, size: int) -> _Crop:
        reference = self._reference()
        law = draw_law(self._rng, reference.kind, reference.sectors is not None)
        _, rows, columns = reference.voxels.shape
        # Averaging pixels halves the reference's own noise and adds a second scale of anatomy.
        factor = 2 if min(rows, columns) >= 2 * size and self._rng.random() < 0.35 else 1
        stack, alone, place = self._neighbours(reference, factor * size)
        clean = stack.reshape(SLICES, size, factor, size, factor).mean(axis=(2, 4))
        sectors = crop_sectors(
            reference.sectors if law is Law.STREAKS else None, place, reference.voxels.shape
        )
        flips = self._rng.random(5) < 0.5
        # Counts and echoes have a floor: upside down they obey no law.
        flips[4] &= law in (Law.GENERAL, Law.STREAKS)
        clean = _turned(clean / np.float32(reference.contrast), flips)
        own = reference.noise / reference.contrast * (0.6 if factor == 2 else 1.0)
        return _Crop(
            np.ascontiguousarray(clean, dtype=np.float32), own, alone, law, turned_sectors(sectors, flips)
        )

    def _neighbours(self, reference: Reference, size: int) -> tuple[FloatArray, bool, Place]:
        depth, rows, columns = reference.voxels.shape
        z = int(self._rng.integers(depth))
        alone = not reference.volume or self._rng.random() < 0.3
        reach = SLICES // 2
        index = [z] * SLICES if alone else [min(max(z + k, 0), depth - 1) for k in range(-reach, reach + 1)]
        if not alone and self._rng.random() < 0.1:
            index[0] = z
        y = int(self._rng.integers(max(rows - size, 0) + 1))
        x = int(self._rng.integers(max(columns - size, 0) + 1))
        stack = np.stack([reference.voxels[i, y : y + size, x : x + size] for i in index])
        short = [(0, 0), (0, size - stack.shape[1]), (0, size - stack.shape[2])]
        stack = np.pad(stack, short, mode="symmetric") if any(b for _, b in short) else stack
        return stack, alone, Place(z, y, x, size)


def _turned(stack: FloatArray, flips: npt.NDArray[np.bool_]) -> FloatArray:
    """Flip, transpose, reverse and negate: noise and anatomy know no preferred side."""
    stack = stack[:, ::-1] if flips[0] else stack
    stack = stack[:, :, ::-1] if flips[1] else stack
    stack = stack[::-1] if flips[2] else stack
    stack = stack.transpose(0, 2, 1) if flips[3] else stack
    return -stack if flips[4] else stack
