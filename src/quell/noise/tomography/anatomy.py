"""What a CT slice attenuates, made ready for projection: reduced, and completed beyond its edge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quell.image import BoolArray, FloatArray, Image
from quell.noise.tomography.geometry import ParallelGeometry, covering
from quell.noise.tomography.projector import project

AIR = -1000.0
"""HU."""

_OUTSIDE = -1500.0
_TISSUE = -300.0
_BEYOND_MM = 40.0
_SLOPE = 0.7
_RIM_MM = 12.0
_PIXEL_MM = 1.7
_DIRECTIONS = 360
_TRUNCATED = 0.04


@dataclass(frozen=True, eq=False)
class Anatomy:
    """A slice on coarser pixels, with a margin around it.

    Attributes
    ----------
    hu : ndarray of float32, shape (rows, columns)
        Without padding values; missing tissue filled in.
    spacing : float
        Side of a pixel, mm.
    truncated : float
        Share of the directions in which tissue reaches the edge of the field of view.
    """

    hu: FloatArray
    spacing: float
    truncated: float

    @property
    def reaches_out(self) -> bool:
        """Whether a part of the patient worth speaking of lies outside the field of view."""
        return self.truncated > _TRUNCATED


def not_measured(image: Image, z: int) -> BoolArray:
    """Return where slice `z` holds no measurement: padding, and values far below those of air."""
    low = np.asarray(image.voxels[z] < _OUTSIDE, np.bool_)
    return low if image.padding is None else low | image.padding[z]


def prepare(image: Image, z: int, coarse_mm: float = _PIXEL_MM) -> Anatomy:
    """Make slice `z` ready for projection.

    Parameters
    ----------
    image : Image
        HU. Padding, and what is far below air, counts as not measured.
    z : int
    coarse_mm : float
        Pixels are averaged up to this side.

    Returns
    -------
    Anatomy
        Where tissue reaches the edge of the field of view it is continued with its mean value at the
        edge, as a bulge of up to 40 mm: what lies there is not known, but its rays are not those of
        air.
    """
    pixels, outside = image.voxels[z], not_measured(image, z)
    spacing = image.geometry.spacing[2]
    factor = max(1, int(coarse_mm / spacing))
    hu = _mean_blocks(np.where(outside, np.float32(AIR), pixels), factor)
    measured = _mean_blocks((~outside).astype(np.float32), factor) > 0.5
    side = spacing * factor
    margin = int(np.ceil(_BEYOND_MM / side))
    hu = np.pad(hu, margin, constant_values=AIR)
    return _completed(hu, np.pad(measured, margin), side)


def _mean_blocks(pixels: FloatArray, factor: int) -> FloatArray:
    """Average blocks symmetrically about the middle; rows and columns that do not fill one are continued."""
    pads = [((-n % factor) // 2, (-n % factor + 1) // 2) for n in pixels.shape]
    whole = np.pad(pixels, pads, mode="edge") if any(map(any, pads)) else pixels
    rows, columns = (n // factor for n in whole.shape)
    blocks = whole.reshape(rows, factor, columns, factor)
    return np.asarray(blocks.mean(axis=1, dtype=np.float32).mean(axis=2), np.float32)


def _completed(hu: FloatArray, measured: BoolArray, side: float) -> Anatomy:
    """Continue tissue that is cut off by the edge of the field of view along lines from the middle."""
    middle = [(n - 1) / 2 for n in hu.shape]
    angles = np.arange(_DIRECTIONS) * (2 * np.pi / _DIRECTIONS)
    radii = np.arange(int(np.hypot(*hu.shape) / 2))
    y, x = (
        np.clip(np.round(m + radii * s[:, None]).astype(int), 0, n - 1)
        for m, s, n in zip(middle, (np.sin(angles), np.cos(angles)), hu.shape, strict=True)
    )
    seen = measured[y, x]
    edge = np.where(seen.any(axis=1), len(radii) - 1 - np.argmax(seen[:, ::-1], axis=1), -1)
    rim = seen & (radii > (edge - max(1, _RIM_MM / side))[:, None])
    rim_value = (hu[y, x] * rim).sum(axis=1) / np.maximum(rim.sum(axis=1), 1)
    cut_off = (rim_value > _TISSUE) & (edge >= 0)
    if not cut_off.any():
        return Anatomy(hu, side, 0.0)
    dy, dx = np.arange(hu.shape[0])[:, None] - middle[0], np.arange(hu.shape[1]) - middle[1]
    direction = np.round(np.arctan2(dy, dx) / (2 * np.pi) * _DIRECTIONS).astype(int) % _DIRECTIONS
    beyond = np.hypot(dy, dx) - edge[direction]
    fill = ~measured & (beyond < _reach(cut_off, edge * side)[direction] / side)
    filled = np.where(fill, rim_value[direction], hu).astype(np.float32)
    return Anatomy(filled, side, float(cut_off.mean()))


def _reach(cut_off: BoolArray, edge_mm: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return how far tissue goes on in each direction, mm: a bulge between the ends of each cut."""
    number = np.arange(_DIRECTIONS)
    apart = np.abs(number[:, None] - number[~cut_off])
    nearest = np.minimum(apart, _DIRECTIONS - apart).min(axis=1, initial=_DIRECTIONS)
    along = nearest * (2 * np.pi / _DIRECTIONS) * edge_mm
    return np.asarray(np.where(cut_off, np.minimum(_SLOPE * along, _BEYOND_MM), 0.0), np.float64)


def line_integrals(anatomy: Anatomy, water: float, geometry: ParallelGeometry) -> FloatArray:
    """Integrate the attenuation along the rays of a geometry.

    Parameters
    ----------
    anatomy : Anatomy
    water : float
        Attenuation of water, 1/mm; that of x HU is ``water (1 + x / 1000)``.
    geometry : ParallelGeometry
        Whose rays are wanted; its pixels do not matter.

    Returns
    -------
    ndarray of float32, shape (views, bins)
        Computed on rays no closer than the pixels of the anatomy, and interpolated.
    """
    attenuation = np.maximum(anatomy.hu / 1000 + 1, 0) * np.float32(water)
    every = max(1, int(anatomy.spacing / geometry.pitch))
    rows, columns = attenuation.shape
    coarse = covering((rows, columns), anatomy.spacing, geometry.pitch * every, geometry.views)
    integrals = project(np.asarray(attenuation, np.float32), coarse)
    return _resampled(integrals, geometry.positions / coarse.pitch + (coarse.bins - 1) / 2)


def _resampled(views: FloatArray, places: npt.NDArray[np.float64]) -> FloatArray:
    """Interpolate every view at fractional bins; air beyond its ends."""
    padded = np.pad(views, ((0, 0), (1, 1)))
    inside = np.clip(places + 1, 0, padded.shape[1] - 1.001)
    index = inside.astype(int)
    share = (inside - index).astype(np.float32)
    left = padded[:, index]
    left += share * (padded[:, index + 1] - left)
    return np.asarray(left, np.float32)
