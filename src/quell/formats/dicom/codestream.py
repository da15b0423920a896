"""What a compressed frame itself declares, read before it is unpacked.

A decoder allocates what the codestream asks for, whatever the DICOM header says, and GDCM brings
down the process over some damaged streams: they must not reach it.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

_JP2 = b"\x00\x00\x00\x0cjP  "
_STAND_ALONE = {0x01, *range(0xD0, 0xD9)}
_FRAME_HEADERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC} | {0xF7}
_GDCM_FRAME_HEADERS = {0xC0, 0xC1, 0xC3}
_HUFFMAN, _SCAN = 0xC4, 0xDA
_IN_SCAN = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")
_MAX_CODES = 256


def declared_size(frame: bytes) -> tuple[int, int] | None:
    """Return rows and columns of a JPEG, JPEG-LS or JPEG 2000 codestream, or None if it has none.

    Run-length encoded frames declare no size.

    Raises
    ------
    ValueError
        If the boxes around a JPEG 2000 codestream are damaged: over a box of length 0, which ends
        nowhere, other readers turn round for ever.
    """
    if frame[:4] == b"\xff\x4f\xff\x51":
        return _jpeg2000_size(frame)
    if frame[:8] == _JP2:
        return declared_size(frame[_start_of_codestream(frame) :])
    for marker, segment, _ in _segments(frame):
        if marker in _FRAME_HEADERS and len(segment) >= 5:
            rows, columns = struct.unpack(">HH", segment[1:5])
            return rows, columns
    return None


def check_jpeg(frame: bytes, bits: int) -> None:
    """Refuse a JPEG stream whose structure is damaged (ISO/IEC 10918-1 annex B).

    Parameters
    ----------
    frame : bytes
        Of one grey frame.
    bits : int
        Bits allocated for each value.

    Raises
    ------
    ValueError
        If a marker segment is cut off or contradicts the image.
    """
    headers = []
    for marker, segment, end in _segments(frame):
        if marker in _FRAME_HEADERS:
            _check_frame_header(marker, segment, bits)
            headers.append(segment)
        if marker == _HUFFMAN:
            _check_huffman(segment)
        if marker == _SCAN:
            if len(headers) != 1 or len(segment) != 6 or segment[:2] != bytes((1, headers[0][6])):
                raise ValueError("damaged scan header")
            _check_scan(frame, end)
            return
    raise ValueError("no scan")


def _segments(frame: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Yield marker, content and end of each segment up to the first scan's header."""
    at = 2 if frame[:2] == b"\xff\xd8" else len(frame)
    while at + 4 <= len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker == 0xFF or marker in _STAND_ALONE:
            at += 1 if marker == 0xFF else 2
            continue
        length = int(struct.unpack(">H", frame[at + 2 : at + 4])[0])
        if length < 2 or at + 2 + length > len(frame):
            return
        yield marker, frame[at + 4 : at + 2 + length], at + 2 + length
        if marker == _SCAN:
            return
        at += 2 + length


def _start_of_codestream(frame: bytes) -> int:
    """Walk the boxes of a JP2 file to the codestream (ISO/IEC 15444-1 annex I.4)."""
    at = 12
    while frame[at + 4 : at + 8] != b"jp2c":
        length = int.from_bytes(frame[at : at + 4], "big")
        if length < 8 or at + length >= len(frame):
            raise ValueError("damaged JP2 boxes")
        at += length
    return at + 8


def _jpeg2000_size(frame: bytes) -> tuple[int, int] | None:
    """Read the SIZ marker (ISO/IEC 15444-1 A.5.1)."""
    if len(frame) < 24:
        return None
    right, bottom, left, top = struct.unpack(">IIII", frame[8:24])
    return bottom - top, right - left


def _check_frame_header(marker: int, segment: bytes, bits: int) -> None:
    if marker not in _GDCM_FRAME_HEADERS or len(segment) != 9 or segment[5] != 1 or segment[7] != 0x11:
        raise ValueError("unexpected frame header")
    if not 2 <= segment[0] <= bits or (segment[0] > 8) != (bits > 8) or segment[8] > 3:
        raise ValueError("unexpected precision")


def _check_huffman(segment: bytes) -> None:
    """Check that each table's code counts fit a prefix code and the segment's length."""
    at = 0
    while at < len(segment):
        counts = segment[at + 1 : at + 17]
        room = 1
        for count in counts:
            room = 2 * room - count
            if room < 0:
                raise ValueError("overfull Huffman table")
        total = sum(counts)
        if len(counts) < 16 or total > _MAX_CODES or segment[at] & 0x0F > 3 or segment[at] >> 4 > 1:
            raise ValueError("damaged Huffman table")
        at += 17 + total
    if at != len(segment):
        raise ValueError("damaged Huffman table")


def _check_scan(frame: bytes, start: int) -> None:
    """Check that only restarts interrupt the coded values up to the end of the image."""
    found = _IN_SCAN.search(frame, start)
    if found is None or found.group()[-1] != 0xD9:
        raise ValueError("marker inside the scan, or no end of image")
