"""What fills the chest, the abdomen and the pelvis."""

from __future__ import annotations

import numpy as np

from quell.image import FloatArray
from quell.phantoms.details import add_vessels, lesions, vessel_tree
from quell.phantoms.scene import Scene
from quell.phantoms.shapes import coverage, ellipsoid, paint, wobble
from quell.phantoms.skeleton import hips


def chest(scene: Scene) -> None:
    """Paint lungs with their vessels, the heart, the great vessels, the airway."""
    rng, canvas, palette, deep = scene.rng, scene.canvas, scene.palette, scene.deep
    lungs = np.zeros_like(canvas.values)
    for side in (-1, 1):
        _lung(scene, side, lungs)
    if rng.random() < 0.8:
        place, radii = (rng.normal(0, 0.3), -0.2 * deep, rng.uniform(0.05, 0.15)), (0.9, 0.45 * deep, 0.33)
        heart = ellipsoid(canvas, place, radii, angle=rng.uniform(0, 1), outline=wobble(rng, 0.1))
        paint(canvas, heart, palette["muscle"], edge=rng.uniform(1, 4))
        lungs *= 1 - scene.cover(heart)
    for _ in range(rng.integers(2, 6)):
        at = (0.0, rng.uniform(-0.45, 0.1) * deep, rng.uniform(-0.12, 0.3))
        scene.blob(palette["blood"], at, rng.uniform(0.05, 0.13), edge=rng.uniform(1, 3))
    _great_vessels(scene)
    if rng.random() < 0.5:
        paint(canvas, ellipsoid(canvas, (0, 0.1 * deep, 0), (3, 0.05, 0.055)), palette["gas"])
    lesions(rng, canvas, int(rng.integers(0, 8)), contrast=(0.2, 0.9), mask=lungs > 0.9, darker=0.1)


def _lung(scene: Scene, side: int, lungs: FloatArray) -> None:
    rng, canvas, palette, wide = scene.rng, scene.canvas, scene.palette, scene.wide
    centre = (0.0, float(rng.normal(0.02, 0.04)), side * wide * rng.uniform(0.48, 0.54))
    radii = (rng.uniform(0.6, 2), scene.deep * rng.uniform(0.8, 0.95), wide * rng.uniform(0.4, 0.47))
    lung = ellipsoid(canvas, centre, radii, squareness=0.4, outline=wobble(rng, 0.08))
    if lung is None:
        return
    paint(canvas, lung, palette["lung"], edge=rng.uniform(1, 2))
    one = scene.cover(lung)
    patchy = canvas.field(rng, rng.uniform(0.03, 0.2))
    canvas.values += (
        one * patchy * np.float32(rng.uniform(0.0, 0.05) * abs(palette["blood"] - palette["lung"]))
    )
    trees = []
    for _ in range(rng.integers(5, 11)):
        hilum = (rng.normal(0, 0.12), centre[1] + rng.normal(0, 0.1), side * wide * rng.uniform(0.1, 0.35))
        way = (float(rng.normal(0, 0.4)), float(rng.normal()), side * 1.2)
        size, flat = rng.uniform(0.012, 0.035), rng.uniform(0.4, 0.9)
        trees.append(vessel_tree(rng, canvas, hilum, way, radius=size, forking=0.3, flatness=flat))
    add_vessels(canvas, trees, one, palette["blood"] - palette["lung"])
    np.maximum(lungs, one, out=lungs)


def _great_vessels(scene: Scene) -> None:
    rng, canvas, palette = scene.rng, scene.canvas, scene.palette
    for x in (rng.uniform(0.05, 0.12), -rng.uniform(0.08, 0.14)):
        r, y = rng.uniform(0.05, 0.085), scene.deep * rng.uniform(0.3, 0.42)
        radii = (4.0, r * rng.uniform(0.7, 1), r)
        region = ellipsoid(canvas, (0, y, x), radii, tilt=(0, rng.normal(0, 0.2)), outline=wobble(rng, 0.05))
        paint(canvas, region, palette["blood"] * rng.uniform(0.8, 1.05))
        if rng.random() < 0.3:
            angle = rng.uniform(0, 2 * np.pi)
            plaque = (0.0, y + 0.95 * r * np.sin(angle), x + 0.95 * r * np.cos(angle))
            scene.blob(palette["cortex"], plaque, rng.uniform(0.5, 2) / canvas.scale, rough=0.2, edge=1)


