"""Wavelet shrinkage with thresholds from the data (BayesShrink)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from quell.filters.contracts import Choice, Facts, Filter, Pixels, Span
from quell.filters.level import NoiseLevel

SYMLET4: tuple[float, ...] = (
    *(-0.07576571478927333, -0.02963552764599851, 0.49761866763201545, 0.8037387518059161),
    *(0.29785779560527736, -0.09921954357684722, -0.012603967262037833, 0.0322231006040427),
)
"""Low pass of the least asymmetric orthonormal wavelet with four vanishing moments (Daubechies 1992)."""


@dataclass(frozen=True)
class Wavelet(Filter):
    """Shrink the coefficients of an undecimated wavelet transform.

    Attributes
    ----------
    levels : int
    factor : float
        On the thresholds of BayesShrink.
    """

    levels: int = 4
    factor: float = 1.0

    facts: ClassVar[Facts] = Facts(
        "wavelet",
        "Soft-threshold wavelet coefficients, each band by its own signal and noise.",
        "Chang, Yu and Vetterli 2000, IEEE TIP 9:1532 (BayesShrink); undecimated, Coifman and Donoho 1995",
        {"levels": Choice((2, 3, 4, 5)), "factor": Span(0.4, 3.0)},
        limits=("Takes the noise as white: leaves coarse noise, and takes fine detail, where it is not.",),
    )

    def apply(self, pixels: Pixels, noise: NoiseLevel) -> Pixels:
        margin = min(len(SYMLET4) << (self.levels - 1), min(pixels.shape))
        low = np.fft.fft2(np.pad(pixels, margin, mode="symmetric"))
        result = np.zeros_like(low)
        for level in range(self.levels):
            rows, columns = (_pass_bands(n, level) for n in low.shape)
            for y, x in ((0, 1), (1, 0), (1, 1)):
                response = rows[y][:, None] * columns[x]
                band = np.fft.ifft2(low * response).real
                # The filters of a level together have a gain of one half.
                shrunk = self._shrunk(band, noise.sigma / 2 ** (level + 1), margin)
                result += np.fft.fft2(shrunk) * response.conj() * _back(low.shape, level)
            low = low * rows[0][:, None] * columns[0]
        result += low * _back(low.shape, self.levels)
        inside = slice(margin, -margin)
        return np.asarray(np.fft.ifft2(result).real[inside, inside], np.float64)

    def _shrunk(self, band: Pixels, sigma: float, margin: int) -> Pixels:
        inside = band[margin:-margin, margin:-margin]
        signal = float(np.sqrt(max(float(np.mean(inside**2)) - sigma**2, 0.0)))
        if signal == 0:
            return np.zeros_like(band)
        threshold = self.factor * sigma**2 / signal
        return np.asarray(np.sign(band) * np.maximum(np.abs(band) - threshold, 0), np.float64)


@lru_cache(maxsize=64)
def _pass_bands(size: int, level: int) -> tuple[npt.NDArray[np.complex128], npt.NDArray[np.complex128]]:
    """Return the frequency responses of low pass and high pass at a level, each (size,)."""
    low = np.array(SYMLET4)
    high = low[::-1] * (-1.0) ** np.arange(len(low))
    turns = np.exp(-2j * np.pi * np.outer(np.arange(size) * 2**level % size, np.arange(len(low))) / size)
    # Halved in power, so that both together pass everything once.
    return turns @ low / np.sqrt(2), turns @ high / np.sqrt(2)


@lru_cache(maxsize=16)
def _back(shape: tuple[int, int], level: int) -> npt.NDArray[np.complex128]:
    """Return the response of the way back through the low passes below a level."""
    back = np.ones(shape, np.complex128)
    for below in range(level):
        rows, columns = (_pass_bands(n, below)[0].conj() for n in shape)
        back = back * rows[:, None] * columns
    return back
