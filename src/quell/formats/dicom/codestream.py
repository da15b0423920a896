"""The size that a compressed frame itself declares, read before it is unpacked.

A decoder allocates what the codestream asks for, whatever the DICOM header says.
"""

from __future__ import annotations

import struct

_JPEG_NO_LENGTH = {0x01, *range(0xD0, 0xD9)}
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC} | {0xF7}


def declared_size(frame: bytes) -> tuple[int, int] | None:
    """Return rows and columns of a JPEG, JPEG-LS or JPEG 2000 codestream, or None if it has none.

    Run-length encoded frames declare no size.
    """
    if frame[:4] == b"\xff\x4f\xff\x51":
        return _jpeg2000(frame)
    if frame[:8] == b"\x00\x00\x00\x0cjP  ":
        start = frame.find(b"\xff\x4f\xff\x51")
        return _jpeg2000(frame[start:]) if start >= 0 else None
    return _jpeg(frame) if frame[:2] == b"\xff\xd8" else None


def _jpeg2000(frame: bytes) -> tuple[int, int] | None:
    """Read the SIZ marker (ISO/IEC 15444-1 A.5.1)."""
    if len(frame) < 24:
        return None
    right, bottom, left, top = struct.unpack(">IIII", frame[8:24])
    return bottom - top, right - left


def _jpeg(frame: bytes) -> tuple[int, int] | None:
    """Find the start-of-frame marker (ISO/IEC 10918-1 B.2.2; SOF55 of ISO/IEC 14495-1)."""
    at = 2
    while at + 9 <= len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker in _JPEG_FRAMES:
            rows, columns = struct.unpack(">HH", frame[at + 5 : at + 9])
            return rows, columns
        if marker == 0xFF:
            at += 1
        elif marker in _JPEG_NO_LENGTH:
            at += 2
        else:
            at += 2 + int(struct.unpack(">H", frame[at + 2 : at + 4])[0])
    return None
