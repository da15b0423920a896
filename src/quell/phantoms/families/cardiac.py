"""The left ventricle in a torso, with perfusion defects of given extent and severity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from quell.image import Modality
from quell.phantoms.coverage import Array, Covered, Grid, Point, cylinder, ellipsoid, sampled
from quell.phantoms.drawing import Drawing, blank, finished
from quell.phantoms.objects import TestObject

SOFT, LUNG, BONE = 0.0154, 0.0046, 0.0210
"""Linear attenuation coefficients at 140 keV, 1/mm: water, lung of density 0.3, spongy bone."""

_GRID = Grid((40, 64, 64), (6.4, 6.4, 6.4))
_FINE = 5
_CENTRE: Point = (0.0, -25.0, 55.0)


class Territory(NamedTuple):
    """Where a coronary artery supplies the wall.

    Attributes
    ----------
    angle : float
        Around the long axis, degrees: 0 is anterior, 90 septal, 180 inferior, 270 lateral.
    low, high : float
        From the base (0) to the apex (1) of the long axis.
    """

    angle: float
    low: float
    high: float


TERRITORIES = {
    "LAD": Territory(20.0, 0.2, 1.0),
    "LCX": Territory(270.0, 0.0, 0.8),
    "RCA": Territory(180.0, 0.0, 0.8),
}


class Defect(NamedTuple):
    """A perfusion defect.

    Attributes
    ----------
    territory : str
        One of `TERRITORIES`.
    extent : float
        Its share of the volume of the wall, 0 to 1.
    severity : float
        Share of the uptake that is missing in it, 0 to 1.
    """

    territory: str
    extent: float
    severity: float


@dataclass(frozen=True)
class Ventricle:
    """The wall: a shell between two half ellipsoids of revolution that cylinders extend to the base.

    Attributes
    ----------
    radius, length : float
        Outer half axes of the ellipsoid, mm: across, and along from its middle to the apex.
    base : float
        Length of the cylinder, mm.
    wall : float
        Thickness, mm.
    """

    radius: float = 33.0
    length: float = 50.0
    base: float = 25.0
    wall: float = 10.0

    def volume(self, low: float = 0.0, high: float = 1.0) -> float:
        """Return the volume of the wall in mm^3 between two places of the long axis (0 base, 1 apex)."""
        start, stop = (share * (self.base + self.length) - self.base for share in (low, high))
        return self._within(0.0, start, stop) - self._within(self.wall, start, stop)

    def _within(self, inset: float, start: float, stop: float) -> float:
        """Return the volume of a body `inset` inside the outer one between two planes."""
        r, length = self.radius - inset, self.length - inset
        below = np.pi * r**2 * (min(stop, 0.0) - min(start, 0.0))
        u0, u1 = (min(max(u, 0.0), length) for u in (start, stop))
        return float(below + np.pi * r**2 * ((u1 - u0) - (u1**3 - u0**3) / (3 * length**2)))

    def holds(self, u: Array, across2: Array, inset: float) -> Array:
        """Tell which points lie in the body `inset` inside the outer one; `u` along, `across2` squared."""
        r2, length = (self.radius - inset) ** 2, self.length - inset
        cap = across2 <= r2 * (1 - (u / length) ** 2)
        return np.asarray(np.where(u > 0, cap, (u >= -self.base) & (across2 <= r2)), np.float64)


def cardiac(
    rng: np.random.Generator,
    *,
    grid: Grid = _GRID,
    defects: tuple[Defect, ...] | None = None,
    ventricle: Ventricle | None = None,
    uptake: float = 100.0,
) -> TestObject:
    """Build a torso with lungs, spine, liver and a left ventricle as myocardial perfusion SPECT sees it.

    Parameters
    ----------
    rng : numpy.random.Generator
        Draws one defect (territory, extent 5 to 25 %, severity 30 to 100 %), the tilt of the heart and
        the uptake of the liver.
    grid : Grid
    defects : tuple of Defect, optional
        Instead of the random one; none for a healthy heart. Two of one territory would overlap.
    ventricle : Ventricle, optional
    uptake : float
        Of the healthy wall, on a scale of its own.

    Raises
    ------
    ValueError
        If a defect is larger than the wall from end to end of its territory, or names an unknown one.
    """
    drawn = Defect(
        str(rng.choice(list(TERRITORIES))), float(rng.uniform(0.05, 0.25)), float(rng.uniform(0.3, 1))
    )
    shape = ventricle or Ventricle()
    chosen = (drawn,) if defects is None else defects
    for defect in chosen:
        half_angle(shape, defect)
    axes = _axes(rng)
    liver = float(rng.uniform(0.3, 0.7)) * uptake
    drawing, mu = _torso(grid, uptake, liver)
    _heart(drawing, mu, shape, axes, uptake, chosen)
    about = {
        "values": {
            "wall": uptake,
            "cavity": 0.1 * uptake,
            "liver": liver,
            "soft": 0.08 * uptake,
            "lung": 0.04 * uptake,
        },
        "attenuation_per_mm": {"soft": SOFT, "lung": LUNG, "spine": BONE},
        "ventricle": {
            "centre_mm": _CENTRE,
            "long_axis": axes[0],
            "radius_mm": shape.radius,
            "length_mm": shape.length,
            "base_mm": shape.base,
            "wall_mm": shape.wall,
            "wall_volume_mm3": shape.volume(),
        },
    }
    return finished("spect-cardiac", Modality.NM, "counts", drawing, about, attenuation=mu.values)


def half_angle(shape: Ventricle, defect: Defect) -> float:
    """Return half the angle, in degrees, over which a defect runs round the long axis.

    Raises
    ------
    ValueError
        If it would be more than half a turn, or the territory is unknown.
    """
    place = TERRITORIES.get(defect.territory)
    if place is None or not (0 < defect.extent <= 1 and 0 <= defect.severity <= 1):
        raise ValueError(f"no such defect: {defect}")
    half = 180 * defect.extent * shape.volume() / shape.volume(place.low, place.high)
    if half > 180:
        raise ValueError(f"the {defect.territory} territory is smaller than {defect.extent:.0%} of the wall")
    return float(half)


def _axes(rng: np.random.Generator) -> Array:
    """Return the long axis (to the apex), the anterior and the septal direction as rows (z, y, x)."""
    tilt = rng.normal(0, 0.06, 3)
    apex = np.array([-0.35, -0.55, 0.76]) + tilt
    apex /= np.linalg.norm(apex)
    up = np.array([0.75, -0.66, 0.0])
    up -= apex * (up @ apex)
    up /= np.linalg.norm(up)
    septal = np.cross(apex, up)
    # The septum faces the right side of the patient, where x falls.
    return np.stack([apex, up, septal if septal[2] < 0 else -septal])


def _torso(grid: Grid, uptake: float, liver: float) -> tuple[Drawing, Drawing]:
    drawing, mu = blank(grid), blank(grid)
    parts: tuple[tuple[Covered, float, float], ...] = (
        (cylinder(grid, (0.0, 0.0), (115.0, 170.0)), 0.08 * uptake, SOFT),
        (ellipsoid(grid, (30.0, -5.0, -80.0), (110.0, 80.0, 62.0)), 0.04 * uptake, LUNG),
        (ellipsoid(grid, (30.0, -5.0, 85.0), (110.0, 80.0, 60.0)), 0.04 * uptake, LUNG),
        (cylinder(grid, (72.0, 0.0), (20.0, 22.0)), 0.1 * uptake, BONE),
        (ellipsoid(grid, (-85.0, -10.0, -60.0), (50.0, 75.0, 85.0)), liver, SOFT),
        (ellipsoid(grid, (0.0, -25.0, 35.0), (60.0, 55.0, 60.0)), 0.1 * uptake, SOFT),
    )
    for covered, value, coefficient in parts:
        drawing.put(covered, value)
        mu.put(covered, coefficient)
    return drawing, mu


def _heart(
    drawing: Drawing, mu: Drawing, shape: Ventricle, axes: Array, uptake: float, defects: tuple[Defect, ...]
) -> None:
    reach = shape.radius + max(shape.length, shape.base)
    low, high = (tuple(c + side * reach for c in _CENTRE) for side in (-1, 1))

    def cover(inset: float, defect: Defect | None = None) -> Covered:
        def inside(z: Array, y: Array, x: Array) -> Array:
            u, up, septal = (
                a[0] * (z - _CENTRE[0]) + a[1] * (y - _CENTRE[1]) + a[2] * (x - _CENTRE[2]) for a in axes
            )
            found = shape.holds(u, up**2 + septal**2, inset)
            return found if defect is None else found * _belongs(shape, defect, u, up, septal)

        return sampled(drawing.grid, low, high, inside, _FINE)  # type: ignore[arg-type]

    outer, inner = cover(0.0), cover(shape.wall)
    wall = Covered(outer.window, outer.part - inner.part)
    # In one step: put one after the other, they would count twice where both end in a voxel.
    view = drawing.values[outer.window]
    view += wall.part * uptake + inner.part * 0.1 * uptake - outer.part * view
    mu.put(outer, SOFT)
    drawing.note(wall, "wall", centre_mm=_CENTRE, value=uptake, volume_mm3=shape.volume())
    for defect in defects:
        missing = Covered(outer.window, cover(0.0, defect).part - cover(shape.wall, defect).part)
        drawing.add(missing, -defect.severity * uptake)
        place = TERRITORIES[defect.territory]
        known = {"from_base": place.low, "to": place.high, "angle_degrees": place.angle}
        drawing.note(
            missing,
            "defect",
            **defect._asdict(),
            **known,
            centre_mm=_middle(missing, drawing.grid),
            half_angle_degrees=half_angle(shape, defect),
            value=(1 - defect.severity) * uptake,
            volume_mm3=defect.extent * shape.volume(),
        )


def _belongs(shape: Ventricle, defect: Defect, u: Array, up: Array, septal: Array) -> Array:
    place = TERRITORIES[defect.territory]
    low, high = (share * (shape.base + shape.length) - shape.base for share in (place.low, place.high))
    off = np.rad2deg(np.arctan2(septal, up)) - place.angle
    off = np.abs((off + 180) % 360 - 180)
    return np.asarray((u >= low) & (u <= high) & (off <= half_angle(shape, defect)), np.float64)


def _middle(covered: Covered, grid: Grid) -> list[float]:
    """Return the centre of mass of a cover."""
    total = covered.part.sum()
    sums = (covered.part.sum(axis=tuple({0, 1, 2} - {axis})) for axis in range(3))
    places = (grid.centres(axis)[covered.window[axis]] for axis in range(3))
    return [float((weight * place).sum() / total) for weight, place in zip(sums, places, strict=True)]
