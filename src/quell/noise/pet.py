"""Noise of PET: counts of a ring of detectors, reconstructed by expectation maximisation."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from quell.errors import InputError
from quell.image import FloatArray, Image, Modality
from quell.noise.contracts import NoiseEstimate, Simulated, check_dose
from quell.noise.emission.checks import (
    FILTERED,
    changed,
    check_volume,
    keep_padding,
)
from quell.noise.emission.pet_bed import assumptions, make_bed, on_grid
from quell.noise.emission.pet_calibration import ScanSettings, match_grains
from quell.noise.emission.ring_bed import RingBed
from quell.noise.emission.ring_scan import RingScan
from quell.noise.emission.sinograms import Sinograms

COUNTS_PER_SLICE = 1e6
"""Prompts of a slice in `acquire`."""

ASSUMED_COUNTS = 2e5
"""Prompts of a slice of an image whose own cannot be found: those of a real whole body, two to five minutes
a bed position."""

POST_FILTER_MM = 4.0
AXIAL_FILTER = 0.25


@dataclass(frozen=True, eq=False)
class PETNoise:
    """Noise of PET reconstructed by expectation maximisation.

    Slices are scanned and reconstructed each by itself, in two dimensions; neighbours are then mixed
    along the axis as much as those of the image are.

    Attributes
    ----------
    counts_per_slice : float or None
        Prompts of a slice in the mean, at dose 1. None: as many as give the noise found in the image
        (`acquire`: `COUNTS_PER_SLICE`).
    resolution_mm : float
        Full width at half maximum of the detectors, known to the reconstruction.
    scatter_fraction : float
        Scatter over scatter and trues.
    randoms_fraction : float
        Randoms over prompts.
    iterations, subsets : int
        Of the ordered-subsets expectation maximisation.
    post_filter_mm : float or None
        Full width at half maximum of the Gaussian filter after it. None: as the grains in the image show
        (`acquire`: `POST_FILTER_MM`).
    axial_filter : float or None
        Weight of each neighbouring slice over that of the slice itself; 0.25 is the filter 1-4-1. None: as
        the correlation of slices shows (`acquire`: `AXIAL_FILTER`).
    attenuation : ndarray of float32, shape of the image, optional
        At 511 keV, 1/mm. None: water within the outline of the activity.
    """

    counts_per_slice: float | None = None
    resolution_mm: float = 5.0
    scatter_fraction: float = 0.35
    randoms_fraction: float = 0.3
    iterations: int = 2
    subsets: int = 21
    post_filter_mm: float | None = None
    axial_filter: float | None = None
    attenuation: FloatArray | None = None

    def __post_init__(self) -> None:
        if not (0 <= self.scatter_fraction < 1 and 0 <= self.randoms_fraction < 1):
            raise ValueError("fractions of scatter and randoms lie in [0, 1)")
        if min(self.iterations, self.subsets) < 1 or self.resolution_mm < 0:
            raise ValueError("iterations and subsets are at least 1, and a resolution is not negative")
        if self.counts_per_slice is not None and not self.counts_per_slice > 0:
            raise ValueError(f"counts are positive, got {self.counts_per_slice:g}")

    @property
    def modality(self) -> Modality:
        return Modality.PT

    @property
    def dose_means(self) -> str:
        """What a dose of 0.25 is."""
        return "fraction of the counts, hence of the time (of the injected activity at equal randoms)"

    def check(self, image: Image) -> tuple[str, ...]:
        """Say what stands against simulating from this image.

        Raises
        ------
        InputError
            If the image is no PET image, has no spacing, no activity or values that are no numbers, or
            `attenuation` does not fit it.
        """
        warnings = check_volume(image, Modality.PT, self.attenuation)
        if any(word in image.acquisition.reconstruction.upper() for word in FILTERED):
            warnings += ("The image is a filtered back-projection; the noise that is added is that of OSEM.",)
        return warnings

    def calibrate(self, image: Image) -> PETNoise:
        """Return this model with the counts and the filters that give the noise found in an image.

        Parameters
        ----------
        image : Image

        Returns
        -------
        PETNoise
            Fields that were set stay as they are.

        Raises
        ------
        InputError
            As `check` does, and if too little of the image is active to measure noise in.
        """
        self.check(image)
        known = self._settings()
        fixed = frozenset(name for name in vars(known) if getattr(self, name) is not None)
        if not image.volume:
            # Frames and a single slice have no neighbours to mix with.
            known, fixed = replace(known, axial_filter=0.0), fixed | {"axial_filter"}
        if len(fixed) == len(vars(known)):
            return replace(self, **vars(known))
        gaps = image.gaps if image.volume else tuple(range(image.shape[0]))
        found = match_grains(self._bed(image), image.geometry.spacing[0], gaps, known, fixed)
        if found is None:
            raise InputError(image.name, "its noise cannot be told from structure")
        return replace(self, **vars(found))

    def simulate(self, image: Image, dose: float, rng: np.random.Generator) -> Simulated:
        """Return the image at a lower dose.

        The image is projected and counted; the counts are thinned, and the difference of the two
        reconstructions is added to the image, which so keeps its resolution and its own noise.

        Parameters
        ----------
        image : Image
            Reconstructed activity in any units.
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
            If SciPy is not installed.
        """
        check_dose(dose)
        warnings = self.check(image)
        if dose == 1:
            return Simulated(image, self._parameters(dose), warnings)
        model, more = self._fitted(image)
        bed, settings = model._bed(image), model._settings()

        def work(scan: RingScan) -> FloatArray:
            return scan.thinned_difference(dose, model.iterations, rng)

        change = bed.through(work, bed.gain(settings.counts_per_slice), settings.post_filter_mm)
        change = on_grid(image, bed, change, settings.axial_filter)
        return Simulated(
            changed(image, change),
            model._parameters(dose),
            warnings + more + assumptions(image, bed, self.attenuation),
        )

    def acquire(self, truth: Image, dose: float, rng: np.random.Generator) -> Simulated:
        """Return the image that is reconstructed from a scan of an activity.

        Parameters
        ----------
        truth : Image
            Activity in any units, not negative, on the grid of the image.
        dose : float
            Any positive number; 1 stands for `counts_per_slice`.
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
        truth = replace(truth, modality=Modality.PT)
        self.check(truth)
        bed, settings = self._bed(truth), self._settings()

        def work(scan: RingScan) -> FloatArray:
            return scan.reconstruct(scan.measure(rng), self.iterations)

        voxels = bed.through(work, dose * bed.gain(settings.counts_per_slice), settings.post_filter_mm)
        voxels = on_grid(truth, bed, voxels, settings.axial_filter)
        return Simulated(
            keep_padding(truth, voxels), self._parameters(dose), assumptions(truth, bed, self.attenuation)
        )

    def project(self, truth: Image) -> Sinograms:
        """Return the prompts that are expected of an activity at dose 1.

        Parameters
        ----------
        truth : Image
            Activity in any units.

        Raises
        ------
        InputError
            As `check` does.
        """
        self.check(truth)
        bed = self._bed(truth)
        return bed.sinograms(bed.gain(self._settings().counts_per_slice))

    def reconstruct(self, sinograms: Sinograms, like: Image) -> Image:
        """Reconstruct measured prompts.

        Parameters
        ----------
        sinograms : Sinograms
            As `project` orders them.
        like : Image
            The image that was projected; its activity gives the outline of the body.

        Returns
        -------
        Image
            On the grid and in the units of `like`.

        Raises
        ------
        InputError
            As `check` does, and if the sinograms have another shape.
        """
        self.check(like)
        bed, settings = self._bed(like), self._settings()
        expected = (like.shape[0], bed.system.views, bed.system.bins)
        if sinograms.counts.shape != expected:
            raise InputError(
                like.name, f"sinograms of shape {expected} were expected, not {sinograms.counts.shape}"
            )
        voxels = bed.reconstruct(sinograms, settings.post_filter_mm)
        return keep_padding(like, on_grid(like, bed, voxels, settings.axial_filter))

    def estimate(self, image: Image) -> NoiseEstimate:
        """Measure the noise in an image, from the image alone."""
        from quell.noise.estimation import estimate_noise

        found: NoiseEstimate = estimate_noise(image)
        return found

    def _fitted(self, image: Image) -> tuple[PETNoise, tuple[str, ...]]:
        """Return the model with all settings known, and what is approximate about them."""
        try:
            model = self.calibrate(image)
        except InputError as error:
            told = f"The counts were taken to be {ASSUMED_COUNTS:.0f} a slice: {error.reason}."
            return replace(self, counts_per_slice=ASSUMED_COUNTS), (told,)
        told = "The image alone was given: its slices were scanned each by itself"
        if self.counts_per_slice is not None:
            return model, (f"{told}.",)
        return model, (f"{told}, with the counts that its noise speaks for.",)

    def _settings(self) -> ScanSettings:
        counts, post, axial = self.counts_per_slice, self.post_filter_mm, self.axial_filter
        return ScanSettings(
            COUNTS_PER_SLICE if counts is None else counts,
            POST_FILTER_MM if post is None else post,
            AXIAL_FILTER if axial is None else axial,
        )

    def _bed(self, image: Image) -> RingBed:
        return make_bed(
            image,
            self.attenuation,
            self.resolution_mm,
            (self.scatter_fraction, self.randoms_fraction),
            (self.iterations, self.subsets),
        )

    def _parameters(self, dose: float) -> dict[str, float | int | str]:
        return {
            "model": "thinned difference of OSEM, slice by slice",
            "dose": dose,
            **vars(self._settings()),
            "resolution_mm": self.resolution_mm,
            "scatter_fraction": self.scatter_fraction,
            "randoms_fraction": self.randoms_fraction,
            "iterations": self.iterations,
            "subsets": self.subsets,
            "attenuation": "uniform water" if self.attenuation is None else "given",
        }
