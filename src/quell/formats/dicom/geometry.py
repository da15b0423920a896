"""The geometry of a stack of frames: order, spacing, direction, gaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quell.formats.dicom.planes import Plane, Triple
from quell.image import Geometry

SAME_PLACE_MM = 0.01
_GAP = 1.5
_UNEQUAL = 0.05
_FAR_APART = 3.0
_MIN_COS_NORMAL = 0.1
_UNKNOWN = Geometry()


@dataclass(frozen=True)
class StackGeometry:
    """What the positions of an ordered stack say.

    Attributes
    ----------
    geometry : Geometry
    volume : bool
        True when neighbours along z are neighbouring anatomy.
    gaps : tuple of int
        Indices i such that slice i + 1 is not the neighbour of slice i.
    notes : tuple of str
    """

    geometry: Geometry
    volume: bool
    gaps: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


def depths(planes: Sequence[Plane]) -> npt.NDArray[np.float64] | None:
    """Return how far each frame lies along the common normal, in mm.

    The order of the slices is the order of these projections of Image Position (Patient) on the
    normal, whatever the files are called or numbered.

    Returns
    -------
    ndarray or None
        None where a position or the orientation is unknown.
    """
    if not planes or not all(plane.placed for plane in planes):
        return None
    positions = np.array([plane.position for plane in planes], float)
    projected: npt.NDArray[np.float64] = positions @ planes[0].normal
    return projected


def parallel(one: Plane, other: Plane, tolerance: float = 1e-3) -> bool:
    """Whether two frames have the same orientation and the same pixel spacing."""
    if (one.row is None) != (other.row is None) or (one.spacing is None) != (other.spacing is None):
        return False
    a = [*(one.row or ()), *(one.column or ()), *(one.spacing or ())]
    b = [*(other.row or ()), *(other.column or ()), *(other.spacing or ())]
    return all(abs(x - y) <= tolerance for x, y in zip(a, b, strict=True))


def stack_geometry(planes: Sequence[Plane]) -> StackGeometry:
    """Return the geometry of frames that are in the order of `depths` already.

    Parameters
    ----------
    planes : sequence of Plane
        Parallel frames, at least one.
    """
    first = planes[0]
    along = depths(planes)
    if along is None:
        return StackGeometry(_in_plane_only(first), False, (), _missing_position(planes))
    if len(planes) == 1:
        return StackGeometry(
            _geometry(first, _fallback_step(first), _tuple(first.normal)), False, (), _missing(first)
        )
    positions = np.array([plane.position for plane in planes], float)
    steps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    step = float(np.median(steps))
    direction = _stacking_direction(positions, first, along)
    gaps, notes = _irregularities(np.abs(np.diff(along)))
    near, far = _contiguous(first, float(np.median(np.abs(np.diff(along)))))
    geometry = _geometry(first, step, direction)
    return StackGeometry(geometry, near, gaps, (*_missing(first), *notes, *far))


def _stacking_direction(
    positions: npt.NDArray[np.float64], first: Plane, along: npt.NDArray[np.float64]
) -> Triple:
    """Return the direction of the positions; of the normal where they jump sideways."""
    run = positions[-1] - positions[0]
    length = float(np.linalg.norm(run))
    sign = 1.0 if along[-1] >= along[0] else -1.0
    if length < SAME_PLACE_MM or abs(along[-1] - along[0]) / length < _MIN_COS_NORMAL:
        return _tuple(sign * first.normal)
    return _tuple(run / length)


def _irregularities(steps: npt.NDArray[np.float64]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Find missing slices (a step of more than 1.5 medians) and unequal steps, in mm."""
    median = float(np.median(steps))
    gaps = tuple(int(i) for i in np.flatnonzero(steps > _GAP * median))
    notes = []
    for i in gaps[:3]:
        missing = max(round(steps[i] / median) - 1, 1)
        notes.append(f"gap of {steps[i]:.1f} mm after slice {i + 1}: about {missing} missing")
    if len(gaps) > 3:
        notes.append(f"{len(gaps) - 3} more gaps between slices")
    regular = np.delete(steps, list(gaps))
    if np.ptp(regular) > _UNEQUAL * median:
        notes.append(f"unequal slice spacing, {regular.min():.2f} to {regular.max():.2f} mm")
    return gaps, tuple(notes)


def _contiguous(first: Plane, step: float) -> tuple[bool, tuple[str, ...]]:
    """Whether slices lie near enough to share anatomy (thin slices at large steps do not)."""
    if first.thickness is None or step <= _FAR_APART * first.thickness:
        return True, ()
    note = f"slices of {first.thickness:g} mm lie {step:g} mm apart: each is treated alone"
    return False, (note,)


def _geometry(first: Plane, step: float, direction: Triple) -> Geometry:
    if first.spacing is None or first.position is None or first.row is None or first.column is None:
        return _UNKNOWN
    return Geometry(
        spacing=(step, *first.spacing),
        origin=first.position,
        direction=(direction, first.column, first.row),
        known=True,
    )


def _in_plane_only(first: Plane) -> Geometry:
    """Return the geometry of a projection image or of frames over time: pixel spacing alone."""
    if first.spacing is None:
        return _UNKNOWN
    return Geometry(spacing=(_fallback_step(first), *first.spacing), known=True)


def _fallback_step(plane: Plane) -> float:
    return abs(plane.step or plane.thickness or 1.0)


def _missing(first: Plane) -> tuple[str, ...]:
    return () if first.spacing is not None else ("pixel spacing is not given",)


def _missing_position(planes: Sequence[Plane]) -> tuple[str, ...]:
    return _missing(planes[0])


def _tuple(vector: npt.NDArray[np.float64]) -> Triple:
    x, y, z = (float(v) for v in vector)
    return x, y, z
