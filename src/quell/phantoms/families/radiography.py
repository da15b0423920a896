"""A contrast-detail object for radiography: discs of growing size and depth. Values: detector signal."""

from __future__ import annotations

import numpy as np

from quell.image import Acquisition, Modality
from quell.phantoms.coverage import Grid, cylinder
from quell.phantoms.drawing import blank, finished
from quell.phantoms.objects import TestObject

STEPS_MM = (0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0, 2.5, 3.2, 4.0, 5.0, 6.3, 8.0)
"""Diameters and depths of the holes, mm."""

PMMA = 0.0247
"""Linear attenuation coefficient of PMMA at 50 keV, 1/mm (0.2074 cm2/g times 1.19 g/cm3)."""

_GRID = Grid((1, 1200, 1200), (1.0, 0.2, 0.2))
_CELL_MM, _ASIDE_MM = 16.0, 4.0


def contrast_detail(
    rng: np.random.Generator, *, grid: Grid = _GRID, signal: float = 1000.0, attenuation: float = PMMA
) -> TestObject:
    """Build a plate with holes in 15 x 15 cells, as the CDRAD phantom has them.

    Rows differ in the diameter of the holes, columns in their depth. Each cell has one hole in its middle
    and an equal one in a corner that is drawn at random; from 5 mm on the middle one alone is there,
    because two would not fit.

    Parameters
    ----------
    rng : numpy.random.Generator
        Draws the corners.
    grid : Grid
    signal : float
        Detector signal behind the plate.
    attenuation : float
        Of the plate, 1/mm; a hole of depth d multiplies the signal by exp(attenuation d).
    """
    drawing = blank(grid, signal)
    for row, diameter in enumerate(STEPS_MM):
        for column, depth in enumerate(STEPS_MM):
            middle = ((row - 7) * _CELL_MM, (column - 7) * _CELL_MM)
            up, left = rng.choice([-1, 1], 2)
            corner = (middle[0] + up * _ASIDE_MM, middle[1] + left * _ASIDE_MM)
            contrast = float(np.expm1(attenuation * depth))
            for place, kind in ((middle, "middle"), (corner, "corner")):
                if kind == "corner" and diameter >= 5:
                    continue
                hole = cylinder(grid, place, (diameter / 2, diameter / 2))
                drawing.add(hole, signal * contrast)
                known = {"diameter_mm": diameter, "depth_mm": depth, "contrast": contrast}
                drawing.note(hole, kind, centre_mm=[0.0, *place], row=row, column=column, **known)
    about = {"background_value": signal, "cell_mm": _CELL_MM, "attenuation_per_mm": attenuation}
    taken = Acquisition(presentation=False, intensity="LIN")
    return finished("xray-contrast-detail", Modality.XR, "arbitrary", drawing, about, acquisition=taken)
