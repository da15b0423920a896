"""Noise whose covariance is known, for observers whose answer is known."""

from __future__ import annotations

import numpy as np

SIDE = 25


def coloured_power(side: int = SIDE) -> np.ndarray:
    """Return the power spectrum of noise like that of CT, mean 1, shape (side, side)."""
    f = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side))
    power = (f + 0.03) * np.exp(-np.log(2) * (f / 0.25) ** 2)
    return power / power.mean()


def noise(rng: np.random.Generator, count: int, power: np.ndarray) -> np.ndarray:
    """Draw images of periodic noise with that power, shape (count, side, side)."""
    white = rng.standard_normal((count, *power.shape))
    return np.fft.ifft2(np.fft.fft2(white) * np.sqrt(power)).real


def blob(sigma: float = 2.0, side: int = SIDE) -> np.ndarray:
    """Return a Gaussian signal of height 1 in the middle."""
    axis = np.arange(side) - (side - 1) / 2
    return np.exp(-(axis[:, None] ** 2 + axis**2) / (2 * sigma**2))
