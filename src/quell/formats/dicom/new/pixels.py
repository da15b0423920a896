"""How the voxels of a new object are stored: the finest steps that hold all of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

from quell.errors import OutputError
from quell.formats.dicom.new.phantom import decimal_string
from quell.formats.dicom.pixelplan import decimal, nice_step
from quell.formats.dicom.quantise import Storage, StoredArray, quantise
from quell.formats.dicom.rescale import Rescale
from quell.image import FloatArray, Image, Modality

_BYTE = 255
_BYTES = Storage(8, 8, signed=False)
_SCALED = (
    "stored with a rescale slope, which ultrasound objects do not provide for: other readers may show the "
    "stored values"
)


@dataclass(frozen=True)
class NewPixels:
    """The stored values of an image.

    Attributes
    ----------
    storage : Storage
    frames : tuple of ndarray of int, shape (y, x)
    scales : tuple of Rescale
        For each frame, what turns stored into physical values.
    clamped : int
    warnings : tuple of str
    """

    storage: Storage
    frames: tuple[StoredArray, ...]
    scales: tuple[Rescale, ...]
    clamped: int
    warnings: tuple[str, ...] = ()

    @property
    def rescaled(self) -> bool:
        """Whether stored and physical values differ."""
        return any(scale != Rescale() for scale in self.scales)


def new_pixels(image: Image) -> NewPixels:
    """Return the stored values of an image.

    Integers are stored as they are where they fit. Other values get steps of 1, 2 or 5 times a power
    of ten, PET a slope of its own for each slice. Grey values of ultrasound and radiographs, which have no
    place for a scale (PS3.3 C.8.5.6, C.8.11.3), are rounded.

    Raises
    ------
    OutputError
        If the values have no place in an object of the modality.
    """
    if not np.isfinite(image.voxels).all():
        raise OutputError(image.name, "not written: it holds values that are not finite")
    if image.modality in (Modality.US, Modality.XR):
        return _rounded(image)
    storage = _storage(image)
    if image.modality is Modality.PT:
        scales = tuple(_slope(frame, storage) for frame in image.voxels)
    else:
        scales = (_scale(image.voxels, storage),) * image.shape[0]
    return _quantised(image, storage, scales)


def describe(ds: Dataset, pixels: NewPixels, photometric: str = "MONOCHROME2") -> None:
    """Enter the Image Pixel module (PS3.3 C.7.6.3)."""
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, photometric
    ds.Rows, ds.Columns = pixels.frames[0].shape
    storage = pixels.storage
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = (
        storage.bits_allocated,
        storage.bits_stored,
        storage.bits_stored - 1,
    )
    ds.PixelRepresentation = int(storage.signed)


def rescale(ds: Dataset, scale: Rescale, kind: str) -> None:
    """Enter slope and intercept; `kind` is the Rescale Type, empty for none."""
    ds.RescaleIntercept, ds.RescaleSlope = decimal_string(scale.intercept), decimal_string(scale.slope)
    if kind:
        ds.RescaleType = kind


def window(ds: Dataset, voxels: FloatArray) -> None:
    """Enter a window over nearly all values."""
    low, high = np.percentile(voxels, (0.5, 99.5))
    # PS3.3 C.11.2.1.2.1: the width is at least 1.
    centre, width = f"{(low + high) / 2:.6g}", f"{max(high - low, 1.0):.6g}"
    ds.WindowCenter, ds.WindowWidth = centre, width


def _storage(image: Image) -> Storage:
    """Return 16 bits, signed where the modality's values are, or these are."""
    signed = image.modality in (Modality.CT, Modality.PT) or float(image.voxels.min()) < 0
    return Storage(16, 16, signed)


def _scale(voxels: FloatArray, storage: Storage) -> Rescale:
    extent = float(np.abs(voxels).max())
    if extent <= storage.high and _are_integers(voxels):
        return Rescale()
    return Rescale(nice_step(extent / storage.high) if extent > 0 else 1.0)


def _slope(frame: FloatArray, storage: Storage) -> Rescale:
    extent = float(np.abs(frame).max())
    if extent == 0:
        return Rescale()
    # Rounded up: the greatest value has to fit, whatever the digits that the text drops.
    return Rescale(decimal(float(f"{extent / storage.high * (1 + 1e-6):.9g}")))


def _rounded(image: Image) -> NewPixels:
    low, most = float(image.voxels.min()), float(image.voxels.max())
    if image.modality is Modality.US and not (low >= 0 and most <= _BYTE):
        return _scaled_ultrasound(image, low, most)
    if low < 0:
        raise OutputError(image.name, "values below 0 have no place in a radiograph")
    storage = _BYTES if image.modality is Modality.US else Storage(16, _bits(image, most), signed=False)
    warnings = () if _are_integers(image.voxels) else ("values were rounded to whole numbers",)
    done = _quantised(image, storage, (Rescale(),) * image.shape[0])
    return NewPixels(storage, done.frames, done.scales, done.clamped, warnings)


def _scaled_ultrasound(image: Image, low: float, most: float) -> NewPixels:
    """Return what is no grey value, such as echo levels in dB, in 256 steps."""
    intercept = float(np.floor(low))
    scale = Rescale(nice_step((most - intercept) / _BYTE), intercept)
    done = _quantised(image, _BYTES, (scale,) * image.shape[0])
    return NewPixels(_BYTES, done.frames, done.scales, done.clamped, (_SCALED,))


def _bits(image: Image, most: float) -> int:
    """Return the bits that a radiograph needs, 6 to 16 (PS3.3 C.8.11.3), as told if they suffice."""
    needed = max(6, math.ceil(math.log2(max(most, 1) + 1)))
    return min(16, max(needed, image.acquisition.bits or 12))


def _quantised(image: Image, storage: Storage, scales: tuple[Rescale, ...]) -> NewPixels:
    done = [quantise(frame, scale, storage) for frame, scale in zip(image.voxels, scales, strict=True)]
    return NewPixels(storage, tuple(one.stored for one in done), scales, sum(one.clamped for one in done))


def _are_integers(voxels: FloatArray) -> bool:
    return bool(np.array_equal(voxels, np.rint(voxels)))
