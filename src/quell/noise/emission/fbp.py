"""Filtered back-projection of the views of a gamma camera, as if nothing were attenuated or blurred."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from quell.image import FloatArray


def emission_fbp(views: FloatArray, angles: npt.NDArray[np.float64]) -> FloatArray:
    """Reconstruct a volume from views over half a turn or a whole one.

    Parameters
    ----------
    views : ndarray of float32, shape (views, across, z)
        Sums of the activity along lines, evenly over 180 or 360 degrees.
    angles : ndarray of float64, shape (views,)
        As in `RotatingCamera`.

    Returns
    -------
    ndarray of float32, shape (across, across, z)
        Axes (y, x, z).
    """
    count, size, slices = views.shape
    ramped = _ramp(views)
    place = np.arange(size) - (size - 1) / 2
    y, x = np.meshgrid(place, place, indexing="ij")
    total = np.zeros((size * size, slices), np.float32)
    for angle, view in zip(angles, ramped, strict=True):
        across = (x * np.cos(angle) + y * np.sin(angle)).ravel() + (size - 1) / 2
        low = np.clip(np.floor(across).astype(int), 0, size - 2)
        share = np.clip(across - low, 0, 1).astype(np.float32)[:, None]
        total += (1 - share) * view[low] + share * view[low + 1]
    return total.reshape(size, size, slices) * np.float32(np.pi / count)


def _ramp(views: FloatArray) -> FloatArray:
    """Filter views across with the band-limited ramp (Ramachandran and others, PNAS 68 (1971) 2236)."""
    size = views.shape[1]
    length = 2 ** int(np.ceil(np.log2(2 * size)))
    offset = np.fft.fftfreq(length, 1 / length)
    odd = np.abs(offset) % 2 == 1
    kernel = np.where(odd, -1 / (np.pi * np.where(odd, offset, 1)) ** 2, 0)
    kernel[0] = 0.25
    response = np.fft.rfft(kernel).real[:, None]
    filtered = np.fft.irfft(np.fft.rfft(views, length, axis=1) * response, length, axis=1)
    return np.asarray(filtered[:, :size], np.float32)
