"""The noise that is in a magnitude image already: its level, its channels, its colour.

The magnitude of complex Gaussian noise follows Rayleigh's law where there is no signal (Gudbjartsson
and Patz, Magn Reson Med 34 (1995) 910), the root sum of squares over L coils a chi law with 2 L degrees
of freedom (Constantinides et al., Magn Reson Med 38 (1997) 852); where the signal is strong, both are
nearly Gaussian.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from quell.image import BoolArray, FloatArray, Image
from quell.noise.flat import quiet_level
from quell.noise.spectrum import colour, normalised

_Floats = npt.NDArray[np.float64]

_SIDE = 8
_WIDE = 16
_SLICES = 8
_FEWEST = 20
_TISSUE = 0.3
_DARK = 0.4
_AIRY = 6.0
_LIKE = 2.5
_MANY = 0.4
_STEPS = 8
_LEAST_RATIO = 1.75
_ONE_CHANNEL = 2.15
_MOST_CHANNELS = 64
_PLATEAU = (0.15, 0.25)
_SHARE = 0.25
_QUIET = 0.2
_BELOW = 0.84
"""By how many standard deviations a fifth of a normal law lies below its mean."""
_CHANCE = 0.04
_FAR = 5


@dataclass(frozen=True, eq=False)
class MagnitudeNoise:
    """The noise of a magnitude image.

    Attributes
    ----------
    sigma : float
        Standard deviation of the real and of the imaginary part, in the units of the image; 0 where
        none was found.
    channels : float
        Whose squares were summed: 1 for one coil or an optimal combination; coils whose noise hangs
        together count as fewer.
    power : ndarray of float64, shape (16, 16)
        Spectrum in the order of an FFT, of mean 1.
    signal : float
        Median of what gives signal.
    found_in : str
        ``"air"``, ``"tissue"`` (within what air allows), ``"tissue alone"``, or nothing.
    """

    sigma: float
    channels: float
    power: _Floats
    signal: float
    found_in: str


@dataclass(frozen=True, eq=False)
class _Air:
    """Noise where there is no signal."""

    sigma: float
    channels: float
    power: _Floats


def magnitude_noise(image: Image, blank: BoolArray) -> MagnitudeNoise:
    """Measure the noise in a magnitude image.

    Air tells channels, colour and a level. The level of tissue, which counts, can differ (corrected
    shading, parallel imaging) but lies between that of its finest detail, where the noise is strong and
    anatomy is faint, and that of its quiet blocks, to which texture adds. Ghosts raise the level of air.

    Parameters
    ----------
    image : Image
    blank : ndarray of bool, shape (z, y, x)
        What holds no measurement.
    """
    chosen = np.unique(np.linspace(0, len(image.voxels) - 1, min(len(image.voxels), _SLICES)).astype(int))
    voxels, usable = np.abs(image.voxels[chosen]), ~blank[chosen]
    seen = voxels[usable]
    bright = _TISSUE * float(np.percentile(seen, 99)) if seen.size else 0.0
    tissue = seen[seen > bright]
    signal = float(np.median(tissue)) if tissue.size else 0.0
    tissue_blocks = _usable_blocks(voxels, usable, _SIDE)
    tissue_blocks = tissue_blocks[tissue_blocks.mean(axis=(1, 2)) > bright]
    if len(tissue_blocks) and np.median(np.ptp(tissue_blocks, axis=(1, 2))) == 0:
        return MagnitudeNoise(0.0, 1.0, np.ones((_WIDE, _WIDE)), signal, "")
    air = _air(voxels, usable, signal)
    power = air.power if air else _tissue_spectrum(voxels, usable, bright)
    quiet = quiet_level(np.where(usable, voxels, 0).astype(np.float32), (bright, math.inf), _QUIET)
    quiet /= _quiet_share(power)
    detail = _detail_level(voxels, usable, bright)
    if air is None:
        share = _detail_share(power)
        sigma = detail / math.sqrt(share) if detail and share > _SHARE else quiet
        return MagnitudeNoise(sigma, 1.0, power, signal, "tissue alone" if sigma else "")
    sigma = max(min(air.sigma, quiet or math.inf), detail)
    return MagnitudeNoise(sigma, air.channels, power, signal, "air" if sigma == air.sigma else "tissue")


def _cut(stack: npt.NDArray[np.generic], side: int) -> npt.NDArray[np.generic]:
    """Return the whole blocks of a stack, shape (blocks, side, side)."""
    depth, rows, columns = len(stack), *(n // side for n in stack.shape[1:])
    part = stack[:, : rows * side, : columns * side].reshape(depth, rows, side, columns, side)
    return part.swapaxes(2, 3).reshape(depth * rows * columns, side, side)


def _usable_blocks(voxels: npt.NDArray[np.floating[Any]], usable: BoolArray, side: int) -> _Floats:
    """Return the blocks that hold nothing but measurements, shape (blocks, side, side)."""
    return _cut(voxels, side)[_cut(usable, side).all(axis=(1, 2))].astype(np.float64)


def _air(voxels: FloatArray, usable: BoolArray, signal: float) -> _Air | None:
    """Return the noise in air; None where there is no air with noise."""
    blocks = _usable_blocks(voxels, usable, _SIDE)
    flat = blocks.reshape(len(blocks), _SIDE**2)
    mean, sd = flat.mean(axis=1), flat.std(axis=1)
    dark = (sd > 0) & (mean < _AIRY * sd) & (mean < _DARK * signal)
    if dark.sum() < _FEWEST:
        return None
    # The lowest level that many blocks share: ghosts and dark tissue are brighter.
    level = np.log((flat[dark] ** 2).mean(axis=1))
    order = np.sort(level)
    ends = np.searchsorted(order, order + math.log(_LIKE), side="right")
    like = ends - np.arange(len(order))
    first = int(np.argmax(like >= _MANY * like.max()))
    middle = float(np.median(order[first : ends[first]]))
    for _ in range(_STEPS):
        middle = float(np.median(level[np.abs(level - middle) < math.log(_LIKE) / 2]))
    alike = np.flatnonzero(dark)[np.abs(level - middle) < math.log(_LIKE) / 2]
    ratio = float(np.median(mean[alike] / sd[alike]))
    # Less than Rayleigh's 1.91: ghosts, or a background that was filtered.
    if len(alike) < _FEWEST or ratio < _LEAST_RATIO:
        return None
    known, channels = _chi_ratios()
    number = 1.0 if ratio < _ONE_CHANNEL else float(np.interp(ratio, known, channels))
    square = float(np.median((flat[alike] ** 2).mean(axis=1)))
    return _Air(math.sqrt(square / (2 * number)), number, _air_spectrum(blocks[alike]))


@lru_cache(maxsize=1)
def _chi_ratios() -> tuple[_Floats, _Floats]:
    """Return mean over SD of chi laws and the channels (half the degrees of freedom) they belong to."""
    channels = np.linspace(1, _MOST_CHANNELS, 64 * 8)
    mean = np.array([math.sqrt(2) * math.exp(math.lgamma(n + 0.5) - math.lgamma(n)) for n in channels])
    return mean / np.sqrt(2 * channels - mean**2), channels


def _air_spectrum(blocks: _Floats) -> _Floats:
    """Return the spectrum of the complex noise behind the magnitudes in blocks of air."""
    scaled = blocks / blocks.mean(axis=(1, 2), keepdims=True) - 1
    power = (np.abs(np.fft.fft2(scaled, (_WIDE, _WIDE))) ** 2).mean(axis=0)
    lag = np.abs(np.fft.fftfreq(_WIDE)) * _WIDE
    pairs = np.maximum(1 - lag / _SIDE, 1 / _SIDE)
    correlation = np.fft.ifft2(power).real / np.outer(pairs, pairs)
    # What correlates over long distances is the level, not the noise.
    correlation -= np.median(correlation[np.maximum.outer(lag, lag) == _FAR])
    # Squared magnitudes correlate as the square of the complex noise, and magnitudes nearly so.
    root = np.sqrt(np.maximum(correlation / correlation[0, 0] - _CHANCE, 0) / (1 - _CHANCE))
    window = 0.5 + 0.5 * np.cos(np.pi * np.minimum(lag / _SIDE, 1))
    return _even(_without_anatomy(np.fft.fft2(root * np.outer(window, window)).real))


def _tissue_spectrum(voxels: FloatArray, usable: BoolArray, bright: float) -> _Floats:
    """Return the spectrum of the noise in tissue, the median over its blocks; white if they are too few."""
    blocks = _usable_blocks(voxels, usable, _WIDE)
    blocks = blocks[(blocks.mean(axis=(1, 2)) > bright) & (np.ptp(blocks, axis=(1, 2)) > 0)]
    if len(blocks) < _FEWEST:
        return np.ones((_WIDE, _WIDE))
    window = np.hanning(_WIDE + 2)[1:-1]
    part = (blocks - blocks.mean(axis=(1, 2), keepdims=True)) * np.outer(window, window)
    power = np.median(np.abs(np.fft.fft2(part)) ** 2, axis=0)
    return _even(_without_anatomy(power))


def _without_anatomy(power: _Floats) -> _Floats:
    """Cut off what exceeds the power at middle frequencies: noise of MR is never stronger below them."""
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(_WIDE), np.fft.fftfreq(_WIDE)))
    middle: float = power[(f >= _PLATEAU[0]) & (f <= _PLATEAU[1])].mean()
    cut: _Floats = np.minimum(power, middle)
    return cut


def _even(power: _Floats) -> _Floats:
    """Return a spectrum that is the same at opposite frequencies, not negative and of mean 1."""
    mirrored = np.roll(power[::-1, ::-1], 1, axis=(0, 1))
    even: _Floats = normalised(np.maximum((power + mirrored) / 2, 0))
    return even


def _detail_level(voxels: FloatArray, usable: BoolArray, bright: float) -> float:
    """Return the level of the finest detail of tissue: that of the noise if it is white, else less.

    Detail is the diagonal difference of 2 x 2 pixels (Haar's HH band; Donoho and Johnstone, Biometrika
    81 (1994) 425). 0 where there is too little tissue.
    """
    rows, columns = (n // 2 * 2 for n in voxels.shape[1:])
    quads = _cut(voxels[:, :rows, :columns], 2).astype(np.float64)
    shape = (len(voxels), rows // 2, columns // 2)
    detail = ((quads[:, 0, 0] + quads[:, 1, 1] - quads[:, 0, 1] - quads[:, 1, 0]) / 2).reshape(shape)
    inside = _cut(usable[:, :rows, :columns], 2).all(axis=(1, 2)) & (quads.min(axis=(1, 2)) > bright)
    blocks = _usable_blocks(detail, inside.reshape(shape), _SIDE).reshape(-1, _SIDE**2)
    if len(blocks) < _FEWEST:
        return 0.0
    # The lower fifth of the blocks has few edges.
    level = float(np.quantile(np.sqrt((blocks**2).mean(axis=1)), _QUIET))
    return level / (1 - _BELOW / math.sqrt(2 * _SIDE**2))


def _detail_share(power: _Floats) -> float:
    """Return the variance of the detail of noise of this spectrum over that of white noise."""
    high = 1 - np.cos(2 * np.pi * np.fft.fftfreq(_WIDE))
    return float((power * np.outer(high, high)).mean())


def _quiet_share(power: _Floats) -> float:
    """Return the quiet level of noise of this spectrum and of standard deviation 1."""
    shape = (1, 256, 256)
    white = np.random.default_rng(0).standard_normal(shape)
    noise = colour(white, stretch_spectrum(power, shape[1:])).astype(np.float32)
    return quiet_level(noise, (-math.inf, math.inf), _QUIET)


def stretch_spectrum(power: _Floats, shape: tuple[int, int]) -> _Floats:
    """Interpolate a spectrum in the order of an FFT to another number of frequencies, mean 1."""
    for axis, n in enumerate(shape):
        known = np.fft.fftshift(np.fft.fftfreq(power.shape[axis]))
        turned = np.moveaxis(np.fft.fftshift(power, axes=axis), axis, 0)
        # The lowest frequency is the highest one's neighbour.
        known, turned = np.append(known, -known[0]), np.concatenate([turned, turned[:1]])
        place = np.interp(np.fft.fftfreq(n), known, np.arange(len(known)))
        low = np.minimum(place.astype(int), len(known) - 2)
        share = (place - low)[:, None]
        power = np.moveaxis(turned[low] * (1 - share) + turned[low + 1] * share, 0, axis)
    even: _Floats = normalised(power)
    return even
