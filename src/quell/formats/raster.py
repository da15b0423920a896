"""The PNG and JPEG door: single grey images of 8 and 16 bits without units and geometry.

A denoised PNG is a PNG of the same depth. JPEG is lossy, so its denoised image is written as PNG.
Residual and noise map are float32 TIFF: neither has a place in the range of unsigned integers.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

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
from quell.formats.png_chunks import PngHeader, kept_chunks, read_header, software, with_chunks
from quell.formats.source import Source, UnsuitableError, check_claim
from quell.formats.tiff_write import write_float_tiff
from quell.formats.voxels import Stored, check_output
from quell.image import Acquisition, BoolArray, FloatArray, Image, Modality

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

MAX_PIXELS = 2**26
"""Of one frame; the largest radiographs have a quarter of it."""
_FILE_LIMIT = 2**30
PILLOW_ERRORS = (OSError, SyntaxError, ValueError, EOFError, KeyError, TypeError, struct.error, zlib.error)
"""What Pillow may raise on a damaged file."""


@dataclass(frozen=True, eq=False)
class RasterSeries:
    """One PNG or JPEG file.

    A caller may set another modality with `dataclasses.replace`.

    Attributes
    ----------
    source : Source
    format : str
        ``"PNG"`` or ``"JPEG"``.
    rows, columns : int
    depth : int
        8 or 16 bits.
    modality : Modality
    notes : tuple of str
    """

    source: Source
    format: str
    rows: int
    columns: int
    depth: int
    modality: Modality = Modality.UNKNOWN
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The file name."""
        return self.source.name

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that it is made of."""
        return (self.source.path,)

    @property
    def shape(self) -> tuple[int, int, int]:
        """One frame, rows and columns."""
        return 1, self.rows, self.columns

    @property
    def volume(self) -> bool:
        """A single image has no neighbours."""
        return False

    def read(self) -> Image:
        """Decode the pixels; pixels that are fully transparent are padding.

        Raises
        ------
        InputError
            If the file is damaged or truncated, or turns out to be in colour.
        """
        try:
            grey, padding = _decode(self.source)
        except UnsuitableError as error:
            raise self.source.error(str(error)) from error
        if grey.shape != (self.rows, self.columns):
            raise self.source.error("damaged: its pixels are not as many as its header says")
        voxels = grey.astype(np.float32)[np.newaxis]
        return Image(
            voxels,
            self.modality,
            padding=None if padding is None else padding[np.newaxis],
            name=self.name,
            acquisition=Acquisition(bits=self.depth),
        )

    def write(
        self,
        voxels: FloatArray,
        out: Path,
        kind: OutputKind,
        provenance: Origin,
        options: WriteOptions,
    ) -> Written:
        """Write `voxels` as PNG of the source's depth, residual and noise map as float32 TIFF.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        check_output(voxels, self.shape, self.name)
        before = software(_content(self.source)) if self.format == "PNG" else ""
        note = described(kind, provenance, before)
        if not kind.like_source:
            path = derived_path(out, self.source, kind, provenance, ".tif")
            write_float_tiff(path, voxels, note)
            return Written((path,))
        dtype = np.dtype(np.uint16 if self.depth == 16 else np.uint8)
        pixels, clamped = Stored(dtype).encode(voxels[0])
        path = derived_path(out, self.source, kind, provenance, ".png")
        content = self._as_png(pixels, note)
        with atomic_file(path) as temporary:
            temporary.write_bytes(content)
        warnings = (
            ("PNG holds no floating-point values: written as integers",) if options.float_output else ()
        )
        return Written((path,), clamped, warnings)

    def _as_png(self, pixels: npt.NDArray[Any], note: str) -> bytes:
        """Return the file: the source's mode, transparency, resolution and texts, other grey values."""
        from PIL import Image as Pillow

        buffer = io.BytesIO()
        content = _content(self.source)
        with _opened(content, self.source) as original:
            grey = Pillow.fromarray(pixels)
            bands = len(original.getbands()) if self.format == "PNG" else 1
            if bands > 1:
                alpha = (original.getchannel("A"),) if bands in (2, 4) else ()
                merged = (grey,) * (bands - len(alpha)) + alpha
                grey = Pillow.merge(original.mode, merged)
            dpi = original.info.get("dpi") if self.format == "JPEG" else None
            grey.save(buffer, "PNG", **({"dpi": dpi} if dpi else {}))
        chunks = kept_chunks(content) if self.format == "PNG" else ()
        return with_chunks(buffer.getvalue(), chunks, note)


