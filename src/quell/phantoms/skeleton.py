"""Bones of the trunk: spine, ribs, pelvis."""

from __future__ import annotations

import numpy as np

from quell.phantoms.scene import Scene
from quell.phantoms.shapes import ellipsoid, paint, wobble
from quell.phantoms.tubes import Tubes, along, depth_coverage, join, tube_depth


def bone_tubes(scene: Scene, tubes: Tubes, shell: float) -> None:
    """Paint tubes of bone: a cortex `shell` pixels thick around marrow."""
    values, palette = scene.canvas.values, scene.palette
    depth = tube_depth(scene.canvas, tubes)
    values += depth_coverage(depth) * (np.float32(palette["cortex"]) - values)
    values += depth_coverage(depth, 1.5, max(shell, 0.8)) * (np.float32(palette["marrow"]) - values)


def spine(scene: Scene) -> None:
    """Paint a vertebra with its canal and processes, and the muscles beside it."""
    rng, canvas, palette = scene.rng, scene.canvas, scene.palette
    y, r = scene.deep * rng.uniform(0.62, 0.8), rng.uniform(0.12, 0.17)
    processes = [along(np.array([[-0.05, y + 1.5 * r, 0], [0.1, y + 2.6 * r, 0]]), 0.2 * r)]
    for side in (-1, 1):
        place = (0.0, y + 0.9 * r, side * 1.5 * r)
        muscle = ellipsoid(canvas, place, (2, 0.9 * r, 1.3 * r), outline=wobble(rng, 0.1))
        paint(canvas, muscle, palette["muscle"])
        path = [
            [0, y + 0.6 * r, side * 0.7 * r],
            [0.03, y + 1.0 * r, side * 1.4 * r],
            [0.05, y + 1.1 * r, side * 1.9 * r],
        ]
        processes.append(along(np.array(path), 0.2 * r))
    bone_tubes(scene, join(processes), 0.05 * r * canvas.scale)
    body = ellipsoid(canvas, (0, y, 0), (2, 0.8 * r, r), outline=wobble(rng, 0.06))
    paint(canvas, body, palette["cortex"])
    kind = "disc" if rng.random() < 0.2 else "marrow"
    paint(canvas, body, palette[kind], inset=rng.uniform(0.03, 0.09) * r * canvas.scale + 0.7)
    canal = ellipsoid(canvas, (0, y + 1.2 * r, 0), (2, 0.55 * r, 0.62 * r))
    paint(canvas, canal, palette["cortex"])
    paint(canvas, canal, palette["fluid"], inset=0.14 * r * canvas.scale)
    paint(canvas, ellipsoid(canvas, (0, y + 1.2 * r, 0), (2, 0.2 * r, 0.25 * r)), palette["pulp"])


def ribs(scene: Scene) -> None:
    """Paint ribs that fall from the spine to the front, so that each slice cuts several."""
    rng, canvas = scene.rng, scene.canvas
    thick, fall = rng.uniform(0.02, 0.034), rng.uniform(0.25, 0.6)
    spacing = rng.uniform(0.14, 0.24)
    wide, deep = scene.wide + thick, scene.deep + thick
    theta = np.linspace(-0.95, 1.25, 22)
    parts = []
    for side in (-1, 1):
        for top in np.arange(-1.2, 1.2, spacing) + rng.uniform(0, spacing):
            z = top + fall * (theta - 0.15)
            path = np.stack([z, deep * np.sin(theta), side * wide * np.cos(theta)], axis=1)
            near = np.abs(z) < 0.3
            if near.sum() > 1:
                parts.append(along(path[near], thick * rng.uniform(0.85, 1.15)))
    if parts:
        bone_tubes(scene, join(parts), 0.3 * thick * canvas.scale)


def hips(scene: Scene) -> None:
    """Paint iliac wings, and sometimes the heads of the femora."""
    rng, canvas, palette = scene.rng, scene.canvas, scene.palette
    t = np.linspace(0, 1, 9)
    radius, bend, front = rng.uniform(0.025, 0.06), rng.uniform(0.1, 0.2), rng.uniform(0.2, 0.5)
    wings = []
    for side in (-1, 1):
        x = side * (scene.wide * (0.8 - 0.45 * t) + bend * np.sin(np.pi * t))
        wing = np.stack([0.2 * (t - 0.5), scene.deep * (-front + (front + 0.65) * t), x], axis=1)
        wings.append(along(wing, radius))
    bone_tubes(scene, join(wings), rng.uniform(0.2, 0.4) * radius * canvas.scale)
    if rng.random() < 0.5:
        for side in (-1, 1):
            place = (rng.normal(0, 0.1), rng.normal(0, 0.05), side * 0.68 * scene.wide)
            head = ellipsoid(canvas, place, (0.15, 0.13, 0.13), outline=wobble(rng, 0.05))
            paint(canvas, head, palette["cortex"])
            paint(canvas, head, palette["marrow"] + 0.1, inset=0.02 * canvas.scale + 1)
