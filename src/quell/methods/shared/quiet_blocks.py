"""The quiet blocks of an image: where what varies is noise, and how strong it is there.

Activity has structure in most blocks of a small image, and a noise level over all of it is too high. In the
blocks with the least variation for their mean there is little but noise; a residual is compared with
the noise in just these.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from quell.image import BoolArray, FloatArray, Image
from quell.noise.flat import SIDE, block_statistics

_QUIET = 0.3
"""Share of the blocks that are taken for quiet."""

_ACTIVE = 0.1
_FEWEST = 4


def quiet_noise(image: Image, usable: BoolArray) -> FloatArray:
    """Return the standard deviation of the noise in quiet blocks, 0 elsewhere, shape (z, y, x).

    Parameters
    ----------
    image : Image
    usable : ndarray of bool, shape (z, y, x)

    Returns
    -------
    ndarray of float32
        Around the best plane of each block of 8 x 8 pixels, in the units of the image. Only blocks with
        activity count, unless there are too few of them. All 0 where the image is smaller than a block.
    """
    depth, rows, columns = image.shape
    whole = rows // SIDE * SIDE, columns // SIDE * SIDE
    sigma = np.zeros(image.shape, np.float32)
    if not all(whole) or not usable.any():
        return sigma
    plain = replace(image, padding=None)
    found = [block_statistics(plain, z) for z in range(depth)]
    shape = (depth, whole[0] // SIDE, whole[1] // SIDE)
    mean = np.stack([m for m, _ in found]).reshape(shape)
    sd = np.stack([s for _, s in found]).reshape(shape)
    blocks = usable[:, : whole[0], : whole[1]].reshape(depth, shape[1], SIDE, shape[2], SIDE)
    judged = blocks.all(axis=(2, 4)) & (sd > 0)
    active = judged & (mean > _ACTIVE * np.quantile(image.voxels[usable], 0.995))
    judged = active if active.sum() >= _FEWEST else judged
    if not judged.any():
        return sigma
    ratio = np.where(judged, sd / np.maximum(np.abs(mean), 1e-30), np.inf)
    quiet = ratio <= np.quantile(ratio[judged], _QUIET)
    kept = np.where(quiet, sd, 0.0).astype(np.float32)
    sigma[:, : whole[0], : whole[1]] = kept.repeat(SIDE, axis=1).repeat(SIDE, axis=2)
    return sigma
