"""Speckle: its laws, envelope detection, log compression, and raw lines of I and Q.

Fully developed speckle is the envelope of a circular complex Gaussian field (Burckhardt, IEEE Trans
Sonics Ultrason 25 (1978) 1; Wagner et al., IEEE Trans Sonics Ultrason 30 (1983) 156): its amplitude
follows Rayleigh's law, its intensity an exponential, its logarithm has a standard deviation that is
the same at every level.
"""

from __future__ import annotations

import math
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from quell.image import FloatArray

Lines: TypeAlias = npt.NDArray[np.complex64]

MEAN_OVER_SD = math.sqrt(math.pi / (4 - math.pi))
"""Mean over standard deviation of the envelope of one look, 1.913."""

LOG_SD = 10 / math.log(10) * math.pi / math.sqrt(6)
"""Standard deviation of one look after log compression, 5.57 dB."""

_QUARTER = math.pi / 4


def mean_intensity(looks: int) -> float:
    """Return the mean intensity of the average of `looks` independent envelopes of mean intensity 1.

    ``pi / 4 + (1 - pi / 4) / looks``: the mean of the envelopes stays, their variance falls.
    """
    return _QUARTER + (1 - _QUARTER) / looks


def white_echoes(rng: np.random.Generator, shape: tuple[int, ...]) -> Lines:
    """Return a circular complex Gaussian field of mean intensity 1 without correlation."""
    pairs = rng.standard_normal((*shape, 2), dtype=np.float32)
    pairs *= np.float32(math.sqrt(0.5))
    field: Lines = pairs.view(np.complex64)[..., 0]
    return field


def envelope(lines: npt.NDArray[np.complexfloating[Any, Any]]) -> FloatArray:
    """Return the amplitude of complex lines."""
    amplitude: FloatArray = np.abs(lines).astype(np.float32, copy=False)
    return amplitude


def log_compress(
    amplitude: npt.NDArray[np.floating[Any]], dynamic_range: float, white: float = 1.0, top: float = 255.0
) -> FloatArray:
    """Show amplitudes as grey values, as ``top * (1 + 20 log10(amplitude / white) / dynamic_range)``.

    Parameters
    ----------
    amplitude : ndarray
        Of the envelope, not negative.
    dynamic_range : float
        From black to white, dB.
    white : float
        Amplitude that is shown white.
    top : float
        Grey value of white.

    Returns
    -------
    ndarray of float32
        From 0 to `top`; what lies beyond is cut off.
    """
    faintest = white * 10 ** (-dynamic_range / 20)
    share = np.log10(np.maximum(amplitude, faintest) / faintest) * (20 / dynamic_range)
    grey: FloatArray = (top * np.minimum(share, 1)).astype(np.float32)
    return grey


def echo_decibels(
    grey: npt.NDArray[np.floating[Any]], dynamic_range: float, top: float = 255.0
) -> FloatArray:
    """Undo `log_compress`: return the level in dB under white, from ``-dynamic_range`` to 0."""
    level: FloatArray = ((np.clip(grey / top, 0, 1) - 1) * dynamic_range).astype(np.float32)
    return level


def complex_lines(
    raw: npt.NDArray[np.number[Any]], layout: Literal["interleaved", "alternating"] = "interleaved"
) -> Lines:
    """Return raw I and Q samples as complex lines.

    Parameters
    ----------
    raw : ndarray, shape (lines, samples)
    layout : str
        ``"interleaved"`` for I, Q, I, Q along each line (``RF_IQ_LINE`` of the Plus toolkit);
        ``"alternating"`` for a line of I and a line of Q in turn (``RF_I_LINE_Q_LINE``).

    Returns
    -------
    ndarray of complex64, shape (samples, lines)
        Depth along the rows, as in a picture.

    Raises
    ------
    ValueError
        If I and Q do not come in pairs.
    """
    axis = 1 if layout == "interleaved" else 0
    if raw.ndim != 2 or raw.shape[axis] % 2:
        raise ValueError(f"I and Q do not come in pairs along axis {axis} of {raw.shape}")
    first, second = (raw[:, k::2] if axis else raw[k::2] for k in (0, 1))
    lines: Lines = first.astype(np.float32) + np.complex64(1j) * second.astype(np.float32)
    return lines.T
