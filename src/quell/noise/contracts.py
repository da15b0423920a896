"""What every noise model offers: how noise of one modality is made, added and measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from quell.image import FloatArray, Image, Modality


@dataclass(frozen=True, eq=False)
class Simulated:
    """An image with noise that obeys the physics, and how it came about.

    Attributes
    ----------
    image : Image
        Same shape, geometry and units as the image it was made from.
    parameters : mapping of str to float, int or str
        Everything that a repeat needs besides the image and the state of the generator: dose, flux,
        electronic noise, kernel, geometry. Keys are words with units (``"photons_per_ray"``,
        ``"electronic_noise_photons"``); the values are plain JSON.
    warnings : tuple of str
        Why the result is only approximate, one plain sentence each; empty when it is exact.
    """

    image: Image
    parameters: Mapping[str, float | int | str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class NoiseSpectrum:
    """A noise power spectrum, in two dimensions and around the circle.

    Attributes
    ----------
    power : ndarray of float64, shape (n, n)
        Power spectral density with the zero frequency in the middle, rows = fy, columns = fx, in
        units^2 mm^2 (units^2 pixel^2 where the spacing is unknown). Its sum times the area of a
        frequency cell is the variance.
    spacing : tuple of float
        Pixel height and width in mm; (1, 1) where unknown.
    regions : int
        Number of regions that were averaged.
    """

    power: npt.NDArray[np.float64]
    spacing: tuple[float, float]
    regions: int


@dataclass(frozen=True, eq=False)
class NoiseEstimate:
    """The noise that was found in an image without knowing its truth.

    Attributes
    ----------
    level : ndarray of float32, shape (z, rows, columns)
        Local standard deviation in the units of the image, on a grid of blocks; 0 where there is
        nothing to judge.
    block : int
        Side of a block in pixels.
    spectrum : NoiseSpectrum or None
        None where no region is large and plain enough.
    """

    level: FloatArray
    block: int
    spectrum: NoiseSpectrum | None


class NoiseModel(Protocol):
    """The noise of one modality.

    A model is a frozen dataclass whose fields are the parameters of the scanner, each with a unit and
    a default that the literature supports. It holds no image and no state: the generator that is
    passed in is the only source of chance.
    """

    @property
    def modality(self) -> Modality: ...

    @property
    def dose_means(self) -> str:
        """What a dose of 0.25 is, such as ``"fraction of the tube current time product (mAs)"``."""

    def check(self, image: Image) -> tuple[str, ...]:
        """Say what stands against simulating from this image.

        Returns
        -------
        tuple of str
            Warnings: why the result is only approximate.

        Raises
        ------
        InputError
            If the result would mean nothing (wrong modality, no counts, no spacing).
        """

    def simulate(self, image: Image, dose: float, rng: np.random.Generator) -> Simulated:
        """Return the image as it would have come out at a lower dose.

        Parameters
        ----------
        image : Image
            As acquired; its own noise is taken to be that of dose 1.
        dose : float
            See `dose_means`; fractions lie in (0, 1], and 1 changes nothing.
        rng : numpy.random.Generator

        Raises
        ------
        InputError
            As `check` does.
        ValueError
            If the dose is outside its range.
        """

    def acquire(self, truth: Image, dose: float, rng: np.random.Generator) -> Simulated:
        """Return the image that the scanner of this model makes of an object.

        Parameters
        ----------
        truth : Image
            The object itself, free of noise and blur, in the units of the modality.
        dose : float
            As fraction of the full dose that the parameters of the model describe; any positive
            number.
        rng : numpy.random.Generator
        """

    def estimate(self, image: Image) -> NoiseEstimate:
        """Measure the noise in an image, from the image alone and without a network."""


def check_dose(dose: float) -> None:
    """Raise ValueError unless `dose` is a fraction in (0, 1]."""
    # Written so that NaN fails too.
    if not 0 < dose <= 1:
        raise ValueError(f"a dose is a fraction above 0 and up to 1, got {dose:g}")
