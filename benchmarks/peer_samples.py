"""Samples of the universal network for its peers, of the whole range of noise levels or of one span."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from quell.image import FloatArray
from quell.training.corruption import Corrupted, Scanned, corrupt
from quell.training.crops import Crops

Span: TypeAlias = "tuple[float, float] | tuple[()]"


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
