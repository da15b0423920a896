"""The inner loops of projector and back-projector, compiled where Numba is installed."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy.typing as npt

Engine: TypeAlias = Literal["auto", "numba", "numpy"]
"""Who computes: ``"auto"`` takes Numba where it is installed."""


class Loops(NamedTuple):
    """Compiled `project_views` and `back_project_views`."""

    project: Callable[..., None]
    back_project: Callable[..., None]


def loops_for(engine: Engine) -> Loops | None:
    """Return compiled loops, or None where NumPy is to do the work.

    Raises
    ------
    ImportError
        If Numba is asked for by name and is not installed.
    """
    if engine == "numpy":
        return None
    try:
        return _compiled()
    except ImportError:
        if engine == "numba":
            raise
        return None


@lru_cache(maxsize=1)
def _compiled() -> Loops:
    import numba

    def compile_(function: Callable[..., None]) -> Callable[..., None]:
        fast: Any = numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz", "arcp"})
        compiled: Callable[..., None] = fast(function)
        return compiled

    return Loops(compile_(project_views), compile_(back_project_views))


def project_views(
    lines: npt.NDArray[Any], starts: npt.NDArray[Any], slopes: npt.NDArray[Any], out: npt.NDArray[Any]
) -> None:
    """Sum linear interpolations along rays that cross the lines of an image.

    Parameters
    ----------
    lines : ndarray of float32, shape (n, m + 2)
        Rows (or columns) of the image with a zero at both ends.
    starts : ndarray of float64, shape (views, n)
        Where bin 0 crosses line j, in samples of the padded line.
    slopes : ndarray of float64, shape (views,)
        Samples from one bin to the next.
    out : ndarray of float32, shape (views, bins)
        Overwritten with sums of samples.
    """
    for v in range(out.shape[0]):
        out[v, :] = 0
        bins, last, slope = out.shape[1], lines.shape[1] - 1, slopes[v]
        for j in range(lines.shape[0]):
            start = starts[v, j]
            near, far = -start / slope, (last - start) / slope
            if slope < 0:
                near, far = far, near
            # Bins whose crossing lies strictly between the two zeros.
            low = max(0, math.floor(near) + 1)
            high = min(bins, math.ceil(far))
            for b in range(low, high):
                where = start + slope * b
                i = int(where)
                share = lines.dtype.type(where - i)
                out[v, b] += lines[j, i] + share * (lines[j, i + 1] - lines[j, i])


def back_project_views(
    filtered: npt.NDArray[Any],
    cosines: npt.NDArray[Any],
    sines: npt.NDArray[Any],
    middle: float,
    out: npt.NDArray[Any],
) -> None:
    """Add up, for every pixel, the samples of all views at its place.

    Parameters
    ----------
    filtered : ndarray of float32, shape (views, samples)
        Must reach over the whole image.
    cosines, sines : ndarray of float64, shape (views,)
        Samples from one column, and from one row, to the next.
    middle : float
        Sample at the middle of the image.
    out : ndarray of float32, shape (rows, columns)
        Overwritten.
    """
    rows, columns = out.shape
    out[:, :] = 0
    # A block of rows at a time: its pixels and the view stay in the first cache.
    for top in range(0, rows, 16):
        for v in range(filtered.shape[0]):
            for r in range(top, min(top + 16, rows)):
                start = middle + (r - 0.5 * (rows - 1)) * sines[v] - 0.5 * (columns - 1) * cosines[v]
                for c in range(columns):
                    where = start + c * cosines[v]
                    i = int(where)
                    share = filtered.dtype.type(where - i)
                    out[r, c] += filtered[v, i] + share * (filtered[v, i + 1] - filtered[v, i])
