"""PET: a hot lesion in tissue of some uptake."""

from __future__ import annotations

import numpy as np

from quell.evaluation.tasks.anatomy import body, pick_sites, quiet, redrawn, ring_of_sites, truth_image
from quell.evaluation.tasks.task import Background, DetectionTask, Scene, Signal
from quell.image import Modality

_PIXEL_MM = 4.0
_REGION_MM = 53.0
_UPTAKE = 5000.0


def pet_hot_lesion(background: Background = "uniform", *, pixels: int = 96, slices: int = 1) -> DetectionTask:
    """Build the task.

    Uniform: a cylinder of 240 mm and 5 kBq/ml with six places on the circle of 57 mm of the NEMA image
    quality phantom. Anatomy: a trunk with organs of random uptake, two places in plain tissue. Lesions
    of 10, 13, 17 and 22 mm, as the spheres of that phantom.

    Parameters
    ----------
    background : "uniform" or "anatomy"
    pixels : int
        Along a side of the image, 4 mm each.
    slices : int
    """
    shape = (slices, pixels, pixels)

    def uniform(rng: np.random.Generator) -> Scene:
        voxels = body(shape, 120 / _PIXEL_MM, _UPTAKE, 0.0)
        truth = truth_image(voxels, Modality.PT, "Bq/ml", (_PIXEL_MM,) * 3, "PET cylinder")
        return Scene(truth, ring_of_sites(shape, 57 / _PIXEL_MM, 6))

    def anatomy(rng: np.random.Generator) -> Scene:
        return redrawn(lambda rng: _trunk(rng, shape), rng, "trunk")

    return DetectionTask(
        "pet-hot-lesion",
        "hot lesion in warm tissue",
        Modality.PT,
        background,
        (Signal(10.0, 6000.0), Signal(13.0, 3000.0), Signal(17.0, 2000.0), Signal(22.0, 1200.0)),
        uniform if background == "uniform" else anatomy,
        "Bq/ml",
        _REGION_MM,
        resolution_mm=6.5,
    )


def _trunk(rng: np.random.Generator, shape: tuple[int, int, int]) -> Scene | None:
    from quell.phantoms.shapes import coverage, ellipsoid, new_canvas, paint, wobble

    scale = 160 / _PIXEL_MM
    canvas = new_canvas(rng, shape, scale, distance=1.0, bend=0.02)
    whole = ellipsoid(canvas, (0, 0, 0), (4, rng.uniform(0.65, 0.8), 1), outline=wobble(rng, 0.03))
    paint(canvas, whole, _UPTAKE)
    for _ in range(rng.integers(3, 7)):
        place = (0.0, float(rng.uniform(-0.45, 0.45)), float(rng.uniform(-0.7, 0.7)))
        radii = (0.5, float(rng.uniform(0.1, 0.3)), float(rng.uniform(0.1, 0.3)))
        organ = ellipsoid(canvas, place, radii, angle=rng.uniform(0, 3), outline=wobble(rng, 0.1))
        paint(canvas, organ, _UPTAKE * float(np.exp(rng.uniform(np.log(0.3), np.log(4)))))
    canvas.values *= np.exp(np.float32(0.1) * canvas.field(rng, 0.2))
    plane = canvas.values[shape[0] // 2]
    deep = np.zeros(plane.shape, np.bool_)
    if whole is not None:
        deep[whole.window[1:]] = coverage(whole, inset=16 / _PIXEL_MM)[shape[0] // 2] > 0.99
    allowed = deep & (plane < 2 * _UPTAKE) & (quiet(plane, 5) < 0.15 * _UPTAKE)
    places = pick_sites(allowed, 2, 40 / _PIXEL_MM, int(_REGION_MM / _PIXEL_MM / 2) + 1, rng)
    if len(places) < 2:
        return None
    truth = truth_image(canvas.values, Modality.PT, "Bq/ml", (_PIXEL_MM,) * 3, "PET trunk")
    return Scene(truth, tuple((shape[0] // 2, *place) for place in places))
