"""The header of a MetaImage: its lines are kept as they are, in their order.

MetaIO, Kitware, https://github.com/Kitware/MetaIO: ``Key = Value`` lines that end with
ElementDataFile. Files of tracked ultrasound (PlusToolkit, ``.igs.mha``) add fields for every frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from quell.formats.source import Source, UnsuitableError
from quell.formats.voxels import Stored
from quell.image import Geometry, Modality

# MetaIO's sizes: its "long" has four bytes on every machine.
_TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4",
    "MET_UINT": "u4", "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip
_MODALITIES = {
    "MET_MOD_CT": Modality.CT,
    "MET_MOD_MR": Modality.MR,
    "MET_MOD_NM": Modality.NM,
    "MET_MOD_US": Modality.US,
}
_ALIASES = {
    "TransformMatrix": ("TransformMatrix", "Rotation", "Orientation"),
    "Offset": ("Offset", "Position", "Origin"),
    "ElementSpacing": ("ElementSpacing", "ElementSize"),
    "BinaryDataByteOrderMSB": ("BinaryDataByteOrderMSB", "ElementByteOrderMSB"),
}
_LINE_LIMIT = 2**16
_HEADER_LIMIT = 64 * 2**20
_MAX_DIMS = 4


@dataclass(frozen=True)
class MetaHeader:
    """A parsed header.

    Attributes
    ----------
    lines : tuple of (str, str)
        Keys and values in the order of the file.
    length : int
        Bytes of the header, the line break behind ElementDataFile included.
    """

    lines: tuple[tuple[str, str], ...]
    length: int

    def text(self, key: str) -> str:
        """Return a field or one of its other names, empty when absent."""
        fields = dict(self.lines)
        return next((fields[k] for k in _ALIASES.get(key, (key,)) if k in fields), "")

    def flag(self, key: str) -> bool:
        """Return a field that is True or False."""
        return self.text(key).lower() in ("true", "t", "1", "yes")

    def numbers(self, key: str) -> tuple[float, ...]:
        """Return a list of numbers, empty when absent.

        Raises
        ------
        ValueError
            If it holds something else.
        """
        return tuple(float(part) for part in self.text(key).split())

    @property
    def over_time(self) -> bool:
        """Whether the last axis counts frames, not positions."""
        kinds = self.text("Kinds").lower().split()
        return kinds[-1:] == ["list"] or any(key.startswith("Seq_Frame") for key, _ in self.lines)

    @property
    def modality(self) -> Modality:
        """The modality, as far as the header states it."""
        if any(key.startswith("UltrasoundImage") for key, _ in self.lines):
            return Modality.US
        return _MODALITIES.get(self.text("Modality"), Modality.UNKNOWN)


def read_header(file: BinaryIO, source: Source) -> MetaHeader:
    """Read the lines up to ElementDataFile.

    Raises
    ------
    InputError
        If there is no such line.
    """
    lines: list[tuple[str, str]] = []
    length = 0
    while length < _HEADER_LIMIT:
        line = file.readline(_LINE_LIMIT)
        length += len(line)
        key, equals, value = line.decode("latin-1").partition("=")
        if not line or (not equals and line.strip()) or (line[-1:] != b"\n" and len(line) == _LINE_LIMIT):
            break
        if equals:
            lines.append((key.strip(), value.strip()))
        if key.strip() == "ElementDataFile":
            return MetaHeader(tuple(lines), length)
    raise source.error("damaged: its header does not end with ElementDataFile")


def check_kind(header: MetaHeader) -> None:
    """Pass over what is intact but no grey-scale image.

    Raises
    ------
    UnsuitableError
    """
    if header.text("ObjectType") not in ("", "Image"):
        raise UnsuitableError(f"a MetaIO object of type {header.text('ObjectType')}, no image")
    kind = header.text("UltrasoundImageType").upper()
    if kind not in ("", "BRIGHTNESS"):
        raise UnsuitableError(f"raw or colour ultrasound data ({kind}), no B-mode image")
    if header.text("ElementNumberOfChannels") not in ("", "1"):
        raise UnsuitableError(f"has {header.text('ElementNumberOfChannels')} channels, not grey values")
    if not header.flag("BinaryData") and header.text("BinaryData"):
        raise UnsuitableError("holds its voxels as text: only binary MetaImages are read")
    if header.text("ElementDataFile").split()[:1] == ["LIST"] or "%" in header.text("ElementDataFile"):
        raise UnsuitableError("has its voxels in many files (LIST or a pattern)")
    if "list" in header.text("Kinds").lower().split()[:-1]:
        raise UnsuitableError("its frames are not the last axis")


def stored_of(header: MetaHeader, source: Source) -> Stored:
    """Return how the voxels are stored.

    Raises
    ------
    InputError
        If the type is unknown or the scaling no number.
    """
    name = header.text("ElementType").upper()
    if name not in _TYPES:
        raise source.error(f"unknown ElementType {name or '(none)'}")
    dtype = np.dtype(_TYPES[name]).newbyteorder(">" if header.flag("BinaryDataByteOrderMSB") else "<")
    try:
        slope = float(header.text("ElementToIntensityFunctionSlope") or 1)
        inter = float(header.text("ElementToIntensityFunctionOffset") or 0)
    except ValueError as error:
        raise source.error("its ElementToIntensityFunction is no number") from error
    if slope == 0 or not (math.isfinite(slope) and math.isfinite(inter)):
        raise source.error(f"its ElementToIntensityFunction has slope {slope} and offset {inter}")
    return Stored(dtype, slope, inter)


def shape_of(header: MetaHeader, source: Source) -> tuple[int, int, int, int]:
    """Return the numbers of time points, slices, rows and columns.

    Raises
    ------
    InputError
        If the header claims something absurd.
    UnsuitableError
        If there are more than four dimensions.
    """
    try:
        dims = [int(part) for part in header.text("DimSize").split()]
        count = int(header.text("NDims") or len(dims))
    except ValueError as error:
        raise source.error("its dimensions are no numbers") from error
    if count != len(dims) or not dims or any(not 1 <= d < 2**31 for d in dims):
        raise source.error(f"the header claims {count} dimensions {dims}")
    if len(dims) > _MAX_DIMS:
        raise UnsuitableError(f"has {len(dims)} dimensions")
    if header.over_time and len(dims) == 3:
        dims = [dims[0], dims[1], 1, dims[2]]
    x, y, z, t = (*dims, 1, 1, 1)[:4]
    return t, z, y, x


def geometry_of(header: MetaHeader) -> Geometry:
    """Return where the voxels lie; unknown when the header does not say.

    MetaIO's world is LPS, and the i-th group of TransformMatrix is the direction of the i-th axis
    of the file (ITK, ``itkMetaImageIO.cxx``, ``ReadImageInformation``).
    """
    try:
        dims = len(header.text("DimSize").split())
        spacing = _three(header.numbers("ElementSpacing"), 1.0)
        origin = _three(header.numbers("Offset"), 0.0)
        matrix = np.eye(3)
        given = header.numbers("TransformMatrix")
        if len(given) == dims * dims:
            used = min(dims, 3)
            matrix[:used, :used] = np.reshape(given, (dims, dims))[:used, :used]
    except ValueError:
        return Geometry()
    if header.modality is Modality.US and spacing == (1.0, 1.0, 1.0):
        # PlusToolkit writes ones where the size of a pixel is in another file (its calibration).
        return Geometry()
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.linalg.norm(matrix, axis=1)
    usable = np.isfinite([*spacing, *origin, *lengths]).all() and min(spacing) > 0
    if not (header.text("ElementSpacing") and usable and (lengths > 0).all()):
        return Geometry()
    axes = (matrix / lengths[:, np.newaxis]).tolist()
    return Geometry(
        spacing=(spacing[2], spacing[1], spacing[0]),
        origin=(origin[0], origin[1], origin[2]),
        direction=(tuple(axes[2]), tuple(axes[1]), tuple(axes[0])),
        known=True,
    )


def _three(numbers: tuple[float, ...], missing: float) -> tuple[float, float, float]:
    x, y, z = (*numbers[:3], missing, missing, missing)[:3]
    return x, y, z


def derived_header(header: MetaHeader, stored: Stored, note: str, data_file: str, size: int | None) -> bytes:
    """Return the header of a derived file: the source's lines in their order, some values replaced.

    Parameters
    ----------
    header : MetaHeader
        Of the source.
    stored : Stored
        How the derived voxels are stored.
    note : str
        Put at the start of the Comment field.
    data_file : str
        ElementDataFile.
    size : int or None
        Bytes after compression; None when not compressed.
    """
    names = {np.dtype(code): name for name, code in reversed(_TYPES.items())}
    kind = header.text("ElementType").upper()
    native = stored.dtype.newbyteorder("=")
    if np.dtype(_TYPES[kind]) != native:
        kind = names[native]
    before = header.text("Comment")
    values = {
        "Comment": f"{note}; {before}" if before else note,
        "ElementType": kind,
        "CompressedDataSize": "" if size is None else str(size),
        "ElementToIntensityFunctionSlope": repr(stored.slope),
        "ElementToIntensityFunctionOffset": repr(stored.inter),
        "HeaderSize": "",
        "ElementDataFile": data_file,
    }
    lines = _with_fields(header.lines, ("Comment", "CompressedDataSize"))
    kept = [(key, values.get(key, value)) for key, value in lines]
    text = "".join(f"{key} = {value}\n" for key, value in kept if value or key not in values)
    return text.encode("latin-1", "replace")


def _with_fields(lines: tuple[tuple[str, str], ...], keys: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return the lines, fields that are missing added before the element's type."""
    present = {key for key, _ in lines}
    missing = [(key, "") for key in keys if key not in present]
    at = next(index for index, (key, _) in enumerate(lines) if key == "ElementType")
    return [*lines[:at], *missing, *lines[at:]]
