"""The MetaImage door: ``.mha``, and ``.mhd`` with ``.raw`` or ``.zraw``; volumes and ultrasound sequences."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

import numpy as np

from quell.formats.atomic import atomic_file
from quell.formats.contracts import Origin, OutputKind, WriteOptions, Written
from quell.formats.derived import (
    SIMULATED_NOTE,
    derived_path,
    described,
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
from quell.formats.metaimage_header import (
    MetaHeader,
    check_kind,
    derived_header,
    geometry_of,
    read_header,
    shape_of,
    stored_of,
)
from quell.formats.source import READ_ERRORS, Source, check_claim
from quell.formats.voxels import (
    Readable,
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
_BLOCK = 2**20
_LEVEL = 3


@dataclass(frozen=True, eq=False)
class MetaImageSeries:
    """One MetaImage, its header read.

    A caller may set another modality with `dataclasses.replace`; units and padding follow it.

    Attributes
    ----------
    source : Source
        The file with the header.
    data : Source
        The file with the voxels; the same for ``.mha``.
    header : MetaHeader
    grid : tuple of int
        Time points, slices, rows, columns.
    stored : Stored
    offset : int
        First byte of the voxels in `data`.
    modality : Modality
    units : str
        As stated; empty when not.
    notes : tuple of str
    """

    source: Source
    data: Source
    header: MetaHeader
    grid: tuple[int, int, int, int]
    stored: Stored
    offset: int
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
        return "MetaImage"

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that it is made of."""
        return tuple(dict.fromkeys((self.source.path, self.data.path)))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of slices or frames (of all time points), rows and columns."""
        t, z, y, x = self.grid
        return t * z, y, x

    @property
    def volume(self) -> bool:
        """Whether the slices are neighbours."""
        return self.grid[1] > 1

    @property
    def _compressed(self) -> bool:
        return self.header.flag("CompressedData")

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
        with _voxel_stream(self) as stream:
            voxels = read_voxels(stream, self.shape, self.stored, self.data)
            # The checksum of zlib is compared only when the end is reached.
            stream.read(1)
        t, z, _, _ = self.grid
        return Image(
            voxels=voxels,
            modality=self.modality,
            units=units_for(self.modality, self.units),
            geometry=self.geometry,
            padding=padding_of(voxels, self.modality),
            volume=self.volume,
            gaps=tuple(z * i - 1 for i in range(1, t)) if self.volume else (),
            name=self.name,
            acquisition=Acquisition(bits=bits_of(self.stored)),
        )

    def write(
        self,
        voxels: FloatArray,
        out: Path,
        kind: OutputKind,
        provenance: Origin,
        options: WriteOptions,
    ) -> Written:
        """Write `voxels` with the fields of the source in their order; see the contract.

        The denoised image has the source's type, scaling and compression (or float32 on request),
        residual and noise map are float32. The settings stand in the Comment field.

        Raises
        ------
        OutputError
            If the files cannot be written.
        """
        check_output(voxels, self.shape, self.name)
        same_type = kind.like_source and not options.float_output
        stored = self.stored if same_type else float32_like(self.stored)
        path = derived_path(out, self.source, kind, provenance, self.source.suffix)
        note = described(kind, provenance)
        if self.header.text("ElementDataFile").upper() == "LOCAL":
            clamped = self._write_one(path, voxels, stored, note)
            return Written((path,), clamped, rounding_warnings(voxels, stored))
        beside = path.with_name(f"{path.name.removesuffix(self.source.suffix)}{self._data_suffix}")
        clamped = self._write_two(path, beside, voxels, stored, note)
        return Written((path, beside), clamped, rounding_warnings(voxels, stored))

    @property
    def _data_suffix(self) -> str:
        return ".zraw" if self._compressed else ".raw"

    def _write_one(self, path: Path, voxels: FloatArray, stored: Stored, note: str) -> int:
        with atomic_file(path) as temporary, temporary.open("wb") as file:
            if not self._compressed:
                file.write(derived_header(self.header, stored, note, "LOCAL", None))
                return write_voxels(file.write, voxels, stored)
            # The size after compression stands before the data.
            with TemporaryFile(dir=temporary.parent) as data:
                clamped, size = self._write_data(data, voxels, stored)
                file.write(derived_header(self.header, stored, note, "LOCAL", size))
                data.seek(0)
                shutil.copyfileobj(data, file)
        return clamped

    def _write_two(self, path: Path, beside: Path, voxels: FloatArray, stored: Stored, note: str) -> int:
        # The header appears last: whoever sees it finds the voxels complete.
        with atomic_file(path) as header, atomic_file(beside) as temporary:
            with temporary.open("wb") as data:
                clamped, size = self._write_data(data, voxels, stored)
            header.write_bytes(derived_header(self.header, stored, note, beside.name, size))
        return clamped

    def _write_data(self, file: BinaryIO, voxels: FloatArray, stored: Stored) -> tuple[int, int | None]:
        """Write the voxels; return how many were clamped and the size after compression."""
        if not self._compressed:
            return write_voxels(file.write, voxels, stored), None
        packer = zlib.compressobj(_LEVEL)
        clamped = write_voxels(lambda block: file.write(packer.compress(block)), voxels, stored)
        file.write(packer.flush())
        return clamped, file.tell()


class _Inflating:
    """A zlib or gzip stream, read a little at a time so that nothing expands unasked."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        # 32 lets zlib tell its own header from that of gzip, as MetaIO does.
        self._unpacker = zlib.decompressobj(wbits=32 + zlib.MAX_WBITS)

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, none at the end."""
        while not self._unpacker.eof:
            block = self._unpacker.unconsumed_tail or self._file.read(_BLOCK)
            part = self._unpacker.decompress(block, size)
            if part or not block:
                return part
        return b""


def open_metaimage(source: Source, denoised: bool = False) -> MetaImageSeries:
    """Read the header of a MetaImage.

    Voxels are looked at (the first MiB) only where header, sidecar and name leave the modality open.

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
        If it is intact but no grey-scale image: channels, raw ultrasound lines, a list of files.
    """
    try:
        with source.path.open("rb") as file:
            header = read_header(file, source)
    except OSError as error:
        raise source.error(f"cannot be read: {error.strerror}") from error
    refuse_made(header.text("Comment"), denoised)
    check_kind(header)
    grid = shape_of(header, source)
    stored = stored_of(header, source)
    data, offset = _data_of(header, source, _bytes(grid, stored))
    available = max(data.size - offset, 0)
    check_claim(data, _bytes(grid, stored), available, header.flag("CompressedData"))
    series = MetaImageSeries(source, data, header, grid, stored, offset)
    known = _modality(series)
    return MetaImageSeries(
        source, data, header, grid, stored, offset, known.modality, known.units, _notes(series, known)
    )


def _bytes(grid: tuple[int, int, int, int], stored: Stored) -> int:
    t, z, y, x = grid
    return t * z * y * x * stored.dtype.itemsize


def _data_of(header: MetaHeader, source: Source, claimed: int) -> tuple[Source, int]:
    """Return the file with the voxels and their first byte."""
    name = header.text("ElementDataFile")
    if name.upper() == "LOCAL":
        return source, header.length
    path = source.sibling(name)
    if path is None:
        raise source.error(f"its voxels should be in {name!r} beside it, which is not there")
    data = Source(path, name, source.folder, source.members)
    try:
        skip = int(header.text("HeaderSize") or 0)
    except ValueError as error:
        raise source.error("its HeaderSize is no number") from error
    # -1 means that the voxels are the end of the file.
    return data, max(data.size - claimed, 0) if skip == -1 else max(skip, 0)


def _modality(series: MetaImageSeries) -> Stated:
    """Return what the header, a sidecar, the name or the first MiB of voxels say."""
    known = stated(series.source)
    if series.header.modality is not Modality.UNKNOWN:
        return Stated(series.header.modality, known.units, "its header")
    if known.how:
        return known
    itemsize = series.stored.dtype.itemsize
    count = min(_SAMPLE // itemsize, int(np.prod(series.grid, dtype=object)))
    with _voxel_stream(series) as stream:
        raw = read_exactly(stream, count * itemsize, series.data)
    if looks_like_hounsfield(series.stored.decode(np.frombuffer(raw, series.stored.dtype))):
        return Stated(Modality.CT, known.units, "its values, which look like Hounsfield units (a guess)")
    return known


def _notes(series: MetaImageSeries, known: Stated) -> tuple[str, ...]:
    t, z, _, _ = series.grid
    notes = [modality_note(known.modality, known.how)]
    if is_simulated(series.header.text("Comment")):
        notes.append(SIMULATED_NOTE)
    if t > 1:
        notes.append(f"{t} {'volumes' if z > 1 else 'frames'} over time, each treated on its own")
    if not geometry_of(series.header).known:
        notes.append("the header gives no usable orientation and spacing")
    return tuple(notes)


@contextmanager
def _voxel_stream(series: MetaImageSeries) -> Iterator[Readable]:
    try:
        with series.data.path.open("rb") as file:
            file.seek(series.offset)
            yield _Inflating(file) if series.header.flag("CompressedData") else file
    except READ_ERRORS as error:
        raise series.data.error(f"damaged: {error}") from error
