"""The noise of computed tomography: quanta and electronics, through filtered back-projection."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from quell.image import FloatArray, Image, Modality
from quell.noise.contracts import NoiseEstimate, Simulated, check_dose
from quell.noise.tomography.anatomy import line_integrals, not_measured, prepare
from quell.noise.tomography.beam import Beam
from quell.noise.tomography.calibration import measure
from quell.noise.tomography.checks import doubts_about, refuse_unusable
from quell.noise.tomography.counts import DirectExposure, ThinnedExposure, expose_stack, thin_signals
from quell.noise.tomography.filtering import filtered_back_projection
from quell.noise.tomography.geometry import ParallelGeometry, covering
from quell.noise.tomography.kernels import KERNELS, Kernel
from quell.noise.tomography.projector import project
from quell.noise.tomography.scan import Scan

_NOT_RAMP = 1.5
_SMOOTH = 0.2
_RANGE = (-1024.0, 3071.0)
_FLUX = (1e2, 1e9)


@dataclass(frozen=True)
class CTNoise:
    """Noise of a CT scanner with filtered back-projection, one slice at a time.

    Image only, by the *thinned difference*: the slice is projected, the same quanta are drawn at full
    and at low dose, and the reconstruction of the difference of their logarithms is added to the
    image, which keeps its resolution, its kernel and its own noise.

    Attributes
    ----------
    flux : float
        Noise-equivalent quanta that an unattenuated central ray gives in one slice at dose 1, both
        samples of a full turn together.
    electronic_noise : float
        Standard deviation of the electronics, quanta.
    bowtie : float
        Share of a water disc 320 mm wide that the bow-tie filter makes up for, 0 to 1.
    tube_modulation : float
        How far the tube current follows the root of the attenuation of a view, 0 to 1.
    slice_modulation : float
        How far the current follows the attenuation of a slice along the patient, 0 to 1.
    usual_attenuation : float
        Line integral (the highest of each view, averaged over the views) of a slice that gets `flux`.
    water : float
        Attenuation of water at the effective energy, 1/mm.
    kernel : Kernel
        Of the reconstruction.
    views : int
        Over 180 degrees.
    pitch : float
        Distance of the rays at the centre of rotation, mm; the bins follow from the field of view.
    remarks : tuple of str
        What `calibrate` has to say; repeated as warnings.
    calibrated : bool
        Whether flux and kernel were found in the image.
    """

    flux: float = 1e6
    electronic_noise: float = 8.0
    bowtie: float = 0.5
    tube_modulation: float = 0.7
    slice_modulation: float = 0.0
    usual_attenuation: float = 6.0
    water: float = 0.0193
    kernel: Kernel = KERNELS["soft"]
    views: int = 720
    pitch: float = 0.55
    remarks: tuple[str, ...] = ()
    calibrated: bool = False
    _scan: Scan = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        beam = Beam(
            flux=self.flux,
            electronic_noise=self.electronic_noise,
            bowtie=self.bowtie,
            tube_modulation=self.tube_modulation,
            slice_modulation=self.slice_modulation,
            usual_attenuation=self.usual_attenuation,
            water=self.water,
        )
        object.__setattr__(self, "_scan", Scan(beam, self.kernel, self.views, self.pitch))

    @property
    def modality(self) -> Modality:
        """CT."""
        return Modality.CT

    @property
    def dose_means(self) -> str:
        """What a dose is."""
        return "fraction of the tube current time product (mAs)"

    @property
    def scan(self) -> Scan:
        """The same parameters as `quell.noise.ct_wedge` takes them."""
        return self._scan

    def at_dose(self, dose: float) -> CTNoise:
        """Return the model of the same scanner with `dose` times the flux."""
        return replace(self, flux=self.flux * dose)

    def check(self, image: Image) -> tuple[str, ...]:
        """Say what stands against simulating from this image.

        Returns
        -------
        tuple of str
            Warnings: why the result is only approximate.

        Raises
        ------
        InputError
            If it is no CT in HU, or its pixels have no known size or are not square.
        """
        refuse_unusable(image)
        warnings = [*self.remarks, *doubts_about(image)]
        if not self.calibrated:
            warnings.append("flux and kernel are those of the model, not of the scan that made the image")
        if any(prepare(image, z).reaches_out for z in _some_slices(image)):
            warnings.append(
                "the patient reaches beyond the field of view: what lies there was guessed, and the "
                "noise near the edge with it"
            )
        return tuple(warnings)

    def calibrate(self, image: Image) -> CTNoise:
        """Return the model with the flux and the kernel that the noise in an image comes from.

        Parameters
        ----------
        image : Image
            With some plain soft tissue.

        Returns
        -------
        CTNoise
            Unchanged but for its `remarks` where there is nothing to measure. The flux is right as far
            as bow-tie, tube current and electronic noise of the model are.

        Raises
        ------
        InputError
            As `check` does.
        """
        refuse_unusable(image)
        even = replace(self, slice_modulation=0.0)
        found = measure(image, even.scan)
        if found is None:
            remark = "no plain soft tissue with noise was found: flux and kernel are those of the model"
            return replace(self, remarks=(remark,), calibrated=False)
        remarks = []
        if found.low_frequencies > _NOT_RAMP or found.kernel.f50 < _SMOOTH:
            remarks.append(
                "the noise spectrum is not the ramp of filtered back-projection (iterative or learned "
                "reconstruction, filtering, resampling): level and texture are approximate"
            )
        return replace(
            even,
            flux=float(np.clip(self.flux / found.variance_ratio, *_FLUX)),
            kernel=found.kernel,
            slice_modulation=found.slice_modulation or 0.0,
            usual_attenuation=found.attenuation,
            remarks=tuple(remarks),
            calibrated=True,
        )

    def simulate(self, image: Image, dose: float, rng: np.random.Generator) -> Simulated:
        """Return the image as it would have come out at a lower dose.

        Parameters
        ----------
        image : Image
            HU; its own noise is taken to be that of the flux of the model (see `calibrate`).
        dose : float
            Fraction in (0, 1] of the tube current time product; 1 changes nothing.
        rng : numpy.random.Generator

        Returns
        -------
        Simulated
            Values stay within the 12 bits of CT, -1024 to 3071 HU, if they did before. Slices thicker
            than their distance share quanta as they overlap.

        Raises
        ------
        InputError
            As `check` does.
        ValueError
            If the dose is no fraction in (0, 1].
        """
        check_dose(dose)
        warnings = self.check(image)
        if dose == 1:
            return Simulated(image, self._parameters(dose), warnings)
        geometry = self._geometry(image)

        def quanta_of(z: int) -> FloatArray:
            integrals = line_integrals(prepare(image, z), self.water, geometry)
            return self.scan.beam.quanta(integrals, geometry.positions)

        def finish(z: int, errors: FloatArray) -> FloatArray:
            pixels, outside = image.voxels[z], not_measured(image, z)
            noisy = pixels + self._hounsfield(errors, geometry)
            noisy = np.clip(noisy, *_range_of(pixels[~outside]))
            return np.asarray(np.where(outside, pixels, noisy), np.float32)

        voxels = expose_stack(image, ThinnedExposure(dose, self.electronic_noise), quanta_of, finish, rng)
        return Simulated(image.with_voxels(voxels), self._parameters(dose), warnings)

    def acquire(self, truth: Image, dose: float, rng: np.random.Generator) -> Simulated:
        """Return the image that the scanner makes of an object.

        Parameters
        ----------
        truth : Image
            HU, without noise and blur; all of the object must lie within the slices.
        dose : float
            As fraction of `flux`; any positive number.
        rng : numpy.random.Generator

        Raises
        ------
        InputError
            If the object has no HU or its pixels no known size.
        ValueError
            If the dose is not positive.
        """
        if not 0 < dose < np.inf:
            raise ValueError(f"a dose is a positive number, got {dose:g}")
        refuse_unusable(truth)
        geometry = self._geometry(truth)

        @lru_cache(maxsize=4)
        def integrals_of(z: int) -> FloatArray:
            relative = np.maximum(truth.voxels[z] / 1000 + 1, 0)
            return project(np.asarray(relative * self.water, np.float32), geometry)

        def quanta_of(z: int) -> FloatArray:
            return self.scan.beam.quanta(integrals_of(z), geometry.positions)

        def finish(z: int, errors: FloatArray) -> FloatArray:
            return self._hounsfield(integrals_of(z) + errors, geometry) - np.float32(1000)

        voxels = expose_stack(truth, DirectExposure(dose, self.electronic_noise), quanta_of, finish, rng)
        return Simulated(truth.with_voxels(voxels), self._parameters(dose))

    def simulate_sinogram(
        self, counts: npt.NDArray[Any], dose: float, rng: np.random.Generator
    ) -> npt.NDArray[Any]:
        """Thin the signals of a scan, where they are at hand.

        Parameters
        ----------
        counts : ndarray, shape (..., views, bins)
            In quanta, before the logarithm. Whole numbers without electronic noise in the model are
            thinned exactly; else ``dose I + sqrt(dose (1 - dose) I + (1 - dose^2) s^2) z`` with the
            electronic noise s, exact to second moments.
        dose : float
            Fraction in (0, 1].
        rng : numpy.random.Generator

        Returns
        -------
        ndarray, of the same shape
            In quanta: whole numbers of the same type from whole numbers, else float32.

        Raises
        ------
        ValueError
            If the dose is no fraction in (0, 1].
        """
        check_dose(dose)
        return thin_signals(counts, dose, self.electronic_noise, rng)

    def estimate(self, image: Image) -> NoiseEstimate:
        """Measure the noise in an image, from the image alone and without a network."""
        from quell.noise.estimation import estimate_noise

        found: NoiseEstimate = estimate_noise(image)
        return found

    def _geometry(self, image: Image) -> ParallelGeometry:
        return covering(image.shape[1:], image.geometry.spacing[2], self.pitch, self.views)

    def _hounsfield(self, integrals: FloatArray, geometry: ParallelGeometry) -> FloatArray:
        """Reconstruct line integrals to HU above air."""
        pixels = filtered_back_projection(integrals, geometry, self.kernel)
        pixels *= np.float32(1000 / self.water)
        return pixels

    def _parameters(self, dose: float) -> dict[str, float | int | str]:
        return {
            "dose": dose,
            "flux_quanta_per_ray": self.flux,
            "electronic_noise_quanta": self.electronic_noise,
            "bowtie": self.bowtie,
            "tube_modulation": self.tube_modulation,
            "slice_modulation": self.slice_modulation,
            "usual_attenuation": self.usual_attenuation,
            "water_per_mm": self.water,
            "kernel_f50_per_mm": self.kernel.f50,
            "kernel_exponent": self.kernel.exponent,
            "views": self.views,
            "pitch_mm": self.pitch,
        }


def _range_of(measured: FloatArray) -> tuple[float, float]:
    """Return the 12 bits of CT, or what the values need."""
    low, high = _RANGE
    return float(measured.min(initial=low)), float(measured.max(initial=high))


def _some_slices(image: Image) -> list[int]:
    return sorted({0, image.shape[0] // 2, image.shape[0] - 1})
