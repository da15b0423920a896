"""How the values of a derived series are stored: bits, scale, what has to be said about them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.valuerep import format_number_as_ds

from quell.formats.contracts import OutputKind
from quell.formats.dicom import tags
from quell.formats.dicom.colour import written_in_rgb
from quell.formats.dicom.iods import Iod, Rescaling, iod_of
from quell.formats.dicom.quantise import Storage
from quell.formats.dicom.rescale import Rescale
from quell.image import FloatArray, Modality

_WINDOWED = (Modality.CT, Modality.MR, Modality.PT)
_SAMPLE = 2_000_000


@dataclass(frozen=True)
class PixelPlan:
    """How the voxels of one derived series are stored.

    Attributes
    ----------
    storage : Storage
    scales : tuple of Rescale
        For each z index, what turns stored into physical values.
    stated : bool
        Whether the scales have to be written as rescale slope and intercept; otherwise those of
        the source hold, or there are none and `notes` and a real-world mapping say it in words.
    mapped : bool
        Whether the scale goes into a Real World Value Mapping, for want of a rescale.
    low : int or None
        A higher lower end of the range than that of the storage.
    keep_sum : bool
    window : tuple of float, optional
        Centre and width to write; None to keep the source's, or for a residual and a noise map, none.
    notes : tuple of str
        Said in the Derivation Description and to the user.
    """

    storage: Storage
    scales: tuple[Rescale, ...]
    stated: bool = False
    mapped: bool = False
    low: int | None = None
    keep_sum: bool = False
    window: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()


def source_storage(header: Dataset) -> Storage:
    """Return how the values that the reader gives are stored in an object like its source.

    A palette is replaced by the values or colours that it stands for.
    """
    allocated = tags.integer(header, "BitsAllocated") or 16
    stored = tags.integer(header, "BitsStored") or allocated
    if tags.word(header, "PhotometricInterpretation") == "PALETTE COLOR":
        if written_in_rgb(header):
            return Storage(8, 8, signed=False)
        descriptor = tags.numbers(header, "RedPaletteColorLookupTableDescriptor", 3)
        bits = 16 if descriptor is not None and descriptor[2] > 8 else 8
        return Storage(bits, bits, signed=False)
    return Storage(allocated, stored, tags.integer(header, "PixelRepresentation") == 1)


def plan_pixels(
    header: Dataset,
    modality: Modality,
    kind: OutputKind,
    voxels: FloatArray,
    sources: Sequence[Rescale],
) -> PixelPlan:
    """Decide how `voxels` are stored.

    Parameters
    ----------
    header : pydicom.Dataset
        Of the first source instance.
    modality : Modality
    kind : OutputKind
    voxels : ndarray of float32, shape (z, y, x)
    sources : sequence of Rescale
        For each z index, what turned the source's stored into physical values.
    """
    iod, storage = iod_of(header), source_storage(header)
    if kind.like_source:
        return _denoised(header, modality, voxels, tuple(sources), storage, iod)
    if kind is OutputKind.RESIDUAL:
        return _residual(voxels, tuple(sources), storage, iod)
    return _noise_map(voxels, storage, iod)


def decimal(value: float) -> float:
    """Return the number that a reader gets from `value` written as a decimal string of 16 characters."""
    return float(format_number_as_ds(float(value)))


def _denoised(
    header: Dataset,
    modality: Modality,
    voxels: FloatArray,
    sources: tuple[Rescale, ...],
    storage: Storage,
    iod: Iod,
) -> PixelPlan:
    """Keep everything as in the source, but widen the slope of a PET slice that would not fit."""
    scales = sources
    if iod.rescaling is Rescaling.SLOPE:
        scales = tuple(_wide_enough(s, v, storage) for s, v in zip(sources, voxels, strict=True))
    counts = modality is Modality.NM
    reconstructed = "RECON" in " ".join(tags.words(header, "ImageType"))
    return PixelPlan(
        storage,
        scales,
        stated=scales != sources,
        low=0 if counts and not reconstructed else None,
        keep_sum=counts,
        window=_missing_window(header, modality, voxels),
    )


def _wide_enough(source: Rescale, voxels: FloatArray, storage: Storage) -> Rescale:
    """Return the source's rescale, or one with a slope in which the greatest value can be stored."""
    most = float(voxels.max())
    if source.slope <= 0 or not math.isfinite(most) or most <= source.slope * storage.high + source.intercept:
        return source
    return Rescale(decimal((most - source.intercept) / storage.high), source.intercept)


