"""Small lesions of all contrasts, put into the objects that training scans.

Drawn anatomy holds few of them, and a network that has met few takes a small hot spot for noise: it costs
a sphere of 10 mm a sixth of its SUVpeak. They are put into the truth, before the scanner blurs it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from quell.image import FloatArray, Image


@dataclass(frozen=True)
class Lesions:
    """What is sown.

    Attributes
    ----------
    count : int
    radius_mm : tuple of float
        Drawn evenly over the logarithm between the two.
    ratio : tuple of float
        Of a hot lesion to the place that it lies in, likewise.
    cold : float
        Share of cold ones, which keep 0 to 70 % of what is there.
    """

    count: int
    radius_mm: tuple[float, float]
    ratio: tuple[float, float]
    cold: float


LESIONS = {
    "PT": Lesions(14, (2.5, 14.0), (1.3, 12.0), 0.15),
    "SPECT": Lesions(10, (4.0, 18.0), (1.3, 8.0), 0.25),
    "NM": Lesions(16, (3.0, 14.0), (1.2, 5.0), 0.15),
}
"""By kind of image."""

_WITHIN = 0.02
"""Least value of a place, in shares of the 99th percentile: there is nothing to be seen outside the body."""


def sow(truth: Image, lesions: Lesions, rng: np.random.Generator) -> tuple[Image, FloatArray]:
    """Put ellipsoids at random places of an object.

    Parameters
    ----------
    truth : Image
        Activity or expected counts, none below zero.
    lesions : Lesions
    rng : Generator

    Returns
    -------
    Image
        The object with its lesions.
    ndarray of float32, shape (z, y, x)
        From 0 to 1: how much of a voxel and of what the blur of a scanner spreads around it is lesion.
    """
    voxels = truth.voxels.astype(np.float32).copy()
    focus = np.zeros_like(voxels)
    places = np.argwhere(voxels > _WITHIN * np.percentile(voxels, 99))
    spacing = np.array(truth.geometry.spacing)
    if len(places) == 0:
        return truth, focus
    for _ in range(lesions.count):
        centre = places[int(rng.integers(len(places)))] + rng.uniform(-0.5, 0.5, 3)
        radius = _even(rng, lesions.radius_mm)
        ratio = rng.uniform(0, 0.7) if rng.random() < lesions.cold else _even(rng, lesions.ratio)
        shape = np.exp(rng.normal(0, 0.2, 3))
        part, away = _around(voxels.shape, centre, spacing, 3 * radius)
        distance = np.sqrt(sum((axis / s) ** 2 for axis, s in zip(away, shape, strict=True)))
        # A voxel at the border is filled in part.
        filled = np.clip((radius - distance) / spacing[1:].mean() + 0.5, 0, 1)
        voxels[part] *= 1 + (ratio - 1) * filled
        near = np.clip((radius + 4 - distance) / 4, 0, 1)
        focus[part] = np.maximum(focus[part], near)
    return replace(truth, voxels=voxels), focus


def _even(rng: np.random.Generator, span: tuple[float, float]) -> float:
    low, high = np.log(span)
    return float(np.exp(rng.uniform(low, high)))


def _around(
    shape: tuple[int, ...], centre: np.ndarray, spacing: np.ndarray, reach_mm: float
) -> tuple[tuple[slice, ...], list[np.ndarray]]:
    """Return the box around a point, and how far in mm its voxels are from it along each axis."""
    part, away = [], []
    for axis, (length, at, step) in enumerate(zip(shape, centre, spacing, strict=True)):
        reach = reach_mm / step + 2
        low, high = max(0, int(at - reach)), min(length, int(at + reach) + 1)
        part.append(slice(low, high))
        steps = (np.arange(low, high) - at) * step
        # A single slice is a projection: no depth is out of reach.
        steps = steps if length > 1 else np.zeros_like(steps)
        away.append(steps.reshape([-1 if axis == k else 1 for k in range(3)]))
    return tuple(part), away
