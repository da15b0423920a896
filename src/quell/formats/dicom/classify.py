"""What is denoised and what is passed over, and why."""

from __future__ import annotations

import re

from pydicom.config import IGNORE
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import JPEG2000, UID, JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless

from quell.formats.derived import SIMULATED_NOTE
from quell.formats.dicom import tags
from quell.formats.dicom.functional import is_enhanced, macro
from quell.formats.dicom.origin import is_denoised, is_simulated, made_by_quell
from quell.image import Modality

_STORAGE = "1.2.840.10008.5.1.4.1.1."

_MODALITIES = {
    _STORAGE + tail: modality
    for modality, tails in {
        Modality.CT: ("2", "2.1", "2.2"),
        Modality.MR: ("4", "4.1", "4.4"),
        Modality.PT: ("128", "130", "128.1"),
        Modality.NM: ("20", "5"),
        Modality.US: ("6.1", "3.1", "6", "3"),
        Modality.XR: ("1", "1.1", "1.1.1"),
    }.items()
    for tail in tails
}
_SECONDARY_CAPTURE = tuple(_STORAGE + tail for tail in ("7", "7.1", "7.2", "7.3", "7.4"))

# Longest match first: "1.2." is mammography before "1." could be anything else.
_CLASS_REASONS = (
    (
        ("1.2", "1.2.1", "13.1.3", "13.1.4", "13.1.5"),
        "mammograms are not denoised: no evidence that it is safe",
    ),
    (("12.1", "12.1.1", "12.2", "12.2.1", "12.3"), "X-ray angiography and fluoroscopy are not denoised"),
    (("4.3",), "colour images are not denoised"),
    (("30", "4.2"), "a parameter map or spectrum, not an image of measured noise"),
    (("66.4", "66.5", "66.7"), "a segmentation, not an image"),
)
_DIRECTORY = "1.2.840.10008.1.3.10"

_SCREENS = {"SCREEN SAVE", "SCREENSAVE", "SCREEN_SAVE", "DOSE_INFO", "DOSE INFO", "DOSE REPORT"}
_PROTOCOL = re.compile(r"(^|[_ ])PROT(OCOL)?$")
_PROJECTIONS = {
    *("PROJECTION IMAGE", "MIP", "MINIP", "MAXIP", "MNIP", "MAX_IP", "MIN_IP", "MAXIMUM", "MINIMUM", "VRT"),
}
_COMPONENTS = {
    "phase": {"P", "PHASE", "PHASE MAP", "PHASE_MAP"},
    "real": {"R", "REAL", "R_FFE", "R_SE", "R_IR"},
    "imaginary": {"I", "IMAGINARY", "I_FFE", "I_SE", "I_IR"},
}
_GE_COMPONENTS = {1: "phase", 2: "real", 3: "imaginary"}
_A_MAP = "a parameter map, not an image of measured noise"
_A_PROJECTION = "raw projections: denoising belongs before their reconstruction and must keep the counts"
_MAPS = {
    *("ADC", "ADC_UNSPECIFIED", "EADC", "EXP_ADC", "FA", "COLFA", "TENSOR", "FRACTIONAL_ANISOTROPY"),
    *("CBF", "CBV", "RCBF", "RCBV", "RELCBF", "RELCBV", "RELMTT", "MTT", "TTP", "TMAX"),
    *("KTRANS", "KEP", "VE", "R2", "R2_STAR", "B0", "B1", "QSM", "PDFF", "FAT_FRACTION", "FAT FRACTION"),
    *("TMAP", "T_TEST", "TEMPERATURE", "STD_DEVIATION", "DIVISION", "MULTIPLICATION"),
}
# Value 4 of an enhanced image's type, where T1 means a map; as value 3 it means a contrast.
_DERIVED_CONTRASTS = {
    *("ADC", "DIFFUSION_ANISO", "FRACTIONAL_ANISO", "T1", "T2", "T2_STAR", "TTP", "RCBF", "RCBV", "TCS"),
    *("NEI", "NTP", "METABOLITE"),
}
_GE_RAW_DATA_TYPE = Tag(0x0043, 0x102F)
_PHILIPS_SCALE_SLOPE = Tag(0x2005, 0x100E)
_MAP_NAME = re.compile(r"(^|[_ -])MAP$")
_HU_TYPES = {"", "HU", "HU_MOD", "US"}
_NM_KINDS = {"STATIC", "WHOLE BODY", "DYNAMIC", "GATED", "RECON TOMO", "RECON GATED TOMO"}
_NM_PROJECTIONS = {"TOMO", "GATED TOMO"}
_LOSSY = {
    *(JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000),
    *("1.2.840.10008.1.2.4.203", "1.2.840.10008.1.2.4.112"),
}


