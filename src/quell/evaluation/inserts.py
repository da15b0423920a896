"""Known things to put into an image: balls and rods whose every voxel holds the part it is filled to."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from quell.evaluation.observers.scores import Array

Inside = Callable[[Array, Array, Array], npt.NDArray[Any]]
"""Of positions z, y, x in mm from the middle, which broadcast: true inside a shape."""

SIGMA_OF_FWHM = 1 / (2 * math.sqrt(2 * math.log(2)))

_FINE = 5
_REACH = 3.5
"""Standard deviations after which a blur is cut off."""


def stamp(
    spacing: tuple[float, float, float],
    reach: tuple[float, float, float],
    inside: Inside,
    blur_mm: float = 0.0,
) -> Array:
    """Sample a shape around the middle of a voxel.

    Parameters
    ----------
    spacing : (z, y, x)
        Size of a voxel, mm.
    reach : (z, y, x)
        Half the size of a box that holds the shape, mm; 0 along z for one slice of a shape that is the
        same in all.
    inside : callable
    blur_mm : float
        Full width at half maximum of a Gaussian that the shape is blurred with, in three dimensions (in
        the plane where the reach along z is 0).

    Returns
    -------
    ndarray of float64, odd shape (z, y, x)
        The part of each voxel that the shape fills, counted on 5 points along each axis and blurred.
    """
    margin = _REACH * SIGMA_OF_FWHM * blur_mm
    along = [r > 0 or axis > 0 for axis, r in enumerate(reach)]
    half = [
        math.ceil((r + margin) / step) if used else 0
        for r, step, used in zip(reach, spacing, along, strict=True)
    ]
    offsets = (np.arange(_FINE) + 0.5) / _FINE - 0.5
    points = [
        ((np.arange(-h, h + 1)[:, None] + offsets) * step).ravel() if used else np.zeros(_FINE)
        for h, step, used in zip(half, spacing, along, strict=True)
    ]
    fine = inside(points[0][:, None, None], points[1][None, :, None], points[2][None, None, :])
    shape = [len(axis) for axis in points]
    filled = np.broadcast_to(np.asarray(fine, np.float64), shape)
    counts = [n // _FINE for n in shape]
    part = filled.reshape(counts[0], _FINE, counts[1], _FINE, counts[2], _FINE).mean(axis=(1, 3, 5))
    for axis, (step, used) in enumerate(zip(spacing, along, strict=True)):
        if used and blur_mm > 0:
            part = _blurred(part, axis, SIGMA_OF_FWHM * blur_mm / step)
    return np.asarray(part)


def ball_stamp(spacing: tuple[float, float, float], diameter_mm: float, blur_mm: float = 0.0) -> Array:
    """Return a ball around the middle of a voxel; see `stamp`."""
    radius = _radius(diameter_mm)
    return stamp(spacing, (radius,) * 3, lambda z, y, x: z**2 + y**2 + x**2 <= radius**2, blur_mm)


def rod_stamp(spacing: tuple[float, float, float], diameter_mm: float, blur_mm: float = 0.0) -> Array:
    """Return one slice of a rod along z, shape (1, rows, columns); see `stamp`."""
    radius = _radius(diameter_mm)
    return stamp(spacing, (0.0, radius, radius), lambda z, y, x: y**2 + x**2 <= radius**2 + 0 * z, blur_mm)


def add_stamp(voxels: npt.NDArray[Any], part: Array, site: tuple[int, int, int], contrast: float) -> None:
    """Add a stamp with its middle at a voxel, in place; what lies outside the image is left out.

    A stamp of one slice goes into that slice only.
    """
    here, there = [], []
    for size, length, middle in zip(voxels.shape, part.shape, site, strict=True):
        first = middle - length // 2
        low, high = max(first, 0), min(first + length, size)
        if low >= high:
            return
        here.append(slice(low, high))
        there.append(slice(low - first, high - first))
    voxels[tuple(here)] += contrast * part[tuple(there)]


def _radius(diameter_mm: float) -> float:
    if not 0 < diameter_mm < math.inf:
        raise ValueError(f"a diameter must be positive, got {diameter_mm:g} mm")
    return diameter_mm / 2


def _blurred(part: Array, axis: int, sigma: float) -> Array:
    """Convolve one axis with a Gaussian; the stamp has room for it."""
    reach = max(1, math.ceil(_REACH * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(sigma, 1e-9)) ** 2)
    kernel /= kernel.sum()
    return np.apply_along_axis(_convolve, axis, part, kernel)


def _convolve(line: Array, kernel: Array) -> Array:
    """Convolve and keep the middle, also where the kernel is the longer one."""
    extra = len(kernel) // 2
    return np.asarray(np.convolve(line, kernel)[extra : extra + len(line)])
