"""The grain of speckle, measured from a log-compressed picture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from quell.image import BoolArray, FloatArray
from quell.noise.echo.echoes import PointSpread

_Floats = npt.NDArray[np.float64]

_SIDE = 48
_STEP = 24
_BANDS = 4
_FEWEST = 4
_LOWEST = 2
_GREY = (0.1, 0.9)
_CUT_OFF = 0.02
_SIGMAS = np.geomspace(0.3, 12.0, 75)


@dataclass(frozen=True, eq=False)
class Grain:
    """What speckle looks like on the display.

    Attributes
    ----------
    spread : PointSpread
        The point-spread function that would make speckle of its width, in pixels.
    contrast : float
        Standard deviation of the grey values where the object is plain.
    """

    spread: PointSpread
    contrast: float


def measure_grain(grey: FloatArray, inside: BoolArray, top: float) -> Grain | None:
    """Measure the speckle in the quietest third of the blocks of a picture.

    The spectra along the columns and the rows of a block are compared with those of log-compressed
    speckle behind a Gaussian point spread; the lowest frequencies, where anatomy lies, are left out.
    Along the columns one width is found for the picture, along the rows one in each of four bands of
    depth.

    Parameters
    ----------
    grey : ndarray of float32, shape (y, x)
        Log-compressed.
    inside : ndarray of bool, shape (y, x)
    top : float
        Grey value of white.

    Returns
    -------
    Grain or None
        None where too few blocks show speckle that is not cut off at black or white.
    """
    corners = _blocks(grey, inside, top)
    if len(corners) < _FEWEST:
        return None
    blocks = [grey[y : y + _SIDE, x : x + _SIDE].astype(np.float64) for y, x in corners]
    contrast = np.array([_contrast(block) for block in blocks])
    quiet = np.argsort(contrast)[: max(_FEWEST, len(corners) // 3)]
    widths = np.array([[_width(lines) for lines in (blocks[k].T, blocks[k])] for k in quiet])
    depths = corners[quiet, 0] + _SIDE / 2
    bands = np.array_split(np.argsort(depths), min(_BANDS, len(quiet) // _FEWEST))
    centres = [float(depths[band].mean()) for band in bands]
    across = np.interp(
        np.arange(grey.shape[0]), centres, [float(np.median(widths[band, 1])) for band in bands]
    )
    spread = PointSpread(float(np.median(widths[:, 0])), across)
    return Grain(spread, float(np.median(contrast[quiet])))


def _blocks(grey: FloatArray, inside: BoolArray, top: float) -> npt.NDArray[np.intp]:
    """Return the corners (y, x) of blocks with speckle that is hardly cut off, shape (blocks, 2)."""
    corners = []
    for y in range(0, grey.shape[0] - _SIDE + 1, _STEP):
        for x in range(0, grey.shape[1] - _SIDE + 1, _STEP):
            block = grey[y : y + _SIDE, x : x + _SIDE]
            cut_off = ((block <= 0) | (block >= top)).mean()
            usable = inside[y : y + _SIDE, x : x + _SIDE].all() and cut_off < _CUT_OFF
            if usable and _GREY[0] * top < block.mean() < _GREY[1] * top and np.ptp(block) > 0:
                corners.append((y, x))
    return np.array(corners, np.intp).reshape(-1, 2)


def _contrast(block: _Floats) -> float:
    """Return the standard deviation of a block around its best plane."""
    centred = block - block.mean()
    ramp = np.arange(_SIDE) - (_SIDE - 1) / 2
    energy = _SIDE * (ramp**2).sum()
    centred -= (centred @ ramp).sum() / energy * ramp[None, :]
    centred -= (ramp @ centred).sum() / energy * ramp[:, None]
    return float(centred.std())


def _width(lines: _Floats) -> float:
    """Return the width, in pixels, whose spectrum is nearest in shape to that along the lines (n, _SIDE)."""
    centred = (lines - lines.mean(axis=1, keepdims=True)) * np.hanning(_SIDE)
    power = (np.abs(np.fft.rfft(centred, axis=1)) ** 2).mean(axis=0)[_LOWEST:]
    # Amplitudes: the power spans too many orders for all frequencies to have a say.
    match = _known_spectra() @ np.sqrt(power)
    best = int(np.clip(np.argmax(match), 1, len(_SIGMAS) - 2))
    before, here, after = match[best - 1 : best + 2]
    shift = 0.5 * (before - after) / min(before - 2 * here + after, -1e-12)
    return float(_SIGMAS[best] * (_SIGMAS[1] / _SIGMAS[0]) ** np.clip(shift, -1, 1))


@lru_cache(maxsize=1)
def _known_spectra() -> _Floats:
    """Return the roots of the spectra that speckle of the widths `_SIGMAS` has in a block, of norm 1."""
    lag = np.arange(-_SIDE + 1, _SIDE)
    window = np.correlate(np.hanning(_SIDE), np.hanning(_SIDE), "full")
    squared = np.exp(-0.5 * (lag / _SIGMAS[:, None]) ** 2)
    frequency = np.arange(_LOWEST, _SIDE // 2 + 1) / _SIDE
    power = (_log_correlation(squared) * window) @ np.cos(2 * np.pi * lag[:, None] * frequency)
    roots: _Floats = np.sqrt(np.maximum(power, 0))
    roots /= np.linalg.norm(roots, axis=1, keepdims=True)
    return roots


def _log_correlation(squared: npt.NDArray[np.floating[Any]]) -> _Floats:
    """Return the correlation of the logarithms of speckle intensities of a given correlation.

    ``Li2(r) / Li2(1)``: the covariance of the logarithms of two exponential intensities with
    correlation r is the dilogarithm of r (Lee et al., IEEE Trans Geosci Remote Sens 32 (1994) 1017).
    """
    r = 1 - np.linspace(1, 0, 400) ** 2
    k = np.arange(1, 4000)
    dilogarithm = np.array([(value**k / k**2).sum() for value in r])
    correlation: _Floats = np.interp(squared, r, dilogarithm / dilogarithm[-1])
    return correlation
