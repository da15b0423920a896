"""Ultrasound: a small cyst, and a mass hardly darker than the tissue around it."""

from __future__ import annotations

import numpy as np

from quell.evaluation.tasks.anatomy import pick_sites, quiet, redrawn, truth_image
from quell.evaluation.tasks.task import Background, DetectionTask, Scene, Signal
from quell.image import FloatArray, Modality

_PIXEL_MM = 0.1
_FOCUS_MM = 30.0
_SHAPE = (1, 400, 384)


def ultrasound_cyst(background: Background = "uniform") -> DetectionTask:
    """Build the task of the cyst: 0.8 to 2 mm across, 8 to 2 dB darker.

    Uniform: tissue of 0 dB, with four places at the depth of the focus, 30 mm. Anatomy: layered tissue
    with other things in it, two quiet places at 26 to 34 mm. Depth matters, since the beam widens away
    from its focus; that is why all places lie near it.
    """
    signals = (Signal(0.8, -8.0), Signal(1.0, -5.0), Signal(1.5, -3.0), Signal(2.0, -2.0))
    return _task("ultrasound-cyst", "small cyst", background, signals, 8.0, 4)


def ultrasound_mass(background: Background = "uniform") -> DetectionTask:
    """Build the task of the mass: 3 to 8 mm across, 1.5 to 0.6 dB darker; see `ultrasound_cyst`."""
    signals = (Signal(3.0, -1.5), Signal(4.0, -1.2), Signal(6.0, -0.8), Signal(8.0, -0.6))
    return _task("ultrasound-mass", "mass of low contrast", background, signals, 18.0, 2)


def _task(
    name: str, text: str, background: Background, signals: tuple[Signal, ...], region: float, places: int
) -> DetectionTask:
    def uniform(rng: np.random.Generator) -> Scene:
        columns = (np.arange(places) + 0.5) * _SHAPE[2] / places
        sites = tuple((0, int(_FOCUS_MM / _PIXEL_MM), int(column)) for column in columns)
        return _scene(np.zeros(_SHAPE, np.float32), sites)

    def anatomy(rng: np.random.Generator) -> Scene:
        return redrawn(lambda rng: _layers(rng, region, signals[-1].diameter_mm), rng, "tissue")

    return DetectionTask(
        name,
        text,
        Modality.US,
        background,
        signals,
        uniform if background == "uniform" else anatomy,
        "dB",
        region,
        resolution_mm=0.5,
    )


def _scene(voxels: FloatArray, sites: tuple[tuple[int, int, int], ...]) -> Scene:
    spacing = (1.0, _PIXEL_MM, _PIXEL_MM)
    return Scene(truth_image(voxels, Modality.US, "dB", spacing, "ultrasound"), sites)


def _layers(rng: np.random.Generator, region: float, diameter: float) -> Scene | None:
    """Draw layered tissue as echo levels in dB: 0 where the drawing has a brightness of one half."""
    from quell.phantoms.ultrasound import draw_ultrasound

    canvas = draw_ultrasound(rng, _SHAPE, 1.0)
    level = np.maximum(20 * np.log10(np.maximum(canvas.values, 1e-3) / 0.5), -60).astype(np.float32)
    plane = level[0]
    allowed = (np.abs(plane) < 8) & (quiet(plane, 2 * int(diameter / 2 / _PIXEL_MM) + 1) < 1.5)
    depth = np.arange(_SHAPE[1]) * _PIXEL_MM
    allowed &= (np.abs(depth - _FOCUS_MM) < 4)[:, None]
    border = int(region / _PIXEL_MM / 2) + 1
    places = pick_sites(allowed, 2, 0.6 * region / _PIXEL_MM, border, rng)
    return _scene(level, tuple((0, *place) for place in places)) if len(places) == 2 else None
