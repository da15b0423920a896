"""Noise of planar scintigraphy: the counts of a gamma camera are Poisson, and are thinned exactly."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from quell.errors import InputError
from quell.image import FloatArray, Image, Modality
from quell.noise.contracts import NoiseEstimate, Simulated, check_dose
from quell.noise.emission.blur import SIGMA_OF_FWHM, blur_slices
from quell.noise.emission.counting import Dispersion, dispersion, rescaled_at, thin_counts

_LARGEST = 2.0**24
"""Above it 32-bit floats leave integers out."""

_TOLERANCE = 0.1
_SIGMAS = 4.0
_SUM_TOLERANCE = 0.005


@dataclass(frozen=True)
class PlanarNoise:
    """Noise of planar scintigraphy: static, whole-body and dynamic frames, and SPECT projections.

    Attributes
    ----------
    resolution_mm : float
        Full width at half maximum of the camera at the depth of the object, for `acquire`. The default is
        that of a low-energy high-resolution collimator at 10 cm (3.5 mm + 0.039 x 100 mm). 0 leaves the
        object as sharp as it is.
    """

    resolution_mm: float = 7.4

    @property
    def modality(self) -> Modality:
        return Modality.NM

    @property
    def dose_means(self) -> str:
        """What a dose of 0.25 is."""
        return "fraction of the counts, hence of the injected activity or of the time"

    def check(self, image: Image) -> tuple[str, ...]:
        """Say whether the pixels are raw counts.

        Parameters
        ----------
        image : Image
            One or more frames, each looked at by itself.

        Returns
        -------
        tuple of str
            What could not be checked, or disagrees without proof that the pixels are no counts.

        Raises
        ------
        InputError
            If the image is no nuclear medicine image, or its values are negative, no integers, scaled,
            filtered or otherwise no longer raw counts.
        """
        if image.modality is not Modality.NM:
            raise InputError(image.name, f"raw counts are in NM images, this is {image.modality.value}")
        measured = image.voxels if image.padding is None else image.voxels[~image.padding]
        _refuse_non_integers(image, measured)
        found = dispersion(image.voxels, None if image.padding is None else ~image.padding)
        _refuse_non_poisson(image, found)
        if (value := rescaled_at(measured)) is not None:
            raise InputError(
                image.name,
                f"the counts were scaled: values of {value} are too rare or too common beside their "
                "neighbours; only raw counts can be thinned",
            )
        return (*_about_sum(image, measured, found), *_about_dispersion(found))

    def simulate(self, image: Image, dose: float, rng: np.random.Generator) -> Simulated:
        """Return the image at a lower dose, exactly: each count is kept with probability `dose`.

        Parameters
        ----------
        image : Image
            Raw counts.
        dose : float
            Share of the counts to keep, in (0, 1].
        rng : numpy.random.Generator

        Raises
        ------
        InputError
            As `check` does.
        ValueError
            If the dose is outside (0, 1].
        """
        check_dose(dose)
        warnings = self.check(image)
        if dose == 1:
            return Simulated(image, _parameters(image, dose), warnings)
        thinned = _frames(image, thin_counts(_filled(image), dose, rng))
        return Simulated(thinned, _parameters(thinned, dose), warnings)

    def split(
        self, image: Image, rng: np.random.Generator, share: float = 0.5
    ) -> tuple[Simulated, Simulated]:
        """Divide the counts into two images that are independent of each other.

        Parameters
        ----------
        image : Image
            Raw counts c.
        rng : numpy.random.Generator
        share : float
            Expected share of the first image, in (0, 1).

        Returns
        -------
        tuple of Simulated
            k counts and the c - k others: two scans of the same patient at doses `share` and 1 - `share`,
            whose noise has nothing in common.

        Raises
        ------
        InputError
            As `check` does.
        ValueError
            If the share is outside (0, 1).
        """
        if not 0 < share < 1:
            raise ValueError(f"a share of a split lies between 0 and 1, got {share:g}")
        warnings = self.check(image)
        counts = _filled(image)
        kept = thin_counts(counts, share, rng)
        first, second = _frames(image, kept), _frames(image, counts.astype(np.int64) - kept)
        return (
            Simulated(first, _parameters(first, share), warnings),
            Simulated(second, _parameters(second, 1 - share), warnings),
        )

    def acquire(self, truth: Image, dose: float, rng: np.random.Generator) -> Simulated:
        """Return the counts that the camera collects from an object.

        Parameters
        ----------
        truth : Image
            Expected counts per pixel at dose 1 under a camera without blur, one or more frames.
        dose : float
            Any positive number.
        rng : numpy.random.Generator

        Raises
        ------
        InputError
            If an expected count is negative or not finite.
        ValueError
            If the dose is not positive.
        """
        _check_truth(truth, dose)
        warnings: tuple[str, ...] = ()
        expected = truth.voxels
        if self.resolution_mm > 0 and truth.geometry.known:
            expected = _blurred(expected, truth.geometry.spacing[1:], self.resolution_mm)
        elif self.resolution_mm > 0:
            warnings = ("The pixel size is unknown: the blur of the camera was left out.",)
        counts = rng.poisson(expected.astype(np.float64) * dose)
        acquired = replace(_frames(truth, counts), modality=Modality.NM, units="counts")
        return Simulated(
            acquired, {**_parameters(acquired, dose), "resolution_mm": self.resolution_mm}, warnings
        )

    def estimate(self, image: Image) -> NoiseEstimate:
        """Measure the noise in an image, from the image alone."""
        from quell.noise.estimation import estimate_noise

        found: NoiseEstimate = estimate_noise(image)
        return found


def _refuse_non_integers(image: Image, measured: FloatArray) -> None:
    if not np.isfinite(measured).all() or measured.min(initial=0) < 0:
        raise InputError(image.name, "no raw counts: pixels are negative or undefined")
    if measured.max(initial=0) >= _LARGEST:
        raise InputError(image.name, "counts above 16 million in a pixel are not exact and cannot be thinned")
    if not np.array_equal(measured, np.rint(measured)):
        raise InputError(
            image.name,
            "the pixels are no integers: they were filtered, scaled or corrected for decay, and only raw "
            "counts can be thinned",
        )
    if not measured.any():
        raise InputError(image.name, "there is no count in the image")


def _refuse_non_poisson(image: Image, found: Dispersion) -> None:
    if not found.known or abs(found.ratio - 1) <= _TOLERANCE + _SIGMAS * found.error:
        return
    told = f"variance over mean is {found.ratio:.2f} in plain parts, and 1 for raw counts"
    if found.ratio < 1:
        why = "they were filtered, interpolated, scaled down or compressed with loss"
    elif image.acquisition.bits == 8:
        why = "they are a picture for viewing, scaled to 8 bits"
    else:
        why = "they were scaled up, as by a correction for decay"
    raise InputError(image.name, f"the pixels are no raw counts: {told}; it seems that {why}")


def _about_sum(image: Image, measured: FloatArray, found: Dispersion) -> tuple[str, ...]:
    """Compare the pixel sum with the counts that the source tells.

    Raises
    ------
    InputError
        If they differ and the scatter of the pixels cannot speak for them.
    """
    told = image.acquisition.counts
    total = float(measured.sum(dtype=np.float64))
    if not told or abs(total - told) <= _SUM_TOLERANCE * told:
        return ()
    differ = f"the pixels sum to {total:.0f}, the source tells {told:.0f} counts accumulated"
    if not found.known:
        raise InputError(image.name, f"{differ}, and there are too few counts to see whether they are raw")
    return (f"{differ[:1].upper()}{differ[1:]}; the pixels scatter as raw counts do.",)


def _about_dispersion(found: Dispersion) -> tuple[str, ...]:
    if found.known:
        return ()
    return ("There are too few counts to see whether the pixels are raw counts; they were taken to be.",)


def _filled(image: Image) -> FloatArray:
    """Return the counts, none where there is no measurement."""
    return image.voxels if image.padding is None else np.where(image.padding, np.float32(0), image.voxels)


def _frames(image: Image, counts: npt.NDArray[np.int64]) -> Image:
    """Return the image with other counts, their sum told as the counts accumulated."""
    voxels = counts.astype(np.float32)
    if image.padding is not None:
        voxels[image.padding] = image.voxels[image.padding]
        counts = counts[~image.padding]
    acquisition = replace(image.acquisition, counts=float(counts.sum()))
    return replace(image, voxels=voxels, acquisition=acquisition)


def _parameters(image: Image, dose: float) -> dict[str, float | int | str]:
    counts = image.voxels if image.padding is None else image.voxels[~image.padding]
    return {"model": "binomial thinning", "dose": dose, "counts": int(counts.sum(dtype=np.float64))}


def _check_truth(truth: Image, dose: float) -> None:
    if not dose > 0:
        raise ValueError(f"a dose is positive, got {dose:g}")
    if not np.isfinite(truth.voxels).all() or truth.voxels.min() < 0:
        raise InputError(truth.name, "expected counts are finite and not negative")


def _blurred(expected: FloatArray, spacing: tuple[float, float], width: float) -> FloatArray:
    """Convolve each frame with a Gaussian whose full width at half maximum is `width`, in mm."""
    sigma = width * SIGMA_OF_FWHM
    return blur_slices(expected, (sigma / spacing[0], sigma / spacing[1]))
