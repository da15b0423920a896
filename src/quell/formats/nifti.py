"""The NIfTI door: ``.nii``, ``.nii.gz`` and ``.hdr`` with ``.img``, in three and four dimensions.

The array order stays: z, y, x of the image are the third, second and first axis of the file,
which lie in the file in just this order.
"""

from __future__ import annotations

import gzip
import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from quell.formats.atomic import atomic_file
from quell.formats.contracts import Origin, OutputKind, WriteOptions, Written
from quell.formats.derived import (
    SIMULATED_NOTE,
    derived_path,
    described,
    described_shortly,
    is_simulated,
    refuse_made,
)
from quell.formats.guess import (
    Stated,
    looks_like_hounsfield,
    modality_note,
    padding_of,
    stated,
    units_for,
)
from quell.formats.nifti_header import NiftiHeader, derived_header, geometry_of, parse_header
from quell.formats.source import READ_ERRORS, Source, check_claim
from quell.formats.voxels import (
    Stored,
    bits_of,
    check_output,
    float32_like,
    read_exactly,
    read_voxels,
    rounding_warnings,
    write_voxels,
)
from quell.image import Acquisition, FloatArray, Geometry, Image, Modality

_SAMPLE = 2**20
_EXTENSION_LIMIT = 64 * 2**20
_TRAILING_LIMIT = 64 * 2**20
_COMMENT = 6
"""NIfTI extension code for plain text."""
# On a noisy chest CT level 6 takes 1.6 times as long as level 3 and saves 1 % of the size.
_GZIP_LEVEL = 3


