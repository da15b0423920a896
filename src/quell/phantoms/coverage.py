"""Which part of each voxel a shape fills: in closed form where there is one, by fine sampling elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from quell.image import Geometry

Array = npt.NDArray[np.float64]
Point = tuple[float, float, float]
"""A position in mm, in array order (z, y, x), from the middle of the grid."""

_NODES = 12
"""Points of the Gauss-Legendre rule along z in a voxel; the area of a ball's cuts is a parabola."""


@dataclass(frozen=True)
class Grid:
    """A box of voxels around the origin.

    Attributes
    ----------
    shape : (slices, rows, columns)
    spacing : (z, y, x)
        Size of a voxel, mm.
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]

    @property
    def geometry(self) -> Geometry:
        """The place in the patient: the middle of the grid is the origin."""
        z, y, x = (float(-(n - 1) / 2 * step) for n, step in zip(self.shape, self.spacing, strict=True))
        return Geometry(spacing=self.spacing, origin=(x, y, z), known=True)

    @property
    def voxel_mm3(self) -> float:
        """Volume of a voxel."""
        return float(np.prod(self.spacing))

    def edges(self, axis: int) -> Array:
        """Return the borders of the voxels along an axis, mm, one more than there are voxels."""
        n = self.shape[axis]
        return np.asarray((np.arange(n + 1) - n / 2) * self.spacing[axis], np.float64)

    def centres(self, axis: int) -> Array:
        """Return the middles of the voxels along an axis, mm."""
        return np.asarray(self.edges(axis)[:-1] + self.spacing[axis] / 2, np.float64)

    def window(self, low: Point, high: Point) -> tuple[slice, slice, slice]:
        """Return the voxels that a box touches; empty slices where it lies outside."""
        found = []
        for axis in range(3):
            first, step = float(self.edges(axis)[0]), self.spacing[axis]
            start = int(np.clip(np.floor((low[axis] - first) / step), 0, self.shape[axis]))
            stop = int(np.clip(np.ceil((high[axis] - first) / step), start, self.shape[axis]))
            found.append(slice(start, stop))
        return found[0], found[1], found[2]


class Covered(NamedTuple):
    """A part of a grid and how much of each of its voxels a shape fills, 0 to 1."""

    window: tuple[slice, slice, slice]
    part: Array


def ellipsoid(grid: Grid, centre: Point, radii: Point) -> Covered:
    """Return the cover of an ellipsoid along the axes, exact to about 1e-6 of its volume.

    In the plane the cover is the closed form of `ellipse_cover`; along z it is integrated by a
    Gauss-Legendre rule over that part of each voxel that the body reaches.

    Parameters
    ----------
    grid : Grid
    centre : Point
    radii : Point
        Half axes, mm.
    """
    window = _around(grid, centre, radii)
    y, x = grid.edges(1)[_with_end(window[1])], grid.edges(2)[_with_end(window[2])]
    z = np.clip(grid.edges(0)[_with_end(window[0])] - centre[0], -radii[0], radii[0])
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    part = np.zeros(tuple(w.stop - w.start for w in window))
    for k, (low, high) in enumerate(pairwise(z)):
        for node, weight in zip(nodes, weights, strict=True):
            height = (low + high) / 2 + (high - low) / 2 * node
            shrunk = float(np.sqrt(max(1 - (height / radii[0]) ** 2, 0)))
            if shrunk > 0:
                cut = ellipse_cover(y - centre[1], x - centre[2], radii[1] * shrunk, radii[2] * shrunk)
                part[k] += weight / 2 * (high - low) / grid.spacing[0] * cut
    return Covered(window, part)


def sphere(grid: Grid, centre: Point, diameter: float) -> Covered:
    """Return the cover of a ball; see `ellipsoid`."""
    return ellipsoid(grid, centre, (diameter / 2, diameter / 2, diameter / 2))


def cylinder(
    grid: Grid,
    centre: tuple[float, float],
    radii: tuple[float, float],
    between: tuple[float, float] | None = None,
) -> Covered:
    """Return the exact cover of an elliptic cylinder along z.

    Parameters
    ----------
    grid : Grid
    centre, radii : (y, x)
        mm.
    between : (low, high), optional
        Its ends along z, mm; the whole grid by default.
    """
    ends = grid.edges(0)[[0, -1]] if between is None else np.asarray(between, np.float64)
    middle = (float(ends.mean()), *centre)
    window = _around(grid, middle, (float(np.ptp(ends)) / 2, *radii))
    y, x = grid.edges(1)[_with_end(window[1])], grid.edges(2)[_with_end(window[2])]
    cut = ellipse_cover(y - centre[0], x - centre[1], *radii)
    return Covered(window, _overlap(grid, 0, window[0], ends)[:, None, None] * cut)


def box(grid: Grid, low: Point, high: Point) -> Covered:
    """Return the exact cover of a box along the axes between two corners, mm."""
    window = grid.window(low, high)
    z, y, x = (_overlap(grid, axis, window[axis], np.array([low[axis], high[axis]])) for axis in range(3))
    return Covered(window, z[:, None, None] * y[:, None] * x)


def sampled(
    grid: Grid, low: Point, high: Point, inside: Callable[[Array, Array, Array], Array], fine: int = 5
) -> Covered:
    """Return the cover of any shape by counting points.

    Parameters
    ----------
    grid : Grid
    low, high : Point
        Corners of a box that holds the shape, mm.
    inside : callable
        Of positions z, y, x in mm that broadcast to one another; returns what is counted, such as 1.0
        inside and 0.0 outside.
    fine : int
        Points along each axis of a voxel.
    """
    window = grid.window(low, high)
    y, x = (_points(grid, axis, window[axis], fine) for axis in (1, 2))
    part = np.zeros(tuple(w.stop - w.start for w in window))
    for k, z in enumerate(_points(grid, 0, window[0], fine).reshape(-1, fine)):
        found = np.broadcast_to(
            inside(z[:, None, None], y[:, None], x[None, :]), (fine, y.size, x.size)
        ).mean(axis=0)
        part[k] = found.reshape(y.size // fine, fine, x.size // fine, fine).mean(axis=(1, 3))
    return Covered(window, part)


def ellipse_cover(y: Array, x: Array, ry: float, rx: float) -> Array:
    """Return which part of each cell of a raster an ellipse about the origin covers, exactly.

    Parameters
    ----------
    y, x : ndarray
        Borders of the cells, one more than there are cells.
    ry, rx : float
        Half axes in the same units, positive.

    Returns
    -------
    ndarray, shape (rows, columns)
    """
    corners = area_below(x[None, :] / rx, y[:, None] / ry)
    areas = np.diff(np.diff(corners, axis=0), axis=1) * (ry * rx)
    cells = np.diff(y)[:, None] * np.diff(x)[None, :]
    return np.asarray(np.clip(areas / cells, 0.0, 1.0), np.float64)


def area_below(x: Array, y: Array) -> Array:
    """Return the area of the unit disc in the quadrant left of x and below y.

    It is the integral over t < x of clip(y, -s, s) + s, with s = sqrt(1 - t^2); clip acts where |t| > c,
    c = sqrt(1 - y^2), so the integral has three stretches, each with a closed form.
    """

    def half(t: Array) -> Array:
        """Integral of s from -1 to t."""
        inside = np.sqrt(np.maximum(1 - t * t, 0.0))
        return np.asarray(0.5 * (t * inside + np.arcsin(np.clip(t, -1, 1))) + np.pi / 4)

    x, y = np.clip(x, -1, 1), np.clip(y, -1, 1)
    c = np.sqrt(1 - y * y)
    middle = np.clip(x, -c, c)
    outer = half(np.minimum(x, -c)) + half(np.maximum(x, c)) - half(c)
    inner = y * (middle + c) + half(middle) - half(-c)
    return np.asarray(np.where(y > 0, 2.0 * outer, 0.0) + inner)


def _around(grid: Grid, centre: Point, radii: Point) -> tuple[slice, slice, slice]:
    (z, y, x), (rz, ry, rx) = centre, radii
    return grid.window((z - rz, y - ry, x - rx), (z + rz, y + ry, x + rx))


def _with_end(window: slice) -> slice:
    return slice(window.start, window.stop + 1)


def _overlap(grid: Grid, axis: int, window: slice, ends: Array) -> Array:
    """Return which part of each voxel along an axis lies between two ends."""
    edges = np.clip(grid.edges(axis)[_with_end(window)], *ends)
    return np.asarray(np.diff(edges) / grid.spacing[axis], np.float64)


def _points(grid: Grid, axis: int, window: slice, fine: int) -> Array:
    step = grid.spacing[axis] / fine
    first = grid.edges(axis)[window.start] + step / 2
    return np.asarray(first + step * np.arange((window.stop - window.start) * fine), np.float64)
