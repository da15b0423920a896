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
_ROUGH = 1.6
_TRACE = 0.1
_BELOW = 5.0
_BLOCK = 8
_BEST = 5
_WHITE = 0.97
_LIMIT = 1.02
_GROWTH = {16: 3.5, 32: 5.5, 64: 5.5}
"""How the ratio grows with correlation, told by the fifth percentile of the smallest squares: of white noise
blurred by Gaussians of 0 to 2 pixels, half to nine tenths of the squares lie below the limit."""


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

    Noise looks the same at every size; structure shows at large sizes first. So the standard deviation of a
    square (around a polynomial of second order) is compared with the median of its 8 x 8 blocks (around
    planes). White noise has a ratio of 1, correlated noise a larger one, which the flattest of the smallest
    squares tell; what lies above that of noise is structure. Squares may vary by no more than 1.6
    times what the quiet parts do. Anatomy fainter than the noise stays unseen: look in the quietest
    image there is.

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
    trace = 0.0 if noisier is None else _TRACE * _quiet(noisier, slices)
    level = _quiet(image, slices)
    floor = foreground(image)[0]
    every = {
        side: [one for z in slices for one in _squares(image, z, side, floor, _BELOW * level)]
        for side in SIDES
    }
    excess = max(_flattest(every[SIDES[-1]], trace) - _WHITE, 0.0)
    found = None
    for side, squares in every.items():
        limit = _LIMIT + _GROWTH[side] * excess
        corners = [one.corner for one in squares if one.plain(limit, _ROUGH * level, trace)]
        if len(corners) >= _FEWEST:
            found = _parts(image, side, slices, corners)
        if len(corners) >= ENOUGH:
            return found
    return found


@dataclass(frozen=True)
class _Square:
    """A square of the patient: its corner, its standard deviation, and the median one of its blocks."""

    corner: tuple[int, int, int]
    sd: float
    blocks: float

    def plain(self, limit: float, most: float, trace: float) -> bool:
        """Whether it varies by less than a trace, or without structure."""
        return self.sd <= trace or (self.sd <= most and self.sd <= limit * self.blocks)


def _flattest(squares: list[_Square], trace: float) -> float:
    """Return the ratio of the squares with the least structure, that of white noise where there is none."""
    ratios = [one.sd / one.blocks for one in squares if one.sd > trace and one.blocks > 0]
    return float(np.percentile(ratios, _BEST)) if ratios else _WHITE


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


def _squares(image: Image, z: int, side: int, floor: float, below: float) -> list[_Square]:
    """Return the squares of a slice that show nothing but the patient."""
    if min(image.shape[1:]) < side:
        return []
    step = side // 2
    windows = _windows(image.voxels[z], side, step)
    usable = (windows.min(axis=(2, 3)) > floor - below) & (windows.mean(axis=(2, 3)) > floor)
    if image.padding is not None:
        usable &= ~_windows(image.padding[z], side, step).any(axis=(2, 3))
    places = np.argwhere(usable)
    if not len(places):
        return []
    chosen = windows[usable].astype(np.float64)
    sd = _detrended(chosen.reshape(len(places), -1), side, 2)
    count = side // _BLOCK
    cut = chosen.reshape(len(places), count, _BLOCK, count, _BLOCK).swapaxes(2, 3)
    blocks = _detrended(cut.reshape(-1, _BLOCK * _BLOCK), _BLOCK, 1).reshape(len(places), -1)
    return [
        _Square((z, int(y) * step, int(x) * step), float(s), float(b))
        for (y, x), s, b in zip(places, sd, np.median(blocks, axis=1), strict=True)
    ]


def _windows(pixels: FloatArray | BoolArray, side: int, step: int) -> npt.NDArray[np.generic]:
    every = np.lib.stride_tricks.sliding_window_view(pixels, (side, side))
    return every[::step, ::step]


def _detrended(squares: Values, side: int, order: int) -> Values:
    """Return the standard deviation of squares around polynomials, (n, side * side) to (n,)."""
    t = np.linspace(-1, 1, side)
    y, x = np.meshgrid(t, t, indexing="ij")
    terms = [y**i * x**j for i in range(order + 1) for j in range(order + 1 - i)]
    basis = np.linalg.qr(np.stack(terms).reshape(len(terms), -1).T)[0]
    rest = squares - (squares @ basis) @ basis.T
    return np.asarray(np.sqrt((rest**2).sum(axis=1) / (side**2 - len(terms))), np.float64)