def abdomen(scene: Scene) -> None:
    """Paint mesentery, bowel, liver, spleen, kidneys, pancreas and the great vessels."""
    rng, palette, wide, deep = scene.rng, scene.palette, scene.wide, scene.deep
    flip = int(rng.choice([-1, 1]))
    _mesentery(scene)
    _bowel(scene, 1.0)
    _liver(scene, flip)
    radii = (0.5, rng.uniform(0.3, 0.45) * deep, rng.uniform(0.15, 0.22) * wide)
    spleen = scene.organ(palette["spleen"], (0, 0.15 * deep, flip * 0.75 * wide), radii)
    mask = scene.cover(spleen) > 0.9
    lesions(rng, scene.canvas, int(rng.integers(0, 3)), contrast=(0.005, 0.1), mask=mask)
    for side in (-1, 1):
        if rng.random() < 0.85:
            _kidney(scene, side)
    _great_vessels(scene)
    scene.organ(palette["pulp"] + 0.02, (0, 0.05 * deep, 0.1 * flip), (0.3, 0.08, 0.3), rough=0.25)


def _liver(scene: Scene, flip: int) -> None:
    rng, canvas, palette, wide, deep = scene.rng, scene.canvas, scene.palette, scene.wide, scene.deep
    radii = (0.9, rng.uniform(0.5, 0.75) * deep, rng.uniform(0.35, 0.52) * wide)
    liver = scene.organ(palette["liver"], (0, -0.1 * deep, -flip * 0.45 * wide), radii)
    inside = scene.cover(liver)
    if liver is None:
        return
    canvas.values += inside * canvas.field(rng, rng.uniform(0.05, 0.3)) * np.float32(rng.uniform(0, 0.012))
    lesions(rng, canvas, int(rng.integers(0, 10)), contrast=(0.005, 0.1), mask=inside > 0.9)
    agent = palette["blood"] - palette["liver"]
    strength = float(np.sign(agent or 1) * max(abs(agent), 0.015))
    trees = []
    for _ in range(rng.integers(2, 5)):
        start = (rng.normal(0, 0.15), rng.normal(0, 0.2) * deep, -flip * 0.15 * wide)
        way = (float(rng.normal(0, 0.5)), float(rng.normal()), -flip * 1.5)
        size, flat = rng.uniform(0.015, 0.04), rng.uniform(0.4, 0.9)
        trees.append(vessel_tree(rng, canvas, start, way, radius=size, flatness=flat))
    add_vessels(canvas, trees, inside, strength * rng.uniform(0.3, 1))


def _kidney(scene: Scene, side: int) -> None:
    rng, canvas, palette = scene.rng, scene.canvas, scene.palette
    r, turn = rng.uniform(0.11, 0.17), side * rng.uniform(0.2, 0.9)
    z, y = float(rng.normal(0, 0.15)), scene.deep * rng.uniform(0.35, 0.5)
    x = side * scene.wide * rng.uniform(0.4, 0.5)
    outer = ellipsoid(canvas, (z, y, x), (2.2 * r, 1.3 * r, r), angle=turn, outline=wobble(rng, 0.08))
    paint(canvas, outer, palette["kidney"])
    for angle in np.arange(0, 2 * np.pi, 0.7) + rng.uniform(0, 1):
        place = (z, y + 0.75 * r * np.sin(angle), x + 0.6 * r * np.cos(angle))
        paint(canvas, ellipsoid(canvas, place, (0.5 * r, 0.22 * r, 0.2 * r)), palette["pulp"], edge=2)
    radii = (1.2 * r, rng.uniform(0.4, 0.65) * r, rng.uniform(0.3, 0.55) * r)
    sinus = ellipsoid(canvas, (z, y, x - side * 0.3 * r), radii, angle=turn, outline=wobble(rng, 0.3))
    paint(canvas, sinus, palette["fat"], edge=1.5)
    scene.blob(palette["fluid"], (z, y, x - side * 0.25 * r), rng.uniform(0.1, 0.25) * r, rough=0.25)
    if rng.random() < 0.3:
        scene.blob(
            palette["fluid"], (z, y + r, x + side * 0.6 * r), rng.uniform(0.1, 0.4) * r, rough=0.03, edge=1
        )


