"""Images at lower doses beside what they should look like: the cases that denoisers are judged on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from quell.errors import InputError
from quell.evaluation.metrics.comparison import default_window
from quell.evaluation.metrics.contracts import Window
from quell.filters.level import foreground
from quell.image import BoolArray, FloatArray, Geometry, Image, Modality
from quell.noise.contracts import NoiseModel, Simulated
from quell.noise.registry import noise_model

SIDE = 256
"""Longest side in pixels of what is scored."""

FULL_LOOKS = 64.0
"""Looks that stand for an image without speckle."""

FULL_SNR = 20.0
"""Signal-to-noise ratio of MR at the full scan time."""

FULL_QUANTA = 4000.0
"""Quanta in the brightest pixel of a radiograph at the full exposure."""

FREE = 1e6
"""A dose, as a multiple of the full one, whose noise is nothing beside that of the others."""

DOSES: Mapping[Modality, tuple[float, ...]] = {
    Modality.CT: (0.25, 0.1, 0.04),
    Modality.MR: (0.25, 0.1, 0.04),
    Modality.PT: (0.25, 0.1, 0.04),
    Modality.NM: (0.25, 0.1, 0.04),
    Modality.US: (1.0, 2.0, 4.0),
    Modality.XR: (0.25, 0.06, 0.015),
}

MEANINGS: Mapping[Modality, str] = {
    Modality.CT: "of the tube current time product",
    Modality.MR: f"of the scan time (SNR {FULL_SNR:g} at the full time)",
    Modality.PT: "of the counts",
    Modality.NM: "of the counts",
    Modality.US: "looks",
    Modality.XR: f"of the exposure ({FULL_QUANTA:g} quanta in the brightest pixel at the full one)",
}

REALISATIONS = 2
"""Two images of one object with noise of their own: what differs between them is noise and nothing else."""


MOST_MOVED = 0.5
"""Shift of the mean over the added noise, beyond which a simulated lower dose is not believed."""

_KEEP_THE_MEAN = (Modality.CT, Modality.PT, Modality.NM)


@dataclass(frozen=True, eq=False)
class Subject:
    """What cases are made of: an image of good quality, or an object whose truth is known.

    Attributes
    ----------
    name : str
    patient : str
        What images of one patient, or of one object, share.
    image : Image
        A few slices; one of a volume has its neighbours with it.
    scored : int
        The slice that counts.
    scanner : NoiseModel, optional
        That images the object; None for an image, whose own noise is that of the full dose.
    """

    name: str
    patient: str
    image: Image
    scored: int
    scanner: NoiseModel | None = None


@dataclass(frozen=True, eq=False)
class Case:
    """An image with noise, twice, and the same without.

    Attributes
    ----------
    name, patient : str
    truth : Image
    noisy : tuple of Image
        `REALISATIONS` of them.
    scored : int
        The slice that counts.
    window : tuple of float
    inside : ndarray of bool, shape (y, x)
        The patient, in the slice that counts.
    sigma : float
        Standard deviation of all noise in the noisy image over the patient, in the units of the image.
    own : float
        Noise that the truth itself has, over what was added.
    warnings : tuple of str
        Of the noise model.
    """

    name: str
    patient: str
    truth: Image
    noisy: tuple[Image, ...]
    scored: int
    window: Window
    inside: BoolArray
    sigma: float
    own: float
    warnings: tuple[str, ...] = ()

    def single(self) -> Case:
        """Return the case with the slice that counts alone, which is all that most classical methods see."""
        z = slice(self.scored, self.scored + 1)
        noisy = tuple(_slices(one, z) for one in self.noisy)
        return replace(self, truth=_slices(self.truth, z), noisy=noisy, scored=0)


def make_case(subject: Subject, dose: float, seed: tuple[int, ...]) -> Case:
    """Image a subject at a dose.

    CT and PET: the thinned difference. Planar scintigraphy: binomial thinning, beside the full counts times
    the dose. Ultrasound: new speckle of so many looks on the same echo intensities, beside 64 looks whose
    mean grey value is brought to that of the noisy image, since the logarithm lowers that of few looks. MR
    and radiography: the image taken as an object and scanned anew. Objects are scanned at the dose and at one
    whose noise is nothing.

    Parameters
    ----------
    subject : Subject
    dose : float
        See `MEANINGS`.
    seed : tuple of int
        The same seed gives the same noise.

    Raises
    ------
    InputError
        If the noise model refuses the image.
    """
    made = _scanned(subject, dose, seed)
    truth, noisy = made.truth, [one.image for one in made.noisy]
    box = scored_part(truth, subject.scored)
    truth = _cropped(truth, box)
    cut = tuple(_cropped(one, box) for one in noisy)
    if not all(np.isfinite(one.voxels).all() for one in (truth, *cut)):
        raise InputError(subject.name, "the simulation gave values that are not finite")
    low, _ = foreground(truth)
    z = subject.scored
    inside = truth.voxels[z] > low
    if truth.padding is not None:
        inside &= ~truth.padding[z]
    if truth.modality is Modality.US and inside.any():
        truth = _as_bright(truth, cut, z, inside)
    if not inside.any():
        raise InputError(subject.name, "there is no patient in the slice")
    added = float(
        np.mean([np.std((one.voxels[z] - truth.voxels[z])[inside], dtype=np.float64) for one in cut])
    )
    if not added > 0:
        raise InputError(subject.name, "the simulation added no noise")
    _refuse_moved(subject, truth, cut, inside, added)
    # The noise of an image at dose 1 has this share of what a lower dose adds to it.
    own = 0.0 if made.clean else float(np.sqrt(dose / (1 - dose)))
    warnings = tuple(dict.fromkeys(text for one in made.noisy for text in one.warnings))
    window = default_window(_slices(truth, slice(z, z + 1)))
    sigma = added * float(np.hypot(1, own))
    return Case(subject.name, subject.patient, truth, cut, z, window, inside, sigma, own, warnings)


def _refuse_moved(
    subject: Subject, truth: Image, noisy: tuple[Image, ...], inside: BoolArray, added: float
) -> None:
    """Refuse a thinned image whose mean is another: so few quanta were left that their logarithm is biased.

    Raises
    ------
    InputError
    """
    if subject.scanner is not None or truth.modality not in _KEEP_THE_MEAN:
        return
    z = subject.scored
    moved = float(np.mean([np.mean((one.voxels[z] - truth.voxels[z])[inside]) for one in noisy]))
    if abs(moved) > MOST_MOVED * added:
        raise InputError(
            subject.name,
            f"the simulated dose is too low for it: its mean moves by {moved:.3g} {truth.units}, "
            f"and the noise that is added has {added:.3g}",
        )


def data_hash(cases: Iterable[Case]) -> str:
    """Return the SHA-256 over the values of all cases, truth and noisy."""
    digest = hashlib.sha256()
    for case in cases:
        for image in (case.truth, *case.noisy):
            digest.update(np.ascontiguousarray(image.voxels).tobytes())
    return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class _Scanned:
    truth: Image
    noisy: list[Simulated]
    clean: bool


def _scanned(subject: Subject, dose: float, seed: tuple[int, ...]) -> _Scanned:
    streams = [np.random.default_rng([*seed, number]) for number in range(REALISATIONS + 1)]
    image, modality = subject.image, subject.image.modality
    if subject.scanner is not None:
        return _object(image, subject.scanner, dose, streams)
    if modality in (Modality.MR, Modality.XR):
        image = image.with_voxels(np.maximum(image.voxels, 0))
        return _object(image, _scanner_for(image), dose, streams)
    model: Any = noise_model(image)
    if modality is Modality.CT:
        model = model.calibrate(image)
        if not model.calibrated:
            raise InputError(subject.name, "its dose cannot be found: no tissue is flat enough")
    noisy = [model.simulate(image, dose, rng) for rng in streams[1:]]
    if modality is Modality.US:
        return _Scanned(model.simulate(image, FULL_LOOKS, streams[0]).image, noisy, True)
    counted = image.units == "counts"
    return _Scanned(_scaled(image, dose) if counted else image, noisy, False)


def _object(image: Image, model: NoiseModel, dose: float, streams: list[np.random.Generator]) -> _Scanned:
    full = FULL_LOOKS if image.modality is Modality.US else FREE
    truth = model.acquire(image, full, streams[0]).image
    noisy = [model.acquire(image, dose, rng) for rng in streams[1:]]
    if truth.units == "counts" and not truth.volume:
        truth = _scaled(truth, dose / full)
    return _Scanned(truth, noisy, True)


def _scanner_for(image: Image) -> NoiseModel:
    if image.modality is Modality.MR:
        from quell.noise.mri import MRINoise

        return MRINoise(snr=FULL_SNR, zero_filling=1.3)
    from quell.noise.radiography import RadiographyNoise

    return RadiographyNoise(quanta_per_value=FULL_QUANTA / float(image.voxels.max()), structure=0.0)


def _scaled(image: Image, factor: float) -> Image:
    return image.with_voxels(image.voxels * np.float32(factor))


def _as_bright(truth: Image, noisy: tuple[Image, ...], z: int, inside: BoolArray) -> Image:
    """Return the truth with the mean grey value of the noisy image over the patient.

    The mean of the logarithm of speckle lies below the logarithm of its mean, by the less the more looks
    there are (Dutt and Greenleaf 1996). No denoiser is asked to undo that.
    """
    means = [float(np.mean(one.voxels[z][inside])) for one in (truth, *noisy)]
    offset = np.mean(means[1:]) - means[0]
    return truth.with_voxels(np.maximum(truth.voxels + np.float32(offset), 0))


Box = tuple[slice, slice]


def scored_part(image: Image, z: int) -> Box:
    """Return the square of at most `SIDE` pixels around the middle of the patient."""
    low, _ = foreground(image)
    mask = image.voxels[z] > low
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return tuple(_stretch(found, n) for found, n in zip((rows, columns), mask.shape, strict=True))  # type: ignore[return-value]


def _stretch(found: Any, length: int) -> slice:
    middle = (int(found[0]) + int(found[-1]) + 1) // 2 if len(found) else length // 2
    size = min(SIDE, length)
    start = int(np.clip(middle - size // 2, 0, length - size))
    return slice(start, start + size)


def _cropped(image: Image, box: Box) -> Image:
    """Return the part of an image; where it lies in space is not kept, since nobody asks."""
    cut = (slice(None), *box)
    voxels: FloatArray = np.ascontiguousarray(image.voxels[cut])
    padding = None if image.padding is None else np.ascontiguousarray(image.padding[cut])
    return replace(image, voxels=voxels, padding=padding, geometry=_place(image.geometry))


def _slices(image: Image, z: slice) -> Image:
    voxels = np.ascontiguousarray(image.voxels[z])
    padding = None if image.padding is None else np.ascontiguousarray(image.padding[z])
    return replace(image, voxels=voxels, padding=padding, volume=False, gaps=())


def _place(geometry: Geometry) -> Geometry:
    return Geometry(geometry.spacing, known=geometry.known)
