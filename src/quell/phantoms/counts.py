"""What nuclear medicine sees: uptake in organs, hot spots, a skeleton, blurred by the camera."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from quell.phantoms.shapes import Canvas, add, ellipsoid, new_canvas, paint, wobble
from quell.phantoms.tubes import along, tube_coverage


def draw_counts(rng: np.random.Generator, shape: tuple[int, int, int], distance: float) -> Canvas:
    """Draw a slice of uptake or a planar whole-body image; values not negative."""
    skeletal = rng.random() < 0.4
    scale = min(shape[1:]) * float(rng.uniform(0.25, 0.9))
    canvas = new_canvas(rng, shape, scale, distance=distance, shift=tuple(rng.normal(0, 0.15, 2)), bend=0.03)
    (_skeleton if skeletal else _slice)(rng, canvas)
    sigma = rng.uniform(1.5, 4.0) / 2.355 * rng.choice([1.0, 2.0])
    canvas.values = ndimage.gaussian_filter(canvas.values, (0, sigma, sigma), truncate=3.5)
    shading = np.exp(np.float32(0.15) * canvas.field(rng, 0.3))
    canvas.values = np.maximum(canvas.values * shading, 0).astype(np.float32)
    return canvas


def _hot_spots(rng: np.random.Generator, canvas: Canvas, base: float) -> None:
    for _ in range(rng.integers(0, 9)):
        r = np.exp(rng.uniform(np.log(1.0), np.log(8.0))) / canvas.scale
        place = (rng.normal(0, 0.5) * r, rng.uniform(-0.65, 0.65), rng.uniform(-0.7, 0.7))
        region = ellipsoid(canvas, place, (1.5 * r, r, r * rng.uniform(0.7, 1.4)), outline=wobble(rng, 0.1))
        add(canvas, region, base * float(np.exp(rng.uniform(np.log(1), np.log(10)))))


def _slice(rng: np.random.Generator, canvas: Canvas) -> None:
    base = rng.uniform(0.1, 0.3)
    deep = rng.uniform(0.6, 0.95)
    outline = wobble(rng, 0.04)
    paint(canvas, ellipsoid(canvas, (0, 0, 0), (4, deep, 1), outline=outline), base)
    paint(
        canvas,
        ellipsoid(canvas, (0, 0, 0), (4, deep - 0.1, 0.9), outline=outline),
        base * rng.uniform(0.9, 1.6),
    )
    for _ in range(rng.integers(2, 9)):
        r = rng.uniform(0.08, 0.35)
        angle, far = rng.uniform(0, 6.3), rng.uniform(0, 0.65)
        place = (rng.normal(0, 0.2), deep * far * np.sin(angle), far * np.cos(angle))
        organ = ellipsoid(
            canvas,
            place,
            (1.5 * r, r, r * rng.uniform(0.6, 1.5)),
            angle=rng.uniform(0, 3),
            outline=wobble(rng, 0.15),
        )
        value = base * np.exp(rng.uniform(np.log(0.3), np.log(5)))
        paint(canvas, organ, value)
        if rng.random() < 0.3:
            paint(canvas, organ, base, inset=rng.uniform(0.3, 0.6) * r * canvas.scale)
    _hot_spots(rng, canvas, base)


def _skeleton(rng: np.random.Generator, canvas: Canvas) -> None:
    soft = rng.uniform(0.03, 0.15)
    paint(
        canvas,
        ellipsoid(canvas, (0, 0.1, 0), (4, 1.0, 0.55), squareness=0.5, outline=wobble(rng, 0.05)),
        soft,
        edge=4,
    )
    bone = rng.uniform(0.3, 0.8)
    for k, y in enumerate(np.arange(-0.8, 0.62, rng.uniform(0.07, 0.1))):
        r = 0.035 + 0.012 * k / 10
        add(
            canvas,
            ellipsoid(canvas, (0, y, 0.01 * np.sin(4 * y)), (2, r * 0.8, r), squareness=0.6),
            bone * rng.uniform(0.7, 1.2),
        )
        if k < 9 and k > 0:
            _rib_pair(rng, canvas, y, 0.2 + 0.2 * np.sin(np.pi * (k + 2) / 12), bone)
    for side in (-1, 1):
        t = np.linspace(0, 1, 9)
        wing = np.stack(
            [
                0 * t,
                0.6 + 0.3 * t + 0.05 * np.sin(3 * t),
                side * (0.08 + 0.25 * np.sin(np.pi * (0.15 + 0.7 * t))),
            ],
            1,
        )
        limbs = (
            wing,
            np.array([[0, 0.85, side * 0.3], [0, 1.6, side * 0.22]]),
            np.array([[0, -0.7, side * 0.45], [0, 0.4, side * 0.62]]),
        )
        for points, r in zip(limbs, (0.04, 0.04, 0.025), strict=True):
            canvas.values += tube_coverage(canvas, along(points, r), edge=2) * np.float32(
                bone * rng.uniform(0.4, 1.1)
            )
    paint(canvas, ellipsoid(canvas, (0, -1.05, 0), (2, 0.22, 0.17)), bone * 0.5, edge=2)
    add(canvas, ellipsoid(canvas, (0, 0.9, 0), (2, 0.06, 0.08)), bone * rng.uniform(0, 3))
    _hot_spots(rng, canvas, bone * 0.6)


def _rib_pair(rng: np.random.Generator, canvas: Canvas, y: float, wide: float, bone: float) -> None:
    t = np.linspace(0, np.pi * 0.8, 9)
    for side in (-1, 1):
        path = np.stack(
            [0 * t, y + 0.12 * (1 - np.cos(t)) * rng.uniform(0.8, 1.1), side * (0.04 + wide * np.sin(t))], 1
        )
        canvas.values += tube_coverage(canvas, along(path, 0.012), edge=1.5) * np.float32(
            bone * rng.uniform(0.3, 0.7)
        )
