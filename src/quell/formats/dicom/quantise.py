"""Physical values to stored integers: rounded, clamped, padding kept bit for bit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quell.formats.dicom.rescale import Rescale
from quell.image import BoolArray, FloatArray

StoredArray = npt.NDArray[np.integer]

_GOLDEN = 0.6180339887498949
_FLOAT32_STEPS = 2**17
"""Up to this many stored units from zero, float32 finds the nearest integer without doubt."""


@dataclass(frozen=True)
class Storage:
    """How integers are kept in a file (PS3.3 C.7.6.3)."""

    bits_allocated: int
    bits_stored: int
    signed: bool

    @property
    def low(self) -> int:
        """The least value that can be stored."""
        return -(1 << (self.bits_stored - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        """The greatest value that can be stored."""
        return (1 << (self.bits_stored - int(self.signed))) - 1

    @property
    def dtype(self) -> np.dtype[np.integer]:
        """The little-endian type that holds one value."""
        return np.dtype(f"<{'i' if self.signed else 'u'}{self.bits_allocated // 8}")


@dataclass(frozen=True)
class Padding:
    """The stored values, both ends included, that mean "nothing measured here" (PS3.3 C.7.5.1.1.2)."""

    first: int
    last: int


@dataclass(frozen=True)
class Quantised:
    """Stored values of one frame, and how many of them had to be clamped."""

    stored: StoredArray
    clamped: int = 0


def quantise(
    values: FloatArray,
    source: Rescale,
    storage: Storage,
    *,
    target: Rescale | None = None,
    padding: Padding | None = None,
    low: int | None = None,
    keep_sum: bool = False,
) -> Quantised:
    """Turn physical values into stored ones.

    Values that are unchanged since they were read come back as the integers that they were.

    Parameters
    ----------
    values : ndarray of float32, shape (y, x)
    source : Rescale
        By which the values were read.
    storage : Storage
    target : Rescale, optional
        By which they will be read from the new file; the source's own if not given.
    padding : Padding, optional
        A voxel that is exactly a padding value of the source keeps its stored value; any other
        that would come to lie on one is moved to the next value beside it, for "no pixels in the
        native image will have a value equal to Pixel Padding Value".
    low : int, optional
        A higher lower end than that of the storage (0 for counts).
    keep_sum : bool
        Round so that the sums of neighbouring pixels stay, see `round_keeping_sums`.

    Raises
    ------
    ValueError
        If a value is not finite.
    """
    target = target or source
    steps = _in_steps(values, target, storage)
    low = storage.low if low is None else low
    clamped = _clamp(steps, low, storage.high)
    rounded = round_keeping_sums(steps) if keep_sum else np.rint(steps, out=steps)
    # Keeping sums may carry one unit past the end of the range.
    if keep_sum:
        np.clip(rounded, low, storage.high, out=rounded)
    stored = rounded.astype(storage.dtype)
    if padding is not None:
        _settle_padding(stored, values, source, storage, padding, same=target == source)
    return Quantised(stored, clamped)


def round_keeping_sums(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Round counts so that the sum over every stretch of a row stays within one count.

    Rounding to the nearest integer turns a denoised background of 0.3 counts a pixel into
    nothing and loses its activity. Here each row is rounded by its running sum, so that 3 pixels
    of 10 get one count. The rows start at multiples of the golden ratio, the offsets that keep
    the ones of neighbouring rows farthest apart, so that they make no stripes.
    Integers stay as they are.
    """
    running = np.cumsum(values, axis=-1, dtype=np.float64)
    starts = np.mod(0.5 + _GOLDEN * np.arange(values.shape[-2]), 1.0)[:, None]
    return np.diff(np.floor(running + starts), axis=-1, prepend=0.0)


def _in_steps(values: FloatArray, scale: Rescale, storage: Storage) -> npt.NDArray[np.floating]:
    """Return the values in units of the stored integers, not yet rounded, as a fresh array."""
    far = max(abs(scale.intercept / scale.slope), 2.0**storage.bits_stored) > _FLOAT32_STEPS
    dtype = np.float64 if far else np.float32
    steps: npt.NDArray[np.floating] = np.subtract(values, dtype(scale.intercept), dtype=dtype)
    if scale.slope != 1.0:
        steps /= dtype(scale.slope)
    return steps


def _clamp(steps: npt.NDArray[np.floating], low: int, high: int) -> int:
    """Limit `steps` in place to what rounds into the range; return how many were outside."""
    least, most = float(steps.min()), float(steps.max())
    if not (np.isfinite(least) and np.isfinite(most)):
        raise ValueError("voxels must be finite numbers")
    if least >= low and most <= high:
        return 0
    outside = int(np.count_nonzero((steps < low - 0.5) | (steps > high + 0.5)))
    np.clip(steps, low, high, out=steps)
    return outside


def _settle_padding(
    stored: StoredArray, values: FloatArray, source: Rescale, storage: Storage, padding: Padding, same: bool
) -> None:
    """Give padding its own stored values, and move every other pixel off them, in place."""
    within = (stored >= padding.first) & (stored <= padding.last)
    if same and not within.any():
        return
    exact = values.astype(np.float64) if padding.first != padding.last else values
    is_padding = _is_padding(exact, source, padding)
    if not same:
        steps = (values[is_padding] - source.intercept) / source.slope
        stored[is_padding] = np.rint(steps).astype(storage.dtype)
    collides = np.flatnonzero(within & ~is_padding)
    if collides.size:
        steps = (values.reshape(-1)[collides].astype(np.float64) - source.intercept) / source.slope
        stored.reshape(-1)[collides] = _beside(steps, storage, padding)


def _is_padding(values: npt.NDArray[np.floating], source: Rescale, padding: Padding) -> BoolArray:
    """Whether a value is what reading a padding value gives, and not merely near to it."""
    tolerance = _read_error(source, padding)
    if padding.first == padding.last:
        expected = np.float32(source.slope * padding.first + source.intercept)
        near: BoolArray = np.abs(values - expected) <= np.float32(tolerance * abs(source.slope))
        return near
    steps = (values - source.intercept) / source.slope
    nearest = np.rint(steps)
    within: BoolArray = (nearest >= padding.first) & (nearest <= padding.last)
    within &= np.abs(steps - nearest) <= tolerance
    return within


def _read_error(source: Rescale, padding: Padding) -> float:
    """Return how far, in stored units, float32 may move a padding value when it is read."""
    extent = max(abs(padding.first), abs(padding.last)) + abs(source.intercept / source.slope)
    return float(min(4 * float(np.finfo(np.float32).eps) * extent, 0.25))


def _beside(exact: npt.NDArray[np.float64], storage: Storage, padding: Padding) -> npt.NDArray[np.int64]:
    """Return the nearest value beside the padding that can be stored."""
    upwards = exact >= (padding.first + padding.last) / 2
    if padding.first <= storage.low:
        upwards = np.ones_like(upwards)
    elif padding.last >= storage.high:
        upwards = np.zeros_like(upwards)
    return np.where(upwards, padding.last + 1, padding.first - 1)
