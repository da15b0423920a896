"""Stored pixels to voxels in physical units."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from pydicom.encaps import generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import JPEGExtended12Bit

from quell.errors import InputError
from quell.formats.dicom.classify import is_lossy
from quell.formats.dicom.codestream import check_jpeg, declared_size
from quell.formats.dicom.colour import IntArray, Stored, keeps_colours, separate, through_palette
from quell.formats.dicom.decoders import decoding_plugin
from quell.formats.dicom.instance import FrameRef, Instance
from quell.formats.dicom.jpeg12 import decode_jpeg12
from quell.formats.dicom.layout import PixelLayout, pixel_layout
from quell.formats.dicom.padding import PaddingRule, outside_regions, padding_rule
from quell.formats.dicom.quiet import unheard
from quell.formats.dicom.rescale import Rescale, rescale_of, units_of
from quell.image import BoolArray, FloatArray, Modality

_FLOAT32_MAX = float(np.finfo(np.float32).max)
_FLOAT32_TINY = float(np.finfo(np.float32).tiny)
_FLOAT32_STEPS = 2.0**24


class ColourImage(InputError):
    """An image in colour, whose brightness alone must not be changed."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """The pixels of a stack.

    Attributes
    ----------
    voxels : ndarray of float32, shape (z, y, x)
    units : str
    padding : ndarray of bool, shape (z, y, x), or None
        True where there is no measurement, or a colour; None where all voxels are measured.
    """

    voxels: FloatArray
    units: str
    padding: BoolArray | None


def read_stack(instances: Sequence[Instance], frames: Sequence[FrameRef], modality: Modality) -> Decoded:
    """Decode frames of the same size into one array, in physical units.

    Parameters
    ----------
    instances : sequence of Instance
    frames : sequence of FrameRef
        The stored frame behind each z index.
    modality : Modality

    Raises
    ------
    InputError
        If a file is damaged or truncated, in colour, or its decoder is not installed.
    """
    first = pixel_layout(instances[frames[0].instance])
    shape = (len(frames), first.rows, first.columns)
    voxels, padding = np.empty(shape, np.float32), np.zeros(shape, bool)
    wanted: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for z, ref in enumerate(frames):
        wanted[ref.instance].append((ref.frame, z))
    for index, pairs in wanted.items():
        _read_instance(instances[index], sorted(pairs), modality, voxels, padding)
    units = units_of(instances[frames[0].instance].header, modality)
    return Decoded(voxels, units, padding if padding.any() else None)


def stored_frames(instance: Instance, frames: Sequence[int] | None = None) -> IntArray:
    """Return stored values, before any rescale; the luminance of an image stored in colour.

    Parameters
    ----------
    instance : Instance
    frames : sequence of int, optional
        Ascending, counted from 0; all by default.

    Returns
    -------
    ndarray of int, shape (frames, rows, columns)
        Unused high bits are cleared or follow the sign.
    """
    return np.stack([stored.values for stored in stored_pixels(instance, frames)])


def stored_pixels(instance: Instance, frames: Sequence[int] | None = None) -> Iterator[Stored]:
    """Yield frames as they are stored, before any rescale, with their colours.

    Parameters
    ----------
    instance : Instance
    frames : sequence of int, optional
        Ascending, counted from 0; all by default.
    """
    layout = pixel_layout(instance)
    chosen = list(range(layout.frames)) if frames is None else list(frames)
    yield from _iterate(instance, layout, chosen)


def _read_instance(
    instance: Instance,
    pairs: Sequence[tuple[int, int]],
    modality: Modality,
    voxels: FloatArray,
    padding: BoolArray,
) -> None:
    """Decode the frames (frame, z) of one instance into their places."""
    header, layout = instance.header, pixel_layout(instance)
    if (layout.rows, layout.columns) != voxels.shape[1:] or pairs[-1][0] >= layout.frames:
        raise InputError(instance.path, "has another size than the rest of its series")
    outside = outside_regions(header, layout.rows, layout.columns) if modality is Modality.US else None
    stored_iterator = _iterate(instance, layout, [frame for frame, _ in pairs])
    rules: dict[Rescale, PaddingRule] = {}
    for (frame, z), stored in zip(pairs, stored_iterator, strict=True):
        rescale = _rescale(instance, frame, layout)
        if rescale not in rules:
            rules[rescale] = padding_rule(header, modality, rescale)
        _to_units(stored.values, rescale, voxels[z])
        rules[rescale].mask(stored.values, padding[z])
        for unmeasured in (outside, stored.coloured):
            if unmeasured is not None:
                padding[z] |= unmeasured


def _rescale(instance: Instance, frame: int, layout: PixelLayout) -> Rescale:
    try:
        rescale = rescale_of(instance.header, frame)
    except ValueError as error:
        raise InputError(instance.path, str(error)) from error
    if abs(rescale.slope) * 2.0**layout.stored + abs(rescale.intercept) > _FLOAT32_MAX:
        raise InputError(instance.path, "RescaleSlope or RescaleIntercept is absurdly large")
    if abs(rescale.slope) < _FLOAT32_TINY or abs(rescale.intercept / rescale.slope) > _FLOAT32_STEPS:
        # In float32 neighbouring stored values would become one.
        raise InputError(instance.path, "RescaleSlope is absurdly small")
    return rescale


def _to_units(stored: IntArray, rescale: Rescale, out: FloatArray) -> None:
    """Write ``slope * stored + intercept`` into `out` in as few passes as it takes."""
    slope, intercept = np.float32(rescale.slope), np.float32(rescale.intercept)
    if slope == 1:
        np.add(stored, intercept, out=out, casting="same_kind")
        return
    np.multiply(stored, slope, out=out, casting="same_kind")
    if intercept != 0:
        out += intercept


def _iterate(instance: Instance, layout: PixelLayout, frames: Sequence[int]) -> Iterator[Stored]:
    syntax = layout.transfer_syntax
    plain = layout.samples == 1 and layout.photometric != "PALETTE COLOR"
    with instance.path.open("rb") as file:
        if plain and not layout.encapsulated and syntax.is_little_endian:
            yield from map(Stored, _iterate_plain(file, instance, layout, frames))
            return
        for values in _iterate_decoder(file, instance, layout, frames):
            yield Stored(values) if plain else _in_colour(values, instance, layout)


def _iterate_plain(
    file: BinaryIO, instance: Instance, layout: PixelLayout, frames: Sequence[int]
) -> Iterator[IntArray]:
    """Read uncompressed little-endian values of one sample per pixel."""
    kind = np.dtype(f"<{'i' if layout.signed else 'u'}{layout.allocated // 8}")
    count = layout.rows * layout.columns
    for frame in frames:
        file.seek(layout.pixels.offset + frame * layout.frame_bytes)
        values = np.fromfile(file, kind, count)
        if values.size < count:
            raise InputError(instance.path, f"truncated in frame {frame + 1}")
        yield _significant_bits(values, layout).reshape(layout.rows, layout.columns)


def _significant_bits(values: IntArray, layout: PixelLayout) -> IntArray:
    """Clear unused high bits, or make them follow the sign: they may hold anything (PS3.5 8.1.1)."""
    unused = layout.allocated - layout.stored
    if unused == 0:
        return values
    np.left_shift(values, unused, out=values)
    np.right_shift(values, unused, out=values)
    return values


def _iterate_decoder(
    file: BinaryIO, instance: Instance, layout: PixelLayout, frames: Sequence[int]
) -> Iterator[IntArray]:
    """Decode by pydicom's decoders: compressed, big-endian or colour pixels."""
    options = _decoder_options(file, instance, layout)
    offsets = options.get("extended_offsets")
    if layout.encapsulated:
        options["decoding_plugin"] = decoding_plugin(layout.transfer_syntax, instance.path)
    try:
        if layout.encapsulated:
            _check_codestreams(file, instance, layout, offsets)
        if layout.transfer_syntax == JPEGExtended12Bit and layout.allocated == 16:
            yield from unheard(_iterate_jpeg12(file, layout, frames, offsets))
            return
        file.seek(layout.pixels.offset)
        decoder = get_decoder(layout.transfer_syntax)
        for values, _ in unheard(decoder.iter_array(file, indices=frames, **options)):
            yield values.astype(values.dtype.newbyteorder("="), copy=False)
    except InputError:
        raise
    except Exception as error:
        # Decoders raise errors of every kind for damaged streams.
        raise InputError(instance.path, f"pixel data cannot be decoded ({type(error).__name__})") from error


