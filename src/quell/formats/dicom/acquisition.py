"""How an image was acquired, from its headers; nothing that tells who the patient is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from pydicom.dataset import Dataset

from quell.formats.dicom import tags
from quell.formats.dicom.classify import modality_of
from quell.formats.dicom.functional import is_enhanced, macro
from quell.formats.dicom.instance import FrameRef, Instance
from quell.formats.dicom.pixelplan import source_storage
from quell.formats.dicom.planes import plane_of
from quell.formats.dicom.reconstruction import kernel_of, reconstruction_of
from quell.image import Acquisition, Modality

_FOR_PRESENTATION, _FOR_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1.1"
_CORRECTIONS = {
    "DecayCorrected": "DECY",
    "AttenuationCorrected": "ATTN",
    "ScatterCorrected": "SCAT",
    "DeadTimeCorrected": "DTIM",
    "RandomsCorrected": "RAN",
    "CountLossNormalizationCorrected": "NORM",
    "NonUniformRadialSamplingCorrected": "RADL",
    "GantryMotionCorrected": "MOTN",
    "PatientMotionCorrected": "MOTN",
}
"""Attributes of enhanced PET, and what Corrected Image calls the same (PS3.3 C.8.9.4.1.1)."""


def acquisition_of(instances: Sequence[Instance], frames: Sequence[FrameRef]) -> Acquisition:
    """Return what the headers of a stack say of its acquisition.

    What differs from slice to slice is the median (the exposure under tube current modulation); all
    else is taken from the first frame.

    Parameters
    ----------
    instances : sequence of Instance
    frames : sequence of FrameRef
        The frames of the stack, at least one.
    """
    first = frames[0]
    header = instances[first.instance].header
    modality = modality_of(header)
    return Acquisition(
        exposure=_median(_exposure(instances[ref.instance].header, ref.frame) for ref in frames),
        voltage=_voltage(header, first.frame),
        kernel=kernel_of(header, first.frame),
        reconstruction=reconstruction_of(header, first.frame),
        counts=_counts(instances, frames) if modality is Modality.NM else None,
        corrections=_corrections(header),
        presentation=_presentation(header),
        intensity=tags.word(header, "PixelIntensityRelationship"),
        bits=source_storage(header).bits_stored if tags.given(header, "BitsStored") else None,
        thickness=plane_of(header, first.frame).thickness,
        manufacturer=_text(header, "Manufacturer"),
        scanner=_text(header, "ManufacturerModelName"),
    )


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(median(known)) if known else None


def _exposure(header: Dataset, frame: int) -> float | None:
    """Return the tube current time product in mAs (PS3.3 C.8.2.1, C.8.15.3.8)."""
    group = macro(header, frame, "CTExposureSequence") if is_enhanced(header) else header
    if group is None:
        return None
    product = _first(group, {"ExposureInmAs": 1.0, "ExposureInuAs": 1e-3, "Exposure": 1.0})
    if product is not None:
        return product
    current = _first(group, {"XRayTubeCurrentInmA": 1.0, "XRayTubeCurrentInuA": 1e-3, "XRayTubeCurrent": 1.0})
    seconds = _first(group, {"ExposureTimeInms": 1e-3, "ExposureTimeInuS": 1e-6, "ExposureTime": 1e-3})
    return None if current is None or seconds is None else current * seconds


def _first(group: Dataset, keywords: dict[str, float]) -> float | None:
    """Return the first positive number among attributes, each times its factor."""
    for keyword, factor in keywords.items():
        found = tags.number(group, keyword)
        if found is not None and found > 0:
            return found * factor
    return None


def _voltage(header: Dataset, frame: int) -> float | None:
    group = macro(header, frame, "CTXRayDetailsSequence") if is_enhanced(header) else header
    return None if group is None else _first(group, {"KVP": 1.0})


def _counts(instances: Sequence[Instance], frames: Sequence[FrameRef]) -> float | None:
    """Return the sum of all events in the objects (PS3.3 C.8.4.8, NM Image module)."""
    used = dict.fromkeys(ref.instance for ref in frames)
    found = [tags.number(instances[index].header, "CountsAccumulated") for index in used]
    known = [counts for counts in found if counts is not None and counts > 0]
    return sum(known) if known and len(known) == len(found) else None


def _corrections(header: Dataset) -> tuple[str, ...]:
    words = [word for word in tags.words(header, "CorrectedImage") if word]
    words += [word for keyword, word in _CORRECTIONS.items() if tags.word(header, keyword) == "YES"]
    if tags.word(header, "DecayCorrection") in ("START", "ADMIN"):
        words.append("DECY")
    return tuple(dict.fromkeys(words))


def _presentation(header: Dataset) -> bool | None:
    """Return whether values are mapped for viewing (PS3.3 C.8.11.1, C.8.11.3.1.2)."""
    intent, sop_class = tags.word(header, "PresentationIntentType"), tags.uid(header, "SOPClassUID")
    if intent == "FOR PRESENTATION" or (not intent and sop_class == _FOR_PRESENTATION):
        return True
    if intent == "FOR PROCESSING" or (not intent and sop_class == _FOR_PROCESSING):
        return False
    return {"DISP": True, "LIN": False, "LOG": False}.get(tags.word(header, "PixelIntensityRelationship"))


def _text(header: Dataset, keyword: str) -> str:
    """Return a name of equipment on one line, within the length of its VR (LO)."""
    found = str(tags.value(header, keyword) or "")
    return " ".join("".join(ch if ch.isprintable() else " " for ch in found).split())[:64]
