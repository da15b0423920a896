"""The noise of radiographs: quanta, electronics, the detector's own pattern, and what blurs them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from quell.errors import InputError
from quell.image import FloatArray, Image, Modality
from quell.noise.contracts import NoiseEstimate, Simulated, check_dose
from quell.noise.detector.anscombe import generalised_anscombe
from quell.noise.detector.exposure import (
    LinearScale,
    LogScale,
    grey_step,
    log_scale,
    mapped_for_viewing,
    stated_linear,
    why_not_linear,
)
from quell.noise.detector.quanta import found_quanta, smoothed
from quell.noise.detector.response import (
    cut,
    filtered,
    modulation_transfer,
    padded,
    pixel_share,
    quantum_noise_power,
    reach,
)

_DEFAULT_QUANTA = 1.0
_DEFAULT_MAPPED_QUANTA = 1000.0
_MOST_NEGATIVE = 0.05
"""Electronic noise makes some pixels of a dark area negative."""


@dataclass(frozen=True)
class RadiographyNoise:
    """The noise of a digital radiograph.

    A pixel of the linear image holds the expected signal, a quantum part whose variance is proportional
    to it and whose spectrum lies between MTF squared and white, white electronic noise, and a fixed
    pattern proportional to the signal.

    Attributes
    ----------
    quanta_per_value : float or None
        Noise-equivalent quanta that one unit of pixel value stands for at full dose, at spatial
        frequency 0. None: `simulate` measures it in the image, `acquire` takes 1. Common are 100 to
        2000 quanta a pixel.
    electronic_noise_quanta : float
        Standard deviation of the read-out noise of a pixel, in quanta; common are 2 to 10.
    structure : float
        Relative standard deviation of the fixed pattern that flat-fielding leaves.
    scatter_to_primary : float
        Scattered quanta for each primary one where the image is corrected for their signal: they add
        noise and no signal. 0 where the image still holds them as signal. 0.3 to 1 with a grid, 1 to 3
        without one for a chest.
    scatter_mm : float
        Standard deviation of the spread of the scatter, mm.
    mtf50 : float
        Frequency at which the modulation transfer function is one half, cycles per mm.
    white_share : float
        Share of the quantum noise that is not blurred, 0 to 1.
    pixel_mm : float
        Size of a pixel where the image does not say it.
    latitude : float or None
        Decades of exposure between the lowest and the highest value of images that are not linear;
        None for those that the noise of the image follows.
    darker : bool or None
        Whether more exposure is darker in images that are not linear; None for yes where they are
        mapped for viewing, and otherwise to let the noise tell.
    detector : int
        Seed of the fixed pattern: the same detector has the same pattern in every acquisition.

    Examples
    --------
    >>> import numpy as np
    >>> from quell.image import Image
    >>> truth = Image(np.full((1, 64, 64), 500, np.float32), modality=Modality.XR)
    >>> RadiographyNoise().acquire(truth, 1.0, np.random.default_rng(0)).image.shape
    (1, 64, 64)
    """

    quanta_per_value: float | None = None
    electronic_noise_quanta: float = 5.0
    structure: float = 0.003
    scatter_to_primary: float = 0.0
    scatter_mm: float = 20.0
    mtf50: float = 1.4
    white_share: float = 0.2
    pixel_mm: float = 0.2
    latitude: float | None = None
    darker: bool | None = None
    detector: int = 0

    def __post_init__(self) -> None:
        given = [value for value in (self.quanta_per_value, self.latitude) if value is not None]
        positive = (*given, self.scatter_mm, self.mtf50, self.pixel_mm)
        least = (self.electronic_noise_quanta, self.structure, self.scatter_to_primary, self.white_share)
        # Written so that NaN fails too.
        if not (all(value > 0 for value in positive) and all(value >= 0 for value in least)):
            raise ValueError(f"parameters of a detector must not be negative: {self}")
        if self.white_share > 1:
            raise ValueError(f"the white share lies between 0 and 1, got {self.white_share:g}")

    @property
    def modality(self) -> Modality:
        """Radiography."""
        return Modality.XR

    @property
    def dose_means(self) -> str:
        """What a dose is."""
        return "fraction of the exposure of the detector (mAs)"

    def check(self, image: Image) -> tuple[str, ...]:
        """Say what stands against simulating from this image; see the contract.

        Raises
        ------
        InputError
            If it is no radiograph, or its values can be no signal of a detector.
        """
        if image.modality is not Modality.XR:
            raise InputError(image.name, f"is {image.modality.value}, not a radiograph")
        if not np.isfinite(image.voxels).all():
            raise InputError(image.name, "holds values that are not finite")
        if float(np.ptp(image.voxels)) == 0:
            raise InputError(image.name, "is constant")
        warnings = list(why_not_linear(image))
        if not warnings and float(np.mean(image.voxels < 0)) > _MOST_NEGATIVE:
            raise InputError(image.name, "holds negative values, which no detector signal has")
        if not (warnings or stated_linear(image)):
            warnings.append("approximate: nothing says how values follow the exposure; taken as proportional")
        if not image.geometry.known:
            warnings.append(f"approximate: the pixel size is unknown; taken as {self.pixel_mm:g} mm")
        return tuple(warnings)

    def simulate(self, image: Image, dose: float, rng: np.random.Generator) -> Simulated:
        """Return the image as it would have come out at a lower exposure, on its own scale of values.

        In quanta, ``I_a = a I + T * (sqrt(a (1 - a) lambda) z) + sqrt(1 - a^2) sigma_e z'``, divided by
        `a` afterwards (Svalkvist and Bath, Med Phys 37 (2010) 2704): signal, pattern and noise of the
        image stay, and all second moments are those of an acquisition at the dose `a`. Images mapped
        for viewing are brought to a scale of exposure by a guessed logarithmic law, and back.

        Raises
        ------
        InputError
            As `check` does, and if the noise is to be measured and cannot be.
        ValueError
            If the dose is outside (0, 1].
        """
        check_dose(dose)
        warnings = self.check(image)
        scale = self._scale(image)
        model, doubts = self._measured(image, scale)
        parameters = model._parameters(image, dose, scale)
        if dose == 1:
            return Simulated(image, parameters, (*warnings, *doubts))
        voxels = np.empty_like(image.voxels)
        for z, plane in enumerate(image.voxels):
            exposure = scale.to_exposure(plane)
            voxels[z] = scale.to_values(exposure + model._added(exposure, image, dose, rng))
        if image.padding is not None:
            voxels[image.padding] = image.voxels[image.padding]
        return Simulated(image.with_voxels(voxels), parameters, (*warnings, *doubts))

    def acquire(self, truth: Image, dose: float, rng: np.random.Generator) -> Simulated:
        """Return the radiograph of an object, divided by the dose so that its values stay.

        Parameters
        ----------
        truth : Image
            Expected signal of a detector without blur, linear in the exposure, not negative.
        dose : float
            As fraction of the full dose; any positive number.
        rng : numpy.random.Generator

        Raises
        ------
        InputError
            If it is no radiograph or holds negative or infinite values.
        ValueError
            If the dose is not positive.
        """
        if not 0 < dose < np.inf:
            raise ValueError(f"a dose is a positive number, got {dose:g}")
        if truth.modality is not Modality.XR:
            raise InputError(truth.name, f"is {truth.modality.value}, not a radiograph")
        if not np.isfinite(truth.voxels).all() or float(truth.voxels.min()) < 0:
            raise InputError(truth.name, "holds negative or infinite values, which no signal has")
        model = replace(self, quanta_per_value=self.quanta_per_value or _DEFAULT_QUANTA)
        pattern = 1 + np.float32(self.structure) * self._pattern(truth.shape[1:])
        voxels = np.empty_like(truth.voxels)
        for z, plane in enumerate(truth.voxels):
            voxels[z] = model._detected(plane, truth, dose, rng) * pattern
            electronic = model.electronic_noise_quanta / (dose * model._quanta_of_one)
            voxels[z] += np.float32(electronic) * rng.standard_normal(plane.shape, dtype=np.float32)
        return Simulated(truth.with_voxels(voxels), model._parameters(truth, dose, LinearScale()))

    def estimate(self, image: Image) -> NoiseEstimate:
        """Measure the noise in an image; see the contract."""
        from quell.noise.estimation import estimate_noise

        found: NoiseEstimate = estimate_noise(image)
        return found

    def calibrate(self, image: Image) -> RadiographyNoise:
        """Return this model with the quanta that the noise of a linear image tells.

        Raises
        ------
        InputError
            As `check` does; also where the values are mapped for viewing or no noise can be measured.
        """
        self.check(image)
        if why_not_linear(image):
            raise InputError(
                image.name, "its values are mapped for viewing; they have no quanta of their own"
            )
        scale = LinearScale(grey_step(image))
        measured, doubts = replace(self, quanta_per_value=None)._measured(image, scale)
        if doubts:
            raise InputError(image.name, doubts[0])
        return measured

    def variance(self, signal: FloatArray | float, spacing: tuple[float, float]) -> npt.NDArray[np.float64]:
        """Return the variance of pixels of a given mean at full dose, over exposures of many detectors.

        ``sigma_e^2 / q^2 + k m / q + kappa m^2``: electronic, quantum and structure noise.

        Parameters
        ----------
        signal : ndarray or float
            Mean pixel value of an even area.
        spacing : tuple of float
            Pixel height and width, mm.
        """
        q, mean = self._quanta_of_one, np.asarray(signal, np.float64)
        share = pixel_share(quantum_noise_power(self.mtf50, self.white_share), spacing)
        quantum = share * mean * (1 + self.scatter_to_primary) / q
        return (self.electronic_noise_quanta / q) ** 2 + quantum + (self.structure * mean) ** 2

    def stabilised(self, image: Image) -> FloatArray:
        """Return values whose quantum and electronic noise has unit variance everywhere.

        The generalised Anscombe transform with the gain and electronic noise of this model; the noise of
        a linear image with `quanta_per_value` set.
        """
        share = pixel_share(quantum_noise_power(self.mtf50, self.white_share), self._spacing(image))
        gain = share * (1 + self.scatter_to_primary) / self._quanta_of_one
        return generalised_anscombe(image.voxels, gain, self.electronic_noise_quanta / self._quanta_of_one)

    @property
    def _quanta_of_one(self) -> float:
        return self.quanta_per_value or _DEFAULT_QUANTA

    def _spacing(self, image: Image) -> tuple[float, float]:
        return image.geometry.spacing[1:] if image.geometry.known else (self.pixel_mm, self.pixel_mm)

    def _scale(self, image: Image) -> LinearScale | LogScale:
        if why_not_linear(image):
            viewing = mapped_for_viewing(image) and self.darker is None
            return log_scale(image, self.latitude, True if viewing else self.darker)
        return LinearScale(grey_step(image))

    def _measured(
        self, image: Image, scale: LinearScale | LogScale
    ) -> tuple[RadiographyNoise, tuple[str, ...]]:
        """Return the model with its quanta measured where they are not given, and what is doubtful then."""
        if self.quanta_per_value is not None:
            return self, ()
        power = quantum_noise_power(self.mtf50, self.white_share)
        found = found_quanta(
            image, scale, power, self._spacing(image), self.electronic_noise_quanta, self.structure
        )
        if found is not None:
            # Whatever scatter there is has left its noise in what was measured.
            return replace(self, quanta_per_value=found, scatter_to_primary=0.0), ()
        if isinstance(scale, LinearScale):
            raise InputError(image.name, "its noise cannot be measured; give the quanta per pixel value")
        assumed = f"{_DEFAULT_MAPPED_QUANTA:g} quanta in the most exposed pixel are assumed"
        return replace(self, quanta_per_value=_DEFAULT_MAPPED_QUANTA), (
            f"approximate: the noise lies below the grey levels or cannot be measured; {assumed}",
        )

    def _rate(self, signal: FloatArray, spacing: tuple[float, float]) -> FloatArray:
        """Return the expected quanta of pixels at full dose, scatter included."""
        total = np.maximum(signal, 0)
        if self.scatter_to_primary:
            margin = min(int(2 * self.scatter_mm / min(spacing)), max(signal.shape))
            spread = cut(
                filtered(
                    padded(total, margin),
                    lambda f2: np.exp(-2 * np.pi**2 * self.scatter_mm**2 * f2).astype(np.float64),
                    spacing,
                ),
                (signal.shape[0], signal.shape[1]),
                margin,
            )
            total = total + np.float32(self.scatter_to_primary) * np.maximum(spread, 0)
        return np.asarray(total * np.float32(self._quanta_of_one), np.float32)

    def _added(self, exposure: FloatArray, image: Image, dose: float, rng: np.random.Generator) -> FloatArray:
        """Return the noise that a lower dose adds to a plane, in units of the exposure at full dose."""
        spacing = self._spacing(image)
        power = quantum_noise_power(self.mtf50, self.white_share)
        margin = reach(self.mtf50, spacing)
        rate = padded(self._rate(smoothed(exposure), spacing), margin)
        white = np.sqrt(np.float32(dose * (1 - dose)) * rate) * rng.standard_normal(rate.shape, np.float32)
        noise = cut(filtered(white, lambda f2: np.sqrt(power(f2)), spacing), _plane(exposure), margin)
        electronic = np.float32(np.sqrt(1 - dose**2) * self.electronic_noise_quanta)
        noise = noise + electronic * rng.standard_normal(exposure.shape, np.float32)
        return np.asarray(noise / np.float32(dose * self._quanta_of_one), np.float32)

    def _detected(
        self, signal: FloatArray, image: Image, dose: float, rng: np.random.Generator
    ) -> FloatArray:
        """Return blurred quanta in units of the signal; the mean of the scatter is taken off."""
        spacing = self._spacing(image)
        margin = reach(self.mtf50, spacing)
        rate = padded(self._rate(signal, spacing), margin) * np.float32(dose)
        primary = padded(signal, margin) * np.float32(dose * self._quanta_of_one)
        blurred, white = (rng.poisson(rate) - rate for _ in range(2))
        part = np.float32(self.white_share)
        seen = filtered(primary + np.sqrt(1 - part) * blurred, modulation_transfer(self.mtf50), spacing)
        seen = cut(seen + np.sqrt(part) * white, _plane(signal), margin)
        return np.asarray(seen / np.float32(dose * self._quanta_of_one), np.float32)

    def _pattern(self, shape: tuple[int, ...]) -> FloatArray:
        """Return the fixed pattern of the detector, white with unit variance."""
        return np.random.default_rng(self.detector).standard_normal(shape, np.float32)

    def _parameters(
        self, image: Image, dose: float, scale: LinearScale | LogScale
    ) -> dict[str, float | int | str]:
        """Return what a repeat needs; the quanta are those of the image that comes out."""
        row, column = self._spacing(image)
        known: dict[str, float | int | str] = {
            "dose": dose,
            "quanta_per_value_at_full_dose": self._quanta_of_one,
            "quanta_per_value": self._quanta_of_one * dose,
            "electronic_noise_quanta": self.electronic_noise_quanta,
            "structure": self.structure,
            "scatter_to_primary": self.scatter_to_primary,
            "scatter_mm": self.scatter_mm,
            "mtf50_cycles_per_mm": self.mtf50,
            "white_share": self.white_share,
            "pixel_height_mm": row,
            "pixel_width_mm": column,
            "detector": self.detector,
            "scale": "linear",
        }
        if isinstance(scale, LogScale):
            known |= {"scale": "logarithmic", "value_of_largest_exposure": scale.zero}
            known |= {"value_per_natural_logarithm": scale.slope}
        return known


def _plane(pixels: FloatArray) -> tuple[int, int]:
    return pixels.shape[0], pixels.shape[1]
