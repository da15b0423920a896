"""The header of a derived object, made from that of its source by the rules of PS3.3."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.tag import BaseTag

from quell.formats.contracts import Origin, OutputKind, WriteOptions
from quell.formats.dicom import codes, describe, tags
from quell.formats.dicom.edit import drop, editable_copy, put
from quell.formats.dicom.encode import HeaderEncoder
from quell.formats.dicom.functional import is_enhanced
from quell.formats.dicom.iods import iod_of
from quell.formats.dicom.origin import SIMULATOR
from quell.formats.dicom.private import NestedCleaner, strip_private
from quell.formats.dicom.uids import DerivedUids, device_uid
from quell.image import Modality


def _tags(*keywords: str) -> frozenset[int]:
    found = (tag_for_keyword(keyword) for keyword in keywords)
    return frozenset(tag for tag in found if tag is not None)


_STALE = _tags(
    # made from the pixels of the source
    "IconImageSequence",
    "SmallestImagePixelValue",
    "LargestImagePixelValue",
    "SmallestPixelValueInSeries",
    "LargestPixelValueInSeries",
    "SmallestImagePixelValueInPlane",
    "LargestImagePixelValueInPlane",
    # sign or seal the source
    "MACParametersSequence",
    "DigitalSignaturesSequence",
    "EncryptedAttributesSequence",
    "SOPInstanceStatus",
    "SOPAuthorizationDateTime",
    "SOPAuthorizationComment",
    "AuthorizationEquipmentCertificationNumber",
    # the step that made the source did not make this
    "ReferencedPerformedProcedureStepSequence",
    "InstanceCreatorUID",
    # where the source is kept
    "RetrieveAETitle",
    "RetrieveURL",
    "RetrieveURI",
    "RetrieveLocationUID",
    "InstanceAvailability",
    "StorageMediaFileSetID",
    "StorageMediaFileSetUID",
    "QueryRetrieveLevel",
    # replaced
    "SourceImageSequence",
)
_OF_SOURCE_VALUES = _tags(
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "WindowCenter",
    "WindowWidth",
    "WindowCenterWidthExplanation",
    "VOILUTFunction",
    "VOILUTSequence",
    "ModalityLUTSequence",
    "RealWorldValueMappingSequence",
)
_STALE_IN_ITEMS = _tags("IconImageSequence", "MACParametersSequence", "EncryptedAttributesSequence")
_STALE_GROUPS = (0x4FFE, 0x7FE0, 0xFFFA, 0xFFFC, 0xFFFE)
"""Message authentication, pixel data with their offset tables, signatures, padding, stray delimiters."""


@dataclass(frozen=True)
class Derivation:
    """What all objects of one derived series have in common.

    Attributes
    ----------
    kind : OutputKind
    provenance : Origin
    options : WriteOptions
    modality : Modality
    now : datetime
        When this is written, with its time zone.
    series_start : datetime
        When the series was begun: the same for all stacks of one source series.
    notes : tuple of str
        For the Derivation Description.
    encoder : HeaderEncoder
    """

    kind: OutputKind
    provenance: Origin
    options: WriteOptions
    modality: Modality
    now: datetime
    series_start: datetime
    notes: tuple[str, ...] = ()
    encoder: HeaderEncoder = field(default_factory=HeaderEncoder)
    cleaner: NestedCleaner = field(default_factory=lambda: NestedCleaner(is_stale_in_item))
    _shared: dict[str, DataElement] = field(default_factory=dict)

    @property
    def uids(self) -> DerivedUids:
        """The rule by which UIDs are derived."""
        return DerivedUids(self.provenance, self.kind)

    def append(self, header: Dataset, keyword: str, items: Callable[[], Iterable[Dataset]]) -> None:
        """Put what `items` gives behind what a sequence of the source has.

        Where it has none, all slices of the series share one element.
        """
        before = tags.items(header, keyword)
        if before:
            put(header, keyword, DicomSequence([*before, *items()]))
            return
        if keyword not in self._shared:
            tag = BaseTag(tag_for_keyword(keyword) or 0)
            self._shared[keyword] = DataElement(tag, "SQ", DicomSequence(items()))
        header[self._shared[keyword].tag] = self._shared[keyword]


def is_stale(tag: int) -> bool:
    """Whether an element of the source would be untrue, or meaningless, in any derived object."""
    return tag in _STALE or _is_no_data(tag)


def is_stale_in_item(tag: int) -> bool:
    """Whether an element must go from the items of sequences, too."""
    return tag in _STALE_IN_ITEMS or _is_no_data(tag)


def _is_no_data(tag: int) -> bool:
    """Whether an element is no part of a data set, or a length or seal of what was changed.

    Groups up to 0007 are those of commands, of the file itself and of directories (PS3.5 section 7.1).
    """
    group, number = tag >> 16, tag & 0xFFFF
    return group < 0x0008 or number == 0 or group in _STALE_GROUPS


def derive_header(source: Dataset, derivation: Derivation, frames: tuple[int, ...] | None = None) -> Dataset:
    """Return the header of a derived object: all but the pixels' own attributes and the references.

    Parameters
    ----------
    source : pydicom.Dataset
        Header of the source instance; stays as it is.
    derivation : Derivation
    frames : tuple of int, optional
        The frames treated, where they are not all that the source has.
    """
    header: Dataset = editable_copy(source)
    _remove(header, derivation)
    _identify(header, derivation, frames)
    _date(header, derivation)
    put(header, "ImageType", image_type(tags.words(source, "ImageType"), source, derivation))
    _describe(header, source, derivation)
    _say_who(header, derivation)
    is_nuclear = derivation.modality in (Modality.PT, Modality.NM)
    if is_nuclear and tags.items(header, "PatientOrientationCodeSequence"):
        # PS3.3 C.8.4.6, NM/PET Patient Orientation module: the two exclude each other.
        drop(header, "PatientPosition")
    return header


def _remove(header: Dataset, derivation: Derivation) -> None:
    for tag in [tag for tag in header.keys() if is_stale(tag)]:  # noqa: SIM118
        del header[tag]
    if not derivation.kind.like_source:
        for stale in _OF_SOURCE_VALUES & set(header.keys()):
            del header[stale]
    strip_private(header, same_scale=derivation.kind.like_source)
    derivation.cleaner.clean(header)


def _identify(header: Dataset, derivation: Derivation, frames: tuple[int, ...] | None) -> None:
    uids = derivation.uids
    sop_class = tags.uid(header, "SOPClassUID")
    if tags.value(header, "SOPClassUID") != sop_class:
        # Padded in a way that others do not strip: the file's meta group has to agree with it.
        put(header, "SOPClassUID", sop_class)
    put(header, "SOPInstanceUID", uids.derive(tags.uid(header, "SOPInstanceUID"), frames))
    put(header, "SeriesInstanceUID", uids.derive(tags.uid(header, "SeriesInstanceUID"), frames))
    for keyword in ("ConcatenationUID", "SOPInstanceUIDOfConcatenationSource"):
        if keyword in header:
            put(header, keyword, uids.derive(tags.uid(header, keyword), frames))
    number = tags.integer(header, "SeriesNumber")
    put(
        header,
        "SeriesNumber",
        describe.series_number(number, derivation.options.series_offset, derivation.kind),
    )
    before = str(tags.value(header, "SeriesDescription") or "")
    label = derivation.provenance.label
    put(header, "SeriesDescription", describe.series_description(before, derivation.kind, label))


def _date(header: Dataset, derivation: Derivation) -> None:
    """Say when this object was made, in the time zone of the study.

    PET keeps the date and time of the series: they are what its decay correction refers to
    (PS3.3 C.8.9.1, PET Series module). Acquisition dates and times are the scanner's everywhere.
    """
    zone = _zone(tags.word(header, "TimezoneOffsetFromUTC"))
    now = derivation.now.astimezone(zone)
    for name in ("InstanceCreation", "Content"):
        put(header, f"{name}Date", f"{now:%Y%m%d}")
        put(header, f"{name}Time", f"{now:%H%M%S}")
    if derivation.modality is not Modality.PT:
        start = derivation.series_start.astimezone(zone)
        put(header, "SeriesDate", f"{start:%Y%m%d}")
        put(header, "SeriesTime", f"{start:%H%M%S}")


def _zone(offset: str) -> timezone | None:
    """Return the time zone of ``+HHMM`` (SOP Common module, PS3.3 C.12.1), or None for this machine's."""
    match = re.fullmatch(r"([+-])(\d\d)(\d\d)", offset)
    if match is None:
        return None
    minutes = int(match[2]) * 60 + int(match[3])
    return timezone(timedelta(minutes=-minutes if match[1] == "-" else minutes)) if minutes < 1440 else None


