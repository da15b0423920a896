"""What a file is, by its content; the name decides only what an unrecognised file should have been."""

from __future__ import annotations

import gzip
import io
import re
import struct
import zlib
from enum import Enum

from quell.formats.source import Source

_START = 1024
_DICOMDIR_CLASS = re.compile(rb"1\.2\.840\.10008\.1\.3\.10(?![.0-9])")


class Kind(Enum):
    """Kinds of files that the doors tell apart."""

    DICOM = "DICOM"
    DICOMDIR = "DICOMDIR"
    NIFTI = "NIfTI"
    PNG = "PNG"
    JPEG = "JPEG"
    TIFF = "TIFF"
    METAIMAGE = "MetaImage"
    ZIP = "ZIP"
    UNREAD = "unread"
    """An image in a format that has no door."""
    UNKNOWN = "unknown"


_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", Kind.PNG),
    (b"\xff\xd8\xff", Kind.JPEG),
    (b"II*\0", Kind.TIFF),
    (b"MM\0*", Kind.TIFF),
    (b"II+\0", Kind.TIFF),
    (b"MM\0+", Kind.TIFF),
    (b"PK\3\4", Kind.ZIP),
    (b"PK\5\6", Kind.ZIP),
)
_UNREAD = (
    (b"NRRD000", "NRRD"),
    (b"\x89HDF\r\n\x1a\n", "HDF5 or MINC"),
    (b"GIF8", "GIF"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
)
_SUFFIXES = {
    Kind.DICOM: (".dcm", ".dicom", ".dic", ".ima"),
    Kind.NIFTI: (".nii", ".nii.gz"),
    Kind.PNG: (".png",),
    Kind.JPEG: (".jpg", ".jpeg"),
    Kind.TIFF: (".tif", ".tiff"),
    Kind.METAIMAGE: (".mha", ".mhd", ".igs.mha", ".igs.mhd"),
    Kind.ZIP: (".zip",),
}
_META_KEY = re.compile(rb"^\s*(ObjectType\s*=\s*\w|NDims\s*=\s*\d)", re.MULTILINE)


def start_of(source: Source) -> bytes:
    """Return the first KiB, decompressed where gzip wraps it.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    try:
        with source.path.open("rb") as file:
            start = file.read(_START)
            if start.startswith(b"\x1f\x8b"):
                start = _unpacked(start + file.read(64 * _START))
    except OSError as error:
        raise source.error(f"cannot be read: {error.strerror}") from error
    return start


def _unpacked(packed: bytes) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
            return file.read1(_START)
    except (OSError, EOFError, zlib.error):
        return b""


def kind_of(start: bytes) -> Kind:
    """Return what a file is from its first KiB."""
    if start[128:132] == b"DICM":
        return Kind.DICOMDIR if _DICOMDIR_CLASS.search(start, 132) else Kind.DICOM
    for magic, kind in _MAGIC:
        if start.startswith(magic):
            return kind
    if _is_nifti(start):
        return Kind.NIFTI
    if _META_KEY.search(start) and b"\0" not in start.split(b"ElementDataFile")[0]:
        return Kind.METAIMAGE
    if unread_format(start):
        return Kind.UNREAD
    return Kind.DICOM if _is_bare_dicom(start) else Kind.UNKNOWN


def unread_format(start: bytes) -> str:
    """Return the name of a format that has no door, empty for all others."""
    if len(start) >= 348 and 348 in struct.unpack("<i", start[:4]) + struct.unpack(">i", start[:4]):
        return "Analyze 7.5, which does not say where left and right are,"
    return next((name for magic, name in _UNREAD if start.startswith(magic)), "")


def kind_by_name(source: Source) -> Kind:
    """Return what the name promises."""
    lower = source.suffix.lower()
    return next((kind for kind, suffixes in _SUFFIXES.items() if lower in suffixes), Kind.UNKNOWN)


def _is_nifti(start: bytes) -> bool:
    return start[344:348] in (b"n+1\0", b"ni1\0") or start[4:8] in (b"n+2\0", b"ni2\0")


def _is_bare_dicom(start: bytes) -> bool:
    """Whether the bytes are the first element of a data set without preamble (PS3.10 section 7.1)."""
    if len(start) < 16:
        return False
    little = start[0] in (2, 8) and start[1] == start[3] == 0
    big = start[0] == start[2] == 0 and start[1] in (2, 8)
    explicit = bool(re.match(rb"[A-Z]{2}", start[4:6]))
    implicit = little and struct.unpack("<I", start[4:8])[0] < 1024
    return (little or big) and (explicit or implicit)
