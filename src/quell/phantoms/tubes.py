"""Vessels, ribs and other tubes: branching paths and their drawing."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from quell.image import FloatArray
from quell.phantoms.shapes import Canvas

_RIM = 3.0
"""Pixels around a tube in which its depth is known; edges are at most twice as wide."""


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
        place, way, size = _forked(rng, ahead, way, size * np.float32(0.985), forking, spread)
        alive = size > thinnest
        place, way, size = place[alive], way[alive], size[alive]
        if not len(size):
            break
    return Tubes(np.concatenate(starts), np.concatenate(ends), np.concatenate(radii))


def _forked(
    rng: np.random.Generator,
    place: FloatArray,
    way: FloatArray,
    size: FloatArray,
    forking: float,
    spread: float,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Let some branches divide, up to 48 at a time; the new ones come last."""
    forks = rng.random(len(size)) < forking
    if not forks.any() or len(size) + forks.sum() > 48:
        return place, way, size
    share = rng.uniform(0.2, 0.8, int(forks.sum())).astype(np.float32)
    divided = size.copy()
    divided[forks] *= np.cbrt(share)
    return (
        np.concatenate([place, place[forks]]),
        np.concatenate([way, _turned(rng, way[forks], spread)]),
        np.concatenate([divided, size[forks] * np.cbrt(1 - share)]),
    )


def along(points: npt.ArrayLike, radius: float | FloatArray) -> Tubes:
    """Make tubes through a sequence of points, shape (points, 3)."""
    path = np.asarray(points, np.float32)
    return Tubes(path[:-1], path[1:], np.broadcast_to(np.float32(radius), len(path) - 1))


def _bent(canvas: Canvas, points: FloatArray) -> FloatArray:
    """Move points with the anatomy: from body units to pixels (z, row, column)."""
    scale, (row, column) = np.float32(canvas.scale), canvas.centre
    flat = np.array([0.0, row, column], np.float32) + points * scale
    if not canvas.slack:
        return np.asarray(flat, np.float32)
    rows, columns = canvas.plane
    i = np.clip(np.rint(flat[:, 1]), 0, rows - 1).astype(np.int64)
    j = np.clip(np.rint(flat[:, 2]), 0, columns - 1).astype(np.int64)
    k = len(canvas.z) // 2
    flat[:, 1] -= canvas.y[k, i, j] * scale - (i - np.float32(row))
    flat[:, 2] -= canvas.x[k, i, j] * scale - (j - np.float32(column))
    return np.asarray(flat, np.float32)


def _in_pixels(canvas: Canvas, tubes: Tubes) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Express tubes in pixels and drop those that no slice of the image can touch."""
    a, b = _bent(canvas, tubes.start), _bent(canvas, tubes.end)
    r = np.asarray(tubes.radius * np.float32(canvas.scale), np.float32)
    reach = r[:, None] + np.float32(_RIM)
    low, high = np.minimum(a, b) - reach, np.maximum(a, b) + reach
    z = canvas.z * np.float32(canvas.scale)
    rows, columns = canvas.plane
    near = ((z[None] >= low[:, :1]) & (z[None] <= high[:, :1])).any(axis=1)
    near &= (high[:, 1] > 0) & (low[:, 1] < rows) & (high[:, 2] > 0) & (low[:, 2] < columns)
    return a[near], b[near], r[near]


def tube_depth(canvas: Canvas, tubes: Tubes) -> FloatArray:
    """Return how deep each pixel lies in the nearest tube (pixels; negative outside).

    Below a radius r of half a pixel it is that of a tube of radius sqrt(2 r) - 1/2, so that a clipped
    edge of one pixel (`depth_coverage`) gives a thin tube, over its profile, the area of its diameter.

    Returns
    -------
    ndarray of float32, shape (slices, rows, columns)
        Not below -3, its value far from any tube.
    """
    rows, columns = canvas.plane
    a, b, r = _in_pixels(canvas, tubes)
    span = np.abs(b - a)[:, 1:].max(axis=1) + 2 * (r + _RIM) + 2 if len(r) else r
    widths = np.exp2(np.ceil(np.log2(np.maximum(span, 8)) * 3) / 3).astype(int) + 1
    pad = int(widths.max()) + 1 if len(r) else 0
    out = np.full((len(canvas.z), rows + 2 * pad, columns + 2 * pad), -_RIM, np.float32)
    z = (canvas.z * np.float32(canvas.scale)).astype(np.float32)
    for width in np.unique(widths):
        members = np.flatnonzero(widths == width)
        chunk = max(1, 300_000 // (len(z) * width * width))
        for first in range(0, len(members), chunk):
            some = members[first : first + chunk]
            _splat(out, pad, z, (a[some], b[some], r[some]), int(width))
    return out[:, pad : pad + rows, pad : pad + columns]


def _splat(
    out: FloatArray, pad: int, z: FloatArray, capsules: tuple[FloatArray, FloatArray, FloatArray], width: int
) -> None:
    """Raise `out` to the depth in capsules, each within a square of `width` pixels."""
    a, b, r = capsules
    corner = np.rint((a[:, 1:] + b[:, 1:]) / 2 - width / 2).astype(np.int64)
    corner = np.clip(corner, -pad, np.array(out.shape[1:]) - pad - width)
    row, column = corner[:, :1] + np.arange(width), corner[:, 1:] + np.arange(width)
    d = b - a
    inverse = (1 / np.maximum((d * d).sum(axis=1), np.float32(1e-9)))[:, None, None, None]
    pz = z[None, :, None, None] - a[:, 0, None, None, None]
    py = (row - a[:, 1:2]).astype(np.float32)[:, None, :, None]
    px = (column - a[:, 2:3]).astype(np.float32)[:, None, None, :]
    dz, dy, dx = (d[:, i, None, None, None] for i in range(3))
    t = (pz * dz + py * dy) * inverse + px * dx * inverse
    np.clip(t, 0, 1, out=t)
    depth = np.square(py - t * dy)
    depth += np.square(px - t * dx)
    depth += np.square(pz - t * dz)
    np.sqrt(depth, out=depth)
    seen = np.where(r < 0.5, np.sqrt(2 * r) - np.float32(0.5), r)
    np.subtract(seen[:, None, None, None], depth, out=depth)
    if width >= 20:
        for m, (top, left) in enumerate(corner + pad):
            view = out[:, top : top + width, left : left + width]
            np.maximum(view, depth[m], out=view)
        return
    flat = ((row + pad)[:, :, None] * out.shape[2] + (column + pad)[:, None]).ravel()
    for k in range(len(z)):
        np.maximum.at(out[k].reshape(-1), flat, depth[:, k].ravel())


def depth_coverage(depth: FloatArray, edge: float = 1.0, inset: float = 0.0) -> FloatArray:
    """Return the covered part of each pixel for an edge `edge` pixels wide, `inset` pixels inside."""
    covered: FloatArray = np.clip(np.float32(0.5) + (depth - np.float32(inset)) / np.float32(edge), 0, 1)
    return covered


def tube_coverage(canvas: Canvas, tubes: Tubes, *, edge: float = 1.0) -> FloatArray:
    """Return the part of each pixel that tubes cover, shape (slices, rows, columns)."""
    return depth_coverage(tube_depth(canvas, tubes), edge)


def join(parts: list[Tubes]) -> Tubes:
    """Put several sets of tubes into one."""
    return Tubes(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
