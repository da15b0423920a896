"""Samples of the universal network for its peers: of one kind of image, or of one span of noise levels."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from quell.errors import QuellError
from quell.image import FloatArray
from quell.training.corruption import Corrupted, Scanned, corrupt
from quell.training.crops import Crops, CropSampler

Span: TypeAlias = "tuple[float, float] | tuple[()]"

SHOWN_BY = {
    "CT": ("CT", "body"),
    "MR": ("MR", "brain"),
    "US": ("US", "ultrasound"),
    "XR": ("XR", "radiograph"),
}
"""References, and styles of phantoms, that pass for one kind alone."""


class KindSampler(CropSampler):
    """Draw crops from the references of one kind alone, or from all.

    Parameters
    ----------
    pack : Path
    seed : int
    kind : str
        One of `SHOWN_BY`, or empty.

    Raises
    ------
    QuellError
        If the pack has none.
    """

    def __init__(self, pack: Path, seed: int, kind: str = "") -> None:
        self._wanted = SHOWN_BY.get(kind)
        super().__init__(pack, seed)
        if not self._kinds:
            raise QuellError(f"no references of kind {kind or 'any'} in the pack")

    def _add(self, pack: Path, entry: dict[str, Any]) -> None:
        if self._wanted is None or entry["modality"] in self._wanted:
            super()._add(pack, entry)


def sigmas(own: FloatArray, seed: int, step: int, span: Span = ()) -> FloatArray:
    """Draw the level of the noise that each crop gets, two and two the same.

    Parameters
    ----------
    own : ndarray, shape (n,)
        Noise of the references.
    seed, step : int
    span : tuple of float
        Lowest and highest level, over the contrast of the reference. Where it is empty, the whole range of
        `quell.training.universal.Run`, which adds at least twice the noise of the reference.
    """
    rng = np.random.default_rng([seed, 1, step])
    if span:
        lowest, highest = (np.full_like(own, end) for end in span)
    else:
        lowest = np.maximum(2 * own, 0.005)
        highest = np.maximum(0.22, 1.5 * lowest)
    drawn = np.repeat(rng.random(len(own) // 2), 2)
    levels: FloatArray = (lowest * (highest / lowest) ** drawn).astype(np.float32)
    return levels


def corrupted(crops: Crops, seed: int, step: int, span: Span = ()) -> Corrupted:
    """Add the noise of a step; see `sigmas`."""

    def tensor(array: npt.NDArray[Any]) -> Tensor:
        return torch.from_numpy(array)

    level, focus = tensor(crops.level[:, None]), tensor(crops.focus[:, None])
    scanned = Scanned(tensor(crops.noisy), level, tensor(crops.descriptor), focus)
    sigma = tensor(sigmas(crops.noise, seed, step, span))
    clean, own, alone = tensor(crops.clean), tensor(crops.noise), tensor(crops.alone)
    law, sectors, kind = tensor(crops.law), tensor(crops.sectors), tensor(crops.kind)
    return corrupt(clean, own, sigma, alone, law, sectors, kind, scanned)
