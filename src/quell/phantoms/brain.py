"""Slices through a head: skull, folded cortex, ventricles, small lesions."""

from __future__ import annotations

import numpy as np

from quell.phantoms.details import lesions
from quell.phantoms.shapes import Canvas, coverage, ellipsoid, new_canvas, paint, wobble
from quell.phantoms.tubes import along, tube_coverage


def _palette(rng: np.random.Generator) -> dict[str, float]:
    kind = rng.choice(["ct", "t1", "t2", "any"])
    if kind == "ct":
        return {
            "air": -1.0,
            "scalp": 0.0,
            "skull": rng.uniform(0.7, 1.3),
            "diploe": 0.4,
            "csf": 0.005,
            "grey": 0.038,
            "white": 0.028,
        }
    bright = {"t1": (0.3, 0.55, 0.75), "t2": (1.0, 0.55, 0.4)}.get(str(kind), tuple(rng.uniform(0.1, 1, 3)))
    csf, grey, white = (float(b + rng.normal(0, 0.04)) for b in bright)
    return {
        "air": 0.0,
        "scalp": rng.uniform(0.4, 1.1),
        "skull": 0.05,
        "diploe": rng.uniform(0.1, 0.5),
        "csf": csf,
        "grey": grey,
        "white": white,
    }


def draw_brain(rng: np.random.Generator, shape: tuple[int, int, int], distance: float) -> Canvas:
    """Draw a head, as CT or a random MR weighting shows it."""
    p = _palette(rng)
    size = min(shape[1:])
    scale = size * rng.uniform(0.42, 0.95)
    loose = max(0.0, 1 - 0.45 * size / scale)
    shift = (float(rng.uniform(-1, 1) * loose), float(rng.uniform(-1, 1) * loose * 0.8))
    canvas = new_canvas(rng, shape, scale, distance=distance, shift=shift, bend=0.02, background=p["air"])
    outline, wide = wobble(rng, 0.02), rng.uniform(0.76, 0.88)
    skull = rng.uniform(0.05, 0.09)
    scalp = rng.uniform(0.03, 0.1)
    layers = (
        (0.0, "scalp"),
        (scalp, "skull"),
        (scalp + 0.3 * skull, "diploe"),
        (scalp + 0.7 * skull, "skull"),
        (scalp + skull, "csf"),
    )
    for less, name in layers:
        paint(canvas, ellipsoid(canvas, (-0.2, 0, 0), (1.6, 1 - less, wide - less), outline=outline), p[name])
    _cortex(rng, canvas, p, outline, 1 - scalp - skull, wide - scalp - skull)
    _ventricles(rng, canvas, p)
    step = abs(p["grey"] - p["white"])
    lesions(
        rng,
        canvas,
        int(rng.integers(0, 12)),
        contrast=(0.15 * step, 1.5 * step),
        diameter=(2, 14),
        darker=0.4,
    )
    return canvas


def _cortex(
    rng: np.random.Generator, canvas: Canvas, p: dict[str, float], outline: np.ndarray, deep: float, wide: float
) -> None:  # fmt: skip
    brain = ellipsoid(canvas, (-0.2, 0, 0), (1.5, deep - 0.02, wide - 0.02), outline=outline)
    if brain is None:
        return
    view = canvas.values[brain.window]
    length = rng.uniform(0.07, 0.12)
    folds = canvas.field(rng, length)[brain.window] * np.float32(length * canvas.scale)
    inward = brain.depth / np.float32(canvas.scale)
    near = np.clip(1 - inward / np.float32(rng.uniform(0.2, 0.4)), 0, 1)
    sulci = np.abs(folds) - (3.2 * near - 1.6) * np.float32(0.014 * canvas.scale)
    inside = coverage(brain, 1.0)
    view += inside * (np.float32(p["grey"]) - view)
    thick = np.float32(rng.uniform(0.03, 0.045) * canvas.scale)
    white = np.clip(0.5 + np.minimum(sulci - thick * np.minimum(1, 0.3 + near), brain.depth - thick), 0, 1)
    view += white * (np.float32(p["white"]) - view)
    gap = np.clip(0.5 - sulci, 0, 1) * inside
    view += gap * (np.float32(p["csf"]) - view)
    falx = along(np.array([[0, -0.85, 0], [0, -0.3, 0.0]]), 0.012)
    canvas.values += tube_coverage(canvas, falx) * (np.float32(p["csf"]) - canvas.values)


def _ventricles(rng: np.random.Generator, canvas: Canvas, p: dict[str, float]) -> None:
    r = rng.uniform(0.04, 0.11)
    for side in (-1, 1):
        nucleus = ellipsoid(
            canvas, (0, -0.12, side * 3 * r), (0.5, 0.16, 0.09), angle=-side * 0.3, outline=wobble(rng, 0.1)
        )
        paint(canvas, nucleus, p["grey"], edge=3)
        place = (rng.normal(0, 0.1), rng.uniform(-0.15, 0.0), side * 1.2 * r)
        horn = ellipsoid(
            canvas,
            place,
            (0.5, 4 * r, r),
            angle=side * rng.uniform(0.1, 0.4),
            outline=wobble(rng, 0.12),
            tilt=(0, side * 0.3),
        )
        paint(canvas, horn, p["csf"], edge=1.2)
    paint(canvas, ellipsoid(canvas, (0, 0.12, 0), (0.5, 0.15, 0.02)), p["csf"])
