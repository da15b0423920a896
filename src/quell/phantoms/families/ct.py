"""Test objects for CT: uniform, low contrast, resolution. Values in HU."""

from __future__ import annotations

import numpy as np

from quell.image import Modality
from quell.phantoms.coverage import Array, Covered, Grid, box, cylinder, sampled
from quell.phantoms.drawing import Drawing, blank, finished
from quell.phantoms.objects import TestObject
from quell.phantoms.uniform import MITA_INSERTS, InsertKind

AIR = -1000.0
BARS_LP_CM = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0)
"""Line pairs per cm of the bar patterns."""
RODS_HU = (-1000.0, -100.0, 120.0, 340.0)
"""Contrasts of the rods for a task transfer function: about air, polyethylene, acrylic, acetal."""

_GRID = Grid((4, 512, 512), (3.0, 0.5, 0.5))


def uniform_cylinder(
    rng: np.random.Generator, *, grid: Grid = _GRID, diameter_mm: float = 200.0, value: float = 0.0
) -> TestObject:
    """Build a cylinder of one CT number in air.

    Parameters
    ----------
    rng : numpy.random.Generator
        Not used.
    grid : Grid
    diameter_mm : float
    value : float
        HU.
    """
    drawing = _body(grid, diameter_mm, value)
    return finished("ct-uniform", Modality.CT, "HU", drawing, _about(diameter_mm, value))


def low_contrast(
    rng: np.random.Generator,
    *,
    grid: Grid = _GRID,
    diameter_mm: float = 200.0,
    value: float = 0.0,
    kinds: tuple[InsertKind, ...] = MITA_INSERTS,
    ring_mm: float = 50.0,
    repeats: int = 1,
    turn: float = 0.0,
) -> TestObject:
    """Build a cylinder with low-contrast rods along it.

    Diameters and contrasts are those of the low-contrast phantom of the MITA-FDA task group (NEMA/MITA
    CT IQ-1); the places on a ring are ours.

    Parameters
    ----------
    rng : numpy.random.Generator
        Not used.
    grid : Grid
    diameter_mm : float
        Of the body.
    value : float
        Of the body, HU.
    kinds : tuple of InsertKind
        The rods, in their order around the ring; none gives the signal-absent object.
    ring_mm : float
        Distance of the rods from the middle.
    repeats : int
        How often the set of rods goes round the ring.
    turn : float
        Angle of the first rod, radians from the x axis to the y axis.
    """
    drawing = _body(grid, diameter_mm, value)
    rods = kinds * repeats
    for k, rod in enumerate(rods):
        angle = turn + 2 * np.pi * k / len(rods)
        place = (ring_mm * np.sin(angle), ring_mm * np.cos(angle))
        _rod(drawing, place, rod.diameter_mm, rod.contrast)
    about = _about(diameter_mm, value) | {"ring_mm": ring_mm}
    return finished("ct-mita", Modality.CT, "HU", drawing, about)


def resolution(
    rng: np.random.Generator, *, grid: Grid = _GRID, contrast: float = 500.0, slant_degrees: float = 5.0
) -> TestObject:
    """Build a water cylinder of 200 mm with bar patterns, rods, a wire and a slanted block.

    Parameters
    ----------
    rng : numpy.random.Generator
        Not used.
    grid : Grid
    contrast : float
        Of the bars and of the block, HU.
    slant_degrees : float
        Angle of the edges of the block to the rows and columns.
    """
    drawing = _body(grid, 200.0, 0.0)
    for k, frequency in enumerate(BARS_LP_CM):
        angle = 2 * np.pi * k / len(BARS_LP_CM)
        _bars(drawing, frequency, (65 * np.sin(angle), 65 * np.cos(angle)), contrast)
    for k, rod in enumerate(RODS_HU):
        angle = np.pi / 4 + k * np.pi / 2
        _rod(drawing, (34 * np.sin(angle), 34 * np.cos(angle)), 15.0, rod)
    wire = cylinder(grid, (0.0, 34.0), (0.14, 0.14))
    drawing.add(wire, 5000.0)
    drawing.note(wire, "wire", centre_mm=[0.0, 0.0, 34.0], diameter_mm=0.28, contrast=5000.0)
    _block(drawing, 24.0, contrast, slant_degrees)
    return finished("ct-resolution", Modality.CT, "HU", drawing, _about(200.0, 0.0))


def _body(grid: Grid, diameter_mm: float, value: float) -> Drawing:
    drawing = blank(grid, AIR)
    drawing.put(cylinder(grid, (0.0, 0.0), (diameter_mm / 2, diameter_mm / 2)), value)
    return drawing


def _about(diameter_mm: float, value: float) -> dict[str, object]:
    return {"body_diameter_mm": diameter_mm, "body_value": value, "background_value": AIR}


def _rod(drawing: Drawing, place: tuple[float, float], diameter_mm: float, contrast: float) -> None:
    covered = cylinder(drawing.grid, place, (diameter_mm / 2, diameter_mm / 2))
    drawing.add(covered, contrast)
    drawing.note(covered, "rod", centre_mm=[0.0, *place], diameter_mm=diameter_mm, contrast=contrast)


def _bars(drawing: Drawing, frequency: float, place: tuple[float, float], contrast: float) -> None:
    """Add bars of 10 mm length as wide as their gaps: three of the widest, five of the others."""
    width, count = 5.0 / frequency, 3 if frequency < 3 else 5
    ends, (y, x) = drawing.grid.edges(0)[[0, -1]], place
    together = np.zeros_like(drawing.values)
    for k in range(count):
        left = x + (2 * k - count + 0.5) * width
        bar = box(drawing.grid, (ends[0], y - 5, left), (ends[1], y + 5, left + width))
        together[bar.window] += bar.part
    covered = Covered((slice(None),) * 3, together)
    drawing.add(covered, contrast)
    known = {"line_pairs_per_cm": frequency, "bars": count, "bar_width_mm": width, "bar_length_mm": 10.0}
    drawing.note(covered, "bars", centre_mm=[0.0, y, x], contrast=contrast, **known)


def _block(drawing: Drawing, side: float, contrast: float, slant_degrees: float) -> None:
    angle, half = np.deg2rad(slant_degrees), side / 2

    def inside(z: Array, y: Array, x: Array) -> Array:
        u, v = np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y
        return np.asarray((np.maximum(np.abs(u), np.abs(v)) <= half).astype(np.float64))

    flat = Grid((1, *drawing.grid.shape[1:]), (1.0, *drawing.grid.spacing[1:]))
    cut = sampled(flat, (-0.5, -side, -side), (0.5, side, side), inside, fine=16)
    window = (slice(None), *cut.window[1:])
    covered = Covered(window, np.broadcast_to(cut.part, (drawing.grid.shape[0], *cut.part.shape[1:])).copy())
    drawing.add(covered, contrast)
    known = {"side_mm": side, "slant_degrees": slant_degrees}
    drawing.note(covered, "block", centre_mm=[0.0, 0.0, 0.0], contrast=contrast, **known)
