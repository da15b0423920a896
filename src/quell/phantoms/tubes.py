"""Vessels, ribs and other tubes: branching paths and their drawing."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from quell.image import FloatArray
from quell.phantoms.shapes import Canvas


class Tubes(NamedTuple):
    """Straight pieces of tube: both ends, shape (pieces, 3) in (z, y, x), and radii; body units."""

    start: FloatArray
    end: FloatArray
    radius: FloatArray


def _turned(rng: np.random.Generator, direction: FloatArray, amount: float | FloatArray) -> FloatArray:
    """Deflect unit vectors by Gaussian steps."""
    turned = direction + np.asarray(amount) * rng.standard_normal(direction.shape)
    return np.asarray(turned / np.linalg.norm(turned, axis=1, keepdims=True), np.float32)


def grow_tree(
    rng: np.random.Generator,
    start: tuple[float, float, float],
    direction: tuple[float, float, float],
    radius: float,
    *,
    step: float,
    steps: int = 28,
    forking: float = 0.12,
    wander: float = 0.18,
    spread: float = 0.6,
    thinnest: float = 0.0,
) -> Tubes:
    """Grow a branching tree of tapering tubes by a random walk.

    At a fork the radii follow Murray's law, r^3 = r1^3 + r2^3 (Murray, PNAS 12:207, 1926).

    Parameters
    ----------
    rng : numpy.random.Generator
    start, direction : (z, y, x)
    radius : float
        Of the trunk, body units.
    step : float
        Length of one piece.
    steps : int
        Pieces from the root to the farthest tip.
    forking : float
        Probability of a fork at each step.
    wander, spread : float
        Deflection at each step and at forks.
    thinnest : float
        A branch ends below this radius.
    """
    place = np.asarray([start], np.float32)
    way = np.asarray([direction], np.float32) / np.float32(np.linalg.norm(direction))
    size = np.asarray([radius], np.float32)
    starts, ends, radii = [], [], []
    for _ in range(steps):
        way = _turned(rng, way, wander)
        ahead = place + np.float32(step) * way
        starts.append(place)
        ends.append(ahead)
        radii.append(size)
        place, size = ahead, size * np.float32(0.985)
        forks = rng.random(len(size)) < forking
        if len(size) + forks.sum() <= 48 and forks.any():
            share = rng.uniform(0.2, 0.8, int(forks.sum())).astype(np.float32)
            place = np.concatenate([place, place[forks]])
            way = np.concatenate([way, _turned(rng, way[forks], spread)])
            size = np.concatenate([size, size[forks] * np.cbrt(1 - share)])
            size[: len(forks)][forks] *= np.cbrt(share)
        alive = size > thinnest
        place, way, size = place[alive], way[alive], size[alive]
        if not len(size):
            break
    return Tubes(np.concatenate(starts), np.concatenate(ends), np.concatenate(radii))


def along(points: FloatArray, radius: float | FloatArray) -> Tubes:
    """Make tubes through a sequence of points, shape (points, 3)."""
    points = np.asarray(points, np.float32)
    return Tubes(points[:-1], points[1:], np.broadcast_to(np.float32(radius), len(points) - 1))


def _in_pixels(canvas: Canvas, tubes: Tubes, edge: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Express tubes in pixels and drop those that no slice of the image can touch."""
    scale = np.float32(canvas.scale)
    offset = np.array([0.0, canvas.centre[0], canvas.centre[1]], np.float32)
    a, b = tubes.start * scale + offset, tubes.end * scale + offset
    r = np.asarray(tubes.radius * scale, np.float32)
    reach = r[:, None] + np.float32(edge + 1)
    low, high = np.minimum(a, b) - reach, np.maximum(a, b) + reach
    z = canvas.z * scale
    rows, columns = canvas.plane
    near = ((z[None] >= low[:, :1]) & (z[None] <= high[:, :1])).any(axis=1)
    near &= (high[:, 1] > 0) & (low[:, 1] < rows) & (high[:, 2] > 0) & (low[:, 2] < columns)
    return a[near], b[near], r[near]


def tube_coverage(canvas: Canvas, tubes: Tubes, *, edge: float = 1.0) -> FloatArray:
    """Return the part of each pixel that tubes cover, shape (slices, rows, columns).

    A tube thinner than a pixel covers its diameter's share of it.
    """
    rows, columns = canvas.plane
    out = np.zeros((len(canvas.z), rows, columns), np.float32)
    a, b, r = _in_pixels(canvas, tubes, edge)
    span = np.abs(b - a)[:, 1:].max(axis=1) + 2 * (r + edge) + 3 if len(r) else r
    widths = np.exp2(np.ceil(np.log2(np.maximum(span, 8)) * 2) / 2).astype(int)
    z = (canvas.z * np.float32(canvas.scale)).astype(np.float32)
    for width in np.unique(widths):
        members = np.flatnonzero(widths == width)
        chunk = max(1, 400_000 // (len(z) * width * width))
        for first in range(0, len(members), chunk):
            some = members[first : first + chunk]
            _splat(out, z, a[some], b[some], r[some], int(width), edge)
    return out


def _splat(
    out: FloatArray, z: FloatArray, a: FloatArray, b: FloatArray, r: FloatArray, width: int, edge: float
) -> None:
    """Raise `out` to the coverage by capsules, each within a square of `width` pixels."""
    _, rows, columns = out.shape
    corner = np.round((a[:, 1:] + b[:, 1:]) / 2 - width / 2).astype(np.int64)
    row = corner[:, :1] + np.arange(width)
    column = corner[:, 1:] + np.arange(width)
    d = b - a
    inverse = 1 / np.maximum((d * d).sum(axis=1), np.float32(1e-9))
    pz = z[None, :, None, None] - a[:, 0, None, None, None]
    py = (row - a[:, 1:2]).astype(np.float32)[:, None, :, None]
    px = (column - a[:, 2:3]).astype(np.float32)[:, None, None, :]
    dz, dy, dx = (d[:, i, None, None, None] for i in range(3))
    t = np.clip((pz * dz + py * dy + px * dx) * inverse[:, None, None, None], 0, 1)
    far = np.sqrt((pz - t * dz) ** 2 + (py - t * dy) ** 2 + (px - t * dx) ** 2)
    radius = r[:, None, None, None]
    cover = np.clip(0.5 + (radius - far) / np.float32(edge), 0, 1)
    cover *= np.minimum(1, 2 * radius)
    inside = ((row >= 0) & (row < rows))[:, None, :, None] & ((column >= 0) & (column < columns))[
        :, None, None
    ]
    cover = np.where(inside, cover, 0).astype(np.float32)
    flat = np.clip(row, 0, rows - 1)[:, :, None] * columns + np.clip(column, 0, columns - 1)[:, None]
    for k in range(len(z)):
        np.maximum.at(out[k].reshape(-1), flat.ravel(), cover[:, k].ravel())
