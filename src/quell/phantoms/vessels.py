"""Vessel trees on a smooth background, as angiography shows them."""

from __future__ import annotations

import numpy as np

from quell.phantoms.shapes import Canvas, new_canvas
from quell.phantoms.tubes import grow_tree, tube_coverage


def draw_vessels(rng: np.random.Generator, shape: tuple[int, int, int], distance: float) -> Canvas:
    """Draw trees of vessels, bright or dark, that cross the slices."""
    scale = min(shape[1:]) * 0.5
    canvas = new_canvas(rng, shape, scale, distance=distance, bend=0.0)
    canvas.values += canvas.field(rng, rng.uniform(0.3, 1.0)) * np.float32(rng.uniform(0.02, 0.2))
    flat = float(rng.choice([1.0, 0.5, 0.2]))
    for _ in range(rng.integers(2, 7)):
        angle = rng.uniform(0, 2 * np.pi)
        start = (float(rng.normal(0, 0.15)), 1.1 * np.sin(angle), 1.1 * np.cos(angle))
        way = (float(rng.normal(0, 0.3)), -start[1] + rng.normal(0, 0.4), -start[2] + rng.normal(0, 0.4))
        tree = grow_tree(rng, start, way, rng.uniform(1.0, 4.0) / scale, step=0.06, steps=40, forking=0.1,
                         wander=rng.uniform(0.08, 0.25), thinnest=0.25 / scale)  # fmt: skip
        squeeze = np.array([flat, 1, 1], np.float32)
        tree = tree._replace(start=tree.start * squeeze, end=tree.end * squeeze)
        value = np.exp(rng.uniform(np.log(0.05), 0)) * (1 if rng.random() < 0.8 else -1)
        canvas.values += tube_coverage(canvas, tree, edge=rng.uniform(1, 2)) * np.float32(value)
    return canvas
