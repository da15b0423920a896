"""Reconstruction kernels of filtered back-projection, and the noise that they let through."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from quell.image import FloatArray


@dataclass(frozen=True)
class Kernel:
    """Apodisation of the ramp: ``W(f) = exp(-ln 2 (f / f50)^exponent)``.

    Attributes
    ----------
    f50 : float
        Frequency at which half of the amplitude is left, 1/mm.
    exponent : float
        Steepness; 2 is a Gaussian.
    """

    f50: float
    exponent: float = 2.4

    def __post_init__(self) -> None:
        if not (0 < self.f50 < math.inf and 0 < self.exponent < math.inf):
            raise ValueError(f"f50 and exponent must be positive, got {self.f50:g} and {self.exponent:g}")

    def response(self, frequency: Any) -> npt.NDArray[np.float64]:
        """Return the amplitude at frequencies in 1/mm."""
        relative = np.abs(np.asarray(frequency, np.float64)) / self.f50
        return np.asarray(np.exp(-math.log(2) * relative**self.exponent))

    @property
    def f10(self) -> float:
        """Frequency at which a tenth of the amplitude is left, 1/mm."""
        return float(self.f50 * math.log2(10) ** (1 / self.exponent))


KERNELS: Final[Mapping[str, Kernel]] = MappingProxyType(
    {
        "smooth": Kernel(0.28, 2.2),
        "soft": Kernel(0.38, 2.4),
        "standard": Kernel(0.45, 2.6),
        "sharp": Kernel(0.60, 2.8),
        "lung": Kernel(0.75, 3.1),
    }
)
"""Kernels by what they are for. Soft: 50 % at 0.38 and 10 % at 0.63 /mm; lung: 0.75 and 1.1 /mm."""


@lru_cache(maxsize=16)
def ramp_power(shape: tuple[int, int], spacing: float, kernel: Kernel) -> FloatArray:
    """Return the noise power spectrum ``|f| W(f)^2`` of a kernel on the pixels of an image.

    What lies above the Nyquist frequency of the pixels is folded back, as it is when a
    reconstruction is sampled at the pixel centres.

    Parameters
    ----------
    shape : (rows, columns)
    spacing : float
        Side of a pixel, mm.
    kernel : Kernel

    Returns
    -------
    ndarray of float32, shape (rows, columns)
        In the order of an FFT, with mean 1; read-only, remembered between calls.
    """
    fy, fx = (np.fft.fftfreq(n, spacing) for n in shape)
    # Beyond 1.5 times the frequency of 10 % less than 1 / 10 000 of the power is left.
    highest = math.floor(1.5 * kernel.f10 * spacing + 0.5)
    orders = range(-highest, highest + 1)
    power = np.zeros(shape)
    for i in orders:
        for j in orders:
            f = np.hypot((fy + i / spacing)[:, None], fx + j / spacing)
            power += f * kernel.response(f) ** 2
    relative = np.asarray(power / power.mean(), np.float32)
    relative.flags.writeable = False
    return relative


def noise_gain(kernel: Kernel, pitch: float, views: int) -> float:
    """Return the variance of a reconstruction for unit variance of each line integral, 1/mm^2.

    ``(pi / views) pitch * integral of |f| W(f)^2`` over the plane, up to the Nyquist frequency of the
    detector (Riederer, Pelc and Chesler, Phys Med Biol 23 (1978) 446).

    Parameters
    ----------
    kernel : Kernel
    pitch : float
        Distance of the rays, mm.
    views : int
        Over 180 degrees.
    """
    f = (np.arange(2000) + 0.5) / 2000 * 0.5 / pitch
    ring = 2 * math.pi * np.sum((f * kernel.response(f)) ** 2) * (f[1] - f[0])
    return float(math.pi / views * pitch * ring)
