"""Noise in the flat parts of an image: a plain measure that needs no model."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from quell.image import FloatArray, Image
from quell.noise.spectrum import bin_centres, radial_power

SIDE = 8
"""Side in pixels of the blocks that are looked at."""

_SLICES = 12
_MOSTLY_NOISE = (0.5, 1.3)
_ANGLES = 24

_COARSEST = 0.035
"""Cycles per pixel that stand for the lowest bin of the spectrum, which goes up to 0.06."""


def flat_noise_ratio(before: Image, after: FloatArray, level: FloatArray) -> float | None:
    """Return how much of the noise of the flat parts is left after denoising.

    Flat are the blocks whose standard deviation around a fitted plane is about the noise level that
    was estimated there; in them it is compared before and after, block by block.

    Parameters
    ----------
    before : Image
    after : ndarray of float32, shape (z, y, x)
    level : ndarray of float32, shape (z, rows, columns)
        What the noise shows in each block of side `SIDE`, in the units of the image: its level, for coarse
        noise times `share_in_a_block`.

    Returns
    -------
    float or None
        Median over the flat blocks of SD after over SD before; None where no block is flat.
    """
    ratios = []
    depth, height, width = before.shape
    for z in np.unique(np.linspace(0, depth - 1, min(depth, _SLICES)).astype(int)):
        sd_before = detrended_sd(blocks(before.voxels[z]))
        sd_after = detrended_sd(blocks(after[z]))
        expected = level[z, : height // SIDE, : width // SIDE].ravel()
        flat = (sd_before > _MOSTLY_NOISE[0] * expected) & (sd_before < _MOSTLY_NOISE[1] * expected)
        if before.padding is not None:
            flat &= ~blocks(before.padding[z]).any(axis=1)
        ratios.append(sd_after[flat] / sd_before[flat])
    found = np.concatenate(ratios)
    return float(np.median(found)) if found.size else None


def share_in_a_block(descriptor: npt.NDArray[np.float32]) -> float:
    """Return the standard deviation of noise around a plane in a block, over that of white noise.

    Noise coarser than a block is mostly slopes there: speckle of ten pixels shows a fifth of its level.

    Parameters
    ----------
    descriptor : ndarray of float32
        Of its spectrum, see `quell.noise.spectrum.describe`.

    Returns
    -------
    float
        At most 1.
    """
    variance = float(radial_power(descriptor) @ _seen_in_a_block())
    white = float(radial_power(np.zeros_like(descriptor)) @ _seen_in_a_block())
    return float(min(1.0, np.sqrt(variance / white)))


@lru_cache(maxsize=1)
def _seen_in_a_block() -> npt.NDArray[np.float64]:
    """Return the share of the power in each radial bin that is left when a block loses its best plane."""
    frequencies = bin_centres()
    frequencies[0] = _COARSEST
    angles = np.pi * np.arange(_ANGLES) / _ANGLES
    y, x = np.mgrid[:SIDE, :SIDE]
    waves = np.cos(angles)[:, None, None] * x + np.sin(angles)[:, None, None] * y
    phases = 2 * np.pi * frequencies[:, None, None, None] * waves
    # A wave of any phase is made of its cosine and its sine.
    parts = np.stack([np.cos(phases), np.sin(phases)]).reshape(-1, SIDE * SIDE)
    left: npt.NDArray[np.float64] = np.square(detrended_sd(parts)).reshape(2, len(frequencies), _ANGLES)
    seen: npt.NDArray[np.float64] = left.sum(axis=0).mean(axis=1)
    return seen


def blocks(pixels: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """Cut a slice into its whole blocks, shape (blocks, SIDE * SIDE)."""
    rows, columns = (n // SIDE for n in pixels.shape)
    cut = pixels[: rows * SIDE, : columns * SIDE].reshape(rows, SIDE, columns, SIDE)
    return cut.swapaxes(1, 2).reshape(rows * columns, SIDE * SIDE)


def detrended_sd(pixels: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    """Return the standard deviation of each block, as `blocks` cuts them, around its best plane."""
    if len(pixels) == 0:
        return np.zeros(0)
    values = pixels.astype(np.float64)
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


def block_statistics(image: Image, z: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return mean and standard deviation around a plane of the blocks of slice `z` without padding."""
    values = blocks(image.voxels[z]).astype(np.float64)
    if image.padding is not None:
        values = values[~blocks(image.padding[z]).any(axis=1)]
    return values.mean(axis=1), detrended_sd(values)


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
    values = np.concatenate([blocks(pixels) for pixels in stack]).astype(np.float64)
    sd, mean = detrended_sd(values), values.mean(axis=1)
    # The SD of a constant block is seldom exactly 0 after rounding.
    usable = (mean > inside[0]) & (mean < inside[1]) & (np.ptp(values, axis=1) > 0)
    return float(np.quantile(sd[usable], share)) if usable.sum() >= 20 else 0.0
