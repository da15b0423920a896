"""CT: a low-contrast rod, as in the phantom of the MITA-FDA task group, or a lesion of the liver."""

from __future__ import annotations

import numpy as np

from quell.evaluation.tasks.anatomy import body, pick_sites, quiet, redrawn, ring_of_sites, truth_image
from quell.evaluation.tasks.task import Background, DetectionTask, Scene, Signal
from quell.image import Modality
from quell.phantoms.uniform import MITA_INSERTS

_UNIFORM_MM, _ANATOMY_MM, _SLICE_MM = 0.9, 1.4, 3.0
_REGION_MM = 33.0


def ct_low_contrast(
    background: Background = "uniform", *, pixels: int = 256, slices: int = 1
) -> DetectionTask:
    """Build the task.

    Uniform: a cylinder of 200 mm and 50 HU with eight places at 50 mm from its middle. Anatomy: a random
    abdomen with three places in its liver. The signals are the MITA rods: 3 mm of 14 HU, 5 of 7, 7 of 5,
    10 of 3.

    Parameters
    ----------
    background : "uniform" or "anatomy"
    pixels : int
        Along a side of the image; the field of view stays.
    slices : int
        The same object in each (uniform) or neighbouring slices (anatomy); the middle one is read.
    """
    shape = (slices, pixels, pixels)

    def uniform(rng: np.random.Generator) -> Scene:
        pixel = _UNIFORM_MM * 256 / pixels
        voxels = body(shape, 100 / pixel, 50.0, -1000.0)
        truth = truth_image(voxels, Modality.CT, "HU", (_SLICE_MM, pixel, pixel), "CT low contrast")
        return Scene(truth, ring_of_sites(shape, 50 / pixel, 8))

    def anatomy(rng: np.random.Generator) -> Scene:
        return redrawn(lambda rng: _liver(rng, shape), rng, "liver")

    return DetectionTask(
        "ct-low-contrast",
        "low-contrast rod in a cylinder" if background == "uniform" else "lesion of the liver",
        Modality.CT,
        background,
        tuple(Signal(kind.diameter_mm, kind.contrast) for kind in MITA_INSERTS),
        uniform if background == "uniform" else anatomy,
        "HU",
        _REGION_MM,
        resolution_mm=1.2,
    )


def _liver(rng: np.random.Generator, shape: tuple[int, int, int]) -> Scene | None:
    """Draw an abdomen, and find quiet places of the value of its liver."""
    from quell.evaluation.tasks.trunk import trunk

    pixel = _ANATOMY_MM * 256 / shape[1]
    voxels, palette = trunk(rng, shape, "abdomen", _SLICE_MM / pixel)
    plane = voxels[shape[0] // 2]
    side = 2 * int(4 / pixel) + 1
    allowed = (np.abs(plane - 1000 * palette["liver"]) < 15) & (quiet(plane, side) < 10)
    border = int(_REGION_MM / pixel / 2) + 1
    places = pick_sites(allowed, 3, 12 / pixel, border, rng)
    if len(places) < 3:
        return None
    truth = truth_image(voxels, Modality.CT, "HU", (_SLICE_MM, pixel, pixel), "CT liver")
    return Scene(truth, tuple((shape[0] // 2, *place) for place in places))
