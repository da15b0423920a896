"""An ellipse in an image, and the one that fits points best."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Ellipse:
    """An ellipse in an image.

    Attributes
    ----------
    centre : (row, column)
    axes : tuple of float
        Half the longer and half the shorter axis, in pixels.
    angle : float
        Of the longer axis against the columns (x), radians, positive towards growing rows.
    """

    centre: tuple[float, float]
    axes: tuple[float, float]
    angle: float

    def points(self, count: int = 180) -> Array:
        """Return points on it, shape (count, 2) as (row, column)."""
        t = np.linspace(0, 2 * np.pi, count, endpoint=False)
        along, across = self.axes[0] * np.cos(t), self.axes[1] * np.sin(t)
        c, s = math.cos(self.angle), math.sin(self.angle)
        return np.stack([self.centre[0] + along * s + across * c, self.centre[1] + along * c - across * s], 1)

    def circumference(self, spacing: tuple[float, float] = (1.0, 1.0)) -> float:
        """Return the length of the curve where a pixel has the size (row, column)."""
        points = self.points(3600) * np.asarray(spacing)
        return float(np.hypot(*(np.roll(points, -1, axis=0) - points).T).sum())

    def radius_share(self, points: Array) -> Array:
        """Return how far out points (row, column) lie, 1 being on it."""
        row, column = (points - np.asarray(self.centre)).T
        c, s = math.cos(self.angle), math.sin(self.angle)
        along, across = column * c + row * s, row * c - column * s
        return np.asarray(np.hypot(along / self.axes[0], across / self.axes[1]), np.float64)


def fit_ellipse(points: Array) -> Ellipse | None:
    """Return the ellipse of least algebraic distance (Halir and Flusser 1998), None where there is none.

    Parameters
    ----------
    points : ndarray, shape (n, 2)
        As (row, column), five or more.
    """
    middle, size = points.mean(axis=0), max(float(np.ptp(points)), 1e-9)
    y, x = ((points - middle) / size).T
    quadratic, linear = np.stack([x * x, x * y, y * y], 1), np.stack([x, y, np.ones_like(x)], 1)
    s1, s2, s3 = quadratic.T @ quadratic, quadratic.T @ linear, linear.T @ linear
    try:
        turn = -np.linalg.solve(s3, s2.T)
    except np.linalg.LinAlgError:
        return None
    reduced = s1 + s2 @ turn
    _, vectors = np.linalg.eig(np.stack([reduced[2] / 2, -reduced[1], reduced[0] / 2]))
    vectors = np.real(vectors)
    chosen = 4 * vectors[0] * vectors[2] - vectors[1] ** 2 > 0
    if not chosen.any():
        return None
    conic = vectors[:, int(np.flatnonzero(chosen)[0])]
    return _from_conic(np.concatenate([conic, turn @ conic]), middle, size)


def _from_conic(conic: Array, middle: Array, size: float) -> Ellipse | None:
    """Return the ellipse ``a x^2 + b x y + c y^2 + d x + e y + f = 0``."""
    a, b, c, d, e, f = conic
    matrix = np.array([[a, b / 2], [b / 2, c]])
    place = np.linalg.solve(matrix, [-d / 2, -e / 2])
    level = place @ matrix @ place - f
    values, vectors = np.linalg.eigh(matrix * np.sign(level))
    if level == 0 or values[0] <= 0:
        return None
    axes = size * np.sqrt(abs(level) / values)
    along = vectors[:, 0]
    centre = middle + size * place[::-1]
    angle = math.atan2(along[1], along[0])
    return Ellipse((float(centre[0]), float(centre[1])), (float(axes[0]), float(axes[1])), angle)
