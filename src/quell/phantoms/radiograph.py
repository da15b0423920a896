"""Projections: smooth overlapping shadows, crossing ribs, trabeculae, sometimes metal."""

from __future__ import annotations

import numpy as np

from quell.phantoms.shapes import Canvas, coverage, ellipsoid, new_canvas, wobble
from quell.phantoms.texture import power_law_field
from quell.phantoms.tubes import along, grow_tree, tube_coverage


def draw_radiograph(rng: np.random.Generator, shape: tuple[int, int, int], distance: float) -> Canvas:
    """Draw a projection image; neighbouring slices are views of a slightly shifted object."""
    scale = min(shape[1:]) * float(rng.uniform(0.45, 1.2))
    canvas = new_canvas(rng, shape, scale, distance=distance, shift=tuple(rng.normal(0, 0.2, 2)), bend=0.03)
    for _ in range(rng.integers(3, 8)):
        _shadow(rng, canvas)
    if rng.random() < 0.6:
        _thorax(rng, canvas)
    else:
        _bones(rng, canvas)
    canvas.values += np.float32(rng.uniform(0.01, 0.06)) * canvas.field(rng, 0.25)
    if rng.random() < 0.25:
        _metal(rng, canvas)
    if rng.random() < 0.3:
        canvas.values *= -1
    return canvas


def _shadow(rng: np.random.Generator, canvas: Canvas) -> None:
    r = rng.uniform(0.2, 0.9)
    place = (0.0, rng.uniform(-0.7, 0.7), rng.uniform(-0.7, 0.7))
    region = ellipsoid(
        canvas, place, (2.0, r, r * rng.uniform(0.5, 1.5)), angle=rng.uniform(0, 3), outline=wobble(rng, 0.1)
    )
    if region is not None:
        chord = np.sqrt(np.clip(region.depth / np.float32(r * canvas.scale), 0, 1))
        canvas.values[region.window] += np.float32(rng.uniform(-0.3, 0.4)) * chord


def _thorax(rng: np.random.Generator, canvas: Canvas) -> None:
    for side in (-1, 1):
        lung = ellipsoid(
            canvas, (0, 0, side * 0.45), (2, 0.8, 0.36), squareness=0.5, outline=wobble(rng, 0.08)
        )
        if lung is not None:
            canvas.values[lung.window] -= np.float32(rng.uniform(0.3, 0.6)) * coverage(lung, 6.0)
        tree = grow_tree(
            rng,
            (0, 0, side * 0.12),
            (0, rng.normal(0, 0.5), side),
            0.03,
            step=0.05,
            steps=24,
            forking=0.2,
            thinnest=0.3 / canvas.scale,
        )
        canvas.values += tube_coverage(canvas, tree, edge=2.5) * np.float32(rng.uniform(0.05, 0.15))
        for slope, size in ((0.35, 0.12), (-0.5, 0.05)):
            for y in np.arange(-0.9, 0.9, rng.uniform(0.16, 0.24)):
                _rib(
                    canvas,
                    y,
                    side,
                    slope * rng.uniform(0.8, 1.2),
                    rng.uniform(0.02, 0.035),
                    size * rng.uniform(0.7, 1.3),
                )
    heart = ellipsoid(canvas, (0, 0.35, 0.12), (2, 0.4, 0.33), outline=wobble(rng, 0.08))
    if heart is not None:
        canvas.values[heart.window] += np.float32(rng.uniform(0.2, 0.5)) * coverage(heart, 5.0)
    for y in np.arange(-1, 1, 0.14):
        bone = ellipsoid(canvas, (0, y, 0), (2, 0.055, 0.085), squareness=0.9)
        if bone is not None:
            canvas.values[bone.window] += np.float32(0.08) * coverage(bone, 3.0)


def _rib(canvas: Canvas, y: float, side: int, slope: float, r: float, size: float) -> None:
    t = np.linspace(0, 1, 9)
    path = np.stack([0 * t, y + slope * t - 0.35 * slope * t**2, side * (0.08 + 0.75 * np.sin(1.5 * t))], 1)
    band = tube_coverage(canvas, along(path, r), edge=2.0)
    hollow = tube_coverage(canvas, along(path, 0.7 * r), edge=3.0)
    canvas.values += np.float32(size) * (band - np.float32(0.45) * hollow)


def _bones(rng: np.random.Generator, canvas: Canvas) -> None:
    grain = power_law_field(rng, canvas.z * np.float32(canvas.scale), canvas.plane, 1.8)
    for _ in range(rng.integers(1, 5)):
        angle, r = rng.uniform(0, np.pi), rng.uniform(0.06, 0.25)
        middle, way = rng.uniform(-0.6, 0.6, 2), np.array([np.sin(angle), np.cos(angle)])
        ends = [[0.0, *(middle + s * way * rng.uniform(0.3, 1.0))] for s in (-1, 1)]
        shaft = along(np.array(ends), r)
        outer = tube_coverage(canvas, shaft, edge=1.5)
        inner = tube_coverage(canvas, along(np.array(ends), 0.72 * r), edge=0.2 * r * canvas.scale + 1)
        bone = np.float32(rng.uniform(0.2, 0.6))
        canvas.values += bone * (outer - np.float32(0.5) * inner) + np.float32(0.03) * bone * grain * outer


def _metal(rng: np.random.Generator, canvas: Canvas) -> None:
    points = np.concatenate([np.zeros((3, 1)), rng.uniform(-0.8, 0.8, (3, 2))], axis=1)
    cover = tube_coverage(canvas, along(points, rng.uniform(0.005, 0.05)), edge=1.0)
    canvas.values += cover * (np.float32(rng.uniform(1.0, 1.6)) - canvas.values)
