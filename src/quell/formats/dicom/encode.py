"""Datasets to bytes: Explicit VR Little Endian, remembering what the slices of a series share."""

from __future__ import annotations

import struct
from collections.abc import Hashable, Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import (
    correct_ambiguous_vr,
    correct_ambiguous_vr_element,
    write_data_element,
    write_dataset,
)
from pydicom.multival import MultiValue
from pydicom.uid import ExplicitVRLittleEndian

from quell.formats.dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

_WORD_SIZES = {"OW": 2, "OL": 4, "OF": 4, "OD": 8, "OV": 8}
_REMEMBERED_BYTES = 1 << 16
_NATIVE = (False, True)
"""pydicom's (implicit VR, little endian) of what is written here."""

Element = DataElement | RawDataElement


class UnencodableError(ValueError):
    """An element of a source header that cannot be written; the message quotes none of its value."""


class HeaderEncoder:
    """Encodes the headers of one series.

    Most elements of a series are the same in every slice. Their bytes are made once, which takes
    most of the time out of encoding 300 headers of 100 elements. An element that was not touched
    since it was read from an Explicit VR Little Endian file is written byte for byte.
    """

    def __init__(self) -> None:
        self._known: dict[Hashable, bytes] = {}

    def encode(self, header: Dataset, ready: Mapping[int, bytes] | None = None) -> bytes:
        """Return the encoded elements in the order of their tags, without group lengths.

        Group lengths are retired (PS3.5 section 7.2), and those of the source would be wrong.

        Parameters
        ----------
        header : pydicom.Dataset
        ready : mapping of int to bytes, optional
            Elements by tag that are encoded already; they take the place of the header's own.

        Raises
        ------
        UnencodableError
            If an element of the source is damaged so that it cannot be written.
        """
        context = _context(header)
        ready = ready or {}
        encoded = {
            int(tag): self._element(header, element, context)
            for tag, element in header.items()
            if tag & 0xFFFF and tag not in ready
        }
        encoded.update(ready)
        return b"".join(encoded[tag] for tag in sorted(encoded))

    def _element(self, header: Dataset, element: Element, context: Hashable) -> bytes:
        key = (int(element.tag), element.VR, _content(element), context)
        known = self._known.get(key)
        if known is None:
            try:
                known = _encode(header, element)
            except Exception as error:
                # pydicom raises errors of every kind for values that do not fit their VR.
                kind = type(error).__name__
                raise UnencodableError(f"element {element.tag} cannot be written ({kind})") from error
            if len(known) <= _REMEMBERED_BYTES:
                self._known[key] = known
        return known


def _content(element: Element) -> Hashable:
    """Return what decides an element's bytes, besides tag and VR, as something to look up."""
    value = element.value
    if isinstance(value, bytes):
        return value
    if element.VR == "SQ":
        return tuple(
            tuple((int(tag), inner.VR, _content(inner)) for tag, inner in item.items())
            for item in value or ()
        )
    if isinstance(value, MultiValue):
        return tuple(map(str, value))
    # The type keeps an empty value apart from the text "None".
    return type(value), str(value)


def _context(header: Dataset) -> Hashable:
    """Return all that the bytes of an element may depend on besides the element itself."""
    charset: Any = header.get("SpecificCharacterSet")
    return (str(charset), header.get("PixelRepresentation"), header.original_encoding)


def _encode(header: Dataset, element: Element) -> bytes:
    if isinstance(element, RawDataElement) and element.value is None:
        element = element._replace(value=b"")
    # Damaged explicit files have elements without a VR.
    as_read = header.original_encoding == _NATIVE and element.VR is not None
    ready = element if as_read else _converted(header, element)
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = _NATIVE
    charset: Any = header.get("SpecificCharacterSet", "iso8859")
    write_data_element(buffer, ready, charset)
    return bytes(buffer.getvalue())


