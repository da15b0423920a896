"""The one study that is denoised as training data: its own slices, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np

from quell.image import Image
from quell.methods.contracts import DataFacts
from quell.training.data.contracts import Variant
from quell.training.data.measure import measure_data
from quell.training.data.noise import Roles
from quell.training.data.pool import Pool
from quell.training.data.stacks import make_stack


def study_pool(image: Image, prior: Image | None, kind: Any) -> tuple[Pool, DataFacts]:
    """Return the slices of an image as a pool, and what a method may know of them.

    Parameters
    ----------
    image : Image
        Padding is filled with the lowest real value, as it is where the network is applied.
    prior : Image or None
        On the same grid.
    kind : type
        A `quell.methods.contracts.Method`.
    """
    scaling = kind.scaling(image.modality)
    filled = _without_holes(image)
    roles = Roles(image, (filled.voxels,), (Variant(noisy=0),))
    stack = make_stack(image.name, image.name, roles, scaling, None, prior)
    data = measure_data([stack], image.modality, scaling)
    return Pool([stack], kind.facts.dimensions), data


def _without_holes(image: Image) -> Image:
    if image.padding is None or image.padding.all():
        return image
    lowest = image.voxels[~image.padding].min()
    return image.with_voxels(np.where(image.padding, lowest, image.voxels))
