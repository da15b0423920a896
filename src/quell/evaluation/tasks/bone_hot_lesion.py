"""Bone scan: a hot lesion in planar scintigraphy."""

from __future__ import annotations

import numpy as np

from quell.evaluation.tasks.anatomy import grid_of_sites, pick_sites, redrawn, truth_image
from quell.evaluation.tasks.task import Background, DetectionTask, Scene, Signal
from quell.image import Modality

_PIXEL_MM = 2.2
_REGION_MM = 48.0
_COUNTS = 20.0


def bone_hot_lesion(background: Background = "uniform", *, pixels: int = 128) -> DetectionTask:
    """Build the task.

    Uniform: 20 expected counts a pixel of 2.2 mm everywhere, with places on a grid. Anatomy: spine, ribs
    and soft tissue of random uptake, two places on bone.

    Parameters
    ----------
    background : "uniform" or "anatomy"
    pixels : int
        Along a side of the image.
    """
    shape = (1, pixels, pixels)

    def uniform(rng: np.random.Generator) -> Scene:
        voxels = np.full(shape, _COUNTS, np.float32)
        truth = truth_image(voxels, Modality.NM, "counts", (1.0, _PIXEL_MM, _PIXEL_MM), "bone scan, flat")
        return Scene(truth, grid_of_sites(shape, int(_REGION_MM / _PIXEL_MM) + 2))

    def anatomy(rng: np.random.Generator) -> Scene:
        return redrawn(lambda rng: _thorax(rng, shape), rng, "skeleton")

    return DetectionTask(
        "bone-hot-lesion",
        "hot lesion of the bone",
        Modality.NM,
        background,
        (Signal(6.0, 12.0), Signal(8.0, 8.0), Signal(12.0, 4.0), Signal(18.0, 2.0)),
        uniform if background == "uniform" else anatomy,
        "counts",
        _REGION_MM,
        resolution_mm=7.5,
    )


def _thorax(rng: np.random.Generator, shape: tuple[int, int, int]) -> Scene | None:
    """Draw soft tissue, a spine of vertebrae and crossing ribs, as expected counts."""
    from quell.phantoms.shapes import add, ellipsoid, new_canvas, paint, wobble
    from quell.phantoms.tubes import along, join, tube_coverage

    scale = shape[1] / 2.2
    canvas = new_canvas(rng, shape, scale, distance=1.0, bend=0.02)
    paint(canvas, ellipsoid(canvas, (0, 0, 0), (4, 1.6, 1.0), outline=wobble(rng, 0.04)), 5.0, edge=4)
    bone = rng.uniform(12.0, 22.0)
    for y in np.arange(-1.1, 1.1, 0.24):
        vertebra = ellipsoid(canvas, (0, float(y), 0), (2, 0.1, 0.12), squareness=0.7)
        add(canvas, vertebra, bone * rng.uniform(0.8, 1.2), edge=2)
    ribs = []
    t = np.linspace(0, 1, 9)
    for y in np.arange(-1.1, 0.9, 0.24):
        for side in (-1, 1):
            path = np.stack([0 * t, y + 0.35 * t**1.5, side * (0.1 + 0.75 * np.sin(1.5 * t))], axis=1)
            ribs.append(along(path, 0.04))
    cover = tube_coverage(canvas, join(ribs), edge=2)
    canvas.values += cover * np.float32(bone * rng.uniform(0.4, 0.7))
    canvas.values *= np.exp(np.float32(0.08) * canvas.field(rng, 0.2))
    allowed = canvas.values[0] > 5.0 + 0.5 * bone
    border = int(_REGION_MM / _PIXEL_MM / 2) + 1
    places = pick_sites(allowed, 2, 30 / _PIXEL_MM, border, rng)
    if len(places) < 2:
        return None
    truth = truth_image(canvas.values, Modality.NM, "counts", (1.0, _PIXEL_MM, _PIXEL_MM), "bone scan")
    return Scene(truth, tuple((0, *place) for place in places))
