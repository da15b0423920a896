"""Line integrals of a slice, and back.

The projector is Joseph's (IEEE Trans Med Imaging 1 (1982) 192): rays step along the axis that they are
closest to and interpolate linearly across it. The back-projector interpolates the views linearly. Both
give the same with Numba and without.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from quell.image import FloatArray
from quell.noise.tomography.geometry import ParallelGeometry, bins_to_cover
from quell.noise.tomography.loops import Engine, loops_for

_Floats: TypeAlias = npt.NDArray[np.float64]


def project(image: FloatArray, geometry: ParallelGeometry, engine: Engine = "auto") -> FloatArray:
    """Integrate a slice along all rays.

    Parameters
    ----------
    image : ndarray of float32, shape (rows, columns)
        Attenuation, 1/mm; zero outside.
    geometry : ParallelGeometry
    engine : {"auto", "numba", "numpy"}

    Returns
    -------
    ndarray of float32, shape (views, bins)
        Line integrals, in the units of the image times mm.
    """
    if image.shape != (geometry.rows, geometry.columns):
        raise ValueError(f"the geometry is for {(geometry.rows, geometry.columns)}, not {image.shape}")
    cos, sin = np.cos(geometry.angles), np.sin(geometry.angles)
    # A tie goes to the rows whatever the rounding of 45 degrees.
    by_rows = np.abs(cos) > np.abs(sin) - 1e-9
    out = np.empty((geometry.views, geometry.bins), np.float32)
    for chosen, across, along, pixels in ((by_rows, cos, sin, image), (~by_rows, sin, cos, image.T)):
        if chosen.any():
            part = _cross(pixels, across[chosen], along[chosen], geometry, engine)
            out[chosen] = part * (geometry.spacing / np.abs(across[chosen]))[:, None].astype(np.float32)
    return out


def _cross(
    pixels: FloatArray, across: _Floats, along: _Floats, geometry: ParallelGeometry, engine: Engine
) -> FloatArray:
    """Sum samples of the lines of `pixels` where the rays of some views cross them."""
    n, m = pixels.shape
    lines = np.zeros((n, m + 2), np.float32)
    lines[:, 1:-1] = pixels
    offsets = (np.arange(n) - (n - 1) / 2) * geometry.spacing
    first = (geometry.positions[0] - offsets * along[:, None]) / across[:, None]
    starts = first / geometry.spacing + (m + 1) / 2
    slopes = geometry.pitch / (geometry.spacing * across)
    loops = loops_for(engine)
    if loops is None:
        return np.stack([_sum_samples(lines, *at, geometry.bins) for at in zip(starts, slopes, strict=True)])
    out = np.empty((len(across), geometry.bins), np.float32)
    loops.project(lines, starts, slopes, out)
    return out


def _sum_samples(lines: FloatArray, start: _Floats, slope: float, bins: int) -> FloatArray:
    """Do for one view what the compiled loop does for all."""
    where = start[:, None] + slope * np.arange(bins)
    np.clip(where, 0, lines.shape[1] - 1.000001, out=where)
    index = where.astype(np.intp)
    share = (where - index).astype(np.float32)
    index += (np.arange(len(lines)) * lines.shape[1])[:, None]
    flat = lines.ravel()
    left = flat[index]
    left += share * (flat[index + 1] - left)
    total: FloatArray = left.sum(axis=0)
    return total


def back_project(
    filtered: FloatArray, geometry: ParallelGeometry, engine: Engine = "auto", oversampling: int = 1
) -> FloatArray:
    """Average filtered views over all directions: the sum over views times pi / views.

    Parameters
    ----------
    filtered : ndarray of float32, shape (views, bins * oversampling)
        Zero beyond its ends. Sample ``i`` lies at ``(i / oversampling - (bins - 1) / 2) * pitch``.
    geometry : ParallelGeometry
    engine : {"auto", "numba", "numpy"}
    oversampling : int
        Samples for each bin.

    Returns
    -------
    ndarray of float32, shape (rows, columns)
    """
    shape = (geometry.rows, geometry.columns)
    step = geometry.pitch / oversampling
    missing = bins_to_cover(shape, geometry.spacing, step) - filtered.shape[1]
    margin = max(0, missing // 2) + oversampling + 1
    samples = np.pad(filtered, ((0, 0), (margin, margin))).astype(np.float32, copy=False)
    middle = margin + (geometry.bins - 1) / 2 * oversampling
    scale = geometry.spacing / step
    cos, sin = np.cos(geometry.angles) * scale, np.sin(geometry.angles) * scale
    out = np.zeros(shape, np.float32)
    loops = loops_for(engine)
    if loops is None:
        _add_views(samples, cos, sin, middle, out)
    else:
        loops.back_project(samples, cos, sin, middle, out)
    out *= np.float32(np.pi / geometry.views)
    return out


def _add_views(samples: FloatArray, cos: _Floats, sin: _Floats, middle: float, out: FloatArray) -> None:
    """Do what the compiled loop does."""
    rows, columns = out.shape
    y, x = np.arange(rows)[:, None] - (rows - 1) / 2, np.arange(columns) - (columns - 1) / 2
    for view, c, s in zip(samples, cos, sin, strict=True):
        where = middle + y * s + x * c
        index = where.astype(np.intp)
        share = (where - index).astype(np.float32)
        left = view[index]
        out += left + share * (view[index + 1] - left)
