"""Slices through a head: skull, folded cortex, ventricles, vessels, small lesions."""

from __future__ import annotations

import numpy as np

from quell.image import FloatArray
from quell.phantoms.details import lesions
from quell.phantoms.palettes import Palette
from quell.phantoms.scene import Scene
from quell.phantoms.shapes import Canvas, Region, coverage, ellipsoid, new_canvas, paint, wobble
from quell.phantoms.tubes import along, tube_coverage


def _palette(rng: np.random.Generator) -> Palette:
    kind = str(rng.choice(["ct", "t1", "t2", "flair", "any"], p=[0.2, 0.25, 0.2, 0.15, 0.2]))
    if kind == "ct":
        skull = {"skull": rng.uniform(0.7, 1.3), "diploe": rng.uniform(0.25, 0.6)}
        return {"air": -1.0, "scalp": 0.0, "csf": 0.005, "grey": 0.038, "white": 0.028, "blood": 0.06} | skull
    known = {"t1": (0.3, 0.55, 0.75), "t2": (1.0, 0.55, 0.4), "flair": (0.12, 0.6, 0.5)}
    levels = known.get(kind, tuple(rng.uniform(0.1, 1, 3)))
    csf, grey, white = (float(level + rng.normal(0, 0.04)) for level in levels)
    outside = {"scalp": rng.uniform(0.4, 1.1), "skull": 0.05, "diploe": rng.uniform(0.1, 0.5)}
    return {"air": 0.0, "csf": csf, "grey": grey, "white": white, "blood": rng.uniform(0, 1.2)} | outside


def draw_brain(rng: np.random.Generator, shape: tuple[int, int, int], distance: float) -> Canvas:
    """Draw a head, as CT or a random MR weighting shows it."""
    p = _palette(rng)
    share = float(rng.uniform(0.42, 0.95))
    loose = max(0.0, 1 - 0.45 / share)
    shift = (float(rng.uniform(-1, 1)) * loose, float(rng.uniform(-0.8, 0.8)) * loose)
    scale = min(shape[1:]) * share
    canvas = new_canvas(rng, shape, scale, distance=distance, shift=shift, bend=0.02, background=p["air"])
    scene = Scene(rng, canvas, p)
    scalp, skull = rng.uniform(0.03, 0.1), rng.uniform(0.05, 0.09)
    radii = (1.6, 1.0, float(rng.uniform(0.76, 0.88)))
    head = ellipsoid(canvas, (-0.2, 0, 0), radii, outline=wobble(rng, 0.02), squareness=rng.uniform(0, 0.3))
    layers = (
        (0.0, "scalp"),
        (scalp, "skull"),
        (scalp + 0.3 * skull, "diploe"),
        (scalp + 0.7 * skull, "skull"),
        (scalp + skull, "csf"),
    )
    for inset, name in layers:
        paint(canvas, head, p[name], inset=inset * scale, edge=rng.uniform(1, 2))
    if head is not None:
        shallow = np.float32((scalp + skull + rng.uniform(0.005, 0.03)) * scale)
        cortex(scene, head._replace(depth=head.depth - shallow))
    ventricles(scene)
    vessels(scene, scene.cover(head, inset=(scalp + skull) * scale))
    step = abs(p["grey"] - p["white"])
    where = scene.cover(head, inset=(scalp + skull + 0.1) * scale) > 0.9
    count = int(rng.integers(0, 12))
    lesions(rng, canvas, count, contrast=(0.15 * step, 1.5 * step), mask=where, diameter=(2, 14), darker=0.4)
    mottle = canvas.field(rng, rng.uniform(0.04, 0.2)) * np.float32(rng.uniform(0, 0.15) * step)
    canvas.values += mottle * scene.cover(head, inset=(scalp + skull) * scale)
    if p["air"] == 0:
        canvas.values *= np.exp(np.float32(rng.uniform(0, 0.2)) * canvas.field(rng, 0.9))
    return canvas


