"""From stored values to physical units: slope, intercept, the units' name."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.dataset import Dataset

from quell.formats.dicom import tags
from quell.formats.dicom.functional import is_enhanced, macro
from quell.image import Modality

_PET_UNITS = {"BQML": "Bq/ml", "GML": "g/ml", "CNTS": "counts"}
_UCUM = {"BQ/ML": "Bq/ml", "G/ML": "g/ml", "{COUNTS}": "counts"}


@dataclass(frozen=True)
class Rescale:
    """``units = slope * stored + intercept`` (PS3.3 C.11.1.1.2)."""

    slope: float = 1.0
    intercept: float = 0.0


def rescale_of(header: Dataset, frame: int = 0) -> Rescale:
    """Return the rescale of one frame, counted from 0.

    A Modality LUT Sequence is not applied: the values stay as stored.

    Raises
    ------
    ValueError
        If slope or intercept are given but no finite numbers, or the slope is zero.
    """
    group: Dataset | None = header
    if is_enhanced(header):
        group = macro(header, frame, "PixelValueTransformationSequence")
    if group is None or tags.has(group, "ModalityLUTSequence"):
        return Rescale()
    slope = _given(group, "RescaleSlope", 1.0)
    if slope == 0:
        raise ValueError("RescaleSlope is 0")
    return Rescale(slope, _given(group, "RescaleIntercept", 0.0))


def units_of(header: Dataset, modality: Modality) -> str:
    """Return the units of the rescaled values, ``"arbitrary"`` where the header names none."""
    if tags.has(header, "ModalityLUTSequence"):
        return "arbitrary"
    if modality is Modality.CT:
        return "HU" if _rescale_type(header) in ("", "HU", "HU_MOD") else "arbitrary"
    if modality is Modality.NM:
        return "counts"
    if modality is Modality.PT:
        return _PET_UNITS.get(tags.word(header, "Units")) or _mapped_units(header)
    return "arbitrary"


def _given(group: Dataset, keyword: str, default: float) -> float:
    found = tags.number(group, keyword)
    # A value that cannot be read must not pass as the default: the units would be wrong unseen.
    if found is None and tags.given(group, keyword):
        raise ValueError(f"{keyword} is unreadable")
    return default if found is None else found


def _rescale_type(header: Dataset) -> str:
    group: Dataset | None = header
    if is_enhanced(header):
        group = macro(header, 0, "PixelValueTransformationSequence")
    return "" if group is None else tags.word(group, "RescaleType")


def _mapped_units(header: Dataset) -> str:
    """Return the units of an enhanced PET, where its real-world mapping equals its rescale."""
    mapping = macro(header, 0, "RealWorldValueMappingSequence") if is_enhanced(header) else None
    if mapping is None:
        return "arbitrary"
    same = Rescale(
        tags.number(mapping, "RealWorldValueSlope") or 1.0,
        tags.number(mapping, "RealWorldValueIntercept") or 0.0,
    ) == rescale_of(header)
    code = next(iter(tags.items(mapping, "MeasurementUnitsCodeSequence")), Dataset())
    return _UCUM.get(tags.word(code, "CodeValue"), "arbitrary") if same else "arbitrary"
