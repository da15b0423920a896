"""Objects made of ellipses, whose line integrals are known without any grid."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from quell.image import FloatArray
from quell.noise.tomography.geometry import ParallelGeometry


@dataclass(frozen=True)
class Ellipse:
    """An ellipse that adds a value to what lies below it.

    Attributes
    ----------
    centre : (y, x)
        In mm from the middle of the slice.
    radii : (float, float)
        Half axes in mm.
    turn : float
        Angle from the x axis to the first half axis, towards y, radians.
    value : float
        Attenuation that it adds, 1/mm.
    """

    centre: tuple[float, float]
    radii: tuple[float, float]
    turn: float
    value: float


def ellipse_line_integrals(ellipses: Iterable[Ellipse], geometry: ParallelGeometry) -> FloatArray:
    """Integrate ellipses along the rays of a geometry (Kak and Slaney, eq. 3.4 to 3.9).

    Parameters
    ----------
    ellipses : iterable of Ellipse
    geometry : ParallelGeometry

    Returns
    -------
    ndarray of float32, shape (views, bins)
    """
    total = np.zeros((geometry.views, geometry.bins))
    angles = geometry.angles[:, None]
    for one in ellipses:
        a, b = one.radii
        half_width = np.sqrt((a * np.cos(angles - one.turn)) ** 2 + (b * np.sin(angles - one.turn)) ** 2)
        middle = one.centre[1] * np.cos(angles) + one.centre[0] * np.sin(angles)
        inside = np.maximum(half_width**2 - (geometry.positions - middle) ** 2, 0)
        total += one.value * 2 * a * b * np.sqrt(inside) / half_width**2
    return np.asarray(total, np.float32)


def draw_ellipses(ellipses: Iterable[Ellipse], geometry: ParallelGeometry, fine: int = 4) -> FloatArray:
    """Draw ellipses on the pixels of a geometry, each pixel the mean of `fine` x `fine` points.

    Returns
    -------
    ndarray of float32, shape (rows, columns)
    """
    shape = (geometry.rows, geometry.columns)
    y, x = (((np.arange(n * fine) + 0.5) / fine - n / 2) * geometry.spacing for n in shape)
    points = np.zeros((len(y), len(x)))
    for one in ellipses:
        dy, dx = y[:, None] - one.centre[0], x - one.centre[1]
        along = dx * math.cos(one.turn) + dy * math.sin(one.turn)
        across = dy * math.cos(one.turn) - dx * math.sin(one.turn)
        points += one.value * ((along / one.radii[0]) ** 2 + (across / one.radii[1]) ** 2 <= 1)
    pixels = points.reshape(shape[0], fine, shape[1], fine).mean(axis=(1, 3))
    return np.asarray(pixels, np.float32)
