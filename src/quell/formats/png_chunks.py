"""The chunks of a PNG file that Pillow does not carry over byte for byte.

Portable Network Graphics, third edition, W3C: section 5 (chunks) and 11 (their meaning).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KEPT = (b"pHYs", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"eXIf", b"tEXt", b"zTXt", b"iTXt")
_SOFTWARE = b"Software\0"


@dataclass(frozen=True)
class PngHeader:
    """The fields of the IHDR chunk that matter here.

    Attributes
    ----------
    width, height : int
    depth : int
        Bits of a sample.
    colour : int
        0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGB with alpha.
    """

    width: int
    height: int
    depth: int
    colour: int

    @property
    def channels(self) -> int:
        """Samples of a pixel."""
        return {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(self.colour, 1)


def read_header(start: bytes) -> PngHeader | None:
    """Return the header from the first 26 bytes of a file; None when they are no PNG."""
    if len(start) < 26 or not start.startswith(SIGNATURE) or start[12:16] != b"IHDR":
        return None
    return PngHeader(*struct.unpack(">IIBB", start[16:26]))


def kept_chunks(png: bytes) -> tuple[bytes, ...]:
    """Return, whole, the chunks that stay true of a denoised image: resolution, colour space, texts."""
    return tuple(
        chunk
        for kind, chunk in _chunks(png)
        if kind in _KEPT and not (kind == b"tEXt" and chunk[8:].startswith(_SOFTWARE))
    )


def software(png: bytes) -> str:
    """Return the text "Software" of a PNG, empty when it has none."""
    for kind, chunk in _chunks(png):
        if kind == b"tEXt" and chunk[8:].startswith(_SOFTWARE):
            return chunk[8 + len(_SOFTWARE) : -4].decode("latin-1")
    return ""


def with_chunks(png: bytes, chunks: tuple[bytes, ...], software_text: str) -> bytes:
    """Return a PNG with further chunks behind its header, in place of any of the same kind."""
    ours = _chunk(b"tEXt", _SOFTWARE + software_text.encode("latin-1", "replace"))
    kinds = {chunk[4:8] for chunk in chunks}
    parts = [chunk for kind, chunk in _chunks(png) if kind not in kinds]
    return b"".join((SIGNATURE, parts[0], *chunks, ours, *parts[1:]))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = len(SIGNATURE)
    while position + 12 <= len(png):
        (length,) = struct.unpack_from(">I", png, position)
        end = position + 12 + length
        if end > len(png):
            return
        yield png[position + 4 : position + 8], png[position:end]
        position = end
