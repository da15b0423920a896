"""Test objects of known truth: uniform discs and low-contrast inserts, antialiased exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from quell.image import BoolArray, FloatArray
from quell.phantoms.coverage import ellipse_cover


class InsertKind(NamedTuple):
    """A kind of rod: its diameter in mm and its contrast to the body in HU."""

    diameter_mm: float
    contrast: float


MITA_INSERTS: tuple[InsertKind, ...] = (
    InsertKind(3.0, 14.0),
    InsertKind(5.0, 7.0),
    InsertKind(7.0, 5.0),
    InsertKind(10.0, 3.0),
)
"""The rods of the low-contrast phantom of the MITA-FDA task group (NEMA/MITA CT IQ-1)."""


@dataclass(frozen=True)
class Insert:
    """Where one rod lies.

    Attributes
    ----------
    centre : (row, column)
        In pixels; pixel (0, 0) is centred at (0, 0).
    radius : float
        In pixels.
    contrast : float
        Difference to the body.
    """

    centre: tuple[float, float]
    radius: float
    contrast: float


@dataclass(frozen=True, eq=False)
class Phantom:
    """A test object and all that there is to know about it.

    Attributes
    ----------
    voxels : ndarray of float32, shape (slices, rows, columns)
        The noise-free truth; every pixel is the mean over its area. The same in every slice.
    spacing_mm : float
        Size of a pixel.
    body : Insert
        The round body; its contrast is to `background`.
    background : float
        Value around the body.
    inserts : tuple of Insert
    """

    voxels: FloatArray
    spacing_mm: float
    body: Insert
    background: float
    inserts: tuple[Insert, ...]

    @property
    def value(self) -> float:
        """Value of the body."""
        return self.background + self.body.contrast

    def uniform_region(self, margin: float = 3.0) -> BoolArray:
        """Return the pixels of a slice that lie in plain body, `margin` pixels from any edge."""
        rows, columns = self.voxels.shape[1:]
        mask = _distance((rows, columns), self.body.centre) <= self.body.radius - margin
        for insert in self.inserts:
            mask &= _distance((rows, columns), insert.centre) >= insert.radius + margin
        return np.asarray(mask, np.bool_)


def disc_coverage(
    shape: tuple[int, int], radius: float, centre: tuple[float, float] | None = None
) -> npt.NDArray[np.float64]:
    """Return the part of the area of each pixel that a disc covers, exactly.

    Parameters
    ----------
    shape : (rows, columns)
    radius : float
        In pixels.
    centre : (row, column), optional
        In pixels; the middle of the image by default.

    Returns
    -------
    ndarray of float64, shape (rows, columns)
        0 to 1; sums to pi radius^2 where the disc lies within the image.
    """
    if radius <= 0:
        raise ValueError(f"the radius of a disc must be positive, got {radius}")
    row, column = centre if centre is not None else ((shape[0] - 1) / 2, (shape[1] - 1) / 2)
    y = np.asarray(np.arange(shape[0] + 1) - 0.5 - row, np.float64)
    x = np.asarray(np.arange(shape[1] + 1) - 0.5 - column, np.float64)
    return ellipse_cover(y, x, radius, radius)


def uniform_disc(
    shape: tuple[int, int] | tuple[int, int, int],
    value: float,
    radius: float,
    *,
    background: float = 0.0,
    centre: tuple[float, float] | None = None,
) -> FloatArray:
    """Draw a disc of one value, or a cylinder along z.

    Parameters
    ----------
    shape : (rows, columns) or (slices, rows, columns)
    value : float
        In the disc.
    radius : float
        In pixels.
    background : float
        Around the disc.
    centre : (row, column), optional
        In pixels; the middle of the image by default.

    Returns
    -------
    ndarray of float32, of `shape`
        Pixels at the edge hold the mean over their area.

    Raises
    ------
    ValueError
        If the radius is not positive.
    """
    cover = disc_coverage((shape[-2], shape[-1]), radius, centre)
    plane = (background + (value - background) * cover).astype(np.float32)
    return np.ascontiguousarray(np.broadcast_to(plane, shape))


def low_contrast_phantom(
    shape: tuple[int, int, int] = (1, 512, 512),
    *,
    spacing_mm: float = 0.5,
    body_diameter_mm: float = 200.0,
    value: float = 0.0,
    background: float = -1000.0,
    kinds: tuple[InsertKind, ...] = MITA_INSERTS,
    ring_mm: float = 50.0,
    repeats: int = 1,
    turn: float = 0.0,
) -> Phantom:
    """Build a round phantom with low-contrast rods on a ring.

    Parameters
    ----------
    shape : (slices, rows, columns)
    spacing_mm : float
        Size of a pixel.
    body_diameter_mm : float
    value, background : float
        Of the body and around it, HU.
    kinds : tuple of InsertKind
        The rods, in their order around the ring; none gives the signal-absent phantom.
    ring_mm : float
        Distance of the rods from the middle.
    repeats : int
        How often the set of rods goes round the ring.
    turn : float
        Angle of the first rod, radians from the column axis to the row axis.

    Returns
    -------
    Phantom

    Raises
    ------
    ValueError
        If rods overlap, leave the body, or the body leaves the image.
    """
    rows, columns = shape[1:]
    middle = ((rows - 1) / 2, (columns - 1) / 2)
    body = Insert(middle, body_diameter_mm / 2 / spacing_mm, value - background)
    inserts = _ring(middle, kinds * repeats, ring_mm, spacing_mm, turn)
    _check((rows, columns), body, inserts)
    plane = background + body.contrast * disc_coverage((rows, columns), body.radius, body.centre)
    for insert in inserts:
        plane += insert.contrast * disc_coverage((rows, columns), insert.radius, insert.centre)
    voxels = np.ascontiguousarray(np.broadcast_to(plane.astype(np.float32), shape))
    return Phantom(voxels, spacing_mm, body, background, inserts)


def _ring(
    middle: tuple[float, float], kinds: tuple[InsertKind, ...], ring_mm: float, spacing_mm: float, turn: float
) -> tuple[Insert, ...]:
    """Place rods at equal angles round the middle."""
    angles = turn + 2 * np.pi * np.arange(len(kinds)) / max(len(kinds), 1)
    ring = ring_mm / spacing_mm
    return tuple(
        Insert(
            (float(middle[0] + ring * np.sin(angle)), float(middle[1] + ring * np.cos(angle))),
            kind.diameter_mm / 2 / spacing_mm,
            kind.contrast,
        )
        for kind, angle in zip(kinds, angles, strict=True)
    )


def _check(shape: tuple[int, int], body: Insert, inserts: tuple[Insert, ...]) -> None:
    """Refuse a layout whose truth would not be what its parameters say."""
    if 2 * body.radius > min(shape):
        raise ValueError(f"a body {2 * body.radius:.0f} pixels wide does not fit into {shape}")
    for i, one in enumerate(inserts):
        if _apart(one, body) + one.radius > body.radius:
            raise ValueError(f"the insert at {one.centre} leaves the body")
        for other in inserts[:i]:
            if _apart(one, other) < one.radius + other.radius:
                raise ValueError(f"the inserts at {one.centre} and {other.centre} overlap")


def _apart(one: Insert, other: Insert) -> float:
    return float(np.hypot(one.centre[0] - other.centre[0], one.centre[1] - other.centre[1]))


def _distance(shape: tuple[int, int], centre: tuple[float, float]) -> npt.NDArray[np.float64]:
    """Return the distance of every pixel from a point."""
    y, x = np.arange(shape[0])[:, None] - centre[0], np.arange(shape[1])[None] - centre[1]
    return np.asarray(np.hypot(y, x), np.float64)