def cortex(scene: Scene, brain: Region) -> None:
    """Paint a band of grey matter that follows folds, fluid in the folds, white matter within.

    The folds are the zero lines of a random field; the fluid in them closes with the depth under the
    surface and, last of all, the grey matter along them does.
    """
    rng, canvas, p = scene.rng, scene.canvas, scene.palette
    scale = np.float32(canvas.scale)
    length = rng.uniform(0.045, 0.09)
    near = np.clip(1 - brain.depth / (scale * np.float32(rng.uniform(0.25, 0.6))), 0, 1)
    folds = np.abs(canvas.field(rng, length)[brain.window]) * np.float32(length * 0.7) * scale
    folds -= canvas.field(rng, 0.15)[brain.window] * np.float32(0.008) * scale
    fissure = (
        np.abs(canvas.x[brain.window]) * scale + np.maximum(np.abs(canvas.y[brain.window]) - 1, 0) * scale
    )
    middle = fissure + np.float32(0.5) * scale * (np.abs(canvas.y[brain.window]) < np.float32(0.35))
    folds = np.minimum(folds, middle)
    sulci = folds - (near * np.float32(rng.uniform(0.02, 0.04)) - np.float32(0.018)) * scale
    edge = float(rng.uniform(1, 2))
    view = canvas.values[brain.window]
    inside = coverage(brain)
    view += inside * (np.float32(p["grey"]) - view)
    thick = np.float32(rng.uniform(0.03, 0.045)) * scale
    depth = np.minimum(sulci - thick * np.clip(4 * near - 0.3, -1, 1), brain.depth - thick)
    view += np.clip(0.5 + depth / np.float32(edge), 0, 1) * (np.float32(p["white"]) - view)
    view += np.clip(0.5 - sulci, 0, 1) * inside * (np.float32(p["csf"]) - view)


def ventricles(scene: Scene) -> None:
    """Paint the lateral ventricles, the nuclei beside them, sometimes the third ventricle."""
    rng, canvas, p = scene.rng, scene.canvas, scene.palette
    r, lean = rng.uniform(0.03, 0.09), rng.uniform(0.1, 0.4)
    for side in (-1, 1):
        for y, size in ((-0.15, 0.11), (0.05, 0.13)):
            at, radii = (0.0, y, side * (2.2 * r + 0.12)), (0.5, 1.5 * size, 0.7 * size)
            nucleus = ellipsoid(canvas, at, radii, angle=-0.3 * side, outline=wobble(rng, 0.12))
            paint(canvas, nucleus, p["grey"], edge=rng.uniform(2, 5), opacity=rng.uniform(0.4, 1))
        place = (float(rng.normal(0, 0.1)), float(rng.uniform(-0.15, 0.0)), side * (1.1 * r + 0.02))
        radii = (0.5, rng.uniform(2.5, 5) * r, r)
        horn = ellipsoid(
            canvas,
            place,
            radii,
            angle=side * lean,
            outline=wobble(rng, 0.15),
            tilt=(0, side * rng.uniform(0, 0.4)),
        )
        paint(canvas, horn, p["csf"], edge=rng.uniform(1, 2))
    if rng.random() < 0.6:
        paint(canvas, ellipsoid(canvas, (0, 0.12, 0), (0.5, 0.15, 0.02)), p["csf"])


def vessels(scene: Scene, inside: FloatArray) -> None:
    """Paint the falx, a sinus and small vessels cut across."""
    rng, canvas, p = scene.rng, scene.canvas, scene.palette
    falx = along(np.array([[0, -0.9, 0], [0, -0.4, 0.0]]), rng.uniform(0.4, 1.2) / canvas.scale)
    cover = tube_coverage(canvas, falx) * inside
    canvas.values += cover * (np.float32(p["scalp"]) - canvas.values)
    for _ in range(rng.integers(0, 25)):
        y, x = rng.uniform(-0.8, 0.8), rng.uniform(-0.65, 0.65)
        scene.blob(
            p["blood"], (float(rng.normal(0, 0.02)), y, x), rng.uniform(0.5, 2.0) / canvas.scale, edge=1
        )
    scene.blob(p["blood"], (0, rng.uniform(0.75, 0.88), 0), rng.uniform(0.02, 0.06))
