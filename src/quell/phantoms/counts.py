"""What nuclear medicine sees: uptake in organs, hot spots, a skeleton, blurred by the camera."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from quell.phantoms.details import strands
from quell.phantoms.shapes import Canvas, add, coverage, ellipsoid, new_canvas, paint, wobble
from quell.phantoms.tubes import Tubes, along, join, tube_coverage


def draw_counts(rng: np.random.Generator, shape: tuple[int, int, int], distance: float) -> Canvas:
    """Draw a slice of uptake in the trunk, the brain or the heart, or a planar skeleton; not negative."""
    scale = min(shape[1:]) * float(rng.uniform(0.25, 0.9))
    shift = (float(rng.normal(0, 0.15)), float(rng.normal(0, 0.15)))
    canvas = new_canvas(rng, shape, scale, distance=distance, shift=shift, bend=0.03)
    kind = rng.choice(["trunk", "brain", "heart", "skeleton"], p=[0.35, 0.15, 0.1, 0.4])
    {"trunk": _trunk, "brain": _brain, "heart": _heart, "skeleton": _skeleton}[str(kind)](rng, canvas)
    canvas.values *= np.exp(np.float32(rng.uniform(0.02, 0.2)) * canvas.field(rng, rng.uniform(0.06, 0.3)))
    sigma = rng.uniform(1.5, 4.0) / 2.355 * float(rng.choice([1.0, 1.8]))
    blurred = ndimage.gaussian_filter(canvas.values, (0, sigma, sigma), truncate=3.5)
    canvas.values = np.maximum(blurred, 0).astype(np.float32)
    return canvas


def _hot_spots(rng: np.random.Generator, canvas: Canvas, base: float) -> None:
    """Add foci of 2 to 10 times the uptake around them."""
    for _ in range(rng.integers(0, 9)):
        r = np.exp(rng.uniform(np.log(1.0), np.log(8.0))) / canvas.scale
        place = (
            float(rng.normal(0, 0.5)) * r,
            float(rng.uniform(-0.65, 0.65)),
            float(rng.uniform(-0.6, 0.6)),
        )
        radii = (1.5 * r, r, r * rng.uniform(0.7, 1.4))
        region = ellipsoid(canvas, place, radii, outline=wobble(rng, 0.1))
        add(canvas, region, base * float(np.exp(rng.uniform(0, np.log(9)))))


def _trunk(rng: np.random.Generator, canvas: Canvas) -> None:
    base, deep = rng.uniform(0.1, 0.3), rng.uniform(0.6, 0.95)
    whole = ellipsoid(canvas, (0, 0, 0), (4, deep, 1), outline=wobble(rng, 0.04))
    paint(canvas, whole, base * rng.uniform(0.3, 0.8))
    paint(canvas, whole, base, inset=rng.uniform(0.03, 0.15) * canvas.scale)
    if whole is not None:
        inside = np.zeros_like(canvas.values)
        inside[whole.window] = coverage(whole, inset=4.0)
        strands(
            rng, canvas, inside, rng.uniform(0.05, 0.2), rng.uniform(0.5, 3), base * rng.uniform(-0.5, 0.5)
        )
    for _ in range(rng.integers(2, 10)):
        r, angle, far = rng.uniform(0.06, 0.35), rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.65)
        place = (float(rng.normal(0, 0.2)), deep * far * np.sin(angle), far * np.cos(angle))
        radii = (1.5 * r, r, r * rng.uniform(0.6, 1.5))
        organ = ellipsoid(canvas, place, radii, angle=rng.uniform(0, 3), outline=wobble(rng, 0.15))
        paint(canvas, organ, base * float(np.exp(rng.uniform(np.log(0.3), np.log(5)))))
        if rng.random() < 0.3:
            paint(canvas, organ, base, inset=rng.uniform(0.3, 0.6) * r * canvas.scale)
    spine = ellipsoid(canvas, (0, 0.6 * deep, 0), (2, 0.1, 0.12), outline=wobble(rng, 0.05))
    paint(canvas, spine, base * rng.uniform(0.8, 2.5))
    _hot_spots(rng, canvas, base)


def _brain(rng: np.random.Generator, canvas: Canvas) -> None:
    """Paint a ribbon of high uptake along folds, low white matter, hot basal ganglia."""
    grey = rng.uniform(0.5, 1.0)
    white = grey * rng.uniform(0.2, 0.45)
    paint(canvas, ellipsoid(canvas, (0, 0, 0), (2, 1.0, 0.85)), 0.15 * grey)
    brain = ellipsoid(canvas, (0, 0, 0), (1.5, 0.88, 0.72), outline=wobble(rng, 0.04))
    paint(canvas, brain, grey)
    folds = np.abs(canvas.field(rng, 0.1)) * np.float32(0.07 * canvas.scale)
    if brain is not None:
        depth = brain.depth - np.float32(0.07 * canvas.scale)
        near = np.clip(1 - brain.depth / np.float32(0.4 * canvas.scale), 0, 1)
        ribbon = folds[brain.window] - np.float32(0.045 * canvas.scale) * near
        paint(canvas, brain._replace(depth=np.minimum(depth, ribbon)), white)
    for side in (-1, 1):
        for y in (-0.12, 0.1):
            nucleus = ellipsoid(canvas, (0, y, side * 0.22), (0.3, 0.13, 0.09), outline=wobble(rng, 0.1))
            paint(canvas, nucleus, grey * rng.uniform(0.8, 1.3))
        horn = ellipsoid(canvas, (0, -0.05, side * 0.07), (0.4, 0.2, 0.045), angle=0.3 * side)
        paint(canvas, horn, 0.1 * grey)


def _heart(rng: np.random.Generator, canvas: Canvas) -> None:
    """Paint a ring or horseshoe of myocardium, sometimes with a defect, near the liver."""
    wall, r = rng.uniform(0.5, 1.0), rng.uniform(0.15, 0.4)
    paint(canvas, ellipsoid(canvas, (0, 0, 0), (4, 0.8, 1), outline=wobble(rng, 0.04)), 0.08 * wall)
    place = (0.0, float(rng.uniform(-0.3, 0.1)), float(rng.uniform(0, 0.3)))
    radii = (1.6 * r, r * rng.uniform(1, 1.5), r)
    ring = ellipsoid(canvas, place, radii, angle=rng.uniform(0, 3), outline=wobble(rng, 0.05))
    paint(canvas, ring, wall)
    paint(canvas, ring, 0.15 * wall, inset=rng.uniform(0.3, 0.45) * r * canvas.scale)
    angle = rng.uniform(0, 2 * np.pi)
    spot = (0.0, place[1] + 0.85 * r * np.sin(angle), place[2] + 0.85 * r * np.cos(angle))
    gap = ellipsoid(canvas, spot, (r, 0.4 * r, 0.4 * r))
    paint(canvas, gap, 0.1 * wall, opacity=rng.uniform(0, 1), edge=4)
    liver = ellipsoid(canvas, (0, 0.5, -0.4), (1, 0.3, 0.45), outline=wobble(rng, 0.12))
    paint(canvas, liver, wall * rng.uniform(0.1, 1.2))


def _skeleton(rng: np.random.Generator, canvas: Canvas) -> None:
    soft, bone = rng.uniform(0.03, 0.15), rng.uniform(0.3, 0.8)
    trunk = ellipsoid(canvas, (0, 0.1, 0), (4, 1.0, 0.55), squareness=0.5, outline=wobble(rng, 0.05))
    paint(canvas, trunk, soft, edge=4)
    ribs: list[Tubes] = []
    for k, y in enumerate(np.arange(-0.8, 0.62, rng.uniform(0.07, 0.1))):
        r = 0.035 + 0.0012 * k
        radii, place = (2.0, r * 0.8, r), (0.0, float(y), 0.01 * np.sin(4 * y))
        add(canvas, ellipsoid(canvas, place, radii, squareness=0.6), bone * rng.uniform(0.7, 1.2))
        if 0 < k < 11:
            ribs += _rib_pair(rng, float(y), 0.2 + 0.2 * np.sin(np.pi * (k + 2) / 14))
    canvas.values += tube_coverage(canvas, join(ribs), edge=1.5) * np.float32(bone * rng.uniform(0.3, 0.8))
    for points, r in _limbs():
        canvas.values += tube_coverage(canvas, along(points, r), edge=2) * np.float32(
            bone * rng.uniform(0.4, 1.1)
        )
    paint(canvas, ellipsoid(canvas, (0, -1.05, 0), (2, 0.22, 0.17)), bone * 0.6, edge=2)
    paint(canvas, ellipsoid(canvas, (0, -1.07, 0), (2, 0.19, 0.14)), bone * rng.uniform(0.25, 0.6), edge=2)
    add(canvas, ellipsoid(canvas, (0, 0.9, 0), (2, 0.06, 0.08)), bone * rng.uniform(0, 3))
    for side in (-1, 1):
        kidney = ellipsoid(canvas, (0, 0.3, side * 0.2), (2, 0.1, 0.055), angle=-0.2 * side)
        add(canvas, kidney, bone * rng.uniform(0, 0.7), edge=3)
    _hot_spots(rng, canvas, bone * 0.6)


def _limbs() -> list[tuple[npt.NDArray[np.float64], float]]:
    """Return the hip bones, thighs, upper arms and shoulders as paths with radii."""
    t = np.linspace(0, 1, 9)
    paths: list[tuple[npt.NDArray[np.float64], float]] = []
    for side in (-1, 1):
        x = side * (0.08 + 0.25 * np.sin(np.pi * (0.15 + 0.7 * t)))
        paths.append((np.stack([0 * t, 0.6 + 0.3 * t + 0.05 * np.sin(3 * t), x], axis=1), 0.04))
        paths.append((np.array([[0, 0.85, side * 0.3], [0, 1.6, side * 0.22]]), 0.04))
        paths.append((np.array([[0, -0.7, side * 0.45], [0, 0.0, side * 0.56], [0, 0.6, side * 0.6]]), 0.025))
        paths.append((np.array([[0, -0.72, side * 0.05], [0, -0.76, side * 0.42]]), 0.014))
    return paths


def _rib_pair(rng: np.random.Generator, y: float, wide: float) -> list[Tubes]:
    t = np.linspace(0, np.pi * 0.8, 9)
    pair = []
    for side in (-1, 1):
        fall = 0.12 * (1 - np.cos(t)) * rng.uniform(0.8, 1.1)
        path = np.stack([0 * t, y + fall, side * (0.04 + wide * np.sin(t))], axis=1)
        pair.append(along(path, 0.012))
    return pair
