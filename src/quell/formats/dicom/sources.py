"""Which source frames went into a derived one, as references (PS3.3 C.7.6.1.1.4)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence

from quell.formats.dicom import codes, tags
from quell.formats.dicom.encode import encode_dataset, encode_item, uid_element
from quell.formats.dicom.instance import FrameRef, Instance


def frames_used(index: int, count: int, slices_used: int, gaps: Sequence[int], volume: bool) -> list[int]:
    """Return the z indices that fed one output slice, the slice itself first, then by distance.

    Parameters
    ----------
    index, count : int
        The output slice, and how many there are.
    slices_used : int
        How many slices the model reads, the slice itself in the middle.
    gaps : sequence of int
        Indices after which a slice is missing; what lies behind is no neighbour.
    volume : bool
        False for frames that are no neighbours in space.
    """
    used = [index]
    if not volume:
        return used
    for step in range(1, slices_used // 2 + 1):
        if index - step >= 0 and not any(index - step <= gap < index for gap in gaps):
            used.append(index - step)
        if index + step < count and not any(index <= gap < index + step for gap in gaps):
            used.append(index + step)
    return used


def source_item(header: Dataset, frames: Sequence[int] | None = None) -> Dataset:
    """Return an item of Source Image Sequence.

    Parameters
    ----------
    header : pydicom.Dataset
        Of the source instance.
    frames : sequence of int, optional
        Frames counted from 0, where not all of a multi-frame source were used.
    """
    item = _purpose()
    item.ReferencedSOPClassUID = tags.uid(header, "SOPClassUID")
    item.ReferencedSOPInstanceUID = tags.uid(header, "SOPInstanceUID")
    if frames is not None:
        item.ReferencedFrameNumber = [frame + 1 for frame in frames]
    return item


def encoded_source_item(header: Dataset) -> bytes:
    """Return `source_item` of all frames as it is written; thousands are needed for a long series."""
    uids = (tags.uid(header, keyword) for keyword in ("SOPClassUID", "SOPInstanceUID"))
    referenced = (uid_element(tag, uid) for tag, uid in zip((0x00081150, 0x00081155), uids, strict=True))
    return encode_item((*referenced, _encoded_purpose()))


def _purpose() -> Dataset:
    item = Dataset()
    item.SpatialLocationsPreserved = "YES"
    item.PurposeOfReferenceCodeSequence = DicomSequence([codes.SOURCE_IMAGE.item()])
    return item


@lru_cache
def _encoded_purpose() -> bytes:
    return encode_dataset(_purpose())


def source_items(instances: Sequence[Instance], used: Sequence[FrameRef]) -> list[Dataset]:
    """Return one item for each instance among `used`, in the order of their first use."""
    frames: dict[int, list[int]] = {}
    for ref in used:
        frames.setdefault(ref.instance, []).append(ref.frame)
    items = []
    for index, chosen in frames.items():
        header = instances[index].header
        # Frames are numbered even where all of them were used: the first is the slice itself.
        single = (tags.integer(header, "NumberOfFrames") or 1) == 1
        items.append(source_item(header, None if single else chosen))
    return items


def evidence_item(header: Dataset, used: Sequence[Dataset]) -> Dataset:
    """Return an item of Source Image Evidence Sequence: where to find the instances referred to.

    Parameters
    ----------
    header : pydicom.Dataset
        Of a source instance; tells the study and the series.
    used : sequence of pydicom.Dataset
        Items of Source Image Sequence, all of that series.
    """
    referenced = {str(item.ReferencedSOPInstanceUID): str(item.ReferencedSOPClassUID) for item in used}
    series = Dataset()
    series.SeriesInstanceUID = tags.uid(header, "SeriesInstanceUID")
    series.ReferencedSOPSequence = DicomSequence([])
    for uid, sop_class in referenced.items():
        instance = Dataset()
        instance.ReferencedSOPClassUID = sop_class
        instance.ReferencedSOPInstanceUID = uid
        series.ReferencedSOPSequence.append(instance)
    item = Dataset()
    item.StudyInstanceUID = tags.uid(header, "StudyInstanceUID")
    item.ReferencedSeriesSequence = DicomSequence([series])
    return item
