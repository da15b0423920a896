"""CT: a small nodule in the lung."""

from __future__ import annotations

import numpy as np

from quell.evaluation.tasks.anatomy import body, pick_sites, quiet, redrawn, truth_image
from quell.evaluation.tasks.task import Background, DetectionTask, Scene, Signal, Site
from quell.image import Modality
from quell.phantoms.uniform import disc_coverage

_PIXEL_MM, _SLICE_MM = 1.3, 1.5
_REGION_MM = 25.0
_LUNG = -850.0


def ct_lung_nodule(
    background: Background = "uniform", *, pixels: int = 256, slices: int = 1
) -> DetectionTask:
    """Build the task.

    Uniform: two round lungs of -850 HU in a round chest, with four places in each. Anatomy: a random
    chest with vessels, and four places in lung tissue. The signals are those at the limit of what a
    quarter of the usual dose shows, fainter than ground glass: 3 mm of 40 HU, 4 of 20, 5 of 12, 8 of 6.

    Parameters
    ----------
    background : "uniform" or "anatomy"
    pixels : int
        Along a side of the image; the field of view stays.
    slices : int
    """
    shape = (slices, pixels, pixels)
    pixel = _PIXEL_MM * 256 / pixels

    def uniform(rng: np.random.Generator) -> Scene:
        voxels = body(shape, 150 / pixel, 40.0, -1000.0)
        sites: list[Site] = []
        for side in (-1, 1):
            middle = (round((pixels - 1) / 2), round((pixels - 1) / 2 + side * 68 / pixel))
            lung = disc_coverage((pixels, pixels), 58 / pixel, middle)
            voxels += ((_LUNG - 40.0) * lung).astype(np.float32)
            step = round(22 / pixel)
            corners = ((-step, -step), (-step, step), (step, -step), (step, step))
            sites += [(slices // 2, middle[0] + y, middle[1] + x) for y, x in corners]
        truth = truth_image(voxels, Modality.CT, "HU", (_SLICE_MM, pixel, pixel), "CT lung")
        return Scene(truth, tuple(sites))

    def anatomy(rng: np.random.Generator) -> Scene:
        return redrawn(lambda rng: _chest(rng, shape, pixel), rng, "lung")

    return DetectionTask(
        "ct-lung-nodule",
        "nodule in the lung",
        Modality.CT,
        background,
        (Signal(3.0, 40.0), Signal(4.0, 20.0), Signal(5.0, 12.0), Signal(8.0, 6.0)),
        uniform if background == "uniform" else anatomy,
        "HU",
        _REGION_MM,
        resolution_mm=1.5,
    )


def _chest(rng: np.random.Generator, shape: tuple[int, int, int], pixel: float) -> Scene | None:
    from quell.evaluation.tasks.trunk import trunk

    voxels, palette = trunk(rng, shape, "chest", _SLICE_MM / pixel)
    plane = voxels[shape[0] // 2]
    side = 2 * int(5 / pixel) + 1
    allowed = (np.abs(plane - 1000 * palette["lung"]) < 80) & (quiet(plane, side) < 60)
    places = pick_sites(allowed, 4, 14 / pixel, int(_REGION_MM / pixel / 2) + 1, rng)
    if len(places) < 4:
        return None
    truth = truth_image(voxels, Modality.CT, "HU", (_SLICE_MM, pixel, pixel), "CT chest")
    return Scene(truth, tuple((shape[0] // 2, *place) for place in places))
