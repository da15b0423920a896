"""Fast CT noise with streaks: one white field, coloured sector by sector of the frequency plane.

The noise of filtered back-projection at a point has its frequencies of direction t from the views of
direction t, so its spectrum there is ``|f| W(f)^2 v_t(x)`` with the variance v of the ray through the
point. `sector_variance` averages v over K sectors of directions; `wedge_noise` makes noise with that
spectrum by K inverse Fourier transforms. It needs no projection at all once the maps are there, which is
what training on the fly needs; `wedge_noise`, `wedge_variance` and `crop_variance` are written against
the Python array API and take whole batches.

Gaussian, so without the bias of starved rays; for the exact thing see `quell.noise.ct`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import array_api_compat
import numpy as np
import numpy.typing as npt

from quell.image import FloatArray
from quell.noise.contracts import check_dose
from quell.noise.tomography.beam import excess_variance, log_variance
from quell.noise.tomography.geometry import ParallelGeometry, covering
from quell.noise.tomography.kernels import noise_gain, ramp_power
from quell.noise.tomography.projector import project
from quell.noise.tomography.scan import Scan

SECTORS = 8
"""Sectors of 180 degrees that the maps have by default."""

_VIEWS = 120
_COARSE = 128


def sector_variance(
    pixels: FloatArray,
    spacing: float,
    dose: float | None = None,
    scan: Scan | None = None,
    *,
    sectors: int = SECTORS,
    grid: int = 64,
) -> FloatArray:
    """Return how much noise the views of each sector bring to each place of a slice.

    Parameters
    ----------
    pixels : ndarray of float32, shape (rows, columns)
        A whole slice in HU; what lies below -1000 counts as air.
    spacing : float
        Side of a pixel, mm.
    dose : float, optional
        Fraction in (0, 1]: the variance that is *added* when the dose is lowered from 1 to it. By
        default the variance of the full dose.
    scan : Scan, optional
        At dose 1. Its flux sets the level: the variance goes with 1 / flux, faster where the
        electronic noise shows, and saturates where rays starve.
    sectors : int
        Sector k is centred on the direction ``pi k / sectors`` from the column to the row axis.
    grid : int
        Cells along the longer side of the slice, at most one for each pixel.

    Returns
    -------
    ndarray of float32, shape (sectors, gy, gx)
        HU^2: the variance that the noise would have if all rays were as noisy as those of the
        sector. Cells cover the slice evenly, ``gy / gx = rows / columns`` up to rounding; equal
        maps mean noise without direction. `wedge_variance` gives the true variance.

    Raises
    ------
    ValueError
        If the dose is no fraction in (0, 1] or there are fewer than two sectors.
    """
    scan = scan or Scan()
    if sectors < 2:
        raise ValueError(f"at least two sectors are needed, got {sectors}")
    if dose is not None:
        check_dose(dose)
    integrals, geometry = coarse_integrals(pixels, spacing, scan.beam.water)
    quanta = scan.beam.quanta(integrals, geometry.positions)
    noise = scan.beam.electronic_noise
    rays = log_variance(quanta, noise) if dose is None else excess_variance(quanta, dose, noise)
    longest = max(pixels.shape)
    shape = tuple(max(1, round(min(grid, longest) * n / longest)) for n in pixels.shape)
    extent = (pixels.shape[0] * spacing, pixels.shape[1] * spacing)
    means, total = _gather(rays, geometry, (shape[0], shape[1]), extent, sectors)
    gain = noise_gain(scan.kernel, scan.pitch, scan.views) * (1000 / scan.beam.water) ** 2
    # Between unlike sectors the amplitudes of the wedges, not their powers, are interpolated.
    short = np.where(total > 0, total / np.maximum(wedge_variance(means), 1e-30), 1)
    return np.asarray(means * (gain * short), np.float32)


def coarse_integrals(pixels: FloatArray, spacing: float, water: float) -> tuple[FloatArray, ParallelGeometry]:
    """Project a slice reduced to about 128 x 128, in 120 views.

    Parameters
    ----------
    pixels : ndarray of float32, shape (rows, columns)
        HU.
    spacing : float
        Side of a pixel, mm.
    water : float
        Attenuation of water, 1/mm.
    """
    factor = max(1, round(max(pixels.shape) / _COARSE))
    pad = [(0, -n % factor) for n in pixels.shape]
    water_is_one = np.pad(np.maximum(pixels, -1000) / 1000 + 1, pad)
    rows, columns = (n // factor for n in water_is_one.shape)
    coarse = water_is_one.reshape(rows, factor, columns, factor).mean(axis=(1, 3))
    side = spacing * factor
    geometry = covering((rows, columns), side, side, _VIEWS)
    return project(np.asarray(coarse * water, np.float32), geometry), geometry


def _gather(
    rays: FloatArray,
    geometry: ParallelGeometry,
    shape: tuple[int, int],
    extent: tuple[float, float],
    sectors: int,
) -> tuple[FloatArray, FloatArray]:
    """Average the rays through each cell over the views of each sector, and over all views."""
    y, x = ((np.arange(n) + 0.5) / n * e - e / 2 for n, e in zip(shape, extent, strict=True))
    number = np.round(geometry.angles / np.pi * sectors).astype(int) % sectors
    sums = np.zeros((sectors, *shape), np.float32)
    for view, angle, k in zip(rays, geometry.angles, number, strict=True):
        place = (x * np.cos(angle) + (y * np.sin(angle))[:, None]) / geometry.pitch
        place += (geometry.bins - 1) / 2
        index = place.astype(np.intp)
        share = (place - index).astype(np.float32)
        left = view[index]
        sums[k] += left + share * (view[index + 1] - left)
    total = np.asarray(sums.sum(axis=0) / geometry.views, np.float32)
    sums /= np.bincount(number, minlength=sectors)[:, None, None]
    return sums, total


def crop_variance(
    variance: Any, slice_shape: tuple[int, int], top: Any, left: Any, shape: tuple[int, int]
) -> Any:
    """Interpolate variance maps of a slice to the pixels of a crop.

    Parameters
    ----------
    variance : array, shape (..., sectors, gy, gx)
        As `sector_variance` gives them, of the whole slice.
    slice_shape : (rows, columns)
        Pixels of the whole slice.
    top, left : int, or array of integers, shape (...)
        First row and column of the crop; arrays for a batch with a different crop each.
    shape : (rows, columns)
        Of the crop.

    Returns
    -------
    array, shape (..., sectors, rows, columns)
    """
    xp = array_api_compat.array_namespace(variance)
    down = _weights(variance, variance.shape[-2], slice_shape[0], top, shape[0])
    right = _weights(variance, variance.shape[-1], slice_shape[1], left, shape[1])
    return down @ variance @ xp.matrix_transpose(right)


def _weights(like: Any, cells: int, whole: int, first: Any, count: int) -> Any:
    """Return the matrices (..., 1, count, cells) that interpolate cells linearly at pixel centres."""
    xp = array_api_compat.array_namespace(like)
    device = array_api_compat.device(like)
    start = xp.astype(xp.asarray(first, device=device), like.dtype)[..., None, None, None]
    pixel = xp.arange(count, dtype=like.dtype, device=device)[:, None]
    place = xp.clip((start + pixel + 0.5) * (cells / whole) - 0.5, 0, cells - 1)
    cell = xp.arange(cells, dtype=like.dtype, device=device)
    return xp.clip(1 - xp.abs(place - cell), 0, 1)


def wedge_noise(white: Any, variance: Any, power: Any) -> Any:
    """Make noise whose level and direction vary from place to place.

    Parameters
    ----------
    white : array, shape (..., rows, columns)
        Independent samples of unit variance.
    variance : array, broadcastable to (..., sectors, rows, columns)
        As `crop_variance` gives them, in units^2.
    power : array, broadcastable to (..., rows, columns)
        Power spectrum without direction, in the order of an FFT, with mean 1: `ramp_power` of a
        kernel, or any other that is a function of the radial frequency.

    Returns
    -------
    array, shape (..., rows, columns)
        Noise in units, periodic at the edges, with the variance `wedge_variance(variance)`.
    """
    xp = array_api_compat.array_namespace(white)
    rows, columns = white.shape[-2:]
    sectors = variance.shape[-3]
    half = columns // 2 + 1
    transformed = xp.fft.rfftn(white, axes=(-2, -1)) * power[..., :half] ** 0.5
    windows = xp.asarray(
        _windows(rows, columns, sectors), dtype=white.dtype, device=array_api_compat.device(white)
    )
    amplitude = variance**0.5
    total = 0 * white
    for k in range(sectors):
        wedge = xp.fft.irfftn(transformed * windows[k], s=(rows, columns), axes=(-2, -1))
        total += amplitude[..., k, :, :] * wedge
    return total


@lru_cache(maxsize=16)
def _windows(rows: int, columns: int, sectors: int, whole: bool = False) -> npt.NDArray[np.float32]:
    """Return the share in amplitude of each sector, shape (sectors, rows, columns); sums to 1.

    The columns are those of half the plane, ``columns // 2 + 1``, unless the whole is asked for.

    The squared cosines add up in amplitude, not in power: all sectors colour the same white noise.
    """
    fy = np.fft.fftfreq(rows)[:, None]
    fx = np.fft.fftfreq(columns) if whole else np.fft.rfftfreq(columns)
    direction = np.arctan2(fy, fx) * (sectors / np.pi)
    apart = direction - np.arange(sectors)[:, None, None]
    apart -= sectors * np.round(apart / sectors)
    return np.asarray(np.cos(np.pi / 2 * np.clip(apart, -1, 1)) ** 2, np.float32)


def wedge_variance(variance: Any) -> Any:
    """Return the variance of `wedge_noise`.

    Parameters
    ----------
    variance : array, shape (..., sectors, rows, columns)

    Returns
    -------
    array, shape (..., rows, columns)
        ``mean over k of (3 v_k + sqrt(v_k v_{k+1})) / 4``: the integral of the squared sum of
        neighbouring squared cosines. Exact where the power has died away at the Nyquist frequency of
        the pixels; else the corners of the frequency plane favour the diagonal sectors a little.
    """
    xp = array_api_compat.array_namespace(variance)
    both = (variance * xp.roll(variance, -1, axis=-3)) ** 0.5
    return xp.mean(0.75 * variance + 0.25 * both, axis=-3)


def wedge_power(variance: Any, power: Any) -> Any:
    """Return the spectrum of `wedge_noise`, averaged over the places of a region.

    Parameters
    ----------
    variance : array, shape (..., sectors, rows, columns)
        Of the region, on any grid.
    power : array, shape (..., rows, columns)
        As for `wedge_noise`.

    Returns
    -------
    array, shape (..., rows, columns)
        Power spectrum with directions, in the order of an FFT, not normalised.
    """
    xp = array_api_compat.array_namespace(variance)
    rows, columns = power.shape[-2:]
    sectors = variance.shape[-3]
    windows = xp.asarray(
        _windows(rows, columns, sectors, whole=True),
        dtype=power.dtype,
        device=array_api_compat.device(power),
    )
    amplitude = variance**0.5
    own = xp.mean(variance, axis=(-2, -1))
    # Only neighbouring wedges overlap.
    both = xp.mean(amplitude * xp.roll(amplitude, -1, axis=-3), axis=(-2, -1))
    squares, products = windows**2, 2 * windows * xp.roll(windows, -1, axis=0)
    shape = (*own.shape, 1, 1)
    terms = xp.reshape(own, shape) * squares + xp.reshape(both, shape) * products
    return power * xp.sum(terms, axis=-3)


def wedge(
    pixels: FloatArray, spacing: float, dose: float, rng: np.random.Generator, scan: Scan | None = None
) -> FloatArray:
    """Return the noise that lowering the dose would add to a slice, by wedges.

    Parameters
    ----------
    pixels : ndarray of float32, shape (rows, columns)
        HU.
    spacing : float
        Side of a pixel, mm.
    dose : float
        Fraction in (0, 1].
    rng : numpy.random.Generator
    scan : Scan, optional
        At dose 1.

    Returns
    -------
    ndarray of float32, shape (rows, columns)
        HU.
    """
    scan = scan or Scan()
    shape = (pixels.shape[0], pixels.shape[1])
    maps = crop_variance(sector_variance(pixels, spacing, dose, scan), shape, 0, 0, shape)
    white = rng.standard_normal(shape, np.float32)
    noise: FloatArray = wedge_noise(white, maps, ramp_power(shape, spacing, scan.kernel))
    return noise
