"""The directories of a TIFF file: read for what they say, written for derived images.

TIFF revision 6.0 (Adobe, 1992), section 2 and 8; BigTIFF (AWare Systems, 2007).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from quell.formats.source import Source, UnsuitableError

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
DESCRIPTION, ORIENTATION, SAMPLES, PREDICTOR, SOFTWARE, FORMAT = 270, 274, 277, 317, 305, 339
KEPT = (270, 271, 272, 282, 283, 286, 287, 296, 306, 315, 33432)
"""Description, make, model, resolution and its unit, position, date, artist, copyright."""

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8}
_INTEGERS = {1: "B", 3: "H", 4: "I", 16: "Q"}
_WANTED = frozenset(
    (WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, ORIENTATION, SAMPLES, SOFTWARE, FORMAT, *KEPT)
)
_VALUE_LIMIT = 2**20
_MAX_PAGES = 65536
_CLASSIC_LIMIT = 4_000_000_000
_DEFLATE = 8


@dataclass(frozen=True)
class Tag:
    """One field as stored.

    Attributes
    ----------
    type : int
    count : int
    raw : bytes
    """

    type: int
    count: int
    raw: bytes


@dataclass(frozen=True)
class Page:
    """One directory: the fields that Quell looks at or keeps.

    Attributes
    ----------
    tags : mapping of int to Tag
    order : str
        ``"<"`` or ``">"``.
    """

    tags: Mapping[int, Tag]
    order: str

    def number(self, tag: int, default: int) -> int:
        """Return the first value of an integer field."""
        field = self.tags.get(tag)
        if field is None or field.type not in _INTEGERS or field.count < 1:
            return default
        return int(struct.unpack_from(self.order + _INTEGERS[field.type], field.raw)[0])

    def text(self, tag: int) -> str:
        """Return a text field, empty when absent."""
        field = self.tags.get(tag)
        return field.raw.split(b"\0")[0].decode("utf-8", "replace") if field else ""


@dataclass(frozen=True)
class _Layout:
    """What differs between TIFF and BigTIFF."""

    order: str
    big: bool

    @property
    def offset(self) -> str:
        return self.order + ("Q" if self.big else "I")

    @property
    def count(self) -> str:
        return self.order + ("Q" if self.big else "H")

    @property
    def inline(self) -> int:
        return 8 if self.big else 4


def read_pages(file: BinaryIO, source: Source) -> tuple[Page, ...]:
    """Read all directories.

    Raises
    ------
    InputError
        If they are damaged, form a loop, or are absurdly many.
    UnsuitableError
        If they are of a kind that Pillow does not read (big-endian BigTIFF).
    """
    try:
        layout, position = _start(file)
        pages: list[Page] = []
        seen: set[int] = set()
        while position:
            if position in seen or len(pages) >= _MAX_PAGES:
                raise source.error("damaged: its directories form a loop or are too many")
            seen.add(position)
            page, position = _read_page(file, layout, position)
            pages.append(page)
    except (struct.error, OverflowError) as error:
        raise source.error("truncated: a directory ends early") from error
    if not pages:
        raise source.error("holds no image")
    return tuple(pages)


def _start(file: BinaryIO) -> tuple[_Layout, int]:
    start = file.read(16)
    order = "<" if start[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", start, 2)[0] == 43
    if big and order == ">":
        raise UnsuitableError("a big-endian BigTIFF")
    layout = _Layout(order, big)
    return layout, int(struct.unpack_from(layout.offset, start, 8 if big else 4)[0])


def _read_page(file: BinaryIO, layout: _Layout, position: int) -> tuple[Page, int]:
    file.seek(position)
    width = struct.calcsize(layout.count)
    (count,) = struct.unpack(layout.count, file.read(width))
    entry = 4 + 2 * layout.inline
    block = file.read(min(count, 65536) * entry)
    following = struct.unpack(layout.offset, file.read(layout.inline))[0] if len(block) else 0
    tags = {}
    for index in range(count):
        code, kind = struct.unpack_from(layout.order + "HH", block, index * entry)
        if code in _WANTED and kind in _SIZES:
            tag = _read_tag(file, layout, kind, block[index * entry + 4 : (index + 1) * entry])
            if tag is not None:
                tags[code] = tag
    return Page(tags, layout.order), int(following)


def _read_tag(file: BinaryIO, layout: _Layout, kind: int, rest: bytes) -> Tag | None:
    (count,) = struct.unpack_from(layout.offset, rest)
    size = count * _SIZES[kind]
    if size > _VALUE_LIMIT:
        return None
    raw = rest[layout.inline : layout.inline + size]
    if size > layout.inline:
        file.seek(struct.unpack_from(layout.offset, rest, layout.inline)[0])
        raw = file.read(size)
    if len(raw) < size:
        raise struct.error("value ends early")
    return Tag(kind, count, raw)


@dataclass(frozen=True)
class PageOut:
    """One page to write.

    Attributes
    ----------
    data : bytes
        Samples in the byte order of the file, row by row.
    width, height, bits : int
    floating : bool
    tags : mapping of int to Tag
        Further fields, in the byte order of the file.
    """

    data: bytes
    width: int
    height: int
    bits: int
    floating: bool
    tags: Mapping[int, Tag]


def write_pages(file: BinaryIO, pages: Iterable[PageOut], order: str, total: int, compress: bool) -> None:
    """Write grey pages, black as zero, one strip each, as TIFF or, from 4 GB on, as BigTIFF.

    Parameters
    ----------
    file : binary file
    pages : iterable of PageOut
    order : str
        Byte order, ``"<"`` or ``">"``.
    total : int
        Bytes of all samples.
    compress : bool
        Deflate the strips.
    """
    layout = _Layout(order, total > _CLASSIC_LIMIT)
    mark = b"II" if order == "<" else b"MM"
    start = struct.pack(order + "HHH", 43, 8, 0) if layout.big else struct.pack(order + "H", 42)
    file.write(mark + start)
    link = file.tell()
    file.write(struct.pack(layout.offset, 0))
    for page in pages:
        link = _write_page(file, layout, page, link, compress)


def _write_page(file: BinaryIO, layout: _Layout, page: PageOut, link: int, compress: bool) -> int:
    """Write strip and directory, enter the latter at `link`; return where the next one is entered."""
    data = zlib.compress(page.data, 4) if compress else page.data
    strip = file.tell()
    file.write(data + b"\0" * (len(data) % 2))
    tags = {**page.tags, **_structure(layout, page, strip, len(data), compress)}
    entries = []
    for code in sorted(tags):
        tag = tags[code]
        value = tag.raw.ljust(layout.inline, b"\0")
        if len(tag.raw) > layout.inline:
            value = struct.pack(layout.offset, file.tell())
            file.write(tag.raw + b"\0" * (len(tag.raw) % 2))
        head = struct.pack(layout.order + "HH", code, tag.type) + struct.pack(layout.offset, tag.count)
        entries.append(head + value)
    directory = file.tell()
    file.write(struct.pack(layout.count, len(entries)) + b"".join(entries))
    following = file.tell()
    file.write(struct.pack(layout.offset, 0))
    file.seek(link)
    file.write(struct.pack(layout.offset, directory))
    file.seek(0, 2)
    return following


def _structure(layout: _Layout, page: PageOut, strip: int, size: int, compress: bool) -> dict[int, Tag]:
    def short(value: int) -> Tag:
        return Tag(3, 1, struct.pack(layout.order + "H", value))

    def long(value: int) -> Tag:
        return Tag(16 if layout.big else 4, 1, struct.pack(layout.offset, value))

    return {
        WIDTH: long(page.width),
        HEIGHT: long(page.height),
        BITS: short(page.bits),
        COMPRESSION: short(_DEFLATE if compress else 1),
        PHOTOMETRIC: short(1),
        273: long(strip),
        SAMPLES: short(1),
        278: long(page.height),
        279: long(size),
        FORMAT: short(3 if page.floating else 1),
    }


def text_tag(text: str) -> Tag:
    """Return a text field."""
    raw = text.encode("utf-8") + b"\0"
    return Tag(2, len(raw), raw)
