"""Projections: smooth overlapping shadows, crossing ribs, trabeculae, sometimes metal."""

from __future__ import annotations

import numpy as np

from quell.phantoms.shapes import Canvas, coverage, ellipsoid, new_canvas, wobble
from quell.phantoms.texture import power_law_field
from quell.phantoms.tubes import Tubes, along, depth_coverage, grow_tree, join, tube_coverage, tube_depth


def draw_radiograph(rng: np.random.Generator, shape: tuple[int, int, int], distance: float) -> Canvas:
    """Draw a projection image; neighbouring slices are views of a slightly shifted object."""
    scale = min(shape[1:]) * float(rng.uniform(0.45, 1.2))
    shift = (float(rng.normal(0, 0.2)), float(rng.normal(0, 0.2)))
    canvas = new_canvas(rng, shape, scale, distance=distance, shift=shift, bend=0.03, background=-5.0)
    # A projection has no air of its own: the texture is everywhere.
    canvas.values[:] = 0.0
    for _ in range(rng.integers(3, 8)):
        _shadow(rng, canvas)
    if rng.random() < 0.55:
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
    """Add the projection of a ball of tissue: its brightness is the length of the ray in it."""
    r = rng.uniform(0.2, 0.9)
    place = (0.0, rng.uniform(-0.7, 0.7), rng.uniform(-0.7, 0.7))
    radii = (2.0, r, r * rng.uniform(0.5, 1.5))
    region = ellipsoid(canvas, place, radii, angle=rng.uniform(0, 3), outline=wobble(rng, 0.1))
    if region is not None:
        chord = np.sqrt(np.clip(region.depth / np.float32(r * canvas.scale), 0, 1))
        canvas.values[region.window] += np.float32(rng.uniform(-0.3, 0.4)) * chord


def _thorax(rng: np.random.Generator, canvas: Canvas) -> None:
    trees = []
    for side in (-1, 1):
        outline = wobble(rng, 0.08)
        lung = ellipsoid(canvas, (0, 0, side * 0.45), (2, 0.8, 0.36), squareness=0.5, outline=outline)
        if lung is not None:
            canvas.values[lung.window] -= np.float32(rng.uniform(0.3, 0.6)) * coverage(
                lung, rng.uniform(2, 8)
            )
        for _ in range(rng.integers(2, 5)):
            way = (0.0, float(rng.normal(0, 0.7)), float(side))
            root, thinnest = (0.0, float(rng.normal(0, 0.1)), side * 0.12), 0.3 / canvas.scale
            trees.append(
                grow_tree(rng, root, way, 0.025, step=0.05, steps=24, forking=0.2, thinnest=thinnest)
            )
    flat = np.array([0, 1, 1], np.float32)
    tree = join(trees)
    tree = tree._replace(start=tree.start * flat, end=tree.end * flat)
    canvas.values += tube_coverage(canvas, tree, edge=2.5) * np.float32(rng.uniform(0.04, 0.12))
    for slope, size in ((0.35, 0.12), (-0.5, 0.05)):
        _ribs(rng, canvas, slope, size * rng.uniform(0.7, 1.3))
    heart = ellipsoid(canvas, (0, 0.35, 0.12), (2, 0.4, 0.33), outline=wobble(rng, 0.08))
    if heart is not None:
        canvas.values[heart.window] += np.float32(rng.uniform(0.2, 0.5)) * coverage(heart, rng.uniform(2, 6))
    _spine(rng, canvas)


def _ribs(rng: np.random.Generator, canvas: Canvas, slope: float, size: float) -> None:
    """Add bands brighter at their rims, where the rays run along the cortex."""
    t, r = np.linspace(0, 1, 9), rng.uniform(0.02, 0.035)
    bands: list[Tubes] = []
    for y in np.arange(-0.95, 0.95, rng.uniform(0.15, 0.24)):
        for side in (-1, 1):
            steep = slope * rng.uniform(0.8, 1.2)
            path = [0 * t, y + steep * t - 0.35 * steep * t**2, side * (0.08 + 0.75 * np.sin(1.5 * t))]
            bands.append(along(np.stack(path, 1), r))
    depth = tube_depth(canvas, join(bands))
    hollow = depth_coverage(depth, 2.0, 0.25 * r * canvas.scale + 0.5)
    canvas.values += np.float32(size) * (
        depth_coverage(depth, 2.0) - np.float32(rng.uniform(0.2, 0.5)) * hollow
    )


def _spine(rng: np.random.Generator, canvas: Canvas) -> None:
    height = rng.uniform(0.12, 0.16)
    for y in np.arange(-1, 1, height):
        bone = ellipsoid(canvas, (0, y, 0), (2, 0.42 * height, 0.085), squareness=0.9)
        if bone is not None:
            rim = coverage(bone, 2.0) - np.float32(0.4) * coverage(bone, 2.0, 2.5)
            canvas.values[bone.window] += np.float32(0.12) * rim


def _bones(rng: np.random.Generator, canvas: Canvas) -> None:
    grain = power_law_field(rng, canvas.z * np.float32(canvas.scale), canvas.plane, rng.uniform(1.6, 2.6))
    for _ in range(rng.integers(1, 5)):
        angle, r = rng.uniform(0, np.pi), rng.uniform(0.05, 0.2)
        middle, way = rng.uniform(-0.6, 0.6, 2), np.array([np.sin(angle), np.cos(angle)])
        t = np.linspace(-1, 1, 15)
        points = middle + np.outer(t * rng.uniform(0.4, 1.0) + 0.05 * r * np.sin(3 * t), way)
        points += np.outer(0.3 * r * np.sin(2 * t + rng.uniform(0, 6)), way[::-1] * [1, -1])
        # A long bone widens towards its joints.
        width = r * (0.75 + rng.uniform(0.2, 0.7) * t[:-1] ** 4)
        shaft = along(np.concatenate([np.zeros((15, 1)), points], axis=1), width.astype(np.float32))
        depth = tube_depth(canvas, shaft)
        outer = depth_coverage(depth, 1.5)
        wall = rng.uniform(0.15, 0.4) * r * canvas.scale
        inner = depth_coverage(depth, 1.5 * wall, wall)
        bone = np.float32(rng.uniform(0.2, 0.6))
        canvas.values += bone * (outer - np.float32(0.5) * inner)
        canvas.values += np.float32(rng.uniform(0.02, 0.08)) * bone * grain * outer


def _metal(rng: np.random.Generator, canvas: Canvas) -> None:
    points = np.concatenate([np.zeros((3, 1)), rng.uniform(-0.8, 0.8, (3, 2))], axis=1)
    cover = tube_coverage(canvas, along(points, rng.uniform(0.005, 0.05)))
    canvas.values += cover * (np.float32(rng.uniform(1.0, 1.6)) - canvas.values)
