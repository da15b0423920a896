"""How the pixels of one instance are stored, checked before anything is allocated."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydicom.uid import UID

from quell.errors import InputError
from quell.formats.dicom import tags
from quell.formats.dicom.headers import read_instance
from quell.formats.dicom.instance import Instance, PixelElement

MAX_DECODED_BYTES = 2 << 30
"""Largest compressed object that is unpacked: the true size shows only while unpacking."""

_GREY = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT")
_ITEM = 0xFFFEE000
_DELIMITER = 0xFFFEE0DD


@dataclass(frozen=True)
class PixelLayout:
    """The Image Pixel module of one instance (PS3.3 C.7.6.3).

    Attributes
    ----------
    rows, columns, frames, samples : int
    allocated, stored : int
        Bits of one stored value, and how many of them count.
    signed : bool
    photometric : str
    planar : int
    transfer_syntax : pydicom.uid.UID
    pixels : PixelElement
    """

    rows: int
    columns: int
    frames: int
    samples: int
    allocated: int
    stored: int
    signed: bool
    photometric: str
    planar: int
    transfer_syntax: UID
    pixels: PixelElement

    @property
    def frame_bytes(self) -> int:
        """Size of one uncompressed frame."""
        size = self.rows * self.columns * self.samples * self.allocated // 8
        return size * 2 // 3 if self.photometric == "YBR_FULL_422" and not self.encapsulated else size

    @property
    def encapsulated(self) -> bool:
        """Whether the pixels are compressed."""
        return self.pixels.length is None


def pixel_layout(instance: Instance) -> PixelLayout:
    """Return how the pixels are stored.

    Raises
    ------
    InputError
        If an element is missing or contradicts another, or the pixels are fewer than declared.
    """
    header, path = instance.header, instance.path
    pixels = instance.pixels or read_instance(path).pixels
    if pixels is None:
        raise InputError(path, "no pixel data")
    layout = PixelLayout(
        rows=_positive(instance, "Rows"),
        columns=_positive(instance, "Columns"),
        frames=_positive(instance, "NumberOfFrames", 1),
        samples=_positive(instance, "SamplesPerPixel", 1),
        allocated=_positive(instance, "BitsAllocated"),
        stored=_positive(instance, "BitsStored", tags.integer(header, "BitsAllocated")),
        signed=_signed(instance),
        photometric=tags.word(header, "PhotometricInterpretation"),
        planar=tags.integer(header, "PlanarConfiguration") or 0,
        transfer_syntax=UID(tags.uid(header.file_meta, "TransferSyntaxUID")),
        pixels=pixels,
    )
    if not layout.transfer_syntax.is_transfer_syntax:
        raise InputError(path, "unknown transfer syntax")
    _check_bits(layout, instance)
    _check_size(layout, path)
    return layout


def _positive(instance: Instance, keyword: str, default: int | None = None) -> int:
    found = tags.integer(instance.header, keyword)
    if found is None and default is not None and not tags.given(instance.header, keyword):
        return default
    if found is None:
        raise InputError(instance.path, f"{keyword} is missing or unreadable")
    if found < 1:
        raise InputError(instance.path, f"{keyword} is {found}")
    return found


def _signed(instance: Instance) -> bool:
    found = tags.integer(instance.header, "PixelRepresentation")
    if found not in (0, 1) and tags.given(instance.header, "PixelRepresentation"):
        raise InputError(instance.path, "PixelRepresentation is neither 0 nor 1")
    return found == 1


def _check_bits(layout: PixelLayout, instance: Instance) -> None:
    path = instance.path
    if layout.allocated not in (8, 16, 32):
        raise InputError(path, f"{layout.allocated} bits allocated per value are not read")
    if layout.stored > layout.allocated:
        raise InputError(path, f"{layout.stored} bits stored in {layout.allocated} bits allocated")
    high = tags.integer(instance.header, "HighBit")
    if high is not None and high != layout.stored - 1:
        # PS3.5 8.1.1: High Bit shall be one less than Bits Stored.
        raise InputError(path, f"High Bit {high} with {layout.stored} bits stored is not read")
    expected = _GREY if layout.samples == 1 else _COLOUR if layout.samples == 3 else ()
    if layout.photometric not in expected:
        raise InputError(path, f"unknown photometric interpretation with {layout.samples} samples per pixel")


def _check_size(layout: PixelLayout, path: Path) -> None:
    declared = layout.frame_bytes * layout.frames
    if not layout.encapsulated:
        if layout.transfer_syntax.is_compressed:
            raise InputError(path, f"pixel data are not {layout.transfer_syntax.name} as declared")
        present = min(layout.pixels.length or 0, path.stat().st_size - layout.pixels.offset)
        if present < declared:
            raise InputError(path, f"truncated: {max(present, 0)} of {declared} bytes of pixel data")
        return
    if not layout.transfer_syntax.is_compressed:
        raise InputError(path, "compressed pixel data in an uncompressed transfer syntax")
    if declared > MAX_DECODED_BYTES:
        raise InputError(path, f"declares {declared >> 20} MiB of compressed pixels, more than is unpacked")
    with path.open("rb") as file:
        fragments = _count_fragments(file, layout.pixels.offset, path)
    if fragments < layout.frames:
        raise InputError(path, f"truncated: {fragments} of {layout.frames} compressed frames")


def _count_fragments(file: BinaryIO, offset: int, path: Path) -> int:
    """Walk the items of encapsulated pixel data (PS3.5 A.4) and count those behind the offset table."""
    end = file.seek(0, 2)
    at, count = offset, -1
    while at + 8 <= end:
        file.seek(at)
        group, element, length = struct.unpack("<HHI", file.read(8))
        tag = (group << 16) + element
        if tag == _DELIMITER:
            break
        if tag != _ITEM or at + 8 + length > end:
            raise InputError(path, "truncated or damaged compressed pixel data")
        at, count = at + 8 + length, count + 1
    return max(count, 0)
