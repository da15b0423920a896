"""Signals of the detector, drawn slab by slab and turned into line integrals slice by slice."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from quell.image import FloatArray, Image
from quell.noise.tomography.beam import FLOOR
from quell.noise.tomography.slabs import Slab, slabs_of_slices

Seeds: TypeAlias = Sequence[np.random.SeedSequence]


class Exposure(Protocol):
    """How a slab is exposed, and what its signals say once those of a slice are added up."""

    def draw(self, quanta: FloatArray, share: float, rng: np.random.Generator) -> FloatArray:
        """Return signals, shape (n, views, bins), for the mean quanta that the slab alone gives."""

    def errors(self, signals: FloatArray, quanta: FloatArray) -> FloatArray:
        """Return the errors of the line integrals of a slice from its signals and mean quanta."""


@dataclass(frozen=True)
class DirectExposure:
    """One exposure at a dose: ``Poisson(dose quanta) + Normal(0, electronic_noise^2)``."""

    dose: float
    electronic_noise: float

    def draw(self, quanta: FloatArray, share: float, rng: np.random.Generator) -> FloatArray:
        signal = rng.poisson(quanta * np.float32(self.dose)).astype(np.float32)
        signal += _electronics(quanta.shape, self.electronic_noise * math.sqrt(share), rng)
        return signal[None]

    def errors(self, signals: FloatArray, quanta: FloatArray) -> FloatArray:
        return np.asarray(np.log(quanta * np.float32(self.dose)) - _logarithm(signals[0]), np.float32)


@dataclass(frozen=True)
class ThinnedExposure:
    """The same exposure at full and at low dose: the *thinned difference*.

    ``P ~ Poisson(quanta)``, ``Q ~ Binomial(P, dose)``, electronic noise ``e1`` and
    ``e2 = dose e1 + sqrt(1 - dose^2) z``: Q + e2 has the law of a low-dose signal, and what it adds
    to the noise of the full dose is independent of that noise.
    """

    dose: float
    electronic_noise: float

    def draw(self, quanta: FloatArray, share: float, rng: np.random.Generator) -> FloatArray:
        noise = self.electronic_noise * math.sqrt(share)
        signals = np.empty((2, *quanta.shape), np.float32)
        photons = rng.poisson(quanta)
        electronics = _electronics(quanta.shape, noise, rng)
        np.add(photons, electronics, out=signals[0], casting="unsafe")
        electronics *= np.float32(self.dose)
        electronics += _electronics(quanta.shape, noise * math.sqrt(1 - self.dose**2), rng)
        np.add(rng.binomial(photons, self.dose), electronics, out=signals[1], casting="unsafe")
        return signals

    def errors(self, signals: FloatArray, quanta: FloatArray) -> FloatArray:
        return _logarithm(signals[0]) - _logarithm(signals[1]) + np.float32(math.log(self.dose))


def _electronics(shape: tuple[int, ...], sigma: float, rng: np.random.Generator) -> FloatArray:
    if sigma == 0:
        return np.zeros(shape, np.float32)
    noise = rng.standard_normal(shape, np.float32)
    noise *= np.float32(sigma)
    return noise


def _logarithm(signal: FloatArray) -> FloatArray:
    return np.asarray(np.log(np.maximum(signal, np.float32(FLOOR))), np.float32)


@dataclass
class Detector:
    """Goes through neighbouring slices and exposes each slab once.

    Attributes
    ----------
    exposure : Exposure
    quanta_of : callable
        Gives the mean quanta of the rays of slice z at dose 1, shape (views, bins).
    seeds : sequence of SeedSequence
        One for each slab, so that the order in which slices are asked for does not matter.
    """

    exposure: Exposure
    quanta_of: Callable[[int], FloatArray]
    seeds: Seeds
    _quanta: dict[int, FloatArray] = field(default_factory=dict)
    _signals: dict[int, FloatArray] = field(default_factory=dict)

    def errors(self, slabs: tuple[Slab, ...]) -> FloatArray:
        """Return the errors of the line integrals of the slice that consists of `slabs`."""
        total = sum(self._signal(slab) for slab in slabs)
        quanta = sum(self._mean(slab) for slab in slabs)
        result = self.exposure.errors(np.asarray(total), np.asarray(quanta))
        last = max(slab.number for slab in slabs)
        # Slices come in order: what lies before the first slab of this one is not asked for again.
        first = min(slab.number for slab in slabs)
        self._signals = {n: s for n, s in self._signals.items() if first <= n <= last}
        needed = {z for slab in slabs for z in slab.slices}
        self._quanta = {z: q for z, q in self._quanta.items() if z in needed}
        return result

    def _signal(self, slab: Slab) -> FloatArray:
        if slab.number not in self._signals:
            rng = np.random.default_rng(self.seeds[slab.number])
            self._signals[slab.number] = self.exposure.draw(self._mean(slab), slab.share, rng)
        return self._signals[slab.number]

    def _mean(self, slab: Slab) -> FloatArray:
        """Return the mean quanta of a slab: its share of the average of its slices."""
        for z in slab.slices:
            if z not in self._quanta:
                self._quanta[z] = self.quanta_of(z)
        if len(slab.slices) == 1 and slab.share == 1:
            return self._quanta[slab.slices[0]]
        total = np.asarray(sum(self._quanta[z] for z in slab.slices))
        return total * np.float32(slab.share / len(slab.slices))


def expose_stack(
    image: Image,
    exposure: Exposure,
    quanta_of: Callable[[int], FloatArray],
    finish: Callable[[int, FloatArray], FloatArray],
    rng: np.random.Generator,
) -> FloatArray:
    """Make all slices of an image.

    Parameters
    ----------
    image : Image
        Whose geometry and thickness say how slices overlap.
    exposure : Exposure
    quanta_of : callable
        Gives the mean quanta of the rays of slice z at dose 1, shape (views, bins).
    finish : callable
        Makes the pixels of slice z of the errors of its line integrals.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of float32, shape (z, rows, columns)
        Neighbours are made by one thread; the result does not depend on the number of threads.
    """
    spacing, thickness = image.geometry.spacing[0], image.acquisition.thickness if image.volume else None
    slabs = slabs_of_slices(image.shape[0], spacing, thickness, image.gaps)
    seeds = np.random.SeedSequence(rng.integers(0, 2**63, 2).tolist()).spawn(1 + slabs[-1][-1].number)
    out = np.empty(image.shape, np.float32)

    def stretch(numbers: npt.NDArray[np.intp]) -> None:
        detector = Detector(exposure, quanta_of, seeds)
        for z in numbers:
            out[z] = finish(int(z), detector.errors(slabs[z]))

    threads = min(_cores(), len(out))
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(stretch, np.array_split(np.arange(len(out)), threads)))
    return out


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thin_signals(
    signals: npt.NDArray[Any], dose: float, electronic_noise: float, rng: np.random.Generator
) -> npt.NDArray[Any]:
    """Lower the dose of measured signals, in quanta before the logarithm.

    Parameters
    ----------
    signals : ndarray, shape (..., views, bins)
    dose : float
        Fraction in (0, 1].
    electronic_noise : float
        Standard deviation that the signals hold, quanta.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, of the same shape
        Whole numbers without electronic noise are thinned exactly and keep their type; else float32,
        ``dose I + sqrt(dose (1 - dose) I + (1 - dose^2) s^2) z``, exact to second moments.
    """
    if dose == 1:
        return signals.copy()
    if electronic_noise == 0 and np.issubdtype(signals.dtype, np.integer):
        return np.asarray(rng.binomial(signals, dose), signals.dtype)
    mean = np.maximum(_smoothed(signals.astype(np.float32)), 0)
    variance = dose * (1 - dose) * mean + (1 - dose**2) * electronic_noise**2
    noise = np.sqrt(variance) * rng.standard_normal(signals.shape, np.float32)
    return np.asarray(dose * signals + noise, np.float32)


def _smoothed(signal: FloatArray) -> FloatArray:
    """Average over five bins: the variance of a ray should not follow its own noise."""
    padded = np.pad(signal, [(0, 0)] * (signal.ndim - 1) + [(2, 2)], mode="edge")
    width = signal.shape[-1]
    return np.asarray(sum(padded[..., k : k + width] for k in range(5)) / np.float32(5), np.float32)
