"""What the scenes of several tasks share: where a signal may lie, images from arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from quell.errors import QuellError
from quell.evaluation.tasks.task import Scene, Site
from quell.image import BoolArray, FloatArray, Geometry, Image, Modality
from quell.phantoms.uniform import disc_coverage

NEEDS_SCIPY = "drawing anatomy needs SciPy: pip install 'quell[lab]'"

_ATTEMPTS = 2000
_REDRAWS = 50


def truth_image(
    voxels: npt.NDArray[Any],
    modality: Modality,
    units: str,
    spacing: tuple[float, float, float],
    name: str,
) -> Image:
    """Return an object as an image that knows its spacing."""
    values = np.ascontiguousarray(voxels, np.float32)
    geometry = Geometry(spacing=spacing, known=True)
    return Image(values, modality, units, geometry, volume=len(values) > 1, name=name)


def body(shape: tuple[int, int, int], radius: float, value: float, around: float) -> FloatArray:
    """Draw a round body in the middle of every slice; radius in pixels."""
    plane = around + (value - around) * disc_coverage((shape[1], shape[2]), radius)
    return np.broadcast_to(plane.astype(np.float32), shape).copy()


def ring_of_sites(shape: tuple[int, int, int], radius: float, count: int) -> tuple[Site, ...]:
    """Return sites at equal angles around the middle of the middle slice; radius in pixels."""
    angles = 2 * np.pi * (np.arange(count) + 0.5) / count
    rows = np.rint((shape[1] - 1) / 2 + radius * np.sin(angles)).astype(int)
    columns = np.rint((shape[2] - 1) / 2 + radius * np.cos(angles)).astype(int)
    return tuple((shape[0] // 2, int(y), int(x)) for y, x in zip(rows, columns, strict=True))


def grid_of_sites(shape: tuple[int, int, int], step: int) -> tuple[Site, ...]:
    """Return sites on a square grid of the middle slice, `step` pixels apart and from the border."""
    rows, columns = (
        np.arange(n // step - 1) * step + (n - (n // step - 2) * step) // 2 for n in (shape[1], shape[2])
    )
    return tuple((shape[0] // 2, int(y), int(x)) for y in rows for x in columns)


def pick_sites(
    allowed: BoolArray, count: int, apart: float, border: int, rng: np.random.Generator
) -> tuple[tuple[int, int], ...]:
    """Draw pixels of a mask that lie apart from each other and from the border.

    Parameters
    ----------
    allowed : ndarray of bool, shape (rows, columns)
    count : int
    apart : float
        Least distance along rows or columns, in pixels, so that squares of this side do not overlap.
    border : int
        Pixels along the border that are left out.
    rng : numpy.random.Generator

    Returns
    -------
    tuple of (row, column)
        Fewer than `count` where no more were found.
    """
    inner = np.zeros_like(allowed)
    inner[border : allowed.shape[0] - border, border : allowed.shape[1] - border] = True
    candidates = np.argwhere(allowed & inner)
    found: list[tuple[int, int]] = []
    for row, column in rng.permutation(candidates)[:_ATTEMPTS]:
        if all(max(abs(row - y), abs(column - x)) >= apart for y, x in found):
            found.append((int(row), int(column)))
        if len(found) == count:
            break
    return tuple(found)


def quiet(values: FloatArray, side: int) -> npt.NDArray[np.float64]:
    """Return the standard deviation in a square around each pixel; infinite near the border.

    Parameters
    ----------
    values : ndarray, shape (rows, columns)
    side : int
        Odd; pixels along a side of the square.
    """
    centred = values.astype(np.float64) - float(values.mean())
    spread = np.full(values.shape, np.inf)
    windows = np.lib.stride_tricks.sliding_window_view
    sums = [windows(windows(c, side, 0).sum(-1), side, 1).sum(-1) for c in (centred, centred**2)]
    mean, square = sums[0] / side**2, sums[1] / side**2
    half = side // 2
    inner = slice(half, -half or None)
    spread[inner, inner] = np.sqrt(np.maximum(square - mean**2, 0))
    return spread


def redrawn(
    draw: Callable[[np.random.Generator], Scene | None], rng: np.random.Generator, what: str
) -> Scene:
    """Draw anatomies until one has room for the signals.

    Raises
    ------
    QuellError
        If SciPy is not installed, or no anatomy of many has room.
    """
    for _ in range(_REDRAWS):
        try:
            scene = draw(rng)
        except ImportError as error:
            raise QuellError(NEEDS_SCIPY) from error
        if scene is not None:
            return scene
    raise QuellError(f"no {what} of {_REDRAWS} has room for the signals: the image is too small for them")
