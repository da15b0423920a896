"""Find the plain parts of an image, in which nothing but noise varies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quell.evaluation.metrics.contracts import Values
from quell.filters.level import foreground
from quell.image import BoolArray, FloatArray, Image
from quell.noise.flat import block_statistics

SIDES = (64, 32, 16)
"""Sides of the squares that are tried, in pixels; the larger, the finer the spectrum."""
ENOUGH = 8
"""Squares that have to be found before a larger side is taken."""

_SLICES = 24
_FEWEST = 2
_QUIET = 0.2
_QUANTILE_OF_WHITE = 0.924
_PLAIN = 1.5
_TRACE = 0.1
_BELOW = 5.0


@dataclass(frozen=True, eq=False)
class PlainParts:
    """Squares of an image in which nothing but noise varies.

    Attributes
    ----------
    side : int
        Of the squares, in pixels.
    slices : tuple of int
        Which slices were looked at, evenly spaced, so that few neighbours share their noise.
    mask : ndarray of bool, shape (slices, y, x)
        The union of the squares in those slices.
    corners : tuple of (int, int, int)
        Slice of the image, row and column of the first pixel of each square.
    """

    side: int
    slices: tuple[int, ...]
    mask: BoolArray
    corners: tuple[tuple[int, int, int], ...]


def plain_parts(image: Image, noisier: Image | None = None) -> PlainParts | None:
    """Find squares of the patient that are plain.

    A square counts if its standard deviation around a polynomial of second order is at most 1.5 times the
    noise level of the quiet parts, and all of it shows the patient. Anatomy fainter than the noise
    stays unseen: look in the quietest image there is.

    Parameters
    ----------
    image : Image
        Where to look.
    noisier : Image, optional
        The image that is measured; a tenth of its noise may vary besides. So that an image without any
        noise can be looked at.

    Returns
    -------
    PlainParts or None
        None where not even two squares of 16 x 16 pixels are plain.
    """
    depth = image.shape[0]
    slices = tuple(int(z) for z in np.unique(np.linspace(0, depth - 1, min(depth, _SLICES)).astype(int)))
    level = _quiet(image, slices)
    trace = 0.0 if noisier is None else _TRACE * _quiet(noisier, slices)
    most = max(_PLAIN * level, trace)
    floor = foreground(image)[0] - _BELOW * level
    found = None
    for side in SIDES:
        corners = [
            (z, y, x) for z in slices for y, x in _squares(image, z, side, most, floor, foreground(image)[0])
        ]
        if len(corners) >= _FEWEST:
            found = _parts(image, side, slices, corners)
        if len(corners) >= ENOUGH:
            return found
    return found


def _parts(
    image: Image, side: int, slices: tuple[int, ...], corners: list[tuple[int, int, int]]
) -> PlainParts:
    mask = np.zeros((len(slices), *image.shape[1:]), np.bool_)
    for z, y, x in corners:
        mask[slices.index(z), y : y + side, x : x + side] = True
    return PlainParts(side, slices, mask, tuple(corners))


def _quiet(image: Image, slices: tuple[int, ...]) -> float:
    """Return the noise level of the quiet fifth of the patient, constant parts among it."""
    floor = foreground(image)[0]
    found = [block_statistics(image, z) for z in slices]
    mean, sd = (np.concatenate([one[k] for one in found]) for k in (0, 1))
    inside = sd[mean > floor]
    return float(np.quantile(inside, _QUIET)) / _QUANTILE_OF_WHITE if inside.size else 0.0


def _squares(
    image: Image, z: int, side: int, most: float, lowest: float, floor: float
) -> list[tuple[int, int]]:
    rows, columns = image.shape[1:]
    if min(rows, columns) < side:
        return []
    step = side // 2
    pixels = image.voxels[z]
    windows = _windows(pixels, side, step)
    usable = (windows.min(axis=(2, 3)) > lowest) & (windows.mean(axis=(2, 3)) > floor)
    if image.padding is not None:
        usable &= ~_windows(image.padding[z], side, step).any(axis=(2, 3))
    places = np.argwhere(usable)
    if not len(places):
        return []
    sd = _detrended(windows[usable].reshape(len(places), -1).astype(np.float64), side)
    return [(int(y) * step, int(x) * step) for (y, x), s in zip(places, sd, strict=True) if 0 < s <= most]


def _windows(pixels: FloatArray | BoolArray, side: int, step: int) -> npt.NDArray[np.generic]:
    every = np.lib.stride_tricks.sliding_window_view(pixels, (side, side))
    return every[::step, ::step]


def _detrended(squares: Values, side: int) -> Values:
    t = np.linspace(-1, 1, side)
    y, x = np.meshgrid(t, t, indexing="ij")
    terms = np.stack([y**i * x**j for i in range(3) for j in range(3 - i)]).reshape(6, -1)
    basis = np.linalg.qr(terms.T)[0]
    rest = squares - (squares @ basis) @ basis.T
    return np.asarray(np.sqrt((rest**2).sum(axis=1) / (side**2 - 6)), np.float64)
