"""Which part of k-space a scanner measures, how it weighs it, and what that does to noise."""

from __future__ import annotations

import numpy as np

from quell.image import FloatArray


def kspace_weights(
    shape: tuple[int, int], zero_filling: float = 1.0, partial_fourier: float = 1.0, apodisation: float = 0.0
) -> FloatArray:
    """Return the weight of each sample of k-space, in the order of an FFT, shape (rows, columns).

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the image.
    zero_filling : float
        Size of the image over that of the measured matrix, in each direction, 1 and more.
    partial_fourier : float
        Share of the measured lines (rows) that is really measured, above 0.5 and up to 1; the others
        are zeros.
    apodisation : float
        Share of the way to the edge of what was measured over which the weights fall to zero, as a
        cosine (Tukey's window), in each direction; 0 for none.
    """
    rows, columns = (_window(n, zero_filling, apodisation) for n in shape)
    frequency = np.fft.fftfreq(shape[0])
    measured = frequency >= -(2 * partial_fourier - 1) * 0.5 / zero_filling
    weights: FloatArray = (rows * measured)[:, None] * columns
    return weights


def _window(n: int, zero_filling: float, apodisation: float) -> FloatArray:
    """Return the weights along one direction."""
    place = np.abs(np.fft.fftfreq(n)) * 2 * zero_filling
    # The highest frequency of an even number of samples has no partner: it belongs to those measured.
    measured = place < 1 if zero_filling > 1 else place <= 1
    if apodisation == 0:
        plain: FloatArray = measured.astype(np.float32)
        return plain
    outer = np.clip((place - (1 - apodisation)) / apodisation, 0, 1)
    window: FloatArray = (measured * (0.5 + 0.5 * np.cos(np.pi * outer))).astype(np.float32)
    return window
