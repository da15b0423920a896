"""Receive coils of an MR scanner: what they see, how their noise hangs together, how images are combined.

Images of coils are arrays (coils, y, x). A covariance is that of the complex noise of the coils at one
pixel, with half of it in the real and half in the imaginary part: ``E[n n^H] = 2 covariance``.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from quell.image import FloatArray

Coils: TypeAlias = npt.NDArray[np.complex64]
Covariance: TypeAlias = npt.NDArray[np.complex128]

_RING = 1.25
_OVERLAP = 1.1
_SEGMENTS = 32
_COARSE = 64


@lru_cache(maxsize=8)
def coil_sensitivities(shape: tuple[int, int], coils: int) -> Coils:
    """Return what loops on a ring around the field of view see of a magnetisation across the field.

    By the law of Biot and Savart over the wire of each loop; sensitivity is the rotating component
    ``Bx - i By`` of its field (Hoult, Concepts Magn Reson 12 (2000) 173). The axis of the scanner is
    that of the slices. A single coil is taken as a birdcage that sees all alike.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    coils : int

    Returns
    -------
    ndarray of complex64, shape (coils, rows, columns)
        Their root sum of squares is 1 in the middle.
    """
    if coils == 1:
        return np.ones((1, *shape), np.complex64)
    rows, columns = (np.linspace(-1, 1, min(n, _COARSE)) for n in shape)
    fields = [_loop_field(2 * math.pi * k / coils, coils, rows[:, None], columns) for k in range(coils)]
    seen = np.array([_stretch(field, shape) for field in fields])
    middle = np.sqrt((np.abs(seen[:, shape[0] // 2, shape[1] // 2]) ** 2).sum())
    sensitivities: Coils = (seen / middle).astype(np.complex64)
    sensitivities.flags.writeable = False
    return sensitivities


def _loop_field(
    angle: float, coils: int, y: npt.NDArray[np.float64], x: npt.NDArray[np.float64]
) -> npt.NDArray[np.complex128]:
    """Return ``Bx - i By`` in the plane of the slice of a loop that faces the middle from `angle`."""
    radius = _OVERLAP * math.pi * _RING / coils
    turn = 2 * np.pi * (np.arange(_SEGMENTS) + 0.5) / _SEGMENTS
    cos, sin = math.cos(angle), math.sin(angle)
    field = np.zeros(np.broadcast(y, x).shape, np.complex128)
    for a in turn:
        aside, up = radius * math.cos(a), radius * math.sin(a)
        wire = (_RING * cos - aside * sin, _RING * sin + aside * cos, up)
        step = (up * sin, -up * cos, aside)
        rx, ry, rz = x - wire[0], y - wire[1], -wire[2]
        cubed = (rx**2 + ry**2 + rz**2) ** 1.5
        bx, by = step[1] * rz - step[2] * ry, step[2] * rx - step[0] * rz
        field += (bx - 1j * by) / cubed
    return field


def _stretch(field: npt.NDArray[np.complex128], shape: tuple[int, int]) -> npt.NDArray[np.complex128]:
    """Interpolate a smooth field linearly to more rows and columns."""
    for axis, n in enumerate(shape):
        place = np.linspace(0, field.shape[axis] - 1, n)
        low = np.minimum(place.astype(int), field.shape[axis] - 2)
        share = np.expand_dims(place - low, 1 - axis)
        field = field.take(low, axis) * (1 - share) + field.take(low + 1, axis) * share
    return field


def coil_covariance(coils: int, correlation: float, sigma: float = 1.0) -> Covariance:
    """Return the covariance of the noise of coils on a ring, which falls off by `correlation` a neighbour.

    Parameters
    ----------
    coils : int
    correlation : float
        Of neighbours, in [0, 1).
    sigma : float
        Standard deviation of the real and of the imaginary part in each coil.

    Returns
    -------
    ndarray of complex128, shape (coils, coils)
    """
    apart = np.abs(np.subtract.outer(np.arange(coils), np.arange(coils)))
    covariance: Covariance = sigma**2 * (correlation ** np.minimum(apart, coils - apart)).astype(
        np.complex128
    )
    return covariance


def coil_noise(rng: np.random.Generator, covariance: Covariance, shape: tuple[int, int]) -> Coils:
    """Return white complex noise of coils, shape (coils, *shape)."""
    white = rng.standard_normal((len(covariance), *shape, 2), dtype=np.float32).view(np.complex64)[..., 0]
    root = np.linalg.cholesky(covariance).astype(np.complex64)
    noise: Coils = np.tensordot(root, white, axes=1)
    return noise


def sum_of_squares(images: npt.NDArray[np.complexfloating[Any, Any]]) -> FloatArray:
    """Return the root of the sum of squares over the coils (Roemer et al., Magn Reson Med 16 (1990) 192)."""
    combined: FloatArray = np.sqrt((np.abs(images) ** 2).sum(axis=0)).astype(np.float32)
    return combined
