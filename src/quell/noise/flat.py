"""Noise in the flat parts of an image: a plain measure that needs no model."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from quell.image import FloatArray, Image

SIDE = 8
"""Side in pixels of the blocks that are looked at."""

_SLICES = 12
_FLAT_SHARE = 0.25


def flat_noise_ratio(before: Image, after: FloatArray) -> float:
    """Return how much of the noise of the flat parts is left after denoising.

    In the quarter of all blocks that vary least before, the standard deviation around a fitted
    plane is compared block by block.

    Parameters
    ----------
    before : Image
    after : ndarray of float32, shape (z, y, x)

    Returns
    -------
    float
        Median over the blocks of SD after over SD before; 1 where no block can be judged.
    """
    first, second = [], []
    depth = before.shape[0]
    for z in np.unique(np.linspace(0, depth - 1, min(depth, _SLICES)).astype(int)):
        blocks = _blocks(before.voxels[z])
        usable = np.ones(len(blocks), bool)
        if before.padding is not None:
            usable = ~_blocks(before.padding[z]).any(axis=1)
        first.append(_detrended_sd(blocks[usable]))
        second.append(_detrended_sd(_blocks(after[z])[usable]))
    sd_before, sd_after = np.concatenate(first), np.concatenate(second)
    real = sd_before > 0
    if not real.any():
        return 1.0
    sd_before, sd_after = sd_before[real], sd_after[real]
    flat = sd_before <= np.quantile(sd_before, _FLAT_SHARE)
    return float(np.median(sd_after[flat] / sd_before[flat]))


def _blocks(pixels: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """Cut a slice into its whole blocks, shape (blocks, SIDE * SIDE)."""
    rows, columns = (n // SIDE for n in pixels.shape)
    cut = pixels[: rows * SIDE, : columns * SIDE].reshape(rows, SIDE, columns, SIDE)
    return cut.swapaxes(1, 2).reshape(rows * columns, SIDE * SIDE)


def _detrended_sd(blocks: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    """Return the standard deviation of each block around its best plane."""
    if len(blocks) == 0:
        return np.zeros(0)
    values = blocks.astype(np.float64)
    residual = values - values @ _plane_projector()
    sd: npt.NDArray[np.float64] = np.sqrt((residual**2).sum(axis=1) / (SIDE * SIDE - 3))
    return sd


@lru_cache(maxsize=1)
def _plane_projector() -> npt.NDArray[np.float64]:
    """Return the matrix that projects a block on the planes."""
    y, x = np.mgrid[:SIDE, :SIDE].reshape(2, -1) - (SIDE - 1) / 2
    plane = np.stack([np.ones(SIDE * SIDE), y, x], axis=1)
    projector: npt.NDArray[np.float64] = plane @ np.linalg.pinv(plane)
    return projector


def quiet_level(voxels: FloatArray, inside: tuple[float, float], share: float = 0.2) -> float:
    """Return the noise level of the quiet parts of a stack.

    Parameters
    ----------
    voxels : ndarray of float32, shape (z, y, x)
    inside : tuple of float
        Only blocks whose mean lies between these values count (tissue, not air).
    share : float
        Which quantile of the blocks' standard deviations is taken: low enough to miss edges.

    Returns
    -------
    float
        In the units of the voxels; 0 where fewer than 20 blocks can be judged.
    """
    stack = voxels[:: max(1, len(voxels) // 8)]
    blocks = np.concatenate([_blocks(pixels) for pixels in stack]).astype(np.float64)
    sd, mean = _detrended_sd(blocks), blocks.mean(axis=1)
    usable = (mean > inside[0]) & (mean < inside[1]) & (sd > 0)
    return float(np.quantile(sd[usable], share)) if usable.sum() >= 20 else 0.0
