"""What the tests of CT noise share: a pelvis-like object, and what is measured of stacks of noise."""

from __future__ import annotations

from typing import Any

import numpy as np

from quell.image import Geometry, Image, Modality
from quell.noise.ct import CTNoise
from quell.noise.tomography.kernels import Kernel

SIZE, SPACING = 128, 3.0
MODEL = CTNoise(flux=2e6, kernel=Kernel(0.09, 2.4), views=180, pitch=2.4)
"""The kernel has died away at the Nyquist frequency of pixels of 3 mm, as real ones have at theirs."""

STARVED = CTNoise(flux=1.5e5, kernel=Kernel(0.09, 2.4), views=180, pitch=2.4)
"""Between the bones a quarter of the dose leaves some ten quanta."""


def pelvis(size: int = SIZE) -> np.ndarray:
    """Return an ellipse of water, 320 x 230 mm at 3 mm, with a bone at each side, HU."""
    y, x = (np.mgrid[:size, :size] - (size - 1) / 2) / size
    values = np.where((x / 0.42) ** 2 + (y / 0.3) ** 2 < 1, 0.0, -1000.0)
    for side in (-0.24, 0.24):
        values[np.hypot(x - side, y) < 0.06] = 1200
    return values.astype(np.float32)


BODY = pelvis() == 0
BETWEEN = np.zeros((SIZE, SIZE), bool)
BETWEEN[58:70, 44:84] = True
MIDDLE = np.zeros((SIZE, SIZE), bool)
MIDDLE[36:92, 44:84] = True
FRONT = np.zeros((SIZE, SIZE), bool)
FRONT[34:46, 44:84] = True


def ct(voxels: np.ndarray, spacing: float = SPACING, **fields: Any) -> Image:
    """Return HU as an image whose slices have nothing to do with each other, unless told otherwise."""
    stack = np.ascontiguousarray(voxels if voxels.ndim == 3 else voxels[None], np.float32)
    geometry = fields.pop("geometry", Geometry(spacing=(spacing, spacing, spacing), known=True))
    return Image(stack, Modality.CT, "HU", geometry, **fields)


def copies(truth: np.ndarray, count: int) -> Image:
    return ct(np.broadcast_to(truth, (count, *truth.shape)).copy())


def sd_map(stack: np.ndarray, block: int = 4) -> np.ndarray:
    """Return the standard deviation over realisations, pooled over blocks of pixels."""
    variance = stack.astype(np.float64).var(axis=0, ddof=1)
    rows, columns = (n // block for n in variance.shape)
    return np.sqrt(variance.reshape(rows, block, columns, block).mean(axis=(1, 3)))


def pooled(mask: np.ndarray, block: int = 4) -> np.ndarray:
    """Return the blocks that lie in a mask altogether."""
    rows, columns = (n // block for n in mask.shape)
    return mask.reshape(rows, block, columns, block).all(axis=(1, 3))


def spectrum(stack: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Return the mean power spectrum of what realisations differ by in a rectangle."""
    r, c = np.flatnonzero(where.any(axis=1)), np.flatnonzero(where.any(axis=0))
    noise = (stack - stack.mean(axis=0))[:, r[0] : r[-1] + 1, c[0] : c[-1] + 1]
    window = np.outer(np.hanning(noise.shape[1] + 2)[1:-1], np.hanning(noise.shape[2] + 2)[1:-1])
    return (np.abs(np.fft.fft2(noise * window)) ** 2).mean(axis=0)


def frequencies(power: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    fy, fx = (np.fft.fftfreq(n) for n in power.shape)
    return np.broadcast_arrays(fy[:, None], fx[None])  # type: ignore[return-value]


def first_moment(power: np.ndarray) -> float:
    f = np.hypot(*frequencies(power))
    return float((power * f).sum() / power.sum())


def anisotropy(stack: np.ndarray, where: np.ndarray) -> float:
    """Return the power of differences along the rows' axis over that along the columns', in a rectangle.

    Differences weigh the spectrum with fy^2 and fx^2, and waste no sample on a window.
    """
    r, c = np.flatnonzero(where.any(axis=1)), np.flatnonzero(where.any(axis=0))
    noise = (stack - stack.mean(axis=0))[:, r[0] : r[-1] + 1, c[0] : c[-1] + 1]
    return float((np.diff(noise, axis=1) ** 2).mean() / (np.diff(noise, axis=2) ** 2).mean())
