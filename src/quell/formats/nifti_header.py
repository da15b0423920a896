"""The header of a NIfTI file: checked before anything is allocated, and written back as it was.

NIfTI-1 and NIfTI-2, Data Format Working Group, https://nifti.nimh.nih.gov.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.spatialimages import HeaderDataError

from quell.formats.source import Source, UnsuitableError
from quell.formats.voxels import Stored
from quell.image import Geometry

_HEADERS: dict[int, Any] = {348: nib.Nifti1Header, 540: nib.Nifti2Header}
_TYPES = {
    2: "u1", 256: "i1", 4: "i2", 512: "u2", 8: "i4", 768: "u4", 1024: "i8", 1280: "u8", 16: "f4", 64: "f8",
}  # fmt: skip
_REFUSED = {
    1: "one bit a voxel",
    32: "complex numbers",
    1792: "complex numbers",
    2048: "complex numbers",
    1536: "128-bit floats",
    128: "colour (RGB)",
    2304: "colour (RGBA)",
}
_MILLIMETRES = {1: 1000.0, 2: 1.0, 3: 0.001}
_LABELS = 1002
_MAX_SPACING = 1e5


@dataclass(frozen=True, eq=False)
class NiftiHeader:
    """What the header says.

    Attributes
    ----------
    raw : nibabel header
        Every field as stored, byte order included.
    shape : tuple of int
        Volumes over time, slices, rows, columns.
    stored : Stored
        How the voxels are stored.
    offset : int
        First byte of the voxels.
    single : bool
        True when header and voxels are in one file.
    """

    raw: Any
    shape: tuple[int, int, int, int]
    stored: Stored
    offset: int
    single: bool

    @property
    def description(self) -> str:
        """The ``descrip`` field."""
        return bytes(self.raw["descrip"].tobytes()).split(b"\0")[0].decode("latin-1")


def parse_header(block: bytes, source: Source, labels: bool = False) -> NiftiHeader:
    """Read and check a header.

    Parameters
    ----------
    block : bytes
    source : Source
    labels : bool
        Let maps of labels pass.

    Raises
    ------
    InputError
        If a field is absurd.
    UnsuitableError
        If the file is intact but no grey-scale image.
    """
    raw = _structured(block, source)
    single = bytes(raw["magic"].tobytes()).startswith(b"n+")
    if int(raw["intent_code"]) == _LABELS and not labels:
        raise UnsuitableError("a label map, by its intent code")
    stored = _stored(raw, source)
    shape = _shape(raw, source)
    offset = float(raw["vox_offset"])
    least = len(raw.binaryblock) + 4 if single else 0
    if not (np.isfinite(offset) and least <= max(offset, least) < 2**28):
        raise source.error(f"the header puts the voxels at byte {offset}")
    return NiftiHeader(raw, shape, stored, max(int(offset), least), single)


def _structured(block: bytes, source: Source) -> Any:
    for order in "<>":
        size = struct.unpack(order + "i", block[:4])[0] if len(block) >= 4 else 0
        if size in _HEADERS:
            if len(block) < size:
                raise source.error("truncated: the header ends early")
            return _HEADERS[size](block[:size], endianness=order, check=False)
    raise source.error("not a NIfTI file")


def _stored(raw: Any, source: Source) -> Stored:
    code = int(raw["datatype"])
    if code in _REFUSED:
        raise UnsuitableError(f"holds {_REFUSED[code]}, not grey values")
    if code not in _TYPES:
        raise source.error(f"the header names an unknown voxel type ({code})")
    dtype = np.dtype(_TYPES[code]).newbyteorder(raw.endianness)
    if int(raw["bitpix"]) not in (0, 8 * dtype.itemsize):
        raise source.error(f"the header contradicts itself: type {code} with {int(raw['bitpix'])} bits")
    slope, inter = float(raw["scl_slope"]), float(raw["scl_inter"])
    # "If the scl_slope field is nonzero, then each voxel value should be scaled" (nifti1.h).
    if slope == 0 or not np.isfinite(slope):
        return Stored(dtype)
    return Stored(dtype, slope, inter if np.isfinite(inter) else 0.0)


def _shape(raw: Any, source: Source) -> tuple[int, int, int, int]:
    count = int(raw["dim"][0])
    if not 1 <= count <= 7:
        raise source.error(f"the header claims {count} dimensions")
    dims = [int(d) for d in raw["dim"][1 : count + 1]]
    if any(d < 1 for d in dims):
        raise source.error(f"the header claims the dimensions {dims}")
    if any(d > 1 for d in dims[4:]):
        raise UnsuitableError(f"has {count} dimensions {tuple(dims)}: vectors or channels, not grey values")
    x, y, z, t = (*dims[:4], 1, 1, 1)[:4]
    return t, z, y, x


def geometry_of(header: NiftiHeader) -> Geometry:
    """Return where the voxels lie, in LPS and mm; unknown when the header gives no usable affine.

    The affine is the sform, else the qform, else the voxel sizes, as the standard orders them.
    """
    with np.errstate(all="ignore"):
        try:
            affine = np.asarray(header.raw.get_best_affine(), np.float64)
        except (HeaderDataError, ValueError):
            return Geometry()
        affine = affine * _MILLIMETRES.get(int(header.raw["xyzt_units"]) & 7, 1.0)
        return geometry_from_ras(affine)


def geometry_from_ras(affine: npt.NDArray[np.float64]) -> Geometry:
    """Return the geometry of an affine from voxel indices (x, y, z) to RAS mm.

    NIfTI counts x to the right and y to the front, DICOM to the left and to the back.
    """
    lps = np.diag([-1.0, -1.0, 1.0]) @ affine[:3]
    spacing = np.linalg.norm(lps[:, :3], axis=0)
    if not (np.isfinite(lps).all() and (spacing > 0).all() and (spacing < _MAX_SPACING).all()):
        return Geometry()
    columns = lps[:, :3] / spacing
    z, y, x = (tuple(float(v) for v in columns[:, axis]) for axis in (2, 1, 0))
    return Geometry(
        spacing=(float(spacing[2]), float(spacing[1]), float(spacing[0])),
        origin=(float(lps[0, 3]), float(lps[1, 3]), float(lps[2, 3])),
        direction=((z[0], z[1], z[2]), (y[0], y[1], y[2]), (x[0], x[1], x[2])),
        known=True,
    )


def derived_header(header: NiftiHeader, stored: Stored, note: str, offset: int, keep_window: bool) -> bytes:
    """Return the header of a derived file: the source's, but for type, scaling, offset and note.

    Parameters
    ----------
    header : NiftiHeader
        Of the source.
    stored : Stored
        How the derived voxels are stored.
    note : str
        Appended to ``descrip`` (80 bytes; the note goes before what was there when room is short).
    offset : int
        First byte of the voxels.
    keep_window : bool
        Keep the display range ``cal_min`` to ``cal_max``.
    """
    raw = header.raw.copy()
    if stored != header.stored:
        codes = {np.dtype(name): code for code, name in _TYPES.items()}
        raw["datatype"] = codes[stored.dtype.newbyteorder("=")]
        raw["scl_slope"], raw["scl_inter"] = stored.slope, stored.inter
    raw["bitpix"] = 8 * stored.dtype.itemsize
    raw["vox_offset"] = offset
    raw["magic"] = b"n+1" if len(raw.binaryblock) == 348 else b"n+2\0\r\n\x1a\n"
    before = header.description.encode("latin-1")[: max(79 - len(note) - 2, 0)]
    raw["descrip"] = (before + b"; " + note.encode("ascii") if before else note.encode("ascii"))[:79]
    if not keep_window:
        raw["cal_min"] = raw["cal_max"] = 0
    return bytes(raw.binaryblock)
