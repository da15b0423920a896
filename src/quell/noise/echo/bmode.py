"""A B-mode picture taken apart into echoes and the grain of its speckle, and put together anew."""

from __future__ import annotations

import math

import numpy as np

from quell.image import BoolArray, FloatArray
from quell.noise.blank import scan_region
from quell.noise.echo.echoes import receive
from quell.noise.echo.grain import Grain, measure_grain
from quell.noise.echo.speckle import (
    LOG_SD,
    echo_decibels,
    envelope,
    log_compress,
    mean_intensity,
    white_echoes,
)
from quell.noise.smoothing import smooth

_LEFT = 1.2
_ALIKE = 6.0


def respeckle(
    grey: FloatArray,
    padding: BoolArray | None,
    top: float,
    dynamic_range: float,
    looks: int,
    rng: np.random.Generator,
) -> FloatArray | None:
    """Return a B-mode picture with new speckle of the same grain and the same local mean intensity.

    Parameters
    ----------
    grey : ndarray of float32, shape (y, x)
        Log-compressed, from 0 to `top`.
    padding : ndarray of bool, shape (y, x), optional
    top : float
        Grey value of white.
    dynamic_range : float
        From black to white, dB.
    looks : int
        Independent speckle patterns whose envelopes are averaged.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of float32, shape (y, x), or None
        What lies outside the scan is as it was. None where no speckle can be measured.
    """
    inside = scan_region(grey, padding)
    grain = measure_grain(grey, inside, top)
    if grain is None:
        return None
    level = local_level(echo_decibels(grey, dynamic_range, top), inside, grain, dynamic_range / top)
    down, aside = grain.spread.margin()
    shape = (grey.shape[0] + 2 * down, grey.shape[1] + 2 * aside)
    amplitude = np.zeros_like(grey)
    for _ in range(looks):
        amplitude += envelope(receive(white_echoes(rng, shape), grain.spread))
    amplitude *= 10 ** (level / 20) / np.float32(looks * math.sqrt(mean_intensity(looks)))
    return np.where(inside, log_compress(amplitude, dynamic_range, 1.0, top), grey)


def local_level(level: FloatArray, inside: BoolArray, grain: Grain, decibels: float) -> FloatArray:
    """Return the local mean intensity of the echoes, dB.

    The mean is taken over a Gaussian window just wide enough to leave `_LEFT` dB of the speckle, among
    neighbours whose level, smoothed, is alike: echoes that are stronger by tens of decibels would
    otherwise outshine all around them. Such a bilateral filter, with one Gaussian for each of a few
    levels and interpolation between them, is that of Durand and Dorsey (ACM Trans Graph 21 (2002) 257).

    Parameters
    ----------
    level : ndarray of float32, shape (y, x)
        Echoes, dB.
    inside : ndarray of bool, shape (y, x)
    grain : Grain
    decibels : float
        Of one grey value.

    Returns
    -------
    ndarray of float32, shape (y, x)
    """
    # Of speckle behind a Gaussian of width s the mean under a Gaussian window of width k s keeps
    # 1 / (1 + 2 k^2) of the variance.
    reduction = (min(grain.contrast * decibels, LOG_SD) / _LEFT) ** 2
    window = math.sqrt(max(reduction - 1, 1) / 2)
    along, across = grain.spread.along, float(np.median(grain.spread.across))
    weight = inside.astype(np.float32)
    pair = smooth(level * weight + 1j * weight, window * along / 2, window * across / 2)
    pilot = np.where(inside, pair.real / np.maximum(pair.imag, 1e-6), 0)
    low, high = (float(f(pilot[inside])) for f in (np.min, np.max))
    steps = max(1, math.ceil((high - low) / _ALIKE))
    place = (pilot - low) / max(high - low, 1e-6) * steps
    result = np.zeros_like(level)
    for k in range(steps + 1):
        centre = low + (high - low) * k / steps
        alike = weight * np.exp(-0.5 * ((pilot - centre) / _ALIKE) ** 2)
        intensity = 10 ** ((level - centre) / 10)
        pair = smooth(alike * intensity + 1j * alike, window * along, window * across)
        share = np.maximum(1 - np.abs(place - k), 0)
        mean = np.maximum(pair.real, 1e-9) / np.maximum(pair.imag, 1e-9)
        result += share * (centre + 10 * np.log10(mean))
    return result.astype(np.float32)
