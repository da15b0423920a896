"""The TIFF door: grey pages of 8 or 16 bits or float32; pages are frames.

A denoised TIFF has the source's type, byte order, number of pages, resolution and texts. Where
white was stored as zero the values are turned round on reading and stay so: black is zero then.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

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
from quell.formats.guess import modality_note, stated
from quell.formats.raster import MAX_PIXELS, PILLOW_ERRORS
from quell.formats.source import Source, UnsuitableError, check_claim
from quell.formats.tiff_ifd import (
    BITS,
    COMPRESSION,
    DESCRIPTION,
    FORMAT,
    HEIGHT,
    KEPT,
    ORIENTATION,
    PHOTOMETRIC,
    SAMPLES,
    SOFTWARE,
    WIDTH,
    Page,
    PageOut,
    read_pages,
    text_tag,
    write_pages,
)
from quell.formats.tiff_write import write_float_tiff
from quell.formats.voxels import Stored, bits_of, check_output, require_finite
from quell.image import Acquisition, FloatArray, Image, Modality

_TYPES = {(8, 1): "u1", (16, 1): "u2", (32, 3): "f4"}
_LZW_LIMIT = 4096
"""A code of LZW, 12 bits, stands for at most 4096 bytes."""
_UNCOMPRESSED = 1


@dataclass(frozen=True, eq=False)
class TiffSeries:
    """One TIFF file.

    A caller may set another modality with `dataclasses.replace`.

    Attributes
    ----------
    source : Source
    pages : tuple of Page
    modality : Modality
    notes : tuple of str
    """

    source: Source
    pages: tuple[Page, ...]
    modality: Modality = Modality.UNKNOWN
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The file name."""
        return self.source.name

    @property
    def format(self) -> str:
        """The name of the format."""
        return "TIFF"

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that it is made of."""
        return (self.source.path,)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of pages, rows and columns."""
        first = self.pages[0]
        return len(self.pages), first.number(HEIGHT, 0), first.number(WIDTH, 0)

    @property
    def volume(self) -> bool:
        """Whether the pages are neighbouring slices."""
        return _is_stack(self.pages)

    @property
    def stored(self) -> Stored:
        """How the pixels are stored."""
        return Stored(np.dtype(self.pages[0].order + _TYPES[_kind(self.pages[0])]))

    def read(self) -> Image:
        """Decode all pages.

        Raises
        ------
        InputError
            If the file is damaged or truncated, or holds values that are not finite.
        """
        try:
            voxels = np.empty(self.shape, np.float32)
            with warnings.catch_warnings():
                # Pillow warns of damage and then raises, which becomes our one line.
                warnings.simplefilter("ignore")
                for frame, pixels in zip(voxels, self._decoded(), strict=True):
                    frame[...] = pixels
        except MemoryError as error:
            raise self.source.error("its pixels exceed the memory") from error
        require_finite(voxels, self.source)
        return Image(
            voxels,
            self.modality,
            volume=self.volume,
            name=self.name,
            acquisition=Acquisition(bits=bits_of(self.stored)),
        )

    def _decoded(self) -> Iterator[FloatArray]:
        from PIL import Image as Pillow

        try:
            with Pillow.open(self.source.path, formats=("TIFF",)) as image:
                for index, page in enumerate(self.pages):
                    image.seek(index)
                    pixels = np.asarray(image)
                    if pixels.shape != self.shape[1:]:
                        raise ValueError("a page has another size than its directory says")
                    # Pillow turns 8 bits round by itself.
                    turn = page.number(PHOTOMETRIC, 1) == 0 and self.stored.dtype.itemsize == 2
                    yield (65535 - pixels if turn else pixels).astype(np.float32)
        except (*PILLOW_ERRORS, Pillow.DecompressionBombError) as error:
            raise self.source.error(f"damaged or not decodable: {error}") from error

    def write(
        self,
        voxels: FloatArray,
        out: Path,
        kind: OutputKind,
        provenance: Origin,
        options: WriteOptions,
    ) -> Written:
        """Write `voxels` in the source's type, residual and noise map as float32; see the contract.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        check_output(voxels, self.shape, self.name)
        suffix = self.source.suffix if self.source.suffix.lower() in (".tif", ".tiff") else ".tif"
        path = derived_path(out, self.source, kind, provenance, suffix)
        note = described(kind, provenance, self.pages[0].text(SOFTWARE))
        if not kind.like_source:
            write_float_tiff(path, voxels, note)
            return Written((path,))
        order = self.pages[0].order
        stored = Stored(np.dtype(f"{order}f4")) if options.float_output else self.stored
        clamped: list[int] = []
        pages = self._pages_out(voxels, stored, note, clamped)
        compress = _is_compressed(self.pages[0]) and not _is_misread(order, stored)
        with atomic_file(path) as temporary, temporary.open("wb") as file:
            write_pages(file, pages, order, voxels.size * stored.dtype.itemsize, compress)
        return Written((path,), sum(clamped))

    def _pages_out(
        self, voxels: FloatArray, stored: Stored, note: str, clamped: list[int]
    ) -> Iterator[PageOut]:
        for frame, page in zip(voxels, self.pages, strict=True):
            pixels, over = stored.encode(frame)
            clamped.append(over)
            tags = {code: tag for code, tag in page.tags.items() if code in KEPT}
            tags[SOFTWARE] = text_tag(note)
            bits = 8 * stored.dtype.itemsize
            floating = stored.dtype.kind == "f"
            yield PageOut(pixels.tobytes(), frame.shape[1], frame.shape[0], bits, floating, tags)


def open_tiff(source: Source, denoised: bool = False) -> TiffSeries:
    """Read the directories of a TIFF file.

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
        If it is in colour, rotated, or of a type that cannot be written back.
    """
    try:
        with source.path.open("rb") as file:
            pages = read_pages(file, source)
    except OSError as error:
        raise source.error(f"cannot be read: {error.strerror}") from error
    refuse_made(pages[0].text(SOFTWARE), denoised)
    _refuse_kinds(pages)
    _check_sizes(pages, source)
    known = stated(source)
    simulated = (SIMULATED_NOTE,) if is_simulated(pages[0].text(SOFTWARE)) else ()
    notes = (modality_note(known.modality, known.how), *simulated)
    return TiffSeries(source, pages, known.modality, notes)


def _kind(page: Page) -> tuple[int, int]:
    return page.number(BITS, 1), page.number(FORMAT, 1)


def _is_compressed(page: Page) -> bool:
    return page.number(COMPRESSION, 1) != _UNCOMPRESSED


def _is_misread(order: str, stored: Stored) -> bool:
    """Whether Pillow gives wrong values for a compressed page: it swaps the bytes of floats twice."""
    return order == ">" and stored.dtype.kind == "f"


def _refuse_kinds(pages: tuple[Page, ...]) -> None:
    if any(p.number(SAMPLES, 1) != 1 or p.number(PHOTOMETRIC, 1) not in (0, 1) for p in pages):
        raise UnsuitableError("in colour, with a palette or with transparency: only grey TIFF is read")
    bits, number_format = _kind(pages[0])
    if (bits, number_format) not in _TYPES:
        kind = {1: "unsigned", 2: "signed", 3: "floating-point"}.get(number_format, "unknown")
        raise UnsuitableError(
            f"{bits}-bit {kind} TIFF: only 8 and 16 bits unsigned and 32-bit floats are read"
        )
    if len({(p.number(WIDTH, 0), p.number(HEIGHT, 0), _kind(p)) for p in pages}) > 1:
        raise UnsuitableError("its pages differ in size or type")
    if any(_is_compressed(p) and _is_misread(p.order, Stored(np.dtype(_TYPES[_kind(p)]))) for p in pages):
        raise UnsuitableError("compressed floating-point values in big-endian order")
    if any(p.number(ORIENTATION, 1) != 1 for p in pages):
        raise UnsuitableError("stored turned or mirrored (tag Orientation)")
    if bits == 32 and any(p.number(PHOTOMETRIC, 1) == 0 for p in pages):
        raise UnsuitableError("floating-point values with white as zero")


def _check_sizes(pages: tuple[Page, ...], source: Source) -> None:
    rows, columns = pages[0].number(HEIGHT, 0), pages[0].number(WIDTH, 0)
    if not (rows > 0 and columns > 0 and rows * columns <= MAX_PIXELS):
        raise source.error(f"the header claims {rows} x {columns} pixels")
    claimed = len(pages) * rows * columns * pages[0].number(BITS, 8) // 8
    compressed = any(_is_compressed(page) for page in pages)
    check_claim(source, claimed, source.size, compressed, _LZW_LIMIT)
    images = re.search(r"^images=(\d+)", pages[0].text(DESCRIPTION), re.MULTILINE)
    if images and int(images[1]) > len(pages):
        raise source.error(f"ImageJ's description promises {images[1]} images, {len(pages)} can be read")


def _is_stack(pages: tuple[Page, ...]) -> bool:
    """Whether ImageJ's description says that the pages are slices of a volume."""
    slices = re.search(r"^slices=(\d+)", pages[0].text(DESCRIPTION), re.MULTILINE)
    return len(pages) > 1 and slices is not None and int(slices[1]) == len(pages)