def image_type(before: tuple[str, ...], source: Dataset, derivation: Derivation) -> list[str]:
    """Return Image Type or Frame Type: ``DERIVED``, PRIMARY or SECONDARY, and the rest as before.

    Parameters
    ----------
    before : tuple of str
        The source's values.
    source : pydicom.Dataset
        Tells the kind of object.
    """
    iod = iod_of(source)
    primary = iod.must_be_primary or derivation.options.primary
    values = ["DERIVED", "PRIMARY" if primary else "SECONDARY", *before[2:]]
    if iod.empty_flavour and len(values) < 3:
        values.append("")
    if iod.pixel_contrast and len(values) > 3:
        values[3] = _CONTRAST.get(derivation.kind, values[3])
    return values


_CONTRAST = {
    OutputKind.RESIDUAL: "SUBTRACTION",
    OutputKind.NOISE_MAP: "STD_DEVIATION",
    OutputKind.SPREAD: "STD_DEVIATION",
}


def _describe(header: Dataset, source: Dataset, derivation: Derivation) -> None:
    kind, provenance = derivation.kind, derivation.provenance
    comments = str(tags.value(header, "ImageComments") or "")
    put(header, "ImageComments", describe.image_comments(comments, kind))
    if iod_of(source).content_qualification or "ContentQualification" in header:
        put(header, "ContentQualification", "RESEARCH")
    if is_enhanced(header):
        # Theirs is the Derivation Image macro, see `groups`.
        return
    before = str(tags.value(header, "DerivationDescription") or "")
    text = describe.derivation_description(provenance, kind, derivation.notes, before)
    put(header, "DerivationDescription", text)
    derivation.append(header, "DerivationCodeSequence", lambda: codes.derivation_items(kind))


