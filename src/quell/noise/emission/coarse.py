"""Fewer, larger pixels for images that are finer than what a scanner resolves."""

from __future__ import annotations

import numpy as np

from quell.image import FloatArray
from quell.noise.grid import block_mean, upsample


def coarsen(stack: FloatArray, factor: int) -> FloatArray:
    """Average slices (z, y, x) over squares of `factor` pixels; the last rows and columns are repeated."""
    if factor == 1:
        return stack
    pad = [(0, 0), *((0, -n % factor) for n in stack.shape[1:])]
    return np.asarray(block_mean(np.pad(stack, pad, mode="edge"), factor), np.float32)


def refine(stack: FloatArray, shape: tuple[int, int], factor: int) -> FloatArray:
    """Interpolate coarse slices linearly to slices of rows and columns `shape`; `factor` is 1 or even."""
    if factor == 1:
        return stack
    return np.asarray(upsample(stack, factor)[:, : shape[0], : shape[1]], np.float32)
