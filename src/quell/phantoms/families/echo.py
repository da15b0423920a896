"""A test object for ultrasound: cysts, targets of known contrast, wires. Values in dB."""

from __future__ import annotations

import numpy as np

from quell.image import Modality
from quell.phantoms.coverage import Grid, cylinder
from quell.phantoms.drawing import Drawing, blank, finished
from quell.phantoms.objects import TestObject

ANECHOIC = -60.0
CYSTS_MM = (2.0, 3.0, 4.0, 6.0, 8.0)
TARGETS_DB = (-6.0, -3.0, 3.0, 6.0, 12.0)
_WIRE_MM, _WIRE_DB = 0.1, 30.0
_GRID = Grid((1, 512, 448), (1.0, 0.1, 0.1))


def cysts(
    rng: np.random.Generator,
    *,
    grid: Grid = _GRID,
    cyst_depth_mm: float = 14.0,
    target_depth_mm: float = 36.0,
) -> TestObject:
    """Build tissue with echo-free cysts of 2 to 8 mm, targets of 6 mm, and wires.

    The probe lies on the first row. Voxels that a shape fills in part hold the mean of the echo
    intensities, in dB.

    Parameters
    ----------
    rng : numpy.random.Generator
        Not used.
    grid : Grid
    cyst_depth_mm, target_depth_mm : float
        Depth of the two rows.
    """
    top = float(grid.edges(1)[0])
    # Drawn as intensity, because that is what adds up within a voxel.
    drawing = blank(grid, 1.0)
    across = np.linspace(-16, 16, len(CYSTS_MM))
    for x, diameter in zip(across, CYSTS_MM, strict=True):
        _disc(drawing, "cyst", (top + cyst_depth_mm, x), diameter, ANECHOIC)
    for x, level in zip(across, TARGETS_DB, strict=True):
        _disc(drawing, "target", (top + target_depth_mm, x), 6.0, level)
    for depth in range(5, 50, 5):
        _disc(drawing, "wire", (top + depth, -20.0), _WIRE_MM, _WIRE_DB)
    for x in (-10, -4, -1, 0, 2, 8):
        _disc(drawing, "wire", (top + 25.0, float(x)), _WIRE_MM, _WIRE_DB)
    drawing.values = 10 * np.log10(drawing.values)
    about = {"background_value": 0.0, "face_mm": top, "depth_mm": -2 * top}
    return finished("us-cysts", Modality.US, "dB", drawing, about)


def _disc(drawing: Drawing, kind: str, place: tuple[float, float], diameter: float, level: float) -> None:
    covered = cylinder(drawing.grid, place, (diameter / 2, diameter / 2))
    drawing.put(covered, 10 ** (level / 10))
    drawing.note(covered, kind, centre_mm=[0.0, *place], diameter_mm=diameter, value=level)
