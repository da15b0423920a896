"""Recognise DICOM files and read their headers, without trusting them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pydicom
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from quell.errors import InputError
from quell.formats.dicom.instance import Instance, PixelElement

_HEAD = 4096
_LONG_VRS = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
_SHORT_VRS = (
    *(b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT"),
    *(b"PN", b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US"),
)
_FLOAT_PIXELS = (0x7FE00008, 0x7FE00009)
_PIXEL_DATA = 0x7FE00010
_ITEM = 0xFFFEE000
_DEFLATED = ("1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.8.1")


@dataclass(frozen=True)
class Peek:
    """What the first bytes of a DICOM file say; empty where they say nothing.

    Attributes
    ----------
    sop_class : str
    transfer_syntax : str
    """

    sop_class: str = ""
    transfer_syntax: str = ""


def peek(path: Path) -> Peek | None:
    """Return what the start of a file says, or None if it is no DICOM file.

    Files without the 128-byte preamble are recognised by a first element of group 0002 or 0008.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise InputError(path, error.strerror or "cannot be read") from error
    if head[128:132] == b"DICM":
        return _peek_meta(path, head[132:])
    if not _starts_like_dicom(head):
        return None
    return _peek_meta(path, head) if head[:2] == b"\x02\x00" else Peek()


def read_instance(path: Path, start: Peek | None = None) -> Instance:
    """Read everything before the pixel data and note where they lie.

    Parameters
    ----------
    path : Path
    start : Peek, optional
        What `peek` returned for the file, to spare a second look.

    Raises
    ------
    InputError
        If the header is damaged, or deflated: a deflated file of 300 kB can unpack to gigabytes
        before any of it is looked at.
    """
    start = start or peek(path)
    if start is None:
        raise InputError(path, "not a DICOM file")
    if start.transfer_syntax in _DEFLATED:
        raise InputError(path, "deflated transfer syntax is not accepted; convert it first (dcmconv +te)")
    try:
        with path.open("rb") as file:
            header = pydicom.dcmread(file, stop_before_pixels=True, force=True)
            _complete_meta(header)
            _check_level(header, path)
            pixels = _pixel_element(file, header, path)
    except InputError:
        raise
    except Exception as error:
        # Damaged files raise errors of every kind; their text may quote the patient's data.
        raise InputError(path, f"damaged DICOM header ({type(error).__name__})") from error
    return Instance(path, header, pixels)


def _starts_like_dicom(head: bytes) -> bool:
    if len(head) < 8:
        return False
    for order in "<>":
        group, element = struct.unpack(order + "HH", head[:4])
        if group not in (0x0002, 0x0008) or element > 0x0100:
            continue
        length = struct.unpack(order + "I", head[4:8])[0]
        if head[4:6] in _SHORT_VRS or head[4:6] in _LONG_VRS or (order == "<" and length <= 256):
            return True
    return False


def _peek_meta(path: Path, data: bytes) -> Peek:
    elements = dict(_meta_elements(data))
    if 0x0010 not in elements:
        return _peek_slowly(path)
    texts = {
        number: value.decode("ascii", "replace").strip("\0 ")
        for number, value in elements.items()
        if number in (0x0002, 0x0010)
    }
    return Peek(texts.get(0x0002, ""), texts[0x0010])


def _meta_elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the elements of group 0002, always explicit little endian (PS3.10 section 7.1)."""
    at = 0
    while data[at : at + 2] == b"\x02\x00" and at + 12 <= len(data):
        element = struct.unpack_from("<H", data, at + 2)[0]
        if data[at + 4 : at + 6] in _LONG_VRS:
            length, start = struct.unpack_from("<I", data, at + 8)[0], at + 12
        else:
            length, start = struct.unpack_from("<H", data, at + 6)[0], at + 8
        if start + length > len(data):
            return
        yield element, data[start : start + length]
        at = start + length


def _peek_slowly(path: Path) -> Peek:
    try:
        meta = read_file_meta_info(path)
        return Peek(
            str(meta.get("MediaStorageSOPClassUID", "")).strip("\0 "),
            str(meta.get("TransferSyntaxUID", "")).strip("\0 "),
        )
    except Exception:
        return Peek()


def _complete_meta(header: pydicom.FileDataset) -> None:
    """Enter the transfer syntax that the reader guessed where the file names none."""
    if "TransferSyntaxUID" in header.file_meta:
        return
    implicit, little = header.original_encoding
    if implicit:
        guessed = ImplicitVRLittleEndian
    else:
        guessed = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    header.file_meta.TransferSyntaxUID = UID(guessed)


def _check_level(header: pydicom.FileDataset, path: Path) -> None:
    """Refuse a header that fell out of a sequence: what follows would be taken for the image's own."""
    if _ITEM in header:
        raise InputError(path, "damaged DICOM header (a sequence item outside of a sequence)")


def _pixel_element(file: BinaryIO, header: pydicom.FileDataset, path: Path) -> PixelElement | None:
    """Return where the pixel data lie, if there are any; the file stands right before them."""
    implicit, little = header.original_encoding
    order = "<" if little else ">"
    start = file.read(12)
    if len(start) < (8 if implicit else 12):
        return None
    group, element = struct.unpack(order + "HH", start[:4])
    tag = (group << 16) + element
    if tag in _FLOAT_PIXELS:
        raise InputError(path, "floating-point pixel data are not read")
    if tag != _PIXEL_DATA:
        return None
    length = struct.unpack(order + "I", start[4:8] if implicit else start[8:12])[0]
    offset = file.tell() - (4 if implicit and len(start) == 12 else 0)
    return PixelElement(offset, None if length == 0xFFFFFFFF else length)
