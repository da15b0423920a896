"""Stored numbers to physical units and back, a few frames at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from quell.errors import OutputError
from quell.formats.source import READ_ERRORS, Source
from quell.image import FloatArray

_CHUNK = 4 * 2**20
_EXACT = 2**24
"""Up to here float32 holds every integer."""


class Readable(Protocol):
    """A stream of bytes."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True)
class Stored:
    """How physical values are stored: ``physical = slope * stored + inter``.

    Attributes
    ----------
    dtype : dtype
        With its byte order.
    slope, inter : float
    """

    dtype: np.dtype[Any]
    slope: float = 1.0
    inter: float = 0.0

    @property
    def scaled(self) -> bool:
        """Whether stored and physical values differ."""
        return (self.slope, self.inter) != (1.0, 0.0)

    def decode(self, stored: npt.NDArray[Any]) -> FloatArray:
        """Return physical values; those beyond the range of float32 become infinite."""
        with np.errstate(over="ignore", invalid="ignore"):
            if not self.scaled:
                return stored.astype(np.float32)
            return (stored.astype(np.float64) * self.slope + self.inter).astype(np.float32)

    def encode(self, values: FloatArray) -> tuple[npt.NDArray[Any], int]:
        """Return stored values, rounded to the nearest and clamped, and how many were clamped."""
        if self.dtype.kind == "f" and not self.scaled:
            return values.astype(self.dtype), 0
        numbers = (values.astype(np.float64) - self.inter) / self.slope
        if self.dtype.kind == "f":
            return numbers.astype(self.dtype), 0
        numbers = np.rint(numbers)
        low, high = _limits(self.dtype)
        clamped = int(np.count_nonzero((numbers < low) | (numbers > high)))
        return np.clip(numbers, low, high).astype(self.dtype), clamped


def _limits(dtype: np.dtype[Any]) -> tuple[float, float]:
    """Return the range of an integer type in float64, never beyond it."""
    info = np.iinfo(dtype)
    high = float(info.max)
    return float(info.min), high if int(high) <= info.max else float(np.nextafter(high, 0.0))


def bits_of(stored: Stored) -> int | None:
    """Return how many bits an integer type has; None for floating point, which no device stores."""
    return None if stored.dtype.kind == "f" else 8 * stored.dtype.itemsize


def float32_like(stored: Stored) -> Stored:
    """Return unscaled float32 in the byte order of `stored`."""
    return Stored(np.dtype(">f4" if stored.dtype.str.startswith(">") else "<f4"))


def read_voxels(stream: Readable, shape: tuple[int, int, int], stored: Stored, source: Source) -> FloatArray:
    """Read frames that lie one after the other, x fastest.

    Returns
    -------
    ndarray of float32, shape (z, y, x)

    Raises
    ------
    InputError
        If the bytes end early or are damaged, a value is not finite, or the memory does not suffice.
    """
    try:
        voxels = np.empty(shape, np.float32)
        for part in _chunks(voxels, stored.dtype.itemsize):
            raw = np.frombuffer(read_exactly(stream, part.size * stored.dtype.itemsize, source), stored.dtype)
            part[...] = stored.decode(raw).reshape(part.shape)
            require_finite(part, source)
    except MemoryError as error:
        raise source.error(f"{np.prod(shape, dtype=object) * 4} bytes of voxels exceed the memory") from error
    except READ_ERRORS as error:
        raise source.error(f"damaged: {error}") from error
    return voxels


def _chunks(voxels: FloatArray, itemsize: int) -> Iterator[FloatArray]:
    """Yield views of whole frames, a few MiB each."""
    frame = max(voxels[0].size * itemsize, 1)
    step = max(_CHUNK // frame, 1)
    for start in range(0, len(voxels), step):
        yield voxels[start : start + step]


def read_exactly(stream: Readable, size: int, source: Source) -> bytes:
    """Read `size` bytes or fail."""
    parts = []
    missing = size
    while missing:
        part = stream.read(min(missing, _CHUNK))
        if not part:
            raise source.error("truncated: the voxels end early")
        parts.append(part)
        missing -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def require_finite(values: FloatArray, source: Source) -> None:
    """Refuse NaN, infinity, and what became infinite in float32.

    Raises
    ------
    InputError
    """
    if not np.isfinite(values).all():
        raise source.error("holds values that are not finite (NaN, infinity or beyond float32)")


def write_voxels(write: Callable[[bytes], object], voxels: FloatArray, stored: Stored) -> int:
    """Encode `voxels` (z, y, x) and hand them to `write`; return how many values were clamped."""
    clamped = 0
    for part in _chunks(voxels, stored.dtype.itemsize):
        encoded, over = stored.encode(part)
        clamped += over
        write(encoded.tobytes())
    return clamped


def check_output(voxels: FloatArray, shape: tuple[int, int, int], name: str) -> None:
    """Refuse to write what does not fit the source.

    Raises
    ------
    ValueError
        If the shape is another one.
    OutputError
        If a value is not finite.
    """
    if voxels.shape != shape:
        raise ValueError(f"expected shape {shape}, got {voxels.shape}")
    if not np.isfinite(voxels).all():
        raise OutputError(name, "not written: the result holds values that are not finite")


def rounding_warnings(voxels: FloatArray, stored: Stored) -> tuple[str, ...]:
    """Warn where neighbouring stored integers are one and the same float32."""
    if stored.dtype.kind == "f":
        return ()
    largest = float(np.max(np.abs(voxels)))
    if largest < _EXACT * abs(stored.slope):
        return ()
    return ("stored integers beyond 16 777 216 are rounded to the precision of float32",)