def _iterate_jpeg12(
    file: BinaryIO, layout: PixelLayout, frames: Sequence[int], offsets: tuple[bytes, bytes] | None
) -> Iterator[IntArray]:
    file.seek(layout.pixels.offset)
    wanted = set(frames)
    streams = generate_frames(file, number_of_frames=layout.frames, extended_offsets=offsets)
    for number, stream in enumerate(streams):
        if number in wanted:
            values = decode_jpeg12(stream, layout.rows, layout.columns)
            yield _significant_bits(values.astype(np.int16 if layout.signed else np.uint16), layout)


def _decoder_options(file: BinaryIO, instance: Instance, layout: PixelLayout) -> dict[str, Any]:
    options: dict[str, Any] = {
        "rows": layout.rows,
        "columns": layout.columns,
        "number_of_frames": layout.frames,
        "samples_per_pixel": layout.samples,
        "bits_allocated": layout.allocated,
        "bits_stored": layout.stored,
        "pixel_representation": int(layout.signed),
        "photometric_interpretation": layout.photometric,
        "planar_configuration": layout.planar,
        "pixel_keyword": "PixelData",
    }
    if not layout.transfer_syntax.is_little_endian:
        # Big-endian bytes are swapped in pairs where they are written as words.
        file.seek(layout.pixels.offset - 8)
        options["pixel_vr"] = file.read(2).decode("ascii", "replace")
    offsets = instance.header.get("ExtendedOffsetTable"), instance.header.get("ExtendedOffsetTableLengths")
    if layout.encapsulated and all(offsets):
        options["extended_offsets"] = offsets
    return options


