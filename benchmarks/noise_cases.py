"""Simulated images whose noise is known exactly, for judging blind estimates of it.

Each is an anatomy that never was plus noise of the kind of its modality: level, law and spectrum. The
noise is made by colouring, thinning or filtering speckle, not by a model of a whole scanner.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quell.image import FloatArray, Geometry, Image, Modality
from quell.noise.spectrum import colour, frequency_axes, normalised, ramp_spectrum
from quell.phantoms.procedural import random_anatomy
from quell.phantoms.uniform import uniform_disc

DOSES = (1.0, 0.5, 0.25, 0.1)
SLICES = 3

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Case:
    """An image with noise and all that is known of the noise.

    Attributes
    ----------
    name : str
    dose : float
    image : Image
    level : ndarray, shape (z, y, x)
        True standard deviation of the noise; 0 where it is not to be judged.
    power : ndarray, shape (y, x)
        True power spectrum in the order of an FFT, mean 1.
    """

    name: str
    dose: float
    image: Image
    level: Array
    power: Array


def simulate(kind: str, dose: float, seed: int, side: int = 256) -> Case:
    """Make one simulated image of a kind (a key of `KINDS`)."""
    rng = np.random.default_rng([seed, sorted(KINDS).index(kind), round(1000 * dose)])
    return KINDS[kind](rng, dose, side)


def ct(rng: np.random.Generator, dose: float, side: int) -> Case:
    """Filtered back-projection: a ramp under an apodisation, more noise in the middle."""
    truth = 1000.0 * _anatomy(rng, "body", side)
    return _ct(rng, truth, dose, "CT")


def ct_water(rng: np.random.Generator, dose: float, side: int) -> Case:
    """Filtered back-projection of a water phantom."""
    disc = uniform_disc((SLICES, side, side), 1000.0, 0.42 * side, background=-1000.0)
    return _ct(rng, disc.astype(float), dose, "CT water")


def _ct(rng: np.random.Generator, truth: Array, dose: float, name: str) -> Case:
    side = truth.shape[-1]
    fy, fx = frequency_axes(side, side)
    radius = np.hypot(fy * np.exp(rng.normal(0, 0.1)), fx)
    power = normalised(ramp_spectrum(radius, 0.01, rng.uniform(0.18, 0.35), 2.4))
    y, x = np.linspace(-0.5, 0.5, side)[:, None], np.linspace(-0.5, 0.5, side)[None, :]
    level = 10.0 / np.sqrt(dose) * (1.25 - 1.4 * (y**2 + x**2)) * np.ones(truth.shape)
    noisy = np.maximum(truth + level * _coloured(rng, truth.shape, power), -1024.0)
    judged = np.where(truth > -900.0, level, 0)
    return _case(name, dose, noisy, judged, power, Modality.CT, "HU", 0.75)


def mr(rng: np.random.Generator, dose: float, side: int) -> Case:
    """Rician magnitude of zero-filled k-space; the dose is the square of the signal-to-noise ratio."""
    truth = _anatomy(rng, str(rng.choice(["brain", "vessels"])), side)
    truth = 100.0 * (truth - truth.min()) / np.ptp(truth)
    fy, fx = frequency_axes(side, side)
    ky, kx = rng.choice([0.51, 0.375]), rng.choice([0.51, 0.375])
    power = normalised(((np.abs(fy) < ky) & (np.abs(fx) < kx)) + 1e-4)
    sigma = 2.5 / np.sqrt(dose)
    real, imaginary = (sigma * _coloured(rng, truth.shape, power) for _ in range(2))
    noisy = np.hypot(truth + real, imaginary)
    level = sigma * rician_deviation(truth / sigma)
    return _case("MR", dose, noisy, level, power, Modality.MR, "arbitrary", 0.9)


def pet(rng: np.random.Generator, dose: float, side: int) -> Case:
    """Reconstructed activity: wide grains, standard deviation nearly proportional to the mean."""
    truth = 1e4 * _anatomy(rng, "counts", side)
    fy, fx = frequency_axes(side, side)
    power = normalised(np.exp(-np.log(2) * (np.hypot(fy, fx) / rng.uniform(0.08, 0.16)) ** 2) + 1e-4)
    mean = np.maximum(truth, 1.0)
    level = 0.1 / np.sqrt(dose) * 2000.0**0.13 * mean**0.87
    noisy = np.maximum(truth + level * _coloured(rng, truth.shape, power), 0.0)
    return _case("PET", dose, noisy, np.where(truth > 300, level, 0), power, Modality.PT, "Bq/ml", 2.0)


def scintigraphy(rng: np.random.Generator, dose: float, side: int) -> Case:
    """Planar counts: Poisson, white."""
    truth = 60.0 * dose * _anatomy(rng, "counts", side)
    noisy = rng.poisson(truth).astype(float)
    level = np.where(truth > 0.5, np.sqrt(truth), 0)
    return _case("NM", dose, noisy, level, np.ones((side, side)), Modality.NM, "counts", 2.3)


def ultrasound(rng: np.random.Generator, dose: float, side: int) -> Case:
    """Log-compressed speckle; the dose is the share of four looks."""
    looks = max(1, round(4 * dose))
    truth = _anatomy(rng, "ultrasound", side)
    power = _point_spread(rng, side)
    decibels = 60.0 * np.clip(truth, 0, None) - 50.0
    speckle = _speckle(rng, truth.shape, power, looks)
    grey = np.clip((decibels + speckle + 60.0) / 60.0, 0, 1) * 255.0
    plain = _speckle(rng, (32, side, side), power, looks)
    clear = (decibels > -60 + 18) & (decibels < -9)
    level = np.where(clear, plain.std() / 60.0 * 255.0, 0)
    measured = np.mean(np.abs(np.fft.fft2(plain - plain.mean())) ** 2, axis=0)
    measured[0, 0] = measured[0, 1]
    return _case("US", dose, np.round(grey), level, normalised(measured), Modality.US, "arbitrary", 0.15)


def radiograph(rng: np.random.Generator, dose: float, side: int) -> Case:
    """Quantum noise blurred by the detector, plus electronic noise."""
    truth = 1000.0 * dose * np.exp(-1.2 * _anatomy(rng, "radiograph", side).clip(-1.5, 2))
    fy, fx = frequency_axes(side, side)
    transfer = np.exp(-np.log(2) * (np.hypot(fy, fx) / rng.uniform(0.2, 0.4)) ** 2)
    quantum = normalised(0.7 * transfer + 0.3)
    electronic = 4.0
    noisy = truth + np.sqrt(truth) * _coloured(rng, truth.shape, quantum)
    noisy += electronic * rng.standard_normal(truth.shape)
    level = np.sqrt(truth + electronic**2)
    power = normalised(quantum * np.median(truth) + electronic**2)
    return _case("XR", dose, noisy, level, power, Modality.XR, "arbitrary", 0.2)


KINDS: dict[str, Callable[[np.random.Generator, float, int], Case]] = {
    "ct": ct,
    "ct_water": ct_water,
    "mr": mr,
    "pet": pet,
    "nm": scintigraphy,
    "us": ultrasound,
    "xr": radiograph,
}


def rician_deviation(signal: Array) -> Array:
    """Return the standard deviation of the magnitude of a complex Gaussian of unit noise.

    From the first two moments of the Rice distribution; the mean is read off a table of the
    integral, which needs no Bessel functions.
    """
    table = np.linspace(0, 8, 161)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights[:, None] * weights[None, :] / (2 * np.pi)
    means = [np.sum(weights * np.hypot(a + nodes[:, None], nodes[None, :])) for a in table]
    mean = np.interp(signal, table, means)
    return np.where(signal < 8, np.sqrt(np.maximum(signal**2 + 2 - mean**2, 0)), 1.0)


def _case(
    name: str, dose: float, noisy: Array, level: Array, power: Array, kind: Modality, units: str, pixel: float
) -> Case:
    geometry = Geometry((3.0, pixel, pixel), known=True)
    label = f"{name} at dose {dose:g}"
    volume = kind not in (Modality.US, Modality.NM)
    image = Image(noisy.astype(np.float32), kind, units, geometry, volume=volume, name=label)
    return Case(name, dose, image, level, np.asarray(power, np.float64))


def _anatomy(rng: np.random.Generator, style: str, side: int) -> Array:
    return random_anatomy(rng, (SLICES, side, side), style).astype(np.float64)


def _coloured(rng: np.random.Generator, shape: tuple[int, ...], power: Array) -> Array:
    return np.asarray(colour(rng.standard_normal(shape), power), np.float64)


def _point_spread(rng: np.random.Generator, side: int) -> Array:
    """Return the power spectrum of the echo amplitude: a narrow pulse, a wider beam."""
    fy, fx = frequency_axes(side, side)
    return np.asarray(
        normalised(np.exp(-((fy / rng.uniform(0.1, 0.18)) ** 2) - (fx / rng.uniform(0.05, 0.1)) ** 2)),
        np.float64,
    )


def _speckle(rng: np.random.Generator, shape: tuple[int, ...], power: Array, looks: int) -> Array:
    """Return speckle in dB around its mean."""
    intensity = np.zeros(shape)
    for _ in range(2 * looks):
        intensity += _coloured(rng, shape, power) ** 2
    decibels = 10 * np.log10(np.maximum(intensity, 1e-9))
    return np.asarray(decibels - decibels.mean())


def blocks_of(level: Array, block: int) -> FloatArray:
    """Return the root mean square of a level map over blocks; 0 where a block is not judged throughout."""
    depth, rows, columns = (level.shape[0], *(n // block for n in level.shape[1:]))
    cut = level[:, : rows * block, : columns * block].reshape(depth, rows, block, columns, block)
    mean = np.sqrt((cut**2).mean(axis=(2, 4)))
    return np.where((cut > 0).all(axis=(2, 4)), mean, 0).astype(np.float32)
