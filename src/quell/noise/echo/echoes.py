"""Coherent echoes of random scatterers, seen through a point-spread function that follows the depth."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quell.image import FloatArray
from quell.noise.echo.speckle import Lines, white_echoes
from quell.noise.smoothing import REACH, smooth

SPREAD = 1 / math.sqrt(8 * math.log(2))
"""Standard deviation of a Gaussian over its full width at half height."""

CELL = math.sqrt(2 * math.pi)
"""Side of a speckle cell over the standard deviation of the amplitude of the point-spread function."""


@dataclass(frozen=True, eq=False)
class PointSpread:
    """The amplitude of the pulse-echo response, a Gaussian along and across the beam.

    Attributes
    ----------
    along : float
        Standard deviation along the beam, samples.
    across : ndarray of float64, shape (samples,)
        Standard deviation across it at each depth, in beams.
    """

    along: float
    across: npt.NDArray[np.float64]

    def margin(self) -> tuple[int, int]:
        """Return how far it reaches along and across the beams, in whole samples."""
        return math.ceil(REACH * self.along), math.ceil(REACH * float(self.across.max()))


def scatter(rng: np.random.Generator, density: FloatArray, shape: tuple[int, int]) -> Lines:
    """Return the summed strengths of the scatterers in each sample, of mean intensity 1.

    The number in a sample is Poisson, each has a circular Gaussian strength: what a random place
    within a wavelength does to the phase. The envelope then is K-distributed with the number of
    scatterers in a cell as its parameter (Jakeman and Pusey, IEEE Trans Antennas Propag 24 (1976) 806).

    Parameters
    ----------
    rng : numpy.random.Generator
    density : ndarray of float32, shape (samples, 1)
        Mean number of scatterers in a sample.
    shape : tuple of int
        Samples and beams.
    """
    field = white_echoes(rng, shape)
    field *= np.sqrt(rng.poisson(np.broadcast_to(density, shape)) / density, dtype=np.float32)
    return field


def receive(field: Lines, spread: PointSpread, hiss: Lines | None = None) -> Lines:
    """Convolve a field with the point-spread function, which has energy 1.

    Parameters
    ----------
    field : ndarray of complex64, shape (samples, lines)
        With a margin on all sides (`PointSpread.margin`), which is cut off.
    spread : PointSpread
    hiss : ndarray of complex64, optional
        Noise of the receiver, of the same shape: it knows no beam, but passes the same filter along
        the lines.

    Returns
    -------
    ndarray of complex64
        White input of mean intensity 1 comes out with mean intensity 1.
    """
    down, aside = spread.margin()
    across = np.pad(spread.across, down, mode="edge")
    seen = smooth(field, 0.0, across)
    seen /= np.sqrt(_energy(across)).astype(np.float32)[:, None]
    if hiss is not None:
        seen += hiss
    lines = smooth(seen[:, aside : field.shape[1] - aside], spread.along, 0.0)
    lines /= np.float32(math.sqrt(_energy(spread.along)))
    return lines[down : field.shape[0] - down]


def _energy(sigma: npt.NDArray[np.float64] | float) -> npt.NDArray[np.float64]:
    """Return the sum of the squares of a sampled Gaussian of area 1."""
    # In frequency, as `smooth` makes it: narrow Gaussians are cut off at the highest frequency.
    f = np.linspace(-0.5, 0.5, 256, endpoint=False) + 1 / 512
    power = np.exp(-((2 * np.pi * np.asarray(sigma, float)[..., None] * f) ** 2))
    energy: npt.NDArray[np.float64] = power.mean(axis=-1)
    return energy
