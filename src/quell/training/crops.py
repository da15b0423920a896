"""Random crops of clean references and of procedural anatomy for training."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quell.image import FloatArray
from quell.phantoms.procedural import random_anatomy

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
    """

    voxels: FloatArray
    contrast: float
    noise: float
    volume: bool


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
    """

    clean: FloatArray
    noise: FloatArray
    alone: np.ndarray


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
            voxels = random_anatomy(rng, (SLICES, 256, 256))
            self._drawn[place] = turns, Reference(voxels, 1.0, 0.0, True)
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
            reference = Reference(voxels, entry["contrast"], entry["noise"], entry["volume"])
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
            np.stack([c[0] for c in crops]),
            np.array([c[1] for c in crops], dtype=np.float32),
            np.array([c[2] for c in crops]),
        )

    def _reference(self) -> Reference:
        kind = self._kinds[int(self._rng.choice(len(self._kinds), p=self._shares))]
        if kind == "phantom":
            return self._phantoms.get(int(self._rng.integers(len(self._phantoms))), self.draws)
        pool = self._references[kind]
        return pool[int(self._rng.choice(len(pool), p=self._weights[kind]))]

    def _one(self, size: int) -> tuple[FloatArray, float, bool]:
        reference = self._reference()
        _, rows, columns = reference.voxels.shape
        # Averaging pixels halves the reference's own noise and adds a second scale of anatomy.
        factor = 2 if min(rows, columns) >= 2 * size and self._rng.random() < 0.35 else 1
        stack, alone = self._neighbours(reference, factor * size)
        clean = stack.reshape(SLICES, size, factor, size, factor).mean(axis=(2, 4))
        clean = self._turn(clean / np.float32(reference.contrast))
        own = reference.noise / reference.contrast * (0.6 if factor == 2 else 1.0)
        return np.ascontiguousarray(clean, dtype=np.float32), own, alone

    def _neighbours(self, reference: Reference, size: int) -> tuple[FloatArray, bool]:
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
        return np.pad(stack, short, mode="symmetric") if any(b for _, b in short) else stack, alone

    def _turn(self, stack: FloatArray) -> FloatArray:
        """Flip, transpose, reverse and negate at random: noise and anatomy know no preferred side."""
        flips = self._rng.random(5) < 0.5
        stack = stack[:, ::-1] if flips[0] else stack
        stack = stack[:, :, ::-1] if flips[1] else stack
        stack = stack[::-1] if flips[2] else stack
        stack = stack.transpose(0, 2, 1) if flips[3] else stack
        return -stack if flips[4] else stack
