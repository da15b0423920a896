"""The references that crops are drawn from, and how often each is: those of every kind, or of one alone."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from quell.errors import QuellError
from quell.image import FloatArray
from quell.noise.spectrum import DESCRIPTOR_SIZE
from quell.training.laws import passing

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

    def passing(self, kind: str) -> float:
        """How often its crops pass for a kind, of those that are said to show anything."""
        if self.made:
            return float(self.kind == MADE + kind)
        return passing(self.kind, kind)


class Pool:
    """All references of a pack for training, each with its share.

    For one kind alone a share is multiplied by how often its crops pass for that kind: what is drawn is
    what remains of the crops for all kinds when the others are left out.

    Parameters
    ----------
    pack : Path
        Folder with an ``index.json``.
    kind : str
        One of `quell.inference.kinds.KINDS`; all if empty.

    Raises
    ------
    QuellError
        If nothing in the pack can pass for that kind.
    """

    def __init__(self, pack: Path, kind: str = "") -> None:
        self._references: dict[str, list[Reference]] = {}
        for entry in json.loads((pack / "index.json").read_text()):
            if entry["split"] == "train":
                self._add(pack, entry)
        self._weights: dict[str, npt.NDArray[np.float64]] = {}
        shares = {}
        for group, share in (SHARES | {MADE + made: share for made, share in MADE_SHARES.items()}).items():
            references = self._references.get(group, [])
            # A reference counts by the root of its size, so that one long series does not drown the rest.
            roots = np.sqrt([math.prod(one.shape) for one in references])
            fitting = roots * np.array([one.passing(kind) for one in references]) if kind else roots
            if fitting.sum() > 0:
                self._weights[group] = fitting / fitting.sum()
                shares[group] = share * float(fitting.sum() / roots.sum())
        if not shares:
            raise QuellError(f"{pack}: holds no references to train {kind or 'anything'} with")
        self._groups = list(shares)
        chosen = np.array(list(shares.values()))
        self._shares = chosen / chosen.sum()

    def draw(self, rng: np.random.Generator) -> Reference:
        """Draw a reference."""
        group = self._groups[int(rng.choice(len(self._groups), p=self._shares))]
        references = self._references[group]
        return references[int(rng.choice(len(references), p=self._weights[group]))]

    def _add(self, pack: Path, entry: dict[str, Any]) -> None:
        file = pack / entry["file"]
        shape = np.load(file, mmap_mode="r").shape
        kind = (MADE if entry.get("made") else "") + entry["modality"]
        sectors = pack / entry["sectors"] if entry.get("sectors") else None
        told = tuple(entry.get("descriptor", Reference.descriptor))
        held = (file, shape, entry["contrast"], entry["noise"], entry["volume"], kind, sectors, told)
        group = "phantom" if entry.get("phantom") else kind
        self._references.setdefault(group, []).append(Reference(*held))