def _mesentery(scene: Scene) -> None:
    """Cross the fat between the organs with vessels, as real fat is."""
    rng, canvas, palette = scene.rng, scene.canvas, scene.palette
    cavity = ellipsoid(canvas, (0, 0, 0), (3, scene.deep, scene.wide))
    inside = scene.cover(cavity)
    trees = []
    for _ in range(rng.integers(2, 5)):
        start = (rng.normal(0, 0.2), rng.normal(0, 0.25), rng.normal(0, 0.3))
        way = (float(rng.normal(0, 0.6)), float(rng.normal()), float(rng.normal()))
        size, flat = rng.uniform(0.01, 0.03), rng.uniform(0, 0.7)
        trees.append(vessel_tree(rng, canvas, start, way, radius=size, forking=0.18, flatness=flat))
    add_vessels(canvas, trees, inside, palette["blood"] - palette["fat"])


def _bowel(scene: Scene, reach: float) -> None:
    rng, canvas, palette = scene.rng, scene.canvas, scene.palette
    for _ in range(rng.integers(8, 26)):
        r = rng.uniform(0.05, 0.13)
        angle, far = rng.uniform(0, 2 * np.pi), np.sqrt(rng.uniform(0, 0.65))
        y, x = scene.deep * far * np.sin(angle) - 0.15, scene.wide * reach * far * np.cos(angle)
        radii = (rng.uniform(1, 3) * r, r, r * rng.uniform(1, 1.9))
        tilt = (float(rng.normal(0, 0.5)), float(rng.normal(0, 0.5)))
        loop = ellipsoid(
            canvas,
            (rng.normal(0, 0.1), y, x),
            radii,
            angle=rng.uniform(0, 3),
            outline=wobble(rng, 0.2),
            tilt=tilt,
        )
        paint(canvas, loop, palette["bowel"] + rng.normal(0, 0.01))
        wall = rng.uniform(0.15, 0.4) * r * canvas.scale
        kind = rng.random()
        if kind < 0.6 and loop is not None:
            paint(canvas, loop, palette["content"] + rng.normal(0, 0.02), inset=wall)
        if kind < 0.25 and loop is not None:
            # Gas rises: the patient lies on the back, y grows to the back.
            level = (np.float32(y + rng.uniform(-0.5, 0.8) * r) - canvas.y[loop.window]) * np.float32(
                canvas.scale
            )
            paint(
                canvas, loop._replace(depth=np.minimum(loop.depth - np.float32(wall), level)), palette["gas"]
            )


def pelvis(scene: Scene) -> None:
    """Paint bowel, muscles, hip bones and the bladder."""
    rng, canvas, palette, wide, deep = scene.rng, scene.canvas, scene.palette, scene.wide, scene.deep
    _mesentery(scene)
    _bowel(scene, 0.6)
    for side in (-1, 1):
        for _ in range(4):
            place = (0.0, rng.uniform(-0.3, 0.7) * deep, side * wide * rng.uniform(0.5, 0.9))
            scene.organ(palette["muscle"], place, (2, rng.uniform(0.1, 0.22), rng.uniform(0.1, 0.22)))
        for _ in range(2):
            place = (0.0, rng.uniform(-0.6, 0.1) * deep, side * wide * rng.uniform(0.35, 0.6))
            scene.blob(palette["blood"] * rng.uniform(0.8, 1), place, rng.uniform(0.02, 0.045), rough=0.05)
    hips(scene)
    radii = (0.3, rng.uniform(0.1, 0.28) * deep, rng.uniform(0.12, 0.3) * wide)
    bladder = scene.organ(palette["muscle"], (0, -0.3 * deep, rng.normal(0, 0.05)), radii)
    if bladder is not None:
        cover = coverage(bladder, 1.0, 0.02 * canvas.scale)
        view = canvas.values[bladder.window]
        jet = (
            np.float32(0.4)
            * (rng.random() < 0.2)
            * np.clip((canvas.y[bladder.window] + 0.25 * deep) / deep, 0, 1)
        )
        view += cover * (np.float32(palette["fluid"]) + jet - view)
