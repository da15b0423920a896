"""Data of one noisy image that are left out of a fit, to see when it begins to tell noise."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from quell.methods.shared.deep_prior_fit import Judge
from quell.noise.emission.counting import thin_counts

_CUBE = 3
"""Side of what is left out, in voxels: only its middle is judged, since neighbours share noise."""

_LEAST = 1e-3


def split_counts(
    target: Tensor, weight: Tensor, unit: float, share: float, rng: np.random.Generator
) -> tuple[Tensor, Judge]:
    """Split counts into two that are independent, by binomial thinning.

    Parameters
    ----------
    target : Tensor
        Counts over `unit`.
    weight : Tensor
        1 where the target counts.
    unit : float
        Counts for one unit of the target.
    share : float
        Of the counts that are left out.
    rng : numpy.random.Generator

    Returns
    -------
    tuple
        Target from the counts that are kept, and the Poisson deviance (without what does not depend on the
        image) of those that are left out.
    """
    counts = np.rint(target.cpu().numpy() * unit)
    kept = thin_counts(counts, 1 - share, rng)
    left = torch.as_tensor((counts - kept) / share / unit).to(target)
    fitted = torch.as_tensor(kept / (1 - share) / unit).to(target)
    total = float(weight.sum())

    def judge(image: Tensor) -> float:
        expected = image.clamp(min=_LEAST)
        return float((weight * (expected - left * torch.log(expected))).sum()) / total

    return fitted, judge


def hold_out(target: Tensor, weight: Tensor, share: float, rng: np.random.Generator) -> tuple[Tensor, Judge]:
    """Leave cubes (squares in a plane) of voxels out of the fit.

    Returns
    -------
    tuple
        Weights without the cubes, and the mean squared error in the middles of the cubes.
    """
    shape = target.shape[2:]
    room = np.zeros(shape, np.float32)
    sites = math.ceil(share * room.size / _CUBE ** len(shape))
    room.ravel()[rng.choice(room.size, sites, replace=False)] = 1
    middles = torch.as_tensor(room).to(target)[None, None] * weight
    pool = torch.nn.functional.max_pool3d if len(shape) == 3 else torch.nn.functional.max_pool2d
    cubes = pool(middles, _CUBE, stride=1, padding=_CUBE // 2)
    number = middles.sum().clamp(min=1)

    def judge(image: Tensor) -> float:
        return float((middles * (image - target) ** 2).sum() / number)

    return weight * (1 - cubes), judge
