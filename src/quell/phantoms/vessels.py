"""Vessel trees on a smooth background, as angiography shows them."""

from __future__ import annotations

import numpy as np

from quell.phantoms.shapes import Canvas, new_canvas
from quell.phantoms.texture import power_law_field
from quell.phantoms.tubes import Tubes, grow_tree, join, tube_coverage


def draw_vessels(rng: np.random.Generator, shape: tuple[int, int, int], distance: float) -> Canvas:
    """Draw trees of vessels, bright or dark, that run in the slices or cross them."""
    scale = min(shape[1:]) * 0.5
    # Angiography samples finely along z; farther apart, thin vessels would share nothing.
    distance = min(distance, 1.5)
    background = float(rng.uniform(-0.2, 0.3))
    canvas = new_canvas(
        rng,
        shape,
        scale,
        distance=distance,
        bend=rng.uniform(0, 0.06),
        bend_length=0.2,
        background=background,
    )
    canvas.values += canvas.field(rng, rng.uniform(0.3, 1.0)) * np.float32(rng.uniform(0.02, 0.2))
    if rng.random() < 0.5:
        grain = power_law_field(rng, canvas.z * np.float32(scale), canvas.plane, rng.uniform(2.8, 3.8))
        canvas.values += grain * np.float32(rng.uniform(0.005, 0.04))
    # Seldom twice the same plane: a projection shows whole trees, a thin slice only pieces of them.
    thickness = float(rng.choice([0.02, 0.1, 0.3, 0.7]))
    for _ in range(rng.integers(1, 4)):
        trees = [_tree(rng, scale, thickness) for _ in range(rng.integers(1, 4))]
        value = np.exp(rng.uniform(np.log(0.05), 0)) * (1 if rng.random() < 0.8 else -1)
        canvas.values += tube_coverage(canvas, join(trees), edge=rng.uniform(1, 2)) * np.float32(value)
    return canvas


def _tree(rng: np.random.Generator, scale: float, thickness: float) -> Tubes:
    """Grow a tree inwards from the rim, pressed into a layer of relative `thickness`."""
    angle = rng.uniform(0, 2 * np.pi)
    start = (float(rng.normal(0, 0.15)), 1.1 * np.sin(angle), 1.1 * np.cos(angle))
    way = (float(rng.normal(0, 0.3)), -start[1] + rng.normal(0, 0.4), -start[2] + rng.normal(0, 0.4))
    tree = grow_tree(
        rng,
        start,
        way,
        float(np.exp(rng.uniform(0, np.log(5)))) / scale,
        step=rng.uniform(0.04, 0.07),
        steps=40,
        forking=rng.uniform(0.06, 0.2),
        wander=rng.uniform(0.08, 0.3),
        thinnest=0.25 / scale,
    )
    press = np.array([thickness, 1, 1], np.float32)
    return tree._replace(start=tree.start * press, end=tree.end * press)
