"""SPECT: a defect of perfusion in the wall of the left ventricle."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from quell.evaluation.inserts import add_stamp, stamp
from quell.evaluation.observers.scores import Array
from quell.evaluation.tasks.anatomy import body, redrawn, truth_image
from quell.evaluation.tasks.task import Background, DetectionTask, Scene, Signal, Site
from quell.image import FloatArray, Image, Modality

_PIXEL_MM = 4.0
_REGION_MM = 85.0
_INNER_MM, _OUTER_MM = 22.0, 33.0
_WALL, _CAVITY, _TORSO = 1.0, 0.15, 0.08


def spect_perfusion(
    background: Background = "uniform", *, pixels: int = 96, slices: int = 1
) -> DetectionTask:
    """Build the task.

    A short-axis slice: the wall of the ventricle is a ring of 11 mm and uptake 1 in a torso of 0.08.
    The defect takes a share of the uptake of the wall away, over an arc of the given length at the
    anterior wall. Anatomy: the uptake of the wall varies smoothly, and a liver of varying uptake lies
    near. A noise model that spreads the counts of a whole volume over the slices it is given needs the
    share of one slice here, about 60 000 counts.

    Parameters
    ----------
    background : "uniform" or "anatomy"
    pixels : int
        Along a side of the image, 4 mm each.
    slices : int
    """
    shape = (slices, pixels, pixels)

    def uniform(rng: np.random.Generator) -> Scene:
        return _scene(_plain(shape))

    def anatomy(rng: np.random.Generator) -> Scene:
        return redrawn(lambda rng: _varied(rng, shape), rng, "heart")

    return DetectionTask(
        "spect-perfusion",
        "defect of perfusion in the anterior wall of the left ventricle",
        Modality.NM,
        background,
        (Signal(30.0, -0.2), Signal(30.0, -0.3), Signal(20.0, -0.4), Signal(40.0, -0.15)),
        uniform if background == "uniform" else anatomy,
        "share of the uptake of the wall",
        _REGION_MM,
        resolution_mm=12.0,
        insert=_defect,
    )


def _ring(inner: float, outer: float) -> Array:
    spacing = (_PIXEL_MM,) * 3

    def inside(z: Array, y: Array, x: Array) -> npt.NDArray[Any]:
        radius = np.hypot(y, x) + 0 * z
        return (radius >= inner) & (radius <= outer)

    return stamp(spacing, (0.0, outer, outer), inside)


def _plain(shape: tuple[int, int, int]) -> FloatArray:
    voxels = body(shape, 150 / _PIXEL_MM, _TORSO, 0.0)
    _heart(voxels, _WALL)
    return voxels


def _heart(voxels: FloatArray, wall: float | FloatArray) -> None:
    """Put the ventricle into the middle of every slice."""
    site = (0, voxels.shape[1] // 2, voxels.shape[2] // 2)
    parts = ((_ring(0.0, _INNER_MM), _CAVITY), (_ring(_INNER_MM, _OUTER_MM), wall))
    for part, value in parts:
        cover = np.zeros((1, *voxels.shape[1:]))
        add_stamp(cover, part, site, 1.0)
        voxels += (cover * (value - voxels)).astype(np.float32)


def _scene(voxels: FloatArray) -> Scene:
    middle = round((_INNER_MM + _OUTER_MM) / 2 / _PIXEL_MM)
    site = (voxels.shape[0] // 2, voxels.shape[1] // 2 - middle, voxels.shape[2] // 2)
    spacing = (_PIXEL_MM,) * 3
    truth = truth_image(voxels, Modality.NM, "relative", spacing, "SPECT heart")
    return Scene(truth, (site,))


def _varied(rng: np.random.Generator, shape: tuple[int, int, int]) -> Scene:
    from quell.phantoms.shapes import ellipsoid, new_canvas, paint, wobble

    scale = 160 / _PIXEL_MM
    canvas = new_canvas(rng, shape, scale, distance=1.0, bend=0.02)
    torso = ellipsoid(canvas, (0, 0, 0), (4, 0.75, 1), outline=wobble(rng, 0.03))
    paint(canvas, torso, _TORSO * rng.uniform(0.6, 1.5))
    place = (0.0, rng.uniform(0.3, 0.4), rng.uniform(-0.5, -0.2))
    liver = ellipsoid(canvas, place, (1, 0.22, 0.4), angle=rng.uniform(0, 0.5), outline=wobble(rng, 0.1))
    paint(canvas, liver, rng.uniform(0.1, 0.8))
    wall = np.float32(1) + np.float32(0.06) * canvas.field(rng, 0.25)
    _heart(canvas.values, wall)
    np.maximum(canvas.values, 0, out=canvas.values)
    return _scene(canvas.values)


def _defect(voxels: npt.NDArray[np.float64], scene: Image, site: Site, signal: Signal) -> None:
    """Take uptake from an arc of the wall above the middle of the ventricle, in every slice."""
    half = signal.diameter_mm / (_INNER_MM + _OUTER_MM)

    def inside(z: Array, y: Array, x: Array) -> npt.NDArray[Any]:
        radius = np.hypot(y, x) + 0 * z
        wall = (radius >= _INNER_MM) & (radius <= _OUTER_MM)
        return wall & (np.abs(np.arctan2(x, -y)) <= half)

    part = stamp((_PIXEL_MM,) * 3, (0.0, _OUTER_MM, _OUTER_MM), inside)
    middle = round((_INNER_MM + _OUTER_MM) / 2 / _PIXEL_MM)
    cover = np.zeros((1, *voxels.shape[1:]))
    add_stamp(cover, part, (0, site[1] + middle, site[2]), signal.contrast)
    voxels *= 1 + cover
