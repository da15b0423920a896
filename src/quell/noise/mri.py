"""MRI: complex noise of the receive coils, and the laws it follows in a magnitude image."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from quell.errors import InputError
from quell.image import BoolArray, FloatArray, Image, Modality
from quell.noise.blank import blank_zones
from quell.noise.coils.array import Coils, coil_covariance, coil_noise, coil_sensitivities, sum_of_squares
from quell.noise.coils.kspace import kspace_weights
from quell.noise.coils.magnitude import MagnitudeNoise, magnitude_noise, stretch_spectrum
from quell.noise.coils.sense import unfold, unfolding
from quell.noise.contracts import NoiseEstimate, Simulated, check_dose
from quell.noise.spectrum import colour

_FAINT = 3.0
_NEGATIVE = 0.05
_NEGATIVE_ENERGY = 0.01
_BLANK = 0.02


@dataclass(frozen=True)
class MRINoise:
    """The noise of an MR scanner.

    Attributes
    ----------
    snr : float
        `acquire`: brightest tissue (99th percentile) over the standard deviation of the noise in the
        real part, in the middle of an image of full matrix without acceleration, at dose 1.
    coils : int
        Receive coils on a ring around the field of view; 1 is a birdcage.
    correlation : float
        Of the noise of neighbouring coils.
    combination : str
        ``"sense"``: optimal combination with known sensitivities, with acceleration also unfolding
        (Rician); ``"sum_of_squares"`` (non-central chi).
    acceleration : int
        Only every so manieth line (row) is measured.
    zero_filling : float
        Size of the image over that of the measured matrix.
    partial_fourier : float
        Share of the lines that is measured; the others are filled with zeros.
    apodisation : float
        Share of the way to the edge of k-space over which the data are damped.
    noise_level : float or None
        `simulate`: standard deviation of the noise in the real part, in the units of the image; None
        to measure it in the image.
    channels : float or None
        `simulate`: coils whose squares were summed; None to find it in the noise of the air.
    """

    snr: float = 20.0
    coils: int = 8
    correlation: float = 0.2
    combination: Literal["sense", "sum_of_squares"] = "sense"
    acceleration: int = 1
    zero_filling: float = 1.0
    partial_fourier: float = 1.0
    apodisation: float = 0.0
    noise_level: float | None = None
    channels: float | None = None

    def __post_init__(self) -> None:
        if not self.snr > 0 or self.coils < 1 or not 0 <= self.correlation < 1:
            raise ValueError("snr must be above 0, coils 1 or more, correlation in [0, 1)")
        if self.combination not in ("sense", "sum_of_squares"):
            raise ValueError(f"unknown combination {self.combination!r}")
        if not 1 <= self.acceleration <= self.coils:
            raise ValueError("an acceleration lies between 1 and the number of coils")
        if self.acceleration > 1 and self.combination != "sense":
            raise ValueError("an accelerated image is unfolded by SENSE")
        if self.zero_filling < 1 or not 0.5 < self.partial_fourier <= 1 or not 0 <= self.apodisation <= 1:
            raise ValueError("zero_filling from 1, partial_fourier in (0.5, 1], apodisation in [0, 1]")
        if (self.noise_level is not None and not self.noise_level > 0) or (
            self.channels is not None and not self.channels >= 1
        ):
            raise ValueError("noise_level must be above 0, channels 1 or more")

    @property
    def modality(self) -> Modality:
        return Modality.MR

    @property
    def dose_means(self) -> str:
        return "fraction of the acquisition time (the variance of the noise goes as 1 / dose)"

    def check(self, image: Image) -> tuple[str, ...]:
        """Say what stands against adding noise to this image; raise InputError where it means nothing."""
        return self._examine(image)[2]

    def simulate(self, image: Image, dose: float, rng: np.random.Generator) -> Simulated:
        """Return the magnitude image of a shorter acquisition.

        With sigma the noise that is there, complex noise of standard deviation
        ``sigma sqrt(1 / dose - 1)`` and of the same colour is added to the magnitude, and the
        magnitude taken. That is exact in every pixel whatever the signal: circular noise has no
        phase to agree with, so ``|m + n|`` has the law of ``|A + n0 + n|`` where ``m = |A + n0|``.
        With several channels the same holds for the length of their vector.

        Raises
        ------
        InputError
            As `check` does.
        ValueError
            If the dose is outside (0, 1].
        """
        check_dose(dose)
        noise, blank, warnings = self._examine(image)
        level = noise.sigma * math.sqrt(1 / dose - 1)
        if level > 0 and noise.signal < _FAINT * noise.sigma / math.sqrt(dose):
            warnings = (
                *warnings,
                "the signal falls below three times the noise: its magnitude is biased upwards",
            )
        voxels = image.voxels.copy()
        if level > 0:
            power = stretch_spectrum(noise.power, image.shape[1:])
            for z in range(len(voxels)):
                anew = _add(np.abs(voxels[z]), level, noise.channels, power, rng)
                voxels[z] = np.where(blank[z], voxels[z], anew)
        parameters: dict[str, float | int | str] = {
            "dose": dose,
            "noise_level": noise.sigma,
            "added_noise_level": level,
            "channels": noise.channels,
            "noise_found_in": noise.found_in,
        }
        return Simulated(image.with_voxels(voxels), parameters, warnings)

    def dose_for_snr(self, image: Image, snr: float) -> float:
        """Return the dose that brings an image to a ratio of signal to noise.

        Signal is the median of what is brighter than 0.3 times the 99th percentile, noise the standard
        deviation in the real part.

        Raises
        ------
        InputError
            As `check` does, and if the image is noisier already.
        ValueError
            If `snr` is not above 0.
        """
        if not snr > 0:
            raise ValueError(f"a ratio of signal to noise is above 0, got {snr:g}")
        noise = self._examine(image)[0]
        present = noise.signal / noise.sigma
        if snr > present:
            raise InputError(
                image.name, f"its signal is only {present:.3g} times its noise, less than {snr:g}"
            )
        return (snr / present) ** 2

    def for_snr(self, image: Image, snr: float, rng: np.random.Generator) -> Simulated:
        """Return the image with so much noise that signal over noise is `snr`; see `dose_for_snr`."""
        return self.simulate(image, self.dose_for_snr(image, snr), rng)

    def acquire(self, truth: Image, dose: float, rng: np.random.Generator) -> Simulated:
        """Return the magnitude image of an object: coils, k-space, noise, and the way back.

        Parameters
        ----------
        truth : Image
            Signal, not negative, in any unit.
        dose : float
            Measuring time over that for which `snr` holds.
        rng : numpy.random.Generator

        Raises
        ------
        InputError
            If the truth is no MR, has negative values or no signal, or its rows are no multiple of
            the acceleration.
        ValueError
            If the dose is not above 0.
        """
        if not 0 < dose < math.inf:
            raise ValueError(f"a dose is above 0, got {dose:g}")
        _require_mr(truth)
        signal = float(np.percentile(truth.voxels, 99))
        if float(truth.voxels.min()) < 0 or signal <= 0:
            raise InputError(truth.name, "holds no signal, or negative signal")
        if truth.shape[1] % self.acceleration:
            raise InputError(truth.name, f"{truth.shape[1]} rows cannot be folded {self.acceleration} times")
        sigma = signal / self.snr / math.sqrt(dose)
        seen = coil_sensitivities((truth.shape[1], truth.shape[2]), self.coils)
        matrices = unfolding(seen, coil_covariance(self.coils, self.correlation), self.acceleration)
        voxels = np.empty_like(truth.voxels)
        for z, pixels in enumerate(truth.voxels):
            images = self._coil_images(seen * pixels, sigma, rng)
            combined = (
                sum_of_squares(images) if self.combination == "sum_of_squares" else unfold(images, matrices)
            )
            voxels[z] = np.abs(combined)
        image = replace(truth.with_voxels(voxels), modality=Modality.MR)
        parameters: dict[str, float | int | str] = {"dose": dose, "noise_level": sigma}
        parameters |= {k: v for k, v in asdict(self).items() if k not in ("noise_level", "channels")}
        return Simulated(image, parameters)

    def estimate(self, image: Image) -> NoiseEstimate:
        """Measure the noise in an image, from the image alone and without a network."""
        from quell.noise.estimation import estimate_noise

        found: NoiseEstimate = estimate_noise(image)
        return found

    def _coil_images(self, seen: Coils, sigma: float, rng: np.random.Generator) -> Coils:
        """Return what the coils measure of what they see, folded where lines are left out."""
        coils, rows, columns = seen.shape
        # An inverse transform divides by the number of samples.
        covariance = coil_covariance(coils, self.correlation, sigma * math.sqrt(rows * columns))
        data = np.fft.fft2(seen)[:, :: self.acceleration].astype(np.complex64)
        data += coil_noise(rng, covariance, (rows // self.acceleration, columns))
        weights = kspace_weights((rows, columns), self.zero_filling, self.partial_fourier, self.apodisation)
        images: Coils = np.fft.ifft2(data * weights[:: self.acceleration]).astype(np.complex64)
        return images

    def _examine(self, image: Image) -> tuple[MagnitudeNoise, BoolArray, tuple[str, ...]]:
        """Return the noise that is there, where there is no measurement, and what is only approximate."""
        _require_mr(image)
        if _signed(image.voxels):
            raise InputError(image.name, "has many negative values: no magnitude image")
        blank = np.array([blank_zones(pixels) for pixels in image.voxels])
        warnings = [
            "magnitude only: noise of the same level everywhere is assumed, while parallel imaging and "
            "corrections of shading make it vary"
        ]
        if float(blank.mean()) > _BLANK:
            warnings.append("the background was set to zero; it stays so")
        if image.modality is Modality.UNKNOWN:
            warnings.append("the file does not say that this is MR")
        if image.padding is not None:
            blank |= image.padding
        noise = self._given(image, magnitude_noise(image, blank))
        if noise.found_in == "tissue alone":
            warnings.append(
                "there is no air with noise: the level was taken from tissue, where texture adds to it"
            )
        return noise, blank, tuple(warnings)

    def _given(self, image: Image, found: MagnitudeNoise) -> MagnitudeNoise:
        """Put what the user knows in place of what was found."""
        if self.noise_level is not None:
            found = replace(found, sigma=self.noise_level, found_in="given")
        if self.channels is not None:
            found = replace(found, channels=self.channels)
        if found.sigma <= 0:
            raise InputError(image.name, "no noise was found in it that could be scaled")
        return found


def _add(
    magnitude: FloatArray,
    level: float,
    channels: float,
    power: npt.NDArray[np.float64],
    rng: np.random.Generator,
) -> FloatArray:
    """Return the length of a vector of `channels` complex numbers to which noise was added."""
    square = np.zeros(magnitude.shape)
    for channel in range(math.ceil(channels)):
        # The last one may be a part of a channel.
        share = math.sqrt(min(1.0, channels - channel))
        real, imaginary = level * share * colour(rng.standard_normal((2, *magnitude.shape)), power)
        square += (magnitude + real) ** 2 + imaginary**2 if channel == 0 else real**2 + imaginary**2
    return np.sqrt(square).astype(np.float32)


def _signed(voxels: FloatArray) -> bool:
    """Say whether values are no magnitudes; resampling by the scanner makes a few slightly negative."""
    below = np.minimum(voxels, 0).astype(np.float64)
    energy = float((below**2).sum()) > _NEGATIVE_ENERGY * float((voxels.astype(np.float64) ** 2).sum())
    return energy or float((voxels < 0).mean()) > _NEGATIVE


def _require_mr(image: Image) -> None:
    if image.modality not in (Modality.MR, Modality.UNKNOWN):
        raise InputError(image.name, f"is {image.modality.value}, not MR")
