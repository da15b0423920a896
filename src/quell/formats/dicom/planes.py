"""Where one frame lies in the patient, as its header says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

from quell.formats.dicom import tags
from quell.formats.dicom.functional import is_enhanced, macro

Triple = tuple[float, float, float]

_COSINE_TOLERANCE = 0.01


@dataclass(frozen=True)
class Plane:
    """One frame in the patient; an attribute is None where the header does not say it.

    Attributes
    ----------
    position : tuple of float, optional
        Centre of the first voxel in mm, LPS (Image Position (Patient)).
    row, column : tuple of float, optional
        Unit vectors in LPS in which the column index and the row index grow (the two halves of
        Image Orientation (Patient)).
    spacing : tuple of float, optional
        Distance of rows and of columns in mm, so in the order (y, x).
    thickness : float, optional
        In mm.
    step : float, optional
        Spacing Between Slices in mm; its sign matters in nuclear medicine only.
    """

    position: Triple | None = None
    row: Triple | None = None
    column: Triple | None = None
    spacing: tuple[float, float] | None = None
    thickness: float | None = None
    step: float | None = None

    @property
    def placed(self) -> bool:
        """Whether position and orientation are both known."""
        return self.position is not None and self.row is not None

    @property
    def normal(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Cross product of `row` and `column`: the normal of PS3.3 C.7.6.2.1.1."""
        return np.cross(np.array(self.row, float), np.array(self.column, float))


def plane_of(header: Dataset, frame: int = 0) -> Plane:
    """Return where one frame, counted from 0, lies."""
    if is_enhanced(header):
        return _from_groups(header, frame)
    if tags.has(header, "DetectorInformationSequence"):
        return _from_detector(header, frame)
    return _plane(header, header, header)


def _from_groups(header: Dataset, frame: int) -> Plane:
    nothing = Dataset()
    return _plane(
        macro(header, frame, "PlanePositionSequence") or nothing,
        macro(header, frame, "PlaneOrientationSequence") or nothing,
        macro(header, frame, "PixelMeasuresSequence") or nothing,
    )


def _from_detector(header: Dataset, frame: int) -> Plane:
    """Place a frame of nuclear medicine (PS3.3 C.8.4.11 and C.8.4.15).

    The position is that of the first frame; a reconstruction's others follow along the normal, and
    the sign of Spacing Between Slices says to which side.
    """
    detector = tags.items(header, "DetectorInformationSequence")[:1]
    first = _plane(detector[0], detector[0], header) if detector else _plane(header, header, header)
    if not first.placed or first.step is None or first.position is None:
        return first
    moved = np.array(first.position) + frame * first.step * first.normal
    return Plane((*moved.tolist(),), first.row, first.column, first.spacing, first.thickness, first.step)


def _plane(position: Dataset, orientation: Dataset, measures: Dataset) -> Plane:
    where = tags.numbers(position, "ImagePositionPatient", 3)
    row, column = _axes(tags.numbers(orientation, "ImageOrientationPatient", 6))
    return Plane(
        position=None if where is None else (where[0], where[1], where[2]),
        row=row,
        column=column,
        spacing=_in_plane_spacing(measures),
        thickness=_positive(tags.number(measures, "SliceThickness")),
        step=tags.number(measures, "SpacingBetweenSlices") or None,
    )


def _axes(cosines: tuple[float, ...] | None) -> tuple[Triple | None, Triple | None]:
    """Return the two directions, or nothing where they are no unit vectors at right angles."""
    if cosines is None:
        return None, None
    row, column = np.array(cosines[:3]), np.array(cosines[3:])
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if any(abs(length - 1) > _COSINE_TOLERANCE for length in lengths):
        return None, None
    if abs(row @ column) > _COSINE_TOLERANCE:
        return None, None
    return (*(row / lengths[0]).tolist(),), (*(column / lengths[1]).tolist(),)


def _in_plane_spacing(measures: Dataset) -> tuple[float, float] | None:
    """Return the spacing of the pixels; at the detector for a radiograph that says no other."""
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        found = tags.numbers(measures, keyword, 2)
        if found is not None and min(found) > 0:
            return found[0], found[1]
    return _ultrasound_spacing(measures)


def _ultrasound_spacing(header: Dataset) -> tuple[float, float] | None:
    """Return the pixel spacing of the first two-dimensional ultrasound region (PS3.3 C.8.5.5)."""
    for region in tags.items(header, "SequenceOfUltrasoundRegions"):
        units = (
            tags.integer(region, "PhysicalUnitsXDirection"),
            tags.integer(region, "PhysicalUnitsYDirection"),
        )
        y, x = tags.number(region, "PhysicalDeltaY"), tags.number(region, "PhysicalDeltaX")
        if tags.integer(region, "RegionSpatialFormat") == 1 and units == (3, 3) and x and y:
            return abs(y) * 10, abs(x) * 10
    return None


def _positive(found: float | None) -> float | None:
    return found if found is not None and found > 0 else None