def open_png(source: Source, denoised: bool = False) -> RasterSeries:
    """Read the header of a PNG file; one in RGB is decoded to see whether it is grey.

    Parameters
    ----------
    source : Source
    denoised : bool
        Open what Quell denoised, too.

    Raises
    ------
    InputError
        If the file is damaged.
    UnsuitableError
        If it is in colour, has a palette, or is not of 8 or 16 bits.
    """
    content = _content(source)
    header = read_header(content[:26])
    if header is None:
        raise source.error("truncated: the header ends early")
    _check_size(source, header.height, header.width)
    _refuse_kinds(header)
    check_claim(
        source, header.width * header.height * header.channels * header.depth // 8, len(content), True
    )
    refuse_made(software(content), denoised)
    with _opened(content, source) as image:
        if getattr(image, "n_frames", 1) > 1:
            raise UnsuitableError("an animation")
    notes = (SIMULATED_NOTE,) if is_simulated(software(content)) else ()
    return _series(source, "PNG", header.height, header.width, header.depth, header.channels > 2, notes)


def _refuse_kinds(header: PngHeader) -> None:
    if header.colour == 3:
        raise UnsuitableError("has a palette: its values are colours, not intensities")
    if header.depth not in (8, 16):
        raise UnsuitableError(f"has {header.depth} bits a pixel: too few to be an image with noise")
    if header.depth == 16 and header.colour != 0:
        raise UnsuitableError("16-bit colour or transparency: only 16-bit grey is read")


def open_jpeg(source: Source) -> RasterSeries:
    """Read the header of a JPEG file; one in RGB is decoded to see whether it is grey.

    Raises
    ------
    InputError
        If the file is damaged.
    UnsuitableError
        If it is in colour.
    """
    content = _content(source)
    with _opened(content, source) as image:
        mode = image.mode
        turned = image.getexif().get(274, 1) in (5, 6, 7, 8)
        columns, rows = image.size[::-1] if turned else image.size
    _check_size(source, rows, columns)
    if mode not in ("L", "RGB"):
        raise UnsuitableError("in colour")
    lossy = "JPEG is lossy: its noise is no longer that of the detector; written as PNG"
    return _series(source, "JPEG", rows, columns, 8, mode == "RGB", (lossy,))


def _series(
    source: Source, kind: str, rows: int, columns: int, depth: int, rgb: bool, notes: tuple[str, ...] = ()
) -> RasterSeries:
    known = stated(source)
    if rgb:
        _decode(source)
    notes = (modality_note(known.modality, known.how), *notes)
    return RasterSeries(source, kind, rows, columns, depth, known.modality, notes)


def _check_size(source: Source, rows: int, columns: int) -> None:
    if not (rows > 0 and columns > 0 and rows * columns <= MAX_PIXELS):
        raise source.error(f"the header claims {rows} x {columns} pixels")


def _content(source: Source) -> bytes:
    if source.size > _FILE_LIMIT:
        raise source.error(f"too large: {source.size} bytes")
    try:
        return source.path.read_bytes()
    except OSError as error:
        raise source.error(f"cannot be read: {error.strerror}") from error


@contextmanager
def _opened(content: bytes, source: Source) -> Iterator[PillowImage]:
    """Open with Pillow; all that it raises on a damaged file becomes an `InputError`."""
    from PIL import Image as Pillow
    from PIL import UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            # Pillow warns of damage and then raises, which becomes our one line.
            warnings.simplefilter("ignore")
            with Pillow.open(io.BytesIO(content), formats=("PNG", "JPEG")) as image:
                yield image
    except UnidentifiedImageError as error:
        raise source.error("damaged: no decodable image") from error
    except (*PILLOW_ERRORS, Pillow.DecompressionBombError) as error:
        raise source.error(f"damaged: {error}") from error


def _decode(source: Source) -> tuple[npt.NDArray[Any], BoolArray | None]:
    """Return grey values and where the pixels are fully transparent.

    Raises
    ------
    UnsuitableError
        If red, green and blue differ.
    """
    from PIL import ImageOps

    with _opened(_content(source), source) as image:
        upright = ImageOps.exif_transpose(image) if image.format == "JPEG" else image
        pixels = np.asarray(upright)
        bands = upright.getbands()
    if pixels.ndim == 2:
        return pixels, None
    colours = pixels[..., : len(bands) - ("A" in bands)]
    if (colours != colours[..., :1]).any():
        raise UnsuitableError("in colour")
    clear: BoolArray = pixels[..., -1] == 0
    padding = clear if "A" in bands and clear.any() and not clear.all() else None
    return pixels[..., 0], padding
