"""Shapes with sub-pixel edges, drawn on a stack of slices through one continuous anatomy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from quell.image import FloatArray
from quell.phantoms.texture import smooth_field

Window = tuple[slice, slice, slice]


class Region(NamedTuple):
    """Part of a canvas and how deep each of its pixels lies in a shape (pixels; negative outside)."""

    window: Window
    depth: FloatArray


@dataclass
class Canvas:
    """Slices being painted, and where their pixels lie in the anatomy.

    Attributes
    ----------
    values : ndarray of float32, shape (slices, rows, columns)
    z : ndarray, shape (slices,)
        Positions of the slices in body units.
    y, x : ndarray, shape (slices, rows, columns)
        Bent coordinates of the pixels in body units.
    scale : float
        Pixels to one body unit.
    centre : (row, column)
        Where the origin of the body lies, in pixels.
    slack : float
        Largest displacement by the bending, in body units.
    background : float
        What was there before anything was painted.
    """

    values: FloatArray
    z: FloatArray
    y: FloatArray
    x: FloatArray
    scale: float
    centre: tuple[float, float]
    slack: float
    background: float = 0.0

    @property
    def plane(self) -> tuple[int, int]:
        """Numbers of rows and columns."""
        return self.values.shape[1], self.values.shape[2]

    def field(self, rng: np.random.Generator, length: float) -> FloatArray:
        """Draw a smooth random field of unit variance; `length` in body units."""
        pixels = max(length * self.scale, 0.75)
        return smooth_field(rng, self.z * np.float32(self.scale), self.plane, pixels)


def new_canvas(
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    scale: float,
    *,
    distance: float,
    shift: tuple[float, float] = (0.0, 0.0),
    bend: float = 0.03,
    bend_length: float = 0.35,
    background: float = 0.0,
) -> Canvas:
    """Make an empty canvas whose coordinates are bent by a smooth random displacement.

    Parameters
    ----------
    rng : numpy.random.Generator
    shape : (slices, rows, columns)
    scale : float
        Pixels to one body unit.
    distance : float
        Distance of neighbouring slices in pixels.
    shift : (y, x)
        Place of the body's origin relative to the middle of the image, in body units.
    bend, bend_length : float
        Standard deviation and correlation length of the displacement, in body units.
    background : float
    """
    slices, rows, columns = shape
    z = (np.arange(slices, dtype=np.float32) - np.float32((slices - 1) / 2)) * np.float32(distance)
    centre = ((rows - 1) / 2 + shift[0] * scale, (columns - 1) / 2 + shift[1] * scale)
    y = (np.arange(rows, dtype=np.float32)[:, None] - np.float32(centre[0])) / np.float32(scale)
    x = (np.arange(columns, dtype=np.float32)[None] - np.float32(centre[1])) / np.float32(scale)
    length = bend_length * scale
    dy = np.clip(smooth_field(rng, z, (rows, columns), length), -2.5, 2.5) * np.float32(bend)
    dx = np.clip(smooth_field(rng, z, (rows, columns), length), -2.5, 2.5) * np.float32(bend)
    return Canvas(
        values=np.full(shape, background, np.float32),
        z=z / np.float32(scale),
        y=y + dy,
        x=x + dx,
        scale=scale,
        centre=centre,
        slack=2.5 * bend,
        background=background,
    )


def window_of(canvas: Canvas, y: float, x: float, reach: float, margin: float = 3.0) -> Window | None:
    """Return the part of the canvas within `reach` (body units) of a point, or None outside it."""
    rows, columns = canvas.plane
    size = (reach + canvas.slack) * canvas.scale + margin
    row = canvas.centre[0] + y * canvas.scale
    column = canvas.centre[1] + x * canvas.scale
    top, bottom = max(int(row - size), 0), min(int(row + size) + 2, rows)
    left, right = max(int(column - size), 0), min(int(column + size) + 2, columns)
    if top >= bottom or left >= right:
        return None
    return slice(None), slice(top, bottom), slice(left, right)


def wobble(rng: np.random.Generator, amplitude: float, waves: int = 7) -> FloatArray:
    """Draw a closed outline: relative change of the radius at 256 angles."""
    order = np.arange(2, waves + 1)
    size = amplitude * rng.standard_normal(len(order)) / order
    phase = rng.uniform(0, 2 * np.pi, len(order))
    angle = np.arange(256) * (2 * np.pi / 256)
    outline: FloatArray = (
        (size[:, None] * np.cos(order[:, None] * angle + phase[:, None])).sum(0).astype(np.float32)
    )
    return outline


def ellipsoid(
    canvas: Canvas,
    centre: tuple[float, float, float],
    radii: tuple[float, float, float],
    *,
    angle: float = 0.0,
    squareness: float = 0.0,
    outline: FloatArray | None = None,
    tilt: tuple[float, float] = (0.0, 0.0),
) -> Region | None:
    """Place a (super)ellipsoid.

    Parameters
    ----------
    canvas : Canvas
    centre, radii : (z, y, x)
        In body units.
    angle : float
        Rotation in the plane, radians.
    squareness : float
        0 is an ellipse, 1 a superellipse of exponent 4.
    outline : ndarray, shape (256,), optional
        Relative change of the radius with the angle (`wobble`).
    tilt : (y, x)
        Shift of the centre per unit of z.

    Returns
    -------
    Region or None
        None when no part of it can lie in the image.
    """
    reach = max(radii[1], radii[2]) * 1.25 + max(abs(t) for t in tilt) * float(np.abs(canvas.z).max())
    window = window_of(canvas, centre[1], centre[2], reach)
    if window is None:
        return None
    z = canvas.z[:, None, None] - np.float32(centre[0])
    dy = canvas.y[window] - (np.float32(centre[1]) + np.float32(tilt[0]) * z)
    dx = canvas.x[window] - (np.float32(centre[2]) + np.float32(tilt[1]) * z)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    v = np.asarray(dy * (cos / np.float32(radii[1])) - dx * (sin / np.float32(radii[1])), np.float32)
    u = np.asarray(dy * (sin / np.float32(radii[2])) + dx * (cos / np.float32(radii[2])), np.float32)
    return Region(window, _depth(canvas.scale, (z, v, u), radii, squareness, outline))


def _depth(
    scale: float,
    place: tuple[FloatArray, FloatArray, FloatArray],
    radii: tuple[float, float, float],
    squareness: float,
    outline: FloatArray | None,
) -> FloatArray:
    """Return (1 - q) / |grad q| in pixels: to first order the distance from where q, the shape's norm, is 1.

    `place` is (z in body units, v and u in radii).
    """
    z, v, u = place
    uu, vv = u * u, v * v
    q = uu + vv
    if squareness:
        s = np.float32(squareness)
        q = (1 - s) * q + s * np.sqrt(uu * uu + vv * vv)
    q += (z / np.float32(radii[0])) ** 2
    np.sqrt(q, out=q)
    uu *= np.float32(1 / radii[2] ** 2)
    uu += vv * np.float32(1 / radii[1] ** 2)
    slope = np.sqrt(uu, out=uu)
    slope /= q + np.float32(1e-6)
    np.maximum(slope, np.float32(0.2 / max(radii[1:])), out=slope)
    if outline is not None:
        q /= _stretch(u, v, outline)
    np.subtract(np.float32(1), q, out=q)
    q *= np.float32(scale)
    q /= slope
    return q


def _stretch(u: FloatArray, v: FloatArray, outline: FloatArray) -> FloatArray:
    """Look up 1 + `outline` at the angle of each point.

    The angle runs along the sides of a square (u / (|u| + |v|)), which bends the random outline a little
    and spares the arctangent, the dearest step of all.
    """
    turn = u / (np.abs(u) + np.abs(v) + np.float32(1e-9))
    turn = np.where(v >= 0, 1 - turn, 3 + turn)
    turn *= np.float32(64)
    return np.take(1 + np.append(outline, outline[:1]), turn.astype(np.int16))


def coverage(region: Region, edge: float = 1.0, inset: float = 0.0) -> FloatArray:
    """Return the covered part of each pixel, for an edge `edge` pixels wide, `inset` pixels inside."""
    covered: FloatArray = np.clip(
        np.float32(0.5) + (region.depth - np.float32(inset)) / np.float32(edge), 0, 1
    )
    return covered


def paint(
    canvas: Canvas,
    region: Region | None,
    value: float | FloatArray,
    *,
    edge: float = 1.0,
    inset: float = 0.0,
    opacity: float = 1.0,
) -> None:
    """Replace what lies under a shape by `value`, mixed in proportion at its edge."""
    if region is None:
        return
    view = canvas.values[region.window]
    cover = coverage(region, edge, inset)
    if opacity != 1.0:
        cover *= np.float32(opacity)
    view += cover * (np.asarray(value, np.float32) - view)


def add(canvas: Canvas, region: Region | None, contrast: float, *, edge: float = 1.0) -> None:
    """Add `contrast` under a shape."""
    if region is not None:
        canvas.values[region.window] += np.float32(contrast) * coverage(region, edge)