def _missing_window(header: Dataset, modality: Modality, voxels: FloatArray) -> tuple[float, float] | None:
    """Return a window over nearly all values where the source has neither window nor lookup table."""
    has_one = any(
        key in header for key in ("WindowCenter", "VOILUTSequence", "PerFrameFunctionalGroupsSequence")
    )
    if has_one or modality not in _WINDOWED:
        return None
    low, high = np.percentile(_sample(voxels), (0.5, 99.5))
    return _window(float(low + high) / 2, float(high - low))


def _window(centre: float, width: float) -> tuple[float, float] | None:
    """Return a window, or None where it would be narrower than 1, the least allowed (C.11.2.1.2.1)."""
    return (float(f"{centre:.6g}"), float(f"{width:.6g}")) if width >= 1 else None


def _residual(voxels: FloatArray, sources: tuple[Rescale, ...], storage: Storage, iod: Iod) -> PixelPlan:
    """Make room for negative values: by the intercept, by signed storage, or by an offset in words."""
    extent = max(float(voxels.max()), -float(voxels.min()))
    spread = 6 * float(_sample(voxels).std())
    if iod.rescaling is not Rescaling.FULL and not iod.signed:
        return _offset_residual(spread, len(sources), storage)
    if iod.rescaling is not Rescaling.FULL:
        bits = max(storage.bits_allocated, 16)
        storage = Storage(bits, bits, signed=True)
    if iod.rescaling is Rescaling.NONE:
        return PixelPlan(storage, (Rescale(),) * len(sources), window=_window(0.0, spread))
    middle = 0 if storage.signed else 1 << (storage.bits_stored - 1)
    scales = tuple(_centred(source.slope, extent, storage, middle) for source in sources)
    return PixelPlan(storage, scales, stated=True, window=_window(0.0, spread))


def _offset_residual(spread: float, count: int, storage: Storage) -> PixelPlan:
    middle = 1 << (storage.bits_stored - 1)
    return PixelPlan(
        storage,
        (Rescale(1.0, -float(middle)),) * count,
        mapped=True,
        window=_window(float(middle), spread),
        notes=(f"Residual = stored value - {middle}.",),
    )


def _centred(slope: float, extent: float, storage: Storage, middle: int) -> Rescale:
    """Return a rescale in which 0 lies at the stored value `middle` and `extent` fits on both sides."""
    room = storage.high - middle
    if extent > abs(slope) * room:
        slope = nice_step(extent / room)
    return Rescale(decimal(slope), decimal(-slope * middle))


def _noise_map(voxels: FloatArray, storage: Storage, iod: Iod) -> PixelPlan:
    """Use the whole range of the storage: a map of a few units would be all steps otherwise."""
    most = float(voxels.max())
    step = nice_step(most / storage.high) if most > 0 and math.isfinite(most) else 1.0
    stated = iod.rescaling is not Rescaling.NONE
    top = float(np.percentile(_sample(voxels), 99.5)) / (1.0 if stated else step)
    notes = () if stated else (f"Noise standard deviation = stored value x {step:g}.",)
    return PixelPlan(
        storage,
        (Rescale(step, 0.0),) * len(voxels),
        stated=stated,
        mapped=not stated,
        low=0,
        window=_window(top / 2, top),
        notes=notes,
    )


def nice_step(least: float) -> float:
    """Return the smallest of 1, 2, 5 times a power of ten that is not below `least`: exact in text."""
    power = 10.0 ** math.floor(math.log10(least))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-12))
    return decimal(float(f"{step:.0e}"))


def _sample(voxels: FloatArray) -> npt.NDArray[np.float32]:
    """Return about `_SAMPLE` of the voxels, evenly spread."""
    sampled: npt.NDArray[np.float32] = voxels.reshape(-1)[:: max(1, voxels.size // _SAMPLE)]
    return sampled
