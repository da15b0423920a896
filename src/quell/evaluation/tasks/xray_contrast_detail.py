"""Radiography: discs of falling size and contrast, as in a contrast-detail test object."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from quell.evaluation.inserts import add_stamp, rod_stamp
from quell.evaluation.tasks.anatomy import grid_of_sites, pick_sites, quiet, redrawn, truth_image
from quell.evaluation.tasks.task import Background, DetectionTask, Scene, Signal, Site
from quell.image import FloatArray, Image, Modality

_PIXEL_MM = 0.2
_REGION_MM = 12.0
_SIGNAL = 1000.0


def xray_contrast_detail(background: Background = "uniform", *, pixels: int = 256) -> DetectionTask:
    """Build the task.

    Uniform: 1000 quanta a pixel of 0.2 mm with nine or more places. Anatomy: a random projection of a
    chest or of bones, three quiet places. The contrast is a share of the local signal, as absorption is.

    Parameters
    ----------
    background : "uniform" or "anatomy"
    pixels : int
        Along a side of the image.
    """
    shape = (1, pixels, pixels)

    def uniform(rng: np.random.Generator) -> Scene:
        voxels = np.full(shape, _SIGNAL, np.float32)
        return _scene(voxels, grid_of_sites(shape, int(_REGION_MM / _PIXEL_MM) + 2))

    def anatomy(rng: np.random.Generator) -> Scene:
        return redrawn(lambda rng: _projection(rng, shape), rng, "projection")

    return DetectionTask(
        "xray-contrast-detail",
        "disc of low contrast",
        Modality.XR,
        background,
        (Signal(0.5, -0.04), Signal(1.0, -0.015), Signal(2.0, -0.007), Signal(4.0, -0.004)),
        uniform if background == "uniform" else anatomy,
        "share of the signal",
        _REGION_MM,
        resolution_mm=0.3,
        insert=_absorb,
    )


def _scene(voxels: FloatArray, sites: tuple[Site, ...]) -> Scene:
    spacing = (1.0, _PIXEL_MM, _PIXEL_MM)
    return Scene(truth_image(voxels, Modality.XR, "arbitrary", spacing, "radiograph"), sites)


def _absorb(voxels: npt.NDArray[np.float64], scene: Image, site: Site, signal: Signal) -> None:
    cover = np.zeros(voxels.shape)
    add_stamp(cover, rod_stamp(scene.geometry.spacing, signal.diameter_mm), site, signal.contrast)
    voxels *= 1 + cover


def _projection(rng: np.random.Generator, shape: tuple[int, int, int]) -> Scene | None:
    """Draw a projection; its brightness is the absorption, its mean signal that of the uniform one."""
    from quell.phantoms.radiograph import draw_radiograph

    shadow = draw_radiograph(rng, shape, 1.0).values
    values = np.exp(-np.clip(shadow - shadow.mean(), -2, 2))
    values *= np.float32(_SIGNAL / values.mean())
    plane = values[0]
    spread = quiet(plane, 2 * int(2 / _PIXEL_MM) + 1) / plane
    border = int(_REGION_MM / _PIXEL_MM / 2) + 1
    inner = spread[border:-border, border:-border]
    allowed = spread <= np.quantile(inner, 0.4)
    places = pick_sites(allowed, 3, 0.6 * _REGION_MM / _PIXEL_MM, border, rng)
    return _scene(values, tuple((0, *place) for place in places)) if len(places) == 3 else None
