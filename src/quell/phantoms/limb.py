"""A limb: muscles in their sheaths around one or two bones."""

from __future__ import annotations

import numpy as np

from quell.phantoms.details import lesions, specks, strands
from quell.phantoms.scene import Scene
from quell.phantoms.shapes import ellipsoid, paint, wobble


def limb(scene: Scene) -> None:
    """Paint a limb around the origin of the scene."""
    rng, canvas, palette = scene.rng, scene.canvas, scene.palette
    fat = rng.uniform(0.05, 0.25) * canvas.scale
    whole = ellipsoid(canvas, (0, 0, 0), (5, rng.uniform(0.8, 1), 1), outline=wobble(rng, 0.05))
    for inset, name in ((0.0, "skin"), (2.0, "fat"), (fat, "muscle")):
        paint(canvas, whole, palette[name], inset=inset)
    everything, muscle = scene.cover(whole, inset=3.0), scene.cover(whole, inset=fat + 1)
    step = palette["fat"] - palette["muscle"]
    for length, width in ((0.25, rng.uniform(0.6, 2)), (0.12, rng.uniform(0.3, 0.8)), (0.04, 0.35)):
        strands(rng, canvas, muscle, length, width, step * rng.uniform(0.2, 1))
    strands(rng, canvas, everything - muscle, 0.1, 0.5, -step * rng.uniform(0.1, 0.6))
    canvas.values += muscle * canvas.field(rng, 0.3) * np.float32(0.02 * abs(step) + 0.003)
    _bones(scene)
    for _ in range(rng.integers(3, 12)):
        angle, far = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.95)
        place = (0.0, 0.9 * far * np.sin(angle), far * np.cos(angle))
        scene.blob(palette["blood"], place, rng.uniform(0.01, 0.045), rough=0.05, edge=1)
    lesions(rng, canvas, int(rng.integers(0, 8)), contrast=(0.005, 0.1), mask=muscle > 0.9)
    specks(rng, canvas, palette)


def _bones(scene: Scene) -> None:
    rng, canvas, palette = scene.rng, scene.canvas, scene.palette
    for _ in range(rng.integers(1, 3)):
        place, r = (0.0, rng.uniform(-0.3, 0.3), rng.uniform(-0.35, 0.35)), rng.uniform(0.12, 0.22)
        radii = (4.0, r, r * rng.uniform(0.8, 1.2))
        bone = ellipsoid(canvas, place, radii, outline=wobble(rng, 0.06), tilt=(0, 0.1))
        paint(canvas, bone, palette["cortex"])
        inset = rng.uniform(0.1, 0.45) * r * canvas.scale
        paint(canvas, bone, palette["marrow"], inset=inset, edge=rng.uniform(1, 4))
