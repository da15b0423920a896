"""Width of the images of points and lines: FWHM and FWTM, for nuclear medicine and ultrasound."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from quell.errors import QuellError
from quell.evaluation.metrics.contracts import Values
from quell.image import FloatArray

HALF, TENTH = 0.5, 0.1


class Widths(NamedTuple):
    """Full widths of a profile at half and at a tenth of its maximum, in mm; NaN where it ends before."""

    fwhm: float
    fwtm: float


def widths(profile: Values, spacing: float = 1.0, *, background: float = 0.0) -> Widths:
    """Return the full width of a peak at half and at a tenth of its maximum.

    NEMA NU 1 and NU 2: the maximum is that of a parabola through the highest sample and its two neighbours,
    the crossings are interpolated linearly. In ultrasound a profile of the envelope gives the width at -6 dB
    as FWHM and at -20 dB as FWTM.

    Parameters
    ----------
    profile : ndarray, shape (n,)
        Linear values, not log-compressed.
    spacing : float
        Distance of the samples in mm; NEMA asks for a tenth of the FWHM at most; with a third of it
        the width of a Gaussian peak comes out 2 to 3 % too large.
    background : float
        Taken off first.

    Raises
    ------
    QuellError
        If there is no peak inside the profile, or a value is not finite.
    """
    values = np.asarray(profile, np.float64) - background
    if values.ndim != 1 or not np.isfinite(values).all():
        raise QuellError("a width needs a line of finite values")
    top = int(values.argmax())
    if values.size < 3 or top in (0, values.size - 1) or values[top] <= 0:
        raise QuellError("the profile has no peak inside")
    before, at, after = values[top - 1 : top + 2]
    bend = before - 2 * at + after
    height = at - (before - after) ** 2 / (8 * bend) if bend < 0 else at
    return Widths(*(_width(values, top, share * height) * spacing for share in (HALF, TENTH)))


def point_widths(
    pixels: FloatArray | Values,
    near: tuple[float, float],
    spacing: tuple[float, float],
    *,
    reach: int = 12,
    band: int = 3,
    background: float = 0.0,
) -> tuple[Widths, Widths]:
    """Return the widths of the image of a point along the rows and along the columns.

    Parameters
    ----------
    pixels : ndarray, shape (y, x)
    near : tuple of float
        Row and column near the point.
    spacing : tuple of float
        Pixel height and width in mm.
    reach : int
        Pixels to either side that are looked at.
    band : int
        Lines beside the middle one that are summed; NEMA sums over about two FWHM.
    background : float
        Value of a pixel without source.

    Returns
    -------
    tuple of Widths
        Of the profile along y, and of that along x.
    """
    row, column = (round(c) for c in near)
    rows, columns = pixels.shape
    top, left = max(row - reach, 0), max(column - reach, 0)
    part = np.asarray(pixels[top : row + reach + 1, left : column + reach + 1], np.float64) - background
    if part.size == 0 or row >= rows or column >= columns:
        raise QuellError(f"the point at {near} lies outside the image")
    y, x = np.unravel_index(int(part.argmax()), part.shape)
    along_y = part[:, max(x - band, 0) : x + band + 1].sum(axis=1)
    along_x = part[max(y - band, 0) : y + band + 1].sum(axis=0)
    return widths(along_y, spacing[0]), widths(along_x, spacing[1])


def line_widths(
    pixels: FloatArray | Values, axis: int, spacing: float, *, background: float = 0.0
) -> tuple[Widths, ...]:
    """Return the widths of the image of a line source, one for each row or column that it crosses.

    Parameters
    ----------
    pixels : ndarray, shape (y, x)
        A part of an image that shows one line, nearly along an axis.
    axis : int
        0 where the line runs along the columns (profiles are rows), 1 where it runs along the rows.
    spacing : float
        Distance of pixels across the line, mm.
    background : float
    """
    profiles = pixels if axis == 0 else np.swapaxes(pixels, 0, 1)
    return tuple(widths(one, spacing, background=background) for one in profiles)


def _width(values: Values, top: int, level: float) -> float:
    left, right = np.flatnonzero(values[:top] < level), np.flatnonzero(values[top:] < level)
    if left.size == 0 or right.size == 0:
        return float("nan")
    i, j = int(left[-1]), int(right[0]) + top
    start = i + (level - values[i]) / (values[i + 1] - values[i])
    end = j - (level - values[j]) / (values[j - 1] - values[j])
    return float(end - start)
