"""The Jaszczak phantom of SPECT: cold rods and cold spheres in a hot cylinder."""

from __future__ import annotations

import numpy as np

from quell.image import Modality
from quell.phantoms.coverage import Grid, cylinder, sphere
from quell.phantoms.drawing import Drawing, blank, finished, plain
from quell.phantoms.objects import TestObject

WATER_140 = 0.0154
"""Linear attenuation coefficient of water at 140 keV, 1/mm."""

RODS_MM = (4.8, 6.4, 7.9, 9.5, 11.1, 12.7)
SPHERES_MM = (9.5, 12.7, 15.9, 19.1, 25.4, 31.8)
_DIAMETER_MM, _LENGTH_MM = 216.0, 186.0
_ROD_LENGTH_MM, _SPHERES_AT_MM, _RING_MM = 88.0, 127.0, 60.0
_GRID = Grid((48, 96, 96), (4.0, 4.0, 4.0))


def jaszczak(rng: np.random.Generator, *, grid: Grid = _GRID, value: float = 100.0) -> TestObject:
    """Build a cylinder of 216 x 186 mm with six sectors of cold rods below and six cold spheres above.

    Diameters of rods and spheres are those of the "deluxe" insert; rods stand twice their diameter
    apart, from centre to centre, in a triangular lattice.

    Parameters
    ----------
    rng : numpy.random.Generator
        Not used.
    grid : Grid
    value : float
        Concentration of the activity around the inserts, on a scale of its own.
    """
    drawing, mu = blank(grid), blank(grid)
    bottom = -_LENGTH_MM / 2
    whole = cylinder(grid, (0.0, 0.0), (_DIAMETER_MM / 2,) * 2, (bottom, -bottom))
    drawing.put(whole, value)
    mu.put(whole, WATER_140)
    for k, diameter in enumerate(RODS_MM):
        _sector(drawing, diameter, k * np.pi / 3, value)
    for k, diameter in enumerate(SPHERES_MM):
        angle = (k + 0.5) * np.pi / 3
        place = (bottom + _SPHERES_AT_MM, _RING_MM * np.sin(angle), _RING_MM * np.cos(angle))
        ball = sphere(grid, place, diameter)
        drawing.add(ball, -value)
        drawing.note(ball, "cold sphere", centre_mm=place, diameter_mm=diameter, value=0.0)
    about = {
        "background_value": value,
        "body_diameter_mm": _DIAMETER_MM,
        "body_length_mm": _LENGTH_MM,
        "rod_length_mm": _ROD_LENGTH_MM,
        "attenuation_per_mm": {"body": WATER_140},
    }
    return finished("spect-jaszczak", Modality.NM, "counts", drawing, about, attenuation=mu.values)


def rod_places(diameter: float, angle: float) -> list[tuple[float, float]]:
    """Return the centres (y, x) of the rods of one sector of 60 degrees around `angle`, in mm.

    Rows across the bisector, each with one rod more than the one before, as far as they lie inside.
    """
    pitch = 2 * diameter
    places = []
    for row in range(40):
        far = pitch + row * pitch * np.sqrt(3) / 2
        for k in range(row + 1):
            aside = (k - row / 2) * pitch
            if np.hypot(far, aside) + diameter / 2 <= _DIAMETER_MM / 2 - 4:
                y = far * np.sin(angle) + aside * np.cos(angle)
                places.append((float(y), float(far * np.cos(angle) - aside * np.sin(angle))))
    return places


def _sector(drawing: Drawing, diameter: float, angle: float, value: float) -> None:
    """Put the rods of one diameter; they share one label."""
    low = -_LENGTH_MM / 2
    label, places = len(drawing.inserts) + 1, rod_places(diameter, angle)
    for place in places:
        rod = cylinder(drawing.grid, place, (diameter / 2,) * 2, (low, low + _ROD_LENGTH_MM))
        drawing.add(rod, -value)
        drawing.labels[rod.window][rod.part >= 0.5] = label
    known = {"diameter_mm": diameter, "rods": len(places), "centres_mm": places, "value": 0.0}
    middle = [low + _ROD_LENGTH_MM / 2, *np.mean(places, axis=0).tolist()]
    drawing.inserts.append(plain({"label": label, "kind": "cold rods", "centre_mm": middle, **known}))
