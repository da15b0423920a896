"""The shape of a noise power spectrum: parametric forms, colouring, and a short descriptor.

Written against the Python array API, so that training (torch) and use (NumPy) share one code.
"""

from __future__ import annotations

import math
from typing import Any

import array_api_compat
import numpy as np
import numpy.typing as npt

RADIAL_BINS = 8
"""Bins of equal width from 0 to 0.5 cycles per pixel; the corners belong to the last one."""

DESCRIPTOR_SIZE = RADIAL_BINS + 1

_FLOOR = 1e-3


def frequency_axes(rows: int, columns: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the two frequency axes of a 2-D Fourier transform, cycles per pixel, for broadcasting.

    Returns
    -------
    fy : ndarray, shape (rows, 1)
    fx : ndarray, shape (1, columns)
    """
    fy = np.fft.fftfreq(rows).astype(np.float32)[:, None]
    fx = np.fft.fftfreq(columns).astype(np.float32)[None, :]
    return fy, fx


def ramp_spectrum(frequency: Any, offset: Any, f50: Any, exponent: Any) -> Any:
    """Power spectrum of a filtered back-projection: a ramp under an apodisation.

    ``S(f) = (f + offset) * exp(-ln 2 * (f / f50) ** exponent)``

    Parameters
    ----------
    frequency : array
        Radial frequency, cycles per pixel.
    offset : array or float
        Power at zero frequency; a large one makes the spectrum flat below `f50`.
    f50 : array or float
        Frequency at which the apodisation halves the power, cycles per pixel.
    exponent : array or float
        Steepness of the apodisation.

    Returns
    -------
    array
        Relative power, not normalised.
    """
    xp = array_api_compat.array_namespace(frequency)
    return (frequency + offset) * xp.exp(-math.log(2) * (frequency / f50) ** exponent)


def normalised(power: Any) -> Any:
    """Scale a power spectrum (..., y, x) to mean 1, which gives coloured noise unit variance."""
    xp = array_api_compat.array_namespace(power)
    return power / xp.mean(power, axis=(-2, -1), keepdims=True)


def colour(white: Any, power: Any) -> Any:
    """Give white noise a power spectrum.

    Parameters
    ----------
    white : array, shape (..., y, x)
        Independent samples of unit variance.
    power : array, broadcastable to (..., y, x)
        Power spectrum in the order of an FFT with mean 1 (see `normalised`), the same at opposite
        frequencies.

    Returns
    -------
    array, shape (..., y, x)
        Periodic correlated noise of unit variance.
    """
    xp = array_api_compat.array_namespace(white)
    rows, columns = white.shape[-2:]
    # The noise is real, so half of the frequencies say it all.
    amplitude = power[..., : columns // 2 + 1] ** 0.5
    transformed = xp.fft.rfftn(white, axes=(-2, -1)) * amplitude
    return xp.fft.irfftn(transformed, s=(rows, columns), axes=(-2, -1))


def describe(power: Any) -> Any:
    """Summarise a power spectrum in a few numbers that do not depend on its level.

    Parameters
    ----------
    power : array, shape (..., y, x)
        Power spectrum in the order of an FFT.

    Returns
    -------
    array, shape (..., DESCRIPTOR_SIZE)
        Natural logarithm of the mean power in each of the `RADIAL_BINS` bins over the mean power of
        all; then that of the power where ``|fx| > |fy|`` over the power where ``|fx| < |fy|``.
        White noise gives zeros.
    """
    xp = array_api_compat.array_namespace(power)
    device = array_api_compat.device(power)
    masks = xp.asarray(_bin_masks(*power.shape[-2:]), dtype=power.dtype, device=device)
    flat = xp.reshape(normalised(power), (*power.shape[:-2], -1))
    means = flat @ masks
    bins = xp.log(means[..., :RADIAL_BINS] + _FLOOR)
    sides = xp.log(means[..., RADIAL_BINS:] + _FLOOR)
    return xp.concat((bins, sides[..., :1] - sides[..., 1:]), axis=-1)


def bin_centres() -> npt.NDArray[np.float64]:
    """Return the centres of the radial bins in cycles per pixel."""
    return (np.arange(RADIAL_BINS) + 0.5) * 0.5 / RADIAL_BINS


def radial_power(descriptor: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return the share of the noise power in each radial bin, from a descriptor.

    Parameters
    ----------
    descriptor : ndarray, shape (DESCRIPTOR_SIZE,)

    Returns
    -------
    ndarray, shape (RADIAL_BINS,)
        Sums to 1. Each bin counts with the area of its ring, the last one with the corners.
    """
    edges = np.linspace(0, 0.5, RADIAL_BINS + 1)
    area = np.pi * np.diff(edges**2)
    area[-1] += 1 - np.pi / 4
    power = np.exp(descriptor[:RADIAL_BINS].astype(float)) * area
    share: npt.NDArray[np.float64] = power / power.sum()
    return share


def _bin_masks(rows: int, columns: int) -> npt.NDArray[np.float32]:
    """Return averaging weights (rows * columns, RADIAL_BINS + 2) of the bins and the two sides."""
    fy, fx = frequency_axes(rows, columns)
    index = np.minimum((np.hypot(fy, fx) * 2 * RADIAL_BINS).astype(int), RADIAL_BINS - 1)
    masks = [index == k for k in range(RADIAL_BINS)]
    masks += [np.abs(fx) > np.abs(fy), np.abs(fx) < np.abs(fy)]
    stack = np.stack([m.ravel() for m in masks], axis=1).astype(np.float32)
    weights: npt.NDArray[np.float32] = stack / np.maximum(stack.sum(axis=0), 1)
    return weights
