"""What the writer must know of each kind of DICOM object."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from pydicom.dataset import Dataset

from quell.formats.dicom import tags


class Rescaling(Enum):
    """Which part of ``slope * stored + intercept`` an object may state in its header."""

    FULL = "slope and intercept"
    SLOPE = "slope"
    """PET: the intercept is 0 (PS3.3 C.8.9.4, PET Image module)."""
    NONE = "none"


@dataclass(frozen=True)
class Iod:
    """Properties of an Information Object Definition.

    Attributes
    ----------
    rescaling : Rescaling
    signed : bool
        Whether stored values may be signed.
    must_be_primary : bool
        Whether value 2 of Image Type has to be PRIMARY in a derived object too.
    pixel_contrast : bool
        Whether value 4 of Image Type is the Derived Pixel Contrast (PS3.3 C.8.16.1.4).
    empty_flavour : bool
        Whether value 3 of Image Type has to be there, empty if nothing else (DX).
    content_qualification : bool
        Whether Content Qualification is part of the object.
    """

    rescaling: Rescaling = Rescaling.NONE
    signed: bool = True
    must_be_primary: bool = False
    pixel_contrast: bool = False
    empty_flavour: bool = False
    content_qualification: bool = False


_RESCALED = Iod(Rescaling.FULL)
_ENHANCED = Iod(Rescaling.FULL, must_be_primary=True, pixel_contrast=True, content_qualification=True)
_ULTRASOUND = Iod(signed=False)
# DX fixes slope 1 and intercept 0, and unsigned values (PS3.3 C.8.11.3).
# Value 2 of its Image Type is generally PRIMARY (C.8.11.3.1.1).
_DIGITAL_XRAY = Iod(signed=False, must_be_primary=True, empty_flavour=True)
_PROJECTION = Iod(signed=False)

_STORAGE = "1.2.840.10008.5.1.4.1.1."
_IODS = {
    "1": _RESCALED,  # CR
    "1.1": _DIGITAL_XRAY,
    "1.1.1": _DIGITAL_XRAY,
    "1.2": _DIGITAL_XRAY,
    "1.2.1": _DIGITAL_XRAY,
    "1.3": _DIGITAL_XRAY,
    "1.3.1": _DIGITAL_XRAY,
    "2": _RESCALED,  # CT
    "2.1": _ENHANCED,
    "2.2": _ENHANCED,
    "3.1": _ULTRASOUND,
    "6.1": _ULTRASOUND,
    "4": Iod(),  # MR
    "4.1": _ENHANCED,
    "4.4": _ENHANCED,
    "7": _RESCALED,  # Secondary Capture
    "7.2": _RESCALED,
    "7.3": _RESCALED,
    "12.1": _PROJECTION,
    "12.2": _PROJECTION,
    "20": Iod(must_be_primary=True),  # NM
    "128": Iod(Rescaling.SLOPE, must_be_primary=True),  # PET
    "128.1": _ENHANCED,
    "130": _ENHANCED,
}


def iod_of(header: Dataset) -> Iod:
    """Return the properties of the object that `header` describes.

    An object that has a rescale although its definition has none (MR of some vendors) may go on
    having one.
    """
    sop_class = str(header.get("SOPClassUID", ""))
    iod = _IODS.get(sop_class.removeprefix(_STORAGE), Iod())
    if iod.rescaling is Rescaling.NONE and iod.signed and _is_rescaled(header):
        return replace(iod, rescaling=Rescaling.FULL)
    return iod


def _is_rescaled(header: Dataset) -> bool:
    slope, intercept = tags.number(header, "RescaleSlope"), tags.number(header, "RescaleIntercept")
    return slope not in (None, 1.0) or intercept not in (None, 0.0)
