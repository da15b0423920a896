"""From what a method says of an image to what a denoiser gives: within range, padding kept, blended."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from quell.image import Image
from quell.inference.contracts import Denoised, NoiseMap
from quell.inference.levels import value_range
from quell.inference.sampling import Outputs


def finish(
    image: Image,
    found: Outputs,
    strength: float,
    noise: NoiseMap,
    seconds: dict[str, float],
    facts: Mapping[str, float | int | str] | None = None,
) -> Denoised:
    """Put the result of a denoiser together.

    Values stay within the range of the input, and padding as it is. The spread and the interval are those of
    the full strength.

    Parameters
    ----------
    image : Image
        Before.
    found : dict of str to ndarray, shape (z, y, x)
        ``image``, and ``spread`` or ``lower`` and ``upper``, in the units of the image; changed in place.
    strength : float
        Share of the change that is made.
    noise : NoiseMap
    seconds : dict of str to float
    facts : mapping, optional
    """
    low, high = value_range(image)
    for name, values in found.items():
        np.clip(values, *((0, np.inf) if name == "spread" else (low, high)), out=values)
        if image.padding is not None:
            values[image.padding] = 0 if name == "spread" else image.voxels[image.padding]
    voxels = found["image"]
    if strength < 1:
        voxels = image.voxels + np.float32(strength) * (voxels - image.voxels)
    return Denoised(
        image.with_voxels(voxels),
        noise,
        seconds,
        spread=found.get("spread"),
        lower=found.get("lower"),
        upper=found.get("upper"),
        facts=facts or {},
    )
