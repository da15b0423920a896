"""The echogenicity that an ultrasound image shows after log compression, without speckle."""

from __future__ import annotations

import numpy as np

from quell.phantoms.shapes import Canvas, coverage, ellipsoid, new_canvas, paint, wobble
from quell.phantoms.tubes import along, tube_coverage


def draw_ultrasound(rng: np.random.Generator, shape: tuple[int, int, int], distance: float) -> Canvas:
    """Draw layered tissue with cysts, vessels, interfaces and shadows in a sector or a rectangle."""
    scale = min(shape[1:]) * 0.5
    canvas = new_canvas(rng, shape, scale, distance=distance, bend=rng.uniform(0.02, 0.08), bend_length=0.4)
    _layers(rng, canvas)
    for _ in range(rng.integers(2, 10)):
        r = rng.uniform(0.03, 0.3)
        place = (rng.normal(0, 0.2), rng.uniform(-0.7, 0.9), rng.uniform(-0.9, 0.9))
        organ = ellipsoid(
            canvas,
            place,
            (1.5 * r, r * rng.uniform(0.5, 1), r),
            angle=rng.normal(0, 0.5),
            outline=wobble(rng, 0.12),
        )
        cyst = rng.random() < 0.45
        paint(canvas, organ, 0.03 if cyst else float(rng.uniform(0.2, 0.9)), edge=rng.uniform(1, 3))
        if cyst and organ is not None:
            below = canvas.y[organ.window] > place[1] + 0.6 * r
            canvas.values[organ.window] += (
                np.float32(0.3) * coverage(organ._replace(depth=2 - np.abs(organ.depth)), 2) * below
            )
    canvas.values *= np.exp(np.float32(rng.uniform(0.05, 0.3)) * canvas.field(rng, rng.uniform(0.1, 0.5)))
    for _ in range(rng.integers(1, 7)):
        _interface(rng, canvas)
    _shadows(rng, canvas)
    canvas.values *= np.exp(-np.float32(rng.uniform(0, 0.5)) * (canvas.y + 1))
    _sector(rng, canvas)
    return canvas


def _layers(rng: np.random.Generator, canvas: Canvas) -> None:
    depth, value = -1.3, rng.uniform(0.3, 0.8)
    canvas.values += np.float32(value)
    while depth < 1.2:
        depth += rng.exponential(0.25) + 0.05
        step = np.float32(rng.uniform(0.15, 0.85)) - np.float32(value)
        value += step
        cover = np.clip(
            0.5 + (canvas.y - np.float32(depth)) * np.float32(canvas.scale / rng.uniform(1, 5)), 0, 1
        )
        canvas.values += step * cover


def _interface(rng: np.random.Generator, canvas: Canvas) -> None:
    t = np.linspace(-1, 1, 16)
    width, curve = rng.uniform(0.2, 1.0), rng.normal(0, 0.4)
    y = rng.uniform(-0.8, 0.8) + rng.normal(0, 0.3) * t * width + curve * (t * width) ** 2
    points = np.stack([0.0 * t, y, rng.uniform(-0.7, 0.7) + width * t], 1)
    sheet = tube_coverage(canvas, along(points, rng.uniform(0.6, 2.0) / canvas.scale), edge=1.5)
    canvas.values += sheet[len(sheet) // 2] * np.float32(rng.uniform(0.2, 0.7))


def _shadows(rng: np.random.Generator, canvas: Canvas) -> None:
    for _ in range(rng.integers(0, 4)):
        x, y, w = rng.uniform(-0.9, 0.9), rng.uniform(-0.8, 0.5), rng.uniform(0.02, 0.15)
        side = np.clip(
            (np.float32(w) - np.abs(canvas.x - np.float32(x + 0.2 * (y + 1)))) * np.float32(canvas.scale / 4)
            + 0.5,
            0,
            1,
        )
        below = np.clip((canvas.y - np.float32(y)) * np.float32(canvas.scale / 3), 0, 1)
        canvas.values *= 1 - np.float32(rng.uniform(0.3, 0.95)) * side * below


def _sector(rng: np.random.Generator, canvas: Canvas) -> None:
    if rng.random() < 0.4:
        return
    rows, columns = canvas.plane
    apex = rng.uniform(0.05, 0.6) * rows
    y = np.arange(rows, dtype=np.float32)[:, None] + np.float32(apex)
    x = np.arange(columns, dtype=np.float32)[None] - np.float32((columns - 1) / 2)
    far = np.hypot(y, x)
    half = rng.uniform(0.45, 0.8)
    flank = (np.float32(half) - np.abs(np.arctan2(x, y))) * far
    inside = np.minimum(np.minimum(flank, far - np.float32(apex + 2)), np.float32(rows + apex - 2) - far)
    canvas.values *= np.clip(inside + 0.5, 0, 1)