def _check_codestreams(
    file: BinaryIO, instance: Instance, layout: PixelLayout, offsets: tuple[bytes, bytes] | None
) -> None:
    """Compare what each compressed frame declares with the header, before unpacking."""
    to_gdcm = decoding_plugin(layout.transfer_syntax, instance.path) == "gdcm"
    if to_gdcm and layout.samples > 1:
        raise ColourImage(instance.path, "a colour image")
    file.seek(layout.pixels.offset)
    expected = layout.rows, layout.columns
    for frame in generate_frames(file, number_of_frames=layout.frames, extended_offsets=offsets):
        size = declared_size(frame)
        if size is not None and size != expected:
            reason = f"a compressed frame of {size[0]}x{size[1]} in an image of {expected[0]}x{expected[1]}"
            raise InputError(instance.path, reason)
        if to_gdcm:
            check_jpeg(frame, layout.allocated)


def _in_colour(values: IntArray, instance: Instance, layout: PixelLayout) -> Stored:
    if layout.photometric == "PALETTE COLOR":
        try:
            values = through_palette(values, instance.header)
        except Exception as error:
            raise InputError(instance.path, f"unreadable colour palette ({type(error).__name__})") from error
    stored = separate(values[..., :3], is_lossy(instance.header))
    if stored.coloured is not None and not keeps_colours(instance.header):
        raise ColourImage(instance.path, "a colour image")
    return stored