@dataclass(frozen=True, eq=False)
class NiftiSeries:
    """One NIfTI file, its header read.

    A caller may set another modality with `dataclasses.replace`; units and padding follow it.

    Attributes
    ----------
    source : Source
        The file with the header.
    data : Source
        The file with the voxels; the same unless the header is a file of its own.
    header : NiftiHeader
    modality : Modality
        Stated by a JSON sidecar, the name, or the header; guessed from values for CT; else unknown.
    units : str
        As stated; empty when not.
    notes : tuple of str
    """

    source: Source
    data: Source
    header: NiftiHeader
    modality: Modality = Modality.UNKNOWN
    units: str = ""
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The file name."""
        return self.source.name

    @property
    def format(self) -> str:
        """The name of the format."""
        return "NIfTI"

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that it is made of."""
        return tuple(dict.fromkeys((self.source.path, self.data.path)))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of slices (of all volumes), rows and columns."""
        t, z, y, x = self.header.shape
        return t * z, y, x

    @property
    def volume(self) -> bool:
        """Whether the slices are neighbours."""
        return self.header.shape[1] > 1

    @property
    def geometry(self) -> Geometry:
        """Where the voxels lie, from the header."""
        return geometry_of(self.header)

    def read(self) -> Image:
        """Decode the voxels; volumes over time follow one another along z.

        Raises
        ------
        InputError
            If the file is damaged or truncated, or holds values that are not finite.
        """
        with _voxel_stream(self.data, self.header) as stream:
            voxels = read_voxels(stream, self.shape, self.header.stored, self.data)
            _check_end(stream, self.data)
        t, z, _, _ = self.header.shape
        return Image(
            voxels=voxels,
            modality=self.modality,
            units=units_for(self.modality, self.units),
            geometry=self.geometry,
            padding=padding_of(voxels, self.modality),
            volume=self.volume,
            gaps=tuple(z * i - 1 for i in range(1, t)) if self.volume else (),
            name=self.name,
            acquisition=Acquisition(bits=bits_of(self.header.stored)),
        )

    def write(
        self,
        voxels: FloatArray,
        out: Path,
        kind: OutputKind,
        provenance: Origin,
        options: WriteOptions,
    ) -> Written:
        """Write `voxels` with the header of the source; see the contract.

        The denoised image has the source's voxel type and scaling (or float32 on request),
        residual and noise map are float32. The settings stand in a text extension.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        check_output(voxels, self.shape, self.name)
        same_type = kind.like_source and not options.float_output
        stored = self.header.stored if same_type else float32_like(self.header.stored)
        head = self._head(stored, kind, provenance)
        compressed = self.source.name.lower().endswith(".gz")
        path = derived_path(out, self.source, kind, provenance, ".nii.gz" if compressed else ".nii")
        with atomic_file(path) as temporary, _writer(temporary, compressed) as file:
            file.write(head)
            clamped = write_voxels(file.write, voxels, stored)
        return Written((path,), clamped, rounding_warnings(voxels, stored))

    def _head(self, stored: Stored, kind: OutputKind, provenance: Origin) -> bytes:
        """Return all that comes before the voxels."""
        order = "<" if self.header.raw.endianness == "<" else ">"
        text = described(kind, provenance).encode("ascii")
        size = -(-(8 + len(text) + 1) // 16) * 16
        comment = struct.pack(order + "ii", size, _COMMENT) + text.ljust(size - 8, b"\0")
        extensions = self._extensions() + comment
        length = len(self.header.raw.binaryblock) + 4 + len(extensions)
        note = described_shortly(kind, provenance)
        fields = derived_header(self.header, stored, note[:60], length, kind.like_source)
        return fields + b"\1\0\0\0" + extensions

    def _extensions(self) -> bytes:
        """Return the header extensions of the source, those that are well formed."""
        size = len(self.header.raw.binaryblock)
        room = self.header.offset if self.header.single else self.source.size
        if not size + 4 < room <= _EXTENSION_LIMIT:
            return b""
        with open_stream(self.source) as stream:
            block = read_exactly(stream, room, self.source)[size:]
        return _well_formed(block, self.header.raw.endianness)


def _well_formed(block: bytes, order: str) -> bytes:
    """Return the leading extensions of a block that starts with the four extender bytes."""
    end = 4
    while block[0] and end + 8 <= len(block):
        (size,) = struct.unpack_from(order + "i", block, end)
        if size < 16 or size % 16 or end + size > len(block):
            break
        end += size
    return block[4:end]


def open_nifti(source: Source, denoised: bool = False) -> NiftiSeries:
    """Read the header of a NIfTI file.

    Voxels are looked at (the first MiB) only where sidecar, name and header leave the modality open.

    Parameters
    ----------
    source : Source
    denoised : bool
        Open what Quell denoised, too.

    Raises
    ------
    InputError
        If the file is damaged, or its header promises what the file cannot hold.
    UnsuitableError
        If it is intact but no grey-scale image: colour, complex, vectors, labels, phase.
    """
    with open_stream(source) as stream:
        header = parse_header(stream.read(max(540, 352)), source)
    refuse_made(header.description, denoised)
    known = stated(source)
    data = source if header.single else data_of(source)
    t, z, y, x = header.shape
    compressed = _is_gzip(data)
    available = data.size if compressed else max(data.size - header.offset, 0)
    check_claim(data, t * z * y * x * header.stored.dtype.itemsize, available, compressed)
    if not known.how:
        known = _guessed(header, data, known.units)
    return NiftiSeries(source, data, header, known.modality, known.units, _notes(header, known))


def _notes(header: NiftiHeader, known: Stated) -> tuple[str, ...]:
    notes = [modality_note(known.modality, known.how)]
    if is_simulated(header.description):
        notes.append(SIMULATED_NOTE)
    if header.shape[0] > 1:
        notes.append(f"{header.shape[0]} volumes, each treated on its own")
    if not header.single:
        notes.append("a .hdr and .img pair is written as one .nii file")
    if not geometry_of(header).known:
        notes.append("the header gives no usable orientation and spacing")
    return tuple(notes)


def _guessed(header: NiftiHeader, data: Source, units: str) -> Stated:
    """Return what the header or the first MiB of voxels suggest."""
    # dcm2niix writes the echo time of MR, and of nothing else, at the start of the description.
    if header.description.startswith("TE="):
        return Stated(Modality.MR, units, "an echo time in its description")
    itemsize = header.stored.dtype.itemsize
    count = min(_SAMPLE // itemsize, int(np.prod(header.shape, dtype=object)))
    with _voxel_stream(data, header) as stream:
        raw = read_exactly(stream, count * itemsize, data)
    if looks_like_hounsfield(header.stored.decode(np.frombuffer(raw, header.stored.dtype))):
        return Stated(Modality.CT, units, "its values, which look like Hounsfield units (a guess)")
    return Stated(units=units)


def data_of(source: Source) -> Source:
    """Return the ``.img`` of a ``.hdr``."""
    stem = source.name
    for suffix in (".gz", ".hdr", ".HDR"):
        stem = stem.removesuffix(suffix)
    for name in (f"{stem}.img", f"{stem}.img.gz", f"{stem}.IMG"):
        path = source.sibling(name)
        if path is not None:
            return Source(path, name, source.folder, source.members)
    raise source.error(f"its voxels should be in {stem}.img, which is not there")


def _is_gzip(source: Source) -> bool:
    try:
        with source.path.open("rb") as file:
            return file.read(2) == b"\x1f\x8b"
    except OSError as error:
        raise source.error(f"cannot be read: {error.strerror}") from error


@contextmanager
def open_stream(source: Source) -> Iterator[BinaryIO]:
    """Open a file, through gzip where its first bytes say so."""
    try:
        with source.path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            # Typeshed knows a GzipFile only as a buffered stream, not as a BinaryIO.
            yield cast(BinaryIO, gzip.GzipFile(fileobj=file)) if packed else file
    except READ_ERRORS as error:
        raise source.error(f"damaged: {error}") from error


@contextmanager
def _voxel_stream(data: Source, header: NiftiHeader) -> Iterator[BinaryIO]:
    with open_stream(data) as stream:
        stream.seek(header.offset)
        yield stream


def _check_end(stream: BinaryIO, source: Source) -> None:
    """Read on to the end of a gzip stream, where its checksum is compared."""
    if not isinstance(stream, gzip.GzipFile):
        return
    trailing = 0
    while part := stream.read(io.DEFAULT_BUFFER_SIZE):
        trailing += len(part)
        if trailing > _TRAILING_LIMIT:
            raise source.error("holds far more than its header says")


@contextmanager
def _writer(path: Path, compressed: bool) -> Iterator[BinaryIO]:
    """Open a file for writing, through gzip without time stamp so that equal images are equal files."""
    with path.open("wb") as file:
        if not compressed:
            yield file
            return
        with gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0) as packed:
            yield cast(BinaryIO, packed)