def class_reason(sop_class: str) -> str | None:
    """Return why objects of a SOP class are passed over, or None if their header decides."""
    if sop_class in _MODALITIES or sop_class in _SECONDARY_CAPTURE or not sop_class:
        return None
    if sop_class == _DIRECTORY:
        return "an index of files, not an image"
    for tails, reason in _CLASS_REASONS:
        if sop_class in {_STORAGE + tail for tail in tails}:
            return reason
    return "not an image of a kind that is denoised"


def class_name(sop_class: str) -> str:
    """Return what objects of a SOP class are called; never the identifier, which anyone may make up."""
    # A damaged header may hold anything in this place, even the rest of itself.
    name = UID(sop_class, IGNORE).name if re.fullmatch(r"[0-9.]{1,64}", sop_class) else ""
    if not name or name == sop_class:
        return "private or unknown object"
    return name.replace(" Storage", "").replace(" - For", ", for")


def modality_of(header: Dataset) -> Modality:
    """Return how an image was acquired; `Modality.UNKNOWN` if it is none that is denoised."""
    sop_class = tags.uid(header, "SOPClassUID")
    if sop_class in _SECONDARY_CAPTURE and _is_scintigram(header):
        return Modality.NM
    return _MODALITIES.get(sop_class, Modality.UNKNOWN)


def header_reason(header: Dataset, projections: bool = False, denoised: bool = False) -> str | None:
    """Return why an object is passed over as a whole, or None if it is denoised.

    Parameters
    ----------
    header : pydicom.Dataset
    projections : bool
        Let raw projections of SPECT pass.
    denoised : bool
        Let what Quell denoised pass.
    """
    sop_class = tags.uid(header, "SOPClassUID")
    modality = modality_of(header)
    if modality is Modality.UNKNOWN and sop_class in _SECONDARY_CAPTURE:
        return "a secondary capture (a screen, not a measurement)"
    if modality is Modality.UNKNOWN:
        return class_reason(sop_class) or "not an image of a kind that is denoised"
    if made_by_quell(header) and not (denoised and is_denoised(header)):
        return "made by Quell already"
    if tags.word(header, "Modality") == "MG":
        return "mammograms are not denoised: no evidence that it is safe"
    kinds = tags.words(header, "ImageType")
    if is_enhanced(header) and _is_derived(kinds):
        return _A_MAP
    reason = _type_reason(kinds, header, modality)
    return None if projections and reason == _A_PROJECTION else reason


def is_reconstruction(header: Dataset) -> bool:
    """Whether a nuclear-medicine object holds reconstructed slices (PS3.3 C.8.4.9.1.2)."""
    kinds = tags.words(header, "ImageType")
    return len(kinds) > 2 and kinds[2].startswith("RECON")


def frame_reason(header: Dataset, frame: int) -> str | None:
    """Return why one frame of an enhanced object is passed over, or None if it is denoised."""
    if not is_enhanced(header):
        return None
    for sequence in ("MRImageFrameTypeSequence", "CTImageFrameTypeSequence", "PETFrameTypeSequence"):
        group = macro(header, frame, sequence)
        if group is None:
            continue
        component = tags.word(group, "ComplexImageComponent").lower()
        if component in _COMPONENTS:
            return f"a {component} image, not a magnitude"
        kinds = tags.words(group, "FrameType")
        return _A_MAP if _is_derived(kinds) else _type_reason(kinds, group, modality_of(header))
    return None


