"""A whole-body bone scan: a procedural skeleton with lesions. Values: expected counts a pixel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from quell.image import Acquisition, FloatArray, Modality
from quell.phantoms.coverage import Array, Grid, cylinder
from quell.phantoms.drawing import Drawing, blank, finished
from quell.phantoms.objects import TestObject
from quell.phantoms.shapes import Canvas, coverage, ellipsoid, new_canvas
from quell.phantoms.tubes import Tubes, along, depth_coverage, join, tube_depth

_GRID = Grid((1, 1024, 256), (1.0, 2.26, 2.26))
_BEND, _BEND_LENGTH = 0.0025, 0.12
_SITES = 400


class Bone(NamedTuple):
    """A bone on the left side of the image, or in the middle.

    Attributes
    ----------
    points : tuple of (y, x)
        Its axis, in body heights: y from -0.5 (top of the head) to 0.5 (sole), x from the middle.
    radius : tuple of float
        At each point, body heights.
    uptake : float
        Counts a pixel over those of the spine.
    """

    points: tuple[tuple[float, float], ...]
    radius: tuple[float, ...]
    uptake: float


_LIMBS = (
    Bone(((-0.338, 0.012), (-0.345, 0.05), (-0.338, 0.1)), (0.007, 0.004, 0.006), 0.55),
    Bone(((-0.335, 0.072), (-0.29, 0.078), (-0.235, 0.066)), (0.012, 0.016, 0.005), 0.3),
    Bone(((-0.332, 0.106), (-0.327, 0.107)), (0.015, 0.014), 0.75),
    Bone(((-0.32, 0.108), (-0.24, 0.117), (-0.158, 0.122)), (0.009, 0.0065, 0.0085), 0.33),
    Bone(((-0.152, 0.117), (-0.15, 0.128)), (0.008, 0.008), 0.45),
    Bone(((-0.145, 0.12), (-0.08, 0.127), (0.0, 0.136)), (0.006, 0.0045, 0.006), 0.3),
    Bone(((-0.145, 0.129), (-0.08, 0.136), (0.0, 0.144)), (0.005, 0.0045, 0.006), 0.3),
    Bone(((0.008, 0.14), (0.02, 0.142)), (0.009, 0.01), 0.5),
    *(Bone(((0.025, 0.141 + d), (0.075, 0.143 + 1.9 * d)), (0.0035, 0.0025), 0.3)
      for d in (-0.009, -0.003, 0.003, 0.009)),
    Bone(((0.0, 0.018), (-0.035, 0.045), (-0.04, 0.07), (-0.018, 0.082)), (0.013, 0.009, 0.009, 0.009), 0.8),
    Bone(((-0.018, 0.08), (0.015, 0.07), (0.038, 0.06)), (0.009, 0.01, 0.012), 0.6),
    Bone(((-0.01, 0.024), (0.02, 0.021)), (0.009, 0.007), 0.9),
    Bone(((0.045, 0.05), (0.055, 0.022), (0.06, 0.006)), (0.009, 0.006, 0.007), 0.5),
    Bone(((0.055, 0.05), (0.08, 0.036), (0.065, 0.012)), (0.009, 0.009, 0.005), 0.5),
    Bone(((0.036, 0.06), (0.04, 0.061)), (0.0135, 0.0135), 0.55),
    Bone(((0.042, 0.064), (0.055, 0.083), (0.07, 0.083)), (0.01, 0.011, 0.01), 0.5),
    Bone(((0.07, 0.083), (0.14, 0.07), (0.2, 0.058)), (0.0105, 0.008, 0.0105), 0.33),
    Bone(((0.207, 0.049), (0.208, 0.064)), (0.0135, 0.0135), 0.5),
    Bone(((0.203, 0.057), (0.207, 0.057)), (0.011, 0.011), 0.3),
    Bone(((0.226, 0.049), (0.227, 0.064)), (0.011, 0.0105), 0.5),
    Bone(((0.235, 0.055), (0.33, 0.05), (0.44, 0.044)), (0.01, 0.0075, 0.0075), 0.33),
    Bone(((0.235, 0.068), (0.33, 0.063), (0.445, 0.053)), (0.004, 0.0035, 0.005), 0.2),
    Bone(((0.452, 0.043), (0.455, 0.052)), (0.01, 0.009), 0.5),
    Bone(((0.46, 0.046), (0.495, 0.06)), (0.014, 0.012), 0.4),
)  # fmt: skip

_FLESH = (
    Bone(((-0.46, 0.0), (-0.4, 0.0)), (0.05, 0.04), 1.0),
    Bone(((-0.4, 0.0), (-0.33, 0.0)), (0.032, 0.04), 1.0),
    Bone(((-0.315, 0.045), (-0.1, 0.035), (0.03, 0.045)), (0.06, 0.055, 0.058), 1.6),
    Bone(((-0.33, 0.1), (-0.15, 0.123), (0.01, 0.14), (0.06, 0.143)), (0.028, 0.024, 0.018, 0.016), 0.7),
    Bone(((0.02, 0.065), (0.2, 0.055), (0.3, 0.053), (0.45, 0.048), (0.49, 0.056)),
         (0.052, 0.034, 0.03, 0.018, 0.018), 1.0),
)  # fmt: skip


def bone_scan(
    rng: np.random.Generator, *, grid: Grid = _GRID, counts: float = 3.6e6, lesions: int | None = None
) -> TestObject:
    """Build the front view of a skeleton with its soft tissue, kidneys, bladder and lesions.

    Lesions are discs of exact diameter in bone whose counts are added to what lies under them.

    Parameters
    ----------
    rng : numpy.random.Generator
        Draws stature, uptakes and lesions.
    grid : Grid
        One slice; a body up to 1.9 m has to fit into it.
    counts : float
        Expected counts of the whole image.
    lesions : int, optional
        Number of lesions; 0 to 12 at random.
    """
    height = float(rng.uniform(1550, 1850))
    canvas = new_canvas(
        rng, grid.shape, height / grid.spacing[1], distance=1.0, bend=_BEND, bend_length=_BEND_LENGTH
    )
    skeleton = _skeleton(rng, canvas)
    flesh = _flesh(rng, canvas)
    drawing = blank(grid)
    drawing.values += skeleton + flesh + _organs(rng, canvas)
    mottle = canvas.field(rng, 0.012) * np.float32(0.06) + canvas.field(rng, 0.05) * np.float32(0.08)
    drawing.values *= np.exp(mottle)
    wanted = int(rng.integers(0, 13)) if lesions is None else lesions
    _lesions(rng, drawing, skeleton, wanted)
    scale = counts / float(drawing.values.sum())
    drawing.values *= scale
    for one in drawing.inserts:
        one["added_counts_per_pixel"] *= scale
        one["added_counts"] *= scale
    about = {"total_counts": counts, "body_height_mm": height, "view": "anterior"}
    taken = Acquisition(counts=counts)
    return finished("bone-scan", Modality.NM, "counts", drawing, about, acquisition=taken)


def _skeleton(rng: np.random.Generator, canvas: Canvas) -> FloatArray:
    out = np.zeros_like(canvas.values)
    general = float(np.exp(rng.normal(0, 0.1)))
    for bone in _bones(rng):
        out += _drawn(canvas, bone, edge=1.5) * np.float32(bone.uptake * general)
    skull = ellipsoid(canvas, (0, -0.447, 0), (1, 0.056, 0.044))
    face = ellipsoid(canvas, (0, -0.405, 0), (1, 0.026, 0.03))
    if skull is not None and face is not None:
        inset = 0.007 * canvas.scale
        rim = coverage(skull, 3.0) - np.float32(0.45) * coverage(skull, 3.0, inset)
        out[skull.window] += np.float32(0.5 * general * np.exp(rng.normal(0, 0.15))) * rim
        out[face.window] += np.float32(0.45 * general) * coverage(face, 4.0)
    return out


def _bones(rng: np.random.Generator) -> Iterator[Bone]:
    """Yield every bone but the skull, both sides, with uptakes that vary from bone to bone."""
    for bone in (*_LIMBS, *_ribs(rng)):
        for side in (-1, 1):
            uptake = bone.uptake * float(np.exp(rng.normal(0, 0.12)))
            yield Bone(tuple((y, side * x) for y, x in bone.points), bone.radius, uptake)
    yield from _spine(rng)
    sternum = ((-0.325, 0.0), (-0.3, 0.0), (-0.225, 0.0))
    yield Bone(sternum, (0.013, 0.009, 0.008), 0.45 * float(np.exp(rng.normal(0, 0.15))))


def _spine(rng: np.random.Generator) -> Iterator[Bone]:
    """Yield 7 cervical, 12 thoracic and 5 lumbar vertebrae and the sacrum."""
    for count, top, bottom, half in (
        (7, -0.385, -0.335, 0.009),
        (12, -0.333, -0.15, 0.011),
        (5, -0.147, -0.02, 0.015),
    ):
        step = (bottom - top) / count
        for k in range(count):
            y = top + (k + 0.5) * step
            ends = ((y, -half + 0.4 * abs(step)), (y, half - 0.4 * abs(step)))
            yield Bone(ends, (0.44 * step,) * 2, float(np.exp(rng.normal(0, 0.1))))
    yield Bone(((-0.015, 0.0), (0.03, 0.0)), (0.021, 0.008), 0.75)


def _ribs(rng: np.random.Generator) -> Iterator[Bone]:
    """Yield the left ribs: from the spine outwards and down, the upper ten on to the front."""
    t = np.linspace(0, 1, 12)
    fall = rng.uniform(0.045, 0.06)
    for k in range(12):
        y = -0.325 + 0.0148 * k
        wide = (
            0.089 * (0.5 + 0.5 * np.sin(np.pi * min(k + 1.5, 9) / 15)) if k < 10 else 0.075 - 0.018 * (k - 10)
        )
        turn = np.pi * (0.66 if k < 7 else 0.6 if k < 10 else 0.42) * t
        x = 0.012 + (wide - 0.012) * np.sin(turn)
        path = tuple(zip((y + fall * (1 - np.cos(turn)) / 2).tolist(), x.tolist(), strict=True))
        yield Bone(path, (0.0042,) * len(t), 0.42)


def _drawn(canvas: Canvas, bone: Bone, edge: float) -> FloatArray:
    points = np.array([(0.0, y, x) for y, x in bone.points])
    return depth_coverage(tube_depth(canvas, _tube(points, np.array(bone.radius))), edge)


def _tube(points: Array, radius: Array) -> Tubes:
    """Return short pieces along a path whose radius changes steadily from point to point."""
    steps = np.linspace(0, len(points) - 1, 8 * len(points))
    at = np.arange(len(points))
    path = np.stack([np.interp(steps, at, points[:, axis]) for axis in range(3)], axis=1)
    return along(path, np.interp((steps[:-1] + steps[1:]) / 2, at, radius).astype(np.float32))


def _flesh(rng: np.random.Generator, canvas: Canvas) -> FloatArray:
    """Return the soft tissue: counts as the thickness, which grows from the edge inwards."""
    level, thick = float(rng.uniform(0.12, 0.24)), float(rng.uniform(0.95, 1.3))
    out = np.zeros_like(canvas.values)
    for part in _FLESH:
        both = []
        for side in (-1, 1):
            points = np.array([(0.0, y, side * x) for y, x in part.points])
            both.append(_tube(points, thick * np.array(part.radius)))
        depth = tube_depth(canvas, join(both))
        rise = depth_coverage(depth, 0.03 * canvas.scale, 0.015 * canvas.scale)
        np.maximum(out, np.float32(level * part.uptake) * np.sqrt(rise), out=out)
    return out


def _organs(rng: np.random.Generator, canvas: Canvas) -> FloatArray:
    out = np.zeros_like(canvas.values)
    kidneys, bladder = float(rng.uniform(0.1, 0.5)), float(np.exp(rng.uniform(np.log(0.3), np.log(3))))
    parts = [((0, -0.118 + 0.006 * side, side * 0.04), (1, 0.031, 0.017), kidneys) for side in (-1, 1)]
    parts.append(((0, 0.05, 0), (1, 0.018, 0.024), bladder))
    for centre, radii, uptake in parts:
        region = ellipsoid(canvas, centre, radii)
        if region is not None:
            out[region.window] += np.float32(uptake) * coverage(region, 5.0)
    return out


def _lesions(rng: np.random.Generator, drawing: Drawing, skeleton: FloatArray, count: int) -> None:
    """Add discs of 6 to 30 mm with 1.5 to 6 times the counts of the bone around, none over another."""
    y, x = drawing.grid.centres(1), drawing.grid.centres(2)
    sites = np.argwhere(skeleton[0] > 0.25)
    for row, column in sites[rng.integers(len(sites), size=_SITES)]:
        if len(drawing.inserts) == count:
            return
        diameter = float(np.exp(rng.uniform(np.log(6), np.log(30))))
        ratio = float(np.exp(rng.uniform(np.log(1.5), np.log(6))))
        place = (float(y[row]), float(x[column]))
        apart = [
            np.hypot(place[0] - one["centre_mm"][1], place[1] - one["centre_mm"][2]) - one["diameter_mm"] / 2
            for one in drawing.inserts
        ]
        if min(apart, default=np.inf) < diameter / 2 + 5:
            continue
        disc = cylinder(drawing.grid, place, (diameter / 2, diameter / 2))
        around = float((drawing.values[disc.window] * disc.part).sum() / disc.part.sum())
        added = (ratio - 1) * around
        drawing.add(disc, added)
        pixels = np.pi * diameter**2 / 4 / (drawing.grid.spacing[1] * drawing.grid.spacing[2])
        drawing.note(
            disc,
            "lesion",
            centre_mm=[0.0, *place],
            diameter_mm=diameter,
            ratio=ratio,
            added_counts_per_pixel=added,
            added_counts=added * pixels,
        )
