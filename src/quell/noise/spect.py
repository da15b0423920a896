"""Noise of SPECT: counts of a camera that turns around the body, reconstructed by OSEM or FBP."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np

from quell.errors import InputError
from quell.image import Acquisition, FloatArray, Geometry, Image, Modality
from quell.noise.contracts import NoiseEstimate, Simulated, check_dose
from quell.noise.emission.checks import (
    FILTERED,
    UNIFORM_WATER,
    activity_of,
    changed,
    check_volume,
    keep_padding,
)
from quell.noise.emission.outline import body_outline
from quell.noise.emission.spect_calibration import match_counts
from quell.noise.emission.spect_study import Orbit, Recipe, SpectStudy
from quell.noise.planar import PlanarNoise

WATER_140 = 0.015
"""Attenuation of water at 140 keV, 1/mm."""

TOTAL_COUNTS = 3e6
"""Counts of all views together in `acquire`, and where those of an image cannot be found."""

PROJECTIONS = "PROJECTIONS"
"""How an image tells in `Acquisition.reconstruction` that it was not reconstructed."""


@dataclass(frozen=True, eq=False)
class SPECTNoise:
    """Noise of SPECT, from raw views or from the reconstructed volume.

    The defaults are those of myocardial perfusion with a low-energy high-resolution collimator: 60 views over
    180 degrees, from right anterior oblique to left posterior oblique.

    Attributes
    ----------
    total_counts : float or None
        Counts of all views together at dose 1. None: as many as give the noise found in the volume
        (`acquire`: `TOTAL_COUNTS`).
    views : int
    arc_degrees, start_degrees : float
        The way of the camera; 0 degrees is in front of the patient, 90 at the left side.
    orbit_radius_mm : float
        From the axis of rotation to the face of the collimator.
    collimator_fwhm_mm, collimator_slope : float
        Full width at half maximum at the face, and by how much it grows with distance (mm / mm).
    scatter_fraction : float
        Scatter over all counts in the energy window.
    attenuation : ndarray of float32, shape of the image, optional
        At the energy of the photons, 1/mm. None: water within the outline of the activity.
    attenuation_correction, resolution_recovery : bool
        Whether the reconstruction of `acquire` knows attenuation and blur.
    reconstruction : str
        ``"osem"`` or ``"fbp"``; filtered back-projection knows neither.
    iterations, subsets : int
    cutoff, order : float
        Butterworth filter after it; the cut-off in shares of the Nyquist frequency.
    """

    total_counts: float | None = None
    views: int = 60
    arc_degrees: float = 180.0
    start_degrees: float = -45.0
    orbit_radius_mm: float = 250.0
    collimator_fwhm_mm: float = 3.5
    collimator_slope: float = 0.039
    scatter_fraction: float = 0.25
    attenuation: FloatArray | None = None
    attenuation_correction: bool = True
    resolution_recovery: bool = True
    reconstruction: Literal["osem", "fbp"] = "osem"
    iterations: int = 2
    subsets: int = 10
    cutoff: float = 0.5
    order: float = 5.0

    def __post_init__(self) -> None:
        if self.reconstruction not in ("osem", "fbp"):
            raise ValueError(f"a reconstruction is 'osem' or 'fbp', got {self.reconstruction!r}")
        if not 1 <= self.subsets <= self.views or self.iterations < 1:
            raise ValueError("there is at least one iteration and one subset, and no more subsets than views")
        if not 0 <= self.scatter_fraction < 1 or self.cutoff <= 0:
            raise ValueError("a fraction of scatter lies in [0, 1), and a cut-off is positive")
        if self.total_counts is not None and not self.total_counts > 0:
            raise ValueError(f"counts are positive, got {self.total_counts:g}")

    @property
    def modality(self) -> Modality:
        return Modality.NM

    @property
    def dose_means(self) -> str:
        """What a dose of 0.25 is."""
        return "fraction of the counts, hence of the injected activity or of the time"

    def check(self, image: Image) -> tuple[str, ...]:
        """Say what stands against simulating from this image.

        Raises
        ------
        InputError
            If the image is no NM image; for views as `PlanarNoise.check` does; for a volume if it
            has no spacing, no activity or values that are no numbers, or `attenuation` does not fit it.
        """
        if is_raw(image):
            return PlanarNoise().check(image)
        return check_volume(image, Modality.NM, self.attenuation)

    def calibrate(self, image: Image) -> SPECTNoise:
        """Return this model with the counts that give the noise found in a volume.

        Raises
        ------
        InputError
            As `check` does, and if the noise of the volume cannot be told from structure.
        """
        self.check(image)
        if self.total_counts is not None or is_raw(image):
            return self
        counts = match_counts(self._study(image), TOTAL_COUNTS)
        if counts is None:
            raise InputError(image.name, "its noise cannot be told from structure")
        return replace(self, total_counts=counts)

    def simulate(self, image: Image, dose: float, rng: np.random.Generator) -> Simulated:
        """Return the image at a lower dose.

        Raw views are thinned exactly. A volume is projected and counted; the counts are thinned, and the
        difference of the two reconstructions is added to it.

        Parameters
        ----------
        image : Image
            Raw views (frames) or a reconstructed volume.
        dose : float
            Share of the counts, in (0, 1].
        rng : numpy.random.Generator

        Raises
        ------
        InputError
            As `check` does.
        ValueError
            If the dose is outside (0, 1].
        QuellError
            If SciPy is not installed and the image is a volume.
        """
        check_dose(dose)
        if is_raw(image):
            return PlanarNoise().simulate(image, dose, rng)
        warnings = self.check(image)
        if dose == 1:
            return Simulated(image, self._parameters(dose), warnings)
        model, more = self._fitted(image)
        study = model._study(image)
        change = study.thinned_difference(study.scan(model._counts), dose, rng)
        return Simulated(changed(image, change), model._parameters(dose), warnings + more)

    def project(self, truth: Image) -> Image:
        """Return the views that are expected of an activity at dose 1.

        Parameters
        ----------
        truth : Image
            Activity in any units, a volume.

        Returns
        -------
        Image
            Expected counts, axes (view, z, across). `PlanarNoise` and `thin_counts` draw and thin them.
        """
        self.check(truth)
        study = self._study(truth, seen=True)
        voxels = study.frames(study.scan(self._counts).expected)
        (z, _, x), total = truth.geometry.spacing, float(voxels.sum(dtype=np.float64))
        return Image(
            voxels,
            Modality.NM,
            "counts",
            Geometry((1.0, z, x), known=True),
            name=truth.name,
            acquisition=Acquisition(counts=total, reconstruction=PROJECTIONS),
        )

    def reconstruct(self, frames: Image, like: Image, dose: float = 1.0) -> Image:
        """Reconstruct raw views, scatter and all.

        Parameters
        ----------
        frames : Image
            Counts, axes (view, z, across), as `project` orders them.
        like : Image
            A volume on the grid that is wanted; its activity gives the outline of the body.
        dose : float
            At which the views were measured; the result is what dose 1 would give.

        Returns
        -------
        Image
            In counts; twice the time gives twice the values.
        """
        self.check(like)
        study = self._study(like, seen=True)
        expected = (self.views, like.shape[0], max(like.shape[1:]))
        if frames.shape != expected:
            raise InputError(
                frames.name, f"views of shape {expected} were expected, these are {frames.shape}"
            )
        return like.with_voxels(study.reconstruct(*study.scan_of(frames.voxels, dose)))

    def acquire(self, truth: Image, dose: float, rng: np.random.Generator) -> Simulated:
        """Return the volume that is reconstructed from a scan of an activity.

        Parameters
        ----------
        truth : Image
            Activity in any units, not negative, a volume.
        dose : float
            Any positive number; 1 stands for `total_counts`.
        rng : numpy.random.Generator

        Raises
        ------
        InputError
            As `check` does.
        ValueError
            If the dose is not positive.
        QuellError
            If SciPy is not installed.
        """
        if not dose > 0:
            raise ValueError(f"a dose is positive, got {dose:g}")
        truth = replace(truth, modality=Modality.NM, volume=True)
        self.check(truth)
        study = self._study(truth, seen=True)
        scan = study.scan(self._counts).at(dose)
        voxels = study.reconstruct(scan, scan.measure(rng))
        corrected = ("ATTN",) if self.attenuation_correction and self.reconstruction == "osem" else ()
        truth = replace(
            truth,
            acquisition=replace(
                truth.acquisition,
                reconstruction=self.reconstruction.upper(),
                corrections=corrected,
            ),
        )
        warnings = (UNIFORM_WATER,) if self.attenuation is None else ()
        return Simulated(keep_padding(truth, voxels), self._parameters(dose), warnings)

    def estimate(self, image: Image) -> NoiseEstimate:
        """Measure the noise in an image, from the image alone."""
        from quell.noise.estimation import estimate_noise

        found: NoiseEstimate = estimate_noise(image)
        return found

    @property
    def _counts(self) -> float:
        return TOTAL_COUNTS if self.total_counts is None else self.total_counts

    def _fitted(self, image: Image) -> tuple[SPECTNoise, tuple[str, ...]]:
        """Return the model with counts and reconstruction known, and what is approximate about them."""
        words = image.acquisition.reconstruction.upper()
        filtered = any(word in words for word in FILTERED)
        model = replace(self, reconstruction="fbp") if filtered else self
        told = "The reconstructed volume alone was given"
        try:
            found = model.calibrate(image)
        except InputError as error:
            return model, (f"{told}; {TOTAL_COUNTS:.0f} counts were assumed: {error.reason}.",)
        if self.total_counts is not None:
            return found, (f"{told}; views were made from it.",)
        return found, (f"{told}; views were made from it, with the counts that its noise speaks for.",)

    def _study(self, image: Image, seen: bool = False) -> SpectStudy:
        """Return the study of a volume: of the body itself if `seen`, else of what was reconstructed."""
        activity = activity_of(image)
        # What was never corrected for attenuation is projected without it: so it was counted.
        corrected = "ATTN" in image.acquisition.corrections
        attenuation = self.attenuation
        if attenuation is None and (seen or corrected):
            attenuation = body_outline(activity) * np.float32(WATER_140)
        angles = np.deg2rad(self.start_degrees + np.arange(self.views) * self.arc_degrees / self.views)
        return SpectStudy(
            activity,
            attenuation,
            image.geometry.spacing[:2],
            Orbit(tuple(angles), self.orbit_radius_mm, self.collimator_fwhm_mm, self.collimator_slope),
            Recipe(
                self.reconstruction == "fbp",
                self.iterations,
                self.subsets,
                self.cutoff,
                self.order,
                self.attenuation_correction or not seen,
                self.resolution_recovery,
            ),
            self.scatter_fraction,
        )

    def _parameters(self, dose: float) -> dict[str, float | int | str]:
        told = {field.name: getattr(self, field.name) for field in fields(self)}
        told |= {
            "model": "thinned difference of reconstructions from a rotating camera",
            "dose": dose,
            "total_counts": self._counts,
            "attenuation": "uniform water" if self.attenuation is None else "given",
        }
        return told


def is_raw(image: Image) -> bool:
    """Whether an image consists of views or other frames rather than of reconstructed slices."""
    return not image.volume or PROJECTIONS in image.acquisition.reconstruction.upper()
