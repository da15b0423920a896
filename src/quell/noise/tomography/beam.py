"""The X-ray beam of a CT scanner: how many quanta reach the detector, and how noisy their logarithm is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from quell.image import FloatArray

FLOOR: float = 1.0
"""Signals below so many quanta are raised to it before the logarithm is taken."""

_MANY = 400.0
_CURRENTS = (0.4, 2.5)
_SLICE_CURRENTS = (0.1, 10.0)


@dataclass(frozen=True)
class Beam:
    """Flux along the rays of one slice.

    Attributes
    ----------
    flux : float
        Noise-equivalent quanta that an unattenuated central ray gives at dose 1; both samples of a
        full turn together.
    electronic_noise : float
        Standard deviation added by the electronics to each ray, in quanta.
    bowtie : float
        Share of a water disc of diameter `bowtie_mm` that the filter makes up for, 0 to 1.
    bowtie_mm : float
        Diameter of that disc.
    tube_modulation : float
        0 for a constant current; 1 for a current proportional to the root of the attenuation of
        each view, which gives the least noise in the middle of an ellipse (Gies et al., Med Phys 26
        (1999) 2235).
    slice_modulation : float
        0 for the same mean current in every slice; 1 for a current proportional to the attenuation
        of the slice, which makes the noise the same along the patient.
    usual_attenuation : float
        Line integral (the highest of each view, averaged over the views) of a slice that gets the
        current of `flux`.
    water : float
        Attenuation of water at the effective energy, 1/mm.
    """

    flux: float = 1e6
    electronic_noise: float = 8.0
    bowtie: float = 0.5
    bowtie_mm: float = 320.0
    tube_modulation: float = 0.7
    slice_modulation: float = 0.0
    usual_attenuation: float = 6.0
    water: float = 0.0193

    def __post_init__(self) -> None:
        if not (0 < self.flux < math.inf and 0 < self.water < math.inf and 0 < self.bowtie_mm < math.inf):
            raise ValueError("flux, bowtie_mm and water must be positive")
        if not 0 <= self.electronic_noise < math.inf:
            raise ValueError(f"electronic_noise must not be negative, got {self.electronic_noise:g}")
        for name in ("bowtie", "tube_modulation", "slice_modulation"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} lies between 0 and 1, got {getattr(self, name):g}")

    def quanta(self, integrals: FloatArray, positions: npt.NDArray[np.float64]) -> FloatArray:
        """Return the mean quanta of every ray at dose 1.

        Parameters
        ----------
        integrals : ndarray of float32, shape (views, bins)
            Line integrals of the attenuation.
        positions : ndarray of float64, shape (bins,)
            Distances of the rays from the centre of rotation, mm.

        Returns
        -------
        ndarray of float32, shape (views, bins)
        """
        air = self.flux * np.outer(self.current(integrals), self.filtration(positions))
        quanta = np.exp(-integrals)
        quanta *= air.astype(np.float32)
        return quanta

    def filtration(self, positions: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return what the bow-tie filter lets through at distances from the centre, 1 in the middle."""
        radius = self.bowtie_mm / 2
        chord = 2 * np.sqrt(np.maximum(radius**2 - positions**2, 0))
        return np.asarray(np.exp(-self.bowtie * self.water * (2 * radius - chord)))

    def current(self, integrals: FloatArray) -> npt.NDArray[np.float64]:
        """Return the tube current of each view over that of `flux`, within the range of a tube."""
        highest = integrals.max(axis=1).astype(np.float64)
        relative = np.exp(0.5 * self.tube_modulation * (highest - highest.mean()))
        limited = np.clip(relative, *_CURRENTS)
        whole = np.exp(self.slice_modulation * (highest.mean() - self.usual_attenuation))
        return np.asarray(limited / limited.mean() * np.clip(whole, *_SLICE_CURRENTS))


def log_variance(quanta: FloatArray, electronic_noise: float) -> FloatArray:
    """Return the variance of the logarithm of the signal of a ray.

    The signal is ``max(Poisson(quanta) + Normal(0, electronic_noise^2), FLOOR)``. For many quanta it
    is ``1 / quanta + electronic_noise^2 / quanta^2``; where rays starve that is far too much, and a
    table of the exact variance is used.

    Parameters
    ----------
    quanta : ndarray of float32
    electronic_noise : float
        In quanta.

    Returns
    -------
    ndarray of float32
    """
    logs, table = _starved_table(electronic_noise)
    where = np.log(np.clip(quanta, math.exp(logs[0]), None))
    few = np.interp(where, logs, table).astype(np.float32)
    safe = np.maximum(quanta, np.float32(_MANY))
    share = (1 + np.float32(electronic_noise**2) / safe) / safe
    # The next terms of the series in 1/quanta: 5/2 s^2 from the logarithm, less the skewness.
    many = share * (1 + np.float32(2.5) * share) - 1 / safe**2
    return np.asarray(np.where(quanta < _MANY, few, many), np.float32)


@lru_cache(maxsize=32)
def _starved_table(
    electronic_noise: float,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return logarithms of quanta up to `_MANY` and the exact variance there."""
    # A plain grid: the kink at the floor spoils Gauss's nodes.
    nodes = np.linspace(-6, 6, 401)
    weights = np.exp(-(nodes**2) / 2)
    weights /= weights.sum()
    counts = np.arange(int(_MANY + 10 * math.sqrt(_MANY)))
    signal = np.log(np.maximum(counts[:, None] + electronic_noise * nodes, FLOOR))
    logs = np.linspace(math.log(0.02), math.log(_MANY * 1.001), 120)
    factorials = np.concatenate([[0.0], np.cumsum(np.log(counts[1:]))])
    chances = np.exp(counts * logs[:, None] - np.exp(logs)[:, None] - factorials)
    mean, square = chances @ (signal @ weights), chances @ (signal**2 @ weights)
    return logs, square - mean**2


def excess_variance(quanta: FloatArray, dose: float, electronic_noise: float) -> FloatArray:
    """Return the variance that a ray gains when the dose is lowered from 1.

    Parameters
    ----------
    quanta : ndarray of float32
        At dose 1.
    dose : float
        Fraction in (0, 1].
    electronic_noise : float
        In quanta.

    Returns
    -------
    ndarray of float32
        Of the line integral; 0 at dose 1, never negative.
    """
    low = log_variance(quanta * np.float32(dose), electronic_noise)
    return np.asarray(np.maximum(low - log_variance(quanta, electronic_noise), 0), np.float32)
