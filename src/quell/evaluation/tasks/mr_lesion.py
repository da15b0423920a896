"""MRI: a small bright lesion of the white matter."""

from __future__ import annotations

import numpy as np

from quell.evaluation.tasks.anatomy import body, pick_sites, quiet, redrawn, ring_of_sites, truth_image
from quell.evaluation.tasks.task import Background, DetectionTask, Scene, Signal
from quell.image import Modality

_PIXEL_MM, _SLICE_MM = 1.0, 3.0
_REGION_MM = 25.0
_SIGNAL = 700.0


def mr_lesion(background: Background = "uniform", *, pixels: int = 192, slices: int = 1) -> DetectionTask:
    """Build the task.

    Uniform: a disc of 160 mm and signal 700 with eight places at 45 mm from its middle. Anatomy: a random
    head scaled so that its white matter has signal 700, with three places in it.

    Parameters
    ----------
    background : "uniform" or "anatomy"
    pixels : int
        Along a side of the image, 1 mm each.
    slices : int
    """
    shape = (slices, pixels, pixels)

    def uniform(rng: np.random.Generator) -> Scene:
        voxels = body(shape, 80 / _PIXEL_MM, _SIGNAL, 0.0)
        spacing = (_SLICE_MM, _PIXEL_MM, _PIXEL_MM)
        truth = truth_image(voxels, Modality.MR, "arbitrary", spacing, "MR disc")
        return Scene(truth, ring_of_sites(shape, 45 / _PIXEL_MM, 8))

    def anatomy(rng: np.random.Generator) -> Scene:
        return redrawn(lambda rng: _head(rng, shape), rng, "brain")

    return DetectionTask(
        "mr-lesion",
        "bright lesion of the white matter",
        Modality.MR,
        background,
        (Signal(2.0, 70.0), Signal(3.0, 35.0), Signal(4.0, 25.0), Signal(6.0, 15.0)),
        uniform if background == "uniform" else anatomy,
        "signal (white matter has 700)",
        _REGION_MM,
        resolution_mm=1.2,
    )


def _head(rng: np.random.Generator, shape: tuple[int, int, int]) -> Scene | None:
    """Draw a head as MR shows it; white matter is what most of its quiet pixels show."""
    from quell.phantoms.brain import draw_brain

    values = draw_brain(rng, shape, _SLICE_MM / _PIXEL_MM).values
    if float(values.min()) < -0.5:  # drawn as CT
        return None
    plane = values[shape[0] // 2]
    still = (quiet(plane, 7) < 0.03 * float(plane.max())) & (plane > 0.15 * float(plane.max()))
    if still.sum() < 50:
        return None
    counts, edges = np.histogram(plane[still], 40)
    white = float(edges[:-1][counts.argmax()] + (edges[1] - edges[0]) / 2)
    allowed = still & (np.abs(plane - white) < 0.1 * white)
    places = pick_sites(allowed, 3, 10 / _PIXEL_MM, int(_REGION_MM / _PIXEL_MM / 2) + 1, rng)
    if len(places) < 3:
        return None
    scaled = np.maximum(values, 0) * np.float32(_SIGNAL / white)
    spacing = (_SLICE_MM, _PIXEL_MM, _PIXEL_MM)
    truth = truth_image(scaled, Modality.MR, "arbitrary", spacing, "MR head")
    return Scene(truth, tuple((shape[0] // 2, *place) for place in places))
