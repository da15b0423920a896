"""The attributes that describe the pixels of a derived object."""

from __future__ import annotations

from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.valuerep import format_number_as_ds

from quell.formats.contracts import OutputKind
from quell.formats.dicom import codes, tags
from quell.formats.dicom.colour import written_in_rgb
from quell.formats.dicom.edit import drop, put
from quell.formats.dicom.instance import Instance
from quell.formats.dicom.pixelplan import PixelPlan
from quell.formats.dicom.rescale import Rescale
from quell.image import Modality

# Transfer syntaxes that are always lossy, and what PS3.3 C.7.6.1.1.5.1 calls their method.
_LOSSY_METHODS = {
    "1.2.840.10008.1.2.4.50": "ISO_10918_1",
    "1.2.840.10008.1.2.4.51": "ISO_10918_1",
    "1.2.840.10008.1.2.4.81": "ISO_14495_1",
}
_SIZES = ("Rows", "Columns", "NumberOfFrames")


def describe_storage(header: Dataset, plan: PixelPlan) -> None:
    """Enter bits, sign and colour space of the values as they are written: native, grey or grey RGB.

    A grey image that its maker stores in colour stays RGB, with three equal samples: it then is
    shown exactly like its source, which no window applies to, and its colour attributes stay
    true. Compressed YBR spaces become RGB, as what is written is not compressed. A palette is
    replaced by its values, or by its colours. Sizes of another VR than theirs get the right one, and
    a colour space in small letters capital ones.
    """
    rgb = written_in_rgb(header)
    photometric = tags.word(header, "PhotometricInterpretation")
    wanted: dict[str, object] = {
        **{size: tags.integer(header, size) for size in _SIZES if size in header},
        "SamplesPerPixel": 3 if rgb else tags.integer(header, "SamplesPerPixel") or 1,
        "PhotometricInterpretation": photometric,
        "BitsAllocated": plan.storage.bits_allocated,
        "BitsStored": plan.storage.bits_stored,
        "HighBit": plan.storage.bits_stored - 1,
        "PixelRepresentation": int(plan.storage.signed),
    }
    if rgb:
        wanted |= {"PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    elif photometric == "PALETTE COLOR":
        wanted["PhotometricInterpretation"] = "MONOCHROME2"
    if photometric == "PALETTE COLOR":
        _remove_palette(header)
    for keyword, value in wanted.items():
        found = tags.value(header, keyword)
        if found != value or type(found) is not type(value):
            put(header, keyword, value)


def _remove_palette(header: Dataset) -> None:
    for tag in [tag for tag in header.keys() if tag.group == 0x0028 and 0x1101 <= tag.element <= 0x1223]:  # noqa: SIM118
        del header[tag]
    for keyword in ("PaletteColorLookupTableUID", "PixelPaddingValue", "PixelPaddingRangeLimit"):
        drop(header, keyword)


def describe_scale(
    header: Dataset, plan: PixelPlan, scale: Rescale, kind: OutputKind, modality: Modality
) -> None:
    """Enter rescale, window and real-world mapping of an object without functional groups."""
    if plan.stated:
        state_rescale(header, scale)
        # A mapping of the source holds for its slope only.
        drop(header, "RealWorldValueMappingSequence")
    elif not kind.like_source:
        for keyword in ("RescaleSlope", "RescaleIntercept", "RescaleType"):
            _reset_rescale(header, keyword)
    if plan.mapped:
        put(header, "RealWorldValueMappingSequence", DicomSequence([_mapping(plan, scale, modality)]))
    if plan.window is not None and tags.integer(header, "SamplesPerPixel") == 1:
        state_window(header, plan.window)


def _reset_rescale(header: Dataset, keyword: str) -> None:
    """Where an object has to state that it has no rescale (DX), it goes on doing so."""
    neutral = {"RescaleSlope": "1", "RescaleIntercept": "0", "RescaleType": "US"}
    if keyword in header:
        put(header, keyword, neutral[keyword])


def state_rescale(group: Dataset, scale: Rescale) -> None:
    """Enter slope and intercept; the type stays, or is unspecified where the source had none."""
    had_rescale = "RescaleSlope" in group
    put(group, "RescaleSlope", format_number_as_ds(scale.slope))
    put(group, "RescaleIntercept", format_number_as_ds(scale.intercept))
    if not had_rescale:
        put(group, "RescaleType", "US")


def state_window(group: Dataset, window: tuple[float, float]) -> None:
    """Enter a linear window."""
    put(group, "WindowCenter", format_number_as_ds(window[0]))
    put(group, "WindowWidth", format_number_as_ds(window[1]))


def _mapping(plan: PixelPlan, scale: Rescale, modality: Modality) -> Dataset:
    """Return the item that tells readers what stored values mean (PS3.3 C.7.6.16.2.11)."""
    first, last = plan.storage.low, plan.storage.high
    vr = "SS" if plan.storage.signed else "US"
    item = Dataset()
    item.add_new("RealWorldValueFirstValueMapped", vr, first)
    item.add_new("RealWorldValueLastValueMapped", vr, last)
    item.RealWorldValueIntercept = scale.intercept
    item.RealWorldValueSlope = scale.slope
    item.LUTExplanation = "Stored value to units of the source"
    item.LUTLabel = "QUELL"
    unit = codes.COUNTS if modality is Modality.NM else codes.NO_UNITS
    item.MeasurementUnitsCodeSequence = DicomSequence([unit.item()])
    return item


def remember_lossy(header: Dataset, source: Instance) -> None:
    """Enter that the source was compressed with losses, where only its transfer syntax says so.

    "Once this value has been set to 01 it shall not be reset" (PS3.3 C.7.6.1.1.5).
    """
    syntax = tags.uid(source.header.file_meta, "TransferSyntaxUID")
    if syntax not in _LOSSY_METHODS:
        return
    put(header, "LossyImageCompression", "01")
    if "LossyImageCompressionRatio" not in header:
        put(header, "LossyImageCompressionRatio", format_number_as_ds(_compression_ratio(source)))
    if "LossyImageCompressionMethod" not in header:
        put(header, "LossyImageCompressionMethod", _LOSSY_METHODS[syntax])


def _compression_ratio(source: Instance) -> float:
    header = source.header
    values = 1
    for keyword in (*_SIZES, "SamplesPerPixel"):
        values *= tags.integer(header, keyword) or 1
    native = values * (tags.integer(header, "BitsAllocated") or 8) // 8
    start = source.pixels.offset if source.pixels else 0
    compressed = max(Path(source.path).stat().st_size - start, 1)
    return round(native / compressed, 2)


def remove_embedded_overlays(header: Dataset) -> bool:
    """Remove overlays kept in unused bits of the pixels (retired): those bits are gone.

    Returns
    -------
    bool
        Whether there was one.
    """
    groups = {tag.group for tag in header.keys() if 0x6000 <= tag.group <= 0x60FF and tag.element == 0x0010}  # noqa: SIM118
    embedded = {group for group in groups if (group << 16) + 0x3000 not in header}
    for tag in [tag for tag in header.keys() if tag.group in embedded]:  # noqa: SIM118
        del header[tag]
    return bool(embedded)
