"""Find the noise in an image that is all there is: its level everywhere, and its power spectrum.

Classical, without a network. The method and where it fails are described in
docs/noise/estimation.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quell.image import FloatArray, Image, Modality
from quell.noise.blind.level import BLOCK, blocks_of, measure_blocks, padded_slice, smooth_level
from quell.noise.blind.periodogram import autocovariance
from quell.noise.blind.plain import Plain, find_plain
from quell.noise.blind.regions import Patch, Regions, cut, patches, signal_floor
from quell.noise.contracts import NoiseEstimate, NoiseSpectrum
from quell.noise.measures import first_moment

SIDES = (16, 32)
"""Sides in pixels of the regions of the spectrum: the small ones tell where the large ones may lie."""

LOOKED_AT = 48
"""Long volumes are looked at in about this many slices, evenly spread."""

_FEWEST = 8
_ENOUGH = 20
_SHARE = 0.06
_NEAR_PLAIN = 2.2
_INDEPENDENT = 0.5
_BETTER = 1.02
_RECONSTRUCTED, _COUNTED = 0.87, 0.5


def estimate_noise(image: Image) -> NoiseEstimate:
    """Measure the noise in an image, from the image alone and without a network.

    Parameters
    ----------
    image : Image
        A slice, frames or a volume. In a volume the difference of neighbouring slices is looked at
        as well, since most of the anatomy cancels in it.

    Returns
    -------
    NoiseEstimate
        Level 0 where nothing varies or all is padding. The spectrum is scaled to the median level
        of the patient; it is None where no eight regions of 16 x 16 pixels can be judged.

    Examples
    --------
    >>> import numpy as np
    >>> noise = np.random.default_rng(0).normal(40, 10, (1, 128, 128)).astype(np.float32)
    >>> found = estimate_noise(Image(noise))
    >>> bool(9.5 < np.median(found.level) < 10.5)
    True
    """
    found = _spectrum(image)
    correlation = autocovariance(found.power) if found is not None else _white()
    level = _level(image, correlation)
    return NoiseEstimate(level, BLOCK, None if found is None else _in_units(image, found, level))


@dataclass(frozen=True, eq=False)
class _Found:
    """A spectrum in the order of an FFT, its mean the variance, and the regions averaged."""

    power: npt.NDArray[np.float64]
    regions: int
    level: float


def _spectrum(image: Image) -> _Found | None:
    """Return the spectrum of the slices or of their differences, whichever has less structure.

    What is left of structure adds low frequencies; the higher first moment has less of it.
    Differences of slices that share most of their noise say little and are left out.
    """
    alone = _spectrum_of(image, patches(image, difference=False))
    if alone is None or not image.volume or image.shape[0] < 2:
        return alone
    between = _spectrum_of(image, patches(image, difference=True))
    if between is None or between.level < _INDEPENDENT * alone.level:
        return alone
    better = _moment(between) > _BETTER * _moment(alone)
    return between if better and between.regions >= _ENOUGH else alone


def _spectrum_of(image: Image, found: tuple[Patch, ...]) -> _Found | None:
    floor = signal_floor(image)
    allowed, result = None, None
    for side in SIDES:
        regions = cut(found, side, floor, allowed)
        fewest = _FEWEST if result is None else max(_ENOUGH, _SHARE * result.regions)
        if len(regions.values) < fewest:
            break
        plain = find_plain(regions.values)
        chosen = plain.averaged
        result = _Found(plain.power, int(chosen.sum()), float(np.median(plain.level[chosen])))
        allowed = _within_plain(regions, plain)
    return result


def _within_plain(regions: Regions, plain: Plain) -> tuple[npt.NDArray[np.bool_], ...]:
    """Return the places for regions twice as large in which all regions of this size are plain."""
    near, start, allowed = plain.deviation < _NEAR_PLAIN, 0, []
    for mask in regions.chosen:
        stop = start + int(mask.sum())
        grid = mask.copy()
        grid[mask] = near[start:stop]
        start = stop
        rows, columns = ((n - 1) // 2 for n in grid.shape)
        parts = [
            grid[dy : dy + 2 * rows : 2, dx : dx + 2 * columns : 2][:rows, :columns]
            for dy in range(3)
            for dx in range(3)
        ]
        allowed.append(np.logical_and.reduce(parts))
    return tuple(allowed)


def _level(image: Image, correlation: npt.NDArray[np.float64]) -> FloatArray:
    depth = image.shape[0]
    chosen = np.unique(np.linspace(0, depth - 1, min(depth, LOOKED_AT)).round().astype(np.intp))
    blocks = measure_blocks(image, chosen, correlation)
    level = smooth_level(blocks, neighbours=image.volume, power=_expected_power(image))
    if len(chosen) == depth:
        return level.astype(np.float32)
    after = np.clip(np.searchsorted(chosen, np.arange(depth)), 1, len(chosen) - 1)
    before = after - 1
    share = (np.arange(depth) - chosen[before]) / (chosen[after] - chosen[before])
    between = (1 - share)[:, None, None] * level[before] + share[:, None, None] * level[after]
    return between.astype(np.float32)


def _expected_power(image: Image) -> float | None:
    """Return the power of the mean that the level goes with where counts are behind it."""
    if image.modality is Modality.PT or (image.modality is Modality.NM and image.volume):
        return _RECONSTRUCTED
    return _COUNTED if image.modality is Modality.NM else None


def patient_level(image: Image, level: FloatArray) -> float:
    """Return the median of a level map over the patient, in the units of the image; 0 where all is 0.

    Parameters
    ----------
    image : Image
    level : ndarray of float32, shape (z, rows, columns)
        On blocks of side `BLOCK`.
    """
    floor = signal_floor(image)
    means = np.stack([blocks_of(padded_slice(image.voxels, z)).mean((2, 3)) for z in range(image.shape[0])])
    inside = level[(level > 0) & (means > floor)]
    chosen = inside if len(inside) else level[level > 0]
    return float(np.median(chosen)) if len(chosen) else 0.0


def _in_units(image: Image, found: _Found, level: FloatArray) -> NoiseSpectrum:
    """Return the spectrum as a density, scaled to the median level of the patient."""
    _, dy, dx = image.geometry.spacing if image.geometry.known else (1.0, 1.0, 1.0)
    power = found.power / found.power.mean() * patient_level(image, level) ** 2
    return NoiseSpectrum(np.fft.fftshift(power) * dy * dx, (dy, dx), found.regions)


def _moment(found: _Found) -> float:
    return first_moment(NoiseSpectrum(np.fft.fftshift(found.power), (1.0, 1.0), found.regions))


def _white() -> npt.NDArray[np.float64]:
    correlation = np.zeros((2 * BLOCK, 2 * BLOCK))
    correlation[0, 0] = 1.0
    return correlation
