"""The image quality phantom of PET: spheres in a body with a lung insert. Values in Bq/ml."""

from __future__ import annotations

import numpy as np

from quell.image import Acquisition, Modality
from quell.phantoms.coverage import Array, Covered, Grid, cylinder, sampled, sphere
from quell.phantoms.drawing import blank, finished
from quell.phantoms.objects import TestObject

WATER_511 = 0.0096
"""Linear attenuation coefficient of water at 511 keV, 1/mm."""

SPHERES_MM = (10.0, 13.0, 17.0, 22.0, 28.0, 37.0)
COLD_FROM_MM = 28.0
_RING_MM = 57.2
_GRID = Grid((64, 128, 128), (3.0, 3.0, 3.0))
_LENGTH_MM = 180.0
_LUNG_MM, _LUNG_DENSITY = 50.0, 0.3
_ABOVE_MM = 35.0
"""From the middle of the outline down to the centre of its upper arc."""


def image_quality(
    rng: np.random.Generator,
    *,
    grid: Grid = _GRID,
    background: float = 5300.0,
    ratio: float = 4.0,
    sphere_plane_mm: float = 20.0,
) -> TestObject:
    """Build the body phantom of NEMA NU 2 (IEC 61675-1) with its spheres.

    Spheres of 10 to 22 mm are hot, those of 28 and 37 mm hold water without activity; their centres lie
    in one plane on a circle of 57.2 mm around a cylinder of 50 mm of the density of lung. Outline: upper
    half an arc of 147 mm, lower half flat over 140 mm between arcs of 77 mm. Walls are left out.

    Parameters
    ----------
    rng : numpy.random.Generator
        Not used.
    grid : Grid
    background : float
        Bq/ml; NU 2 asks for 5300.
    ratio : float
        Of the hot spheres to the background.
    sphere_plane_mm : float
        Height of the centres of the spheres over the middle.
    """
    drawing, mu = blank(grid), blank(grid)
    body = _body(grid)
    drawing.put(body, background)
    mu.put(body, WATER_511)
    for k, diameter in enumerate(SPHERES_MM):
        angle = k * np.pi / 3
        place = (sphere_plane_mm, -_RING_MM * np.sin(angle), _RING_MM * np.cos(angle))
        value = 0.0 if diameter >= COLD_FROM_MM else ratio * background
        ball = sphere(grid, place, diameter)
        drawing.add(ball, value - background)
        kind = "cold sphere" if value == 0 else "hot sphere"
        drawing.note(ball, kind, centre_mm=place, diameter_mm=diameter, value=value)
    radii = (_LUNG_MM / 2, _LUNG_MM / 2)
    lung = cylinder(grid, (0.0, 0.0), radii, (-_LENGTH_MM / 2, _LENGTH_MM / 2))
    drawing.add(lung, -background)
    mu.add(lung, (_LUNG_DENSITY - 1) * WATER_511)
    drawing.note(lung, "lung", centre_mm=[0.0, 0.0, 0.0], diameter_mm=_LUNG_MM, value=0.0)
    about = {
        "background_value": background,
        "ratio": ratio,
        "length_mm": _LENGTH_MM,
        "attenuation_per_mm": {"body": WATER_511, "lung": _LUNG_DENSITY * WATER_511},
        "outline_area_mm2": float(np.pi * (147**2 + 77**2) / 2 + 140 * 77),
    }
    taken = Acquisition(thickness=grid.spacing[0], corrections=("ATTN", "SCAT", "DECY"))
    return finished(
        "pet-nema-iq", Modality.PT, "Bq/ml", drawing, about, attenuation=mu.values, acquisition=taken
    )


def _body(grid: Grid) -> Covered:
    """Return the cover of the body: its outline sampled 8 x 8 to a pixel, its ends exact."""

    def inside(z: Array, y: Array, x: Array) -> Array:
        below = y - _ABOVE_MM
        upper = (below <= 0) & (below**2 + x**2 <= 147.0**2)
        corner = np.maximum(np.abs(x) - 70.0, 0.0)
        lower = (below > 0) & (below**2 + corner**2 <= 77.0**2)
        return np.asarray((upper | lower).astype(np.float64))

    flat = Grid((1, *grid.shape[1:]), (1.0, *grid.spacing[1:]))
    cut = sampled(flat, (-0.5, -112.0, -147.0), (0.5, 112.0, 147.0), inside, fine=8)
    ends = cylinder(grid, (0.0, 0.0), (1e3, 1e3), (-_LENGTH_MM / 2, _LENGTH_MM / 2))
    along = ends.part[:, :1, :1]
    return Covered((ends.window[0], *cut.window[1:]), along * cut.part)