def _say_who(header: Dataset, derivation: Derivation) -> None:
    """Name ourselves beside the scanner, which stays the manufacturer: its units depend on it."""
    derivation.append(header, "ContributingEquipmentSequence", lambda: [_equipment(derivation)])
    schemes = tags.items(header, "CodingSchemeIdentificationSequence")
    if all(tags.word(item, "CodingSchemeDesignator") != codes.PRIVATE_SCHEME for item in schemes):
        derivation.append(header, "CodingSchemeIdentificationSequence", lambda: [codes.private_scheme_item()])


def _equipment(derivation: Derivation) -> Dataset:
    provenance = derivation.provenance
    model = describe.ascii_only(provenance.model)
    item = Dataset()
    item.Manufacturer = "Quell"
    simulated = derivation.kind is OutputKind.SIMULATED
    name = f"{SIMULATOR} {model}" if simulated else f"Quell {model}"
    item.ManufacturerModelName = describe.ascii_only(name)
    item.DeviceSerialNumber = describe.ascii_only(provenance.model_sha256)
    item.SoftwareVersions = [
        describe.quell_version(),
        describe.ascii_only(provenance.model_version) or "unknown",
    ]
    item.DeviceUID = device_uid(provenance)
    item.ContributionDateTime = f"{derivation.now:%Y%m%d%H%M%S%z}"
    item.ContributionDescription = describe.contribution_description(provenance, derivation.kind)
    purpose = codes.SYNTHESIZING_EQUIPMENT if simulated else codes.PROCESSING_EQUIPMENT
    item.PurposeOfReferenceCodeSequence = DicomSequence([purpose.item()])
    return item