def notes_on(header: Dataset, coloured: float = 0.0) -> tuple[str, ...]:
    """Return what the user should know of an image that is denoised.

    Parameters
    ----------
    header : pydicom.Dataset
    coloured : float
        Share of the pixels that are in colour, 0 to 1.
    """
    notes = []
    if is_simulated(header):
        notes.append(SIMULATED_NOTE)
    if is_lossy(header):
        notes.append("compressed with losses: its noise is no longer the scanner's")
    if tags.uid(header, "SOPClassUID") in _SECONDARY_CAPTURE:
        notes.append("stored as a secondary capture, read as the scintigram that its header describes")
    if tags.integer(header, "SamplesPerPixel") == 3 or (
        tags.word(header, "PhotometricInterpretation") == "PALETTE COLOR"
    ):
        notes.append(_colour_note(coloured))
    intent = tags.word(header, "PresentationIntentType")
    if intent == "FOR PRESENTATION":
        notes.append("for presentation: the maker's processing has altered the noise")
    if intent == "FOR PROCESSING":
        notes.append("for processing: not meant for reading")
    if tags.has(header, "ModalityLUTSequence"):
        notes.append("has a modality lookup table: stored values are used as they are")
    if _PHILIPS_SCALE_SLOPE in header:
        notes.append("Philips scale slope is left aside: values are displayed values")
    return tuple(notes)


def is_lossy(header: Dataset) -> bool:
    """Whether the pixels were ever compressed with losses (PS3.3 C.7.6.1.1.5)."""
    syntax = tags.uid(getattr(header, "file_meta", Dataset()), "TransferSyntaxUID")
    return tags.word(header, "LossyImageCompression") == "01" or syntax in _LOSSY


def _colour_note(coloured: float) -> str:
    if coloured == 0:
        return "stored in colour, grey in fact: read as brightness"
    percent = f"{100 * coloured:.0f} %" if coloured >= 0.005 else "less than 1 %"
    return f"{percent} of the pixels are coloured and are kept as they are"


def _is_scintigram(header: Dataset) -> bool:
    """Whether a secondary capture describes itself as counts, as those before the NM object did."""
    kinds = tags.words(header, "ImageType")
    return (
        tags.word(header, "Modality") == "NM"
        and (tags.integer(header, "BitsAllocated") or 0) > 8
        and tags.word(header, "PhotometricInterpretation") == "MONOCHROME2"
        and len(kinds) > 3
        and kinds[2] in _NM_KINDS | _NM_PROJECTIONS
        and kinds[3] in ("EMISSION", "TRANSMISSION")
    )


def _type_reason(kinds: tuple[str, ...], header: Dataset, modality: Modality) -> str | None:
    values = set(kinds[2:])
    if "LOCALIZER" in values or "SCOUT" in values:
        return "a localizer"
    if values & _SCREENS or any(_PROTOCOL.search(one) for one in values):
        return "a dose or protocol screen"
    if values & _PROJECTIONS:
        return "a projection through the volume, not a slice"
    if modality is Modality.MR:
        for component, names in _COMPONENTS.items():
            if values & names:
                return f"a {component} image, not a magnitude"
        if (made := _ge_component(header)) is not None:
            return f"a {made} image, not a magnitude"
    if modality in (Modality.MR, Modality.CT, Modality.PT) and _is_map(values):
        return _A_MAP
    if modality is Modality.CT and tags.word(header, "RescaleType") not in _HU_TYPES:
        return "a map of a material, not of HU"
    if modality is Modality.US and not _has_tissue(header):
        return "no two-dimensional ultrasound region (M-mode or Doppler alone)"
    return _nm_reason(kinds) if modality is Modality.NM else None


def _has_tissue(header: Dataset) -> bool:
    """Whether an ultrasound image has a two-dimensional region, or names no regions at all."""
    regions = tags.items(header, "SequenceOfUltrasoundRegions")
    return not regions or any(tags.integer(region, "RegionSpatialFormat") == 1 for region in regions)


def _is_derived(kinds: tuple[str, ...]) -> bool:
    """Whether the derived pixel contrast of an enhanced image is that of a map (PS3.3 C.8.16.1.4)."""
    return len(kinds) > 3 and kinds[3] in _DERIVED_CONTRASTS


def _is_map(values: set[str]) -> bool:
    return bool(values & _MAPS) or any(_MAP_NAME.search(one) for one in values)


def _ge_component(header: Dataset) -> str | None:
    """Return what GE's private Raw Data Type (0043,102F) says: 1 phase, 2 real, 3 imaginary."""
    if _GE_RAW_DATA_TYPE not in header:
        return None
    try:
        return _GE_COMPONENTS.get(int(header[_GE_RAW_DATA_TYPE].value))
    except Exception:
        # A private element may hold anything.
        return None


def _nm_reason(kinds: tuple[str, ...]) -> str | None:
    kind = kinds[2] if len(kinds) > 2 else ""
    if kind in _NM_PROJECTIONS:
        return _A_PROJECTION
    return None