def _converted(header: Dataset, found: Element) -> Element:
    """Return an element of an implicit or big-endian source with the VR and byte order of the output."""
    little = bool(header.original_encoding[1])
    try:
        element: DataElement = header[found.tag]
    except Exception:
        # A value that its VR does not allow goes on as it is, where bytes mean the same.
        return _as_read(found, little)
    ambiguous = len(element.VR) != 2
    if element is found and (ambiguous or element.VR in ("SQ", *_WORD_SIZES)):
        # It may be the source's own.
        element = deepcopy(element)
    if ambiguous:
        correct_ambiguous_vr_element(element, header, little, [header])
    if len(element.VR) != 2:
        # Still ambiguous (the data of a lookup table): words hold every case, PS3.5 A.2.
        element.VR = "OW"
    if element.VR == "SQ":
        for item in element.value:
            correct_ambiguous_vr(item, little, [item, header])
    if not little:
        _swap_words([element])
    return element


def _swap_words(elements: Iterable[DataElement]) -> None:
    """Turn big-endian words around, which pydicom leaves as they are, in place."""
    for element in elements:
        size = _WORD_SIZES.get(element.VR)
        if element.VR == "SQ":
            for item in element.value:
                _swap_words(item)
        elif size and isinstance(element.value, bytes):
            words = np.frombuffer(element.value[: len(element.value) // size * size], dtype=f">u{size}")
            element.value = words.astype(f"<u{size}").tobytes()


def _as_read(found: Element, little: bool) -> Element:
    vr = dictionary_VR(found.tag) if dictionary_has_tag(found.tag) else "UN"
    if not little or not isinstance(found, RawDataElement) or vr == "SQ" or len(vr) != 2:
        raise ValueError(f"element {found.tag} cannot be converted to Explicit VR Little Endian")
    return found._replace(VR=vr, is_implicit_VR=False)


def encode_dataset(dataset: Dataset) -> bytes:
    """Return the elements of a dataset of our own making (ASCII only)."""
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = _NATIVE
    write_dataset(buffer, dataset)
    return bytes(buffer.getvalue())


def encode_item(elements: Sequence[bytes]) -> bytes:
    """Return a sequence item made of encoded elements in the order of their tags."""
    body = b"".join(elements)
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(body)) + body


def encode_sequence(tag: int, items: Iterable[bytes]) -> bytes:
    """Return a sequence element made of encoded items."""
    body = b"".join(items)
    return struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, b"SQ", 0, len(body)) + body


def encode_meta(sop_class: str, sop_instance: str) -> bytes:
    """Return preamble, prefix and File Meta Information (PS3.10 section 7.1) of a written file."""
    group = b"".join(
        (
            struct.pack("<HH2sHI", 2, 1, b"OB", 0, 2) + b"\x00\x01",
            uid_element(0x00020002, sop_class),
            uid_element(0x00020003, sop_instance),
            uid_element(0x00020010, ExplicitVRLittleEndian),
            uid_element(0x00020012, IMPLEMENTATION_CLASS_UID),
            _short_element(0x00020013, b"SH", IMPLEMENTATION_VERSION_NAME.encode("ascii"), b" "),
        )
    )
    length = struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(group))
    return b"\x00" * 128 + b"DICM" + length + group


def uid_element(tag: int, uid: str) -> bytes:
    """Return an element that holds a unique identifier."""
    return _short_element(tag, b"UI", uid.encode("ascii"), b"\x00")


def _short_element(tag: int, vr: bytes, value: bytes, padding: bytes) -> bytes:
    value += padding * (len(value) % 2)
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def pixel_data_head(length: int, bits_allocated: int) -> bytes:
    """Return tag, VR and length of native pixel data (PS3.5 A.2: OB only where values are bytes)."""
    return struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB" if bits_allocated <= 8 else b"OW", 0, length)


def pixel_bytes(frames: Sequence[np.ndarray[Any, Any]]) -> list[memoryview]:
    """Return the buffers that make up the value of Pixel Data, padded to an even length."""
    chunks = [np.ascontiguousarray(frame).reshape(-1).view(np.uint8).data for frame in frames]
    if sum(chunk.nbytes for chunk in chunks) % 2:
        chunks.append(memoryview(b"\x00"))
    return chunks
