"""The low-pass filter of nuclear medicine."""

from __future__ import annotations

import numpy as np

from quell.image import FloatArray


def butterworth(frequency: FloatArray, cutoff: float, order: float) -> FloatArray:
    """Return the response ``1 / sqrt(1 + (f / cutoff)^(2 order))``.

    Parameters
    ----------
    frequency : ndarray
        In shares of the Nyquist frequency.
    cutoff : float
        Where the response is 1 / sqrt(2), in shares of the Nyquist frequency. Some makers leave the root
        out: their order n is about 2 n here.
    order : float
        Steepness.
    """
    return np.asarray(1 / np.sqrt(1 + (frequency / cutoff) ** (2 * order)), np.float32)


def filter_volume(volume: FloatArray, cutoff: float, order: float) -> FloatArray:
    """Filter a volume in all three directions alike.

    Parameters
    ----------
    volume : ndarray of float32, shape (z, y, x)
    cutoff, order : float
        As in `butterworth`; the Nyquist frequency is that of each axis.

    Returns
    -------
    ndarray of float32, shape (z, y, x)
    """
    # As much room again, filled with mirror images: a step at the border would ring inside.
    pad = [(n // 2, n - n // 2) for n in volume.shape]
    padded = np.pad(volume, pad, mode="symmetric")
    axes = [2 * np.fft.fftfreq(n) for n in padded.shape[:2]] + [2 * np.fft.rfftfreq(padded.shape[2])]
    fz, fy, fx = np.ix_(*axes)
    response = butterworth(np.sqrt(fz**2 + fy**2 + fx**2).astype(np.float32), cutoff, order)
    smooth = np.fft.irfftn(np.fft.rfftn(padded) * response, s=padded.shape, axes=(0, 1, 2))
    inside = tuple(slice(before, before + n) for (before, _), n in zip(pad, volume.shape, strict=True))
    return np.asarray(smooth[inside], np.float32)
