"""The roles of an image: with noise, with other noise and without, as the physics of its modality has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from quell.errors import InputError
from quell.evaluation.benchmark.cases import FREE, FULL_LOOKS, FULL_QUANTA, FULL_SNR, MOST_MOVED
from quell.evaluation.benchmark.subjects import scanner_of
from quell.filters.level import foreground
from quell.image import FloatArray, Image, Modality
from quell.noise.contracts import NoiseModel
from quell.noise.emission.counting import thin_counts
from quell.noise.planar import PlanarNoise
from quell.noise.registry import is_projection, noise_model
from quell.phantoms.objects import TestObject
from quell.training.data.contracts import NONE, UnsuitableError, Variant
from quell.training.data.slices import Integers, taken

CT_RANGE = (-1024.0, 3071.0)
"""Values outside of what a 12-bit CT can store are marks for "no data"."""

_KEEP_THE_MEAN = (Modality.CT, Modality.PT, Modality.NM)
_AS_OBJECT = (Modality.MR, Modality.XR)


@dataclass(frozen=True, eq=False)
class Roles:
    """An image in all its roles, not yet scaled.

    Attributes
    ----------
    like : Image
        Grid, padding and modality of all.
    images : tuple of ndarray of float32, each of shape (z, y, x)
    variants : tuple of Variant
        With places in `images`.
    notes : tuple of str
        What is approximate.
    """

    like: Image
    images: tuple[FloatArray, ...]
    variants: tuple[Variant, ...]
    notes: tuple[str, ...] = ()


def check_doses(doses: Sequence[float], modality: Modality, where: str) -> None:
    """Refuse doses that mean nothing for a modality.

    Raises
    ------
    InputError
        Unless they are whole numbers of looks (ultrasound) or fractions below 1 (all others).
    """
    if modality is Modality.US:
        wrong = [d for d in doses if d < 1 or d >= FULL_LOOKS or d != int(d)]
        meaning = f"whole numbers of looks from 1 to {FULL_LOOKS - 1:g}"
    else:
        wrong = [d for d in doses if not 0 < d < 1]
        meaning = "fractions of the full dose, above 0 and below 1"
    if wrong or not doses:
        told = ", ".join(f"{d:g}" for d in wrong) or "none"
        raise InputError(where, f"doses of {modality.value} are {meaning}, got {told}")


def check_clean(image: Image) -> None:
    """Refuse an image from which no lower dose can be simulated, before any is.

    Raises
    ------
    InputError
        As the noise model of its modality says: counts that are no counts, values that are no HU.
    """
    image = usable(image)
    if image.modality in _AS_OBJECT:
        if float(image.voxels.max()) <= 0:
            raise InputError(image.name, "no value is above zero, and a signal is")
        return
    noise_model(image).check(image)


def usable(image: Image) -> Image:
    """Return an image with the values and the pixel size that a noise model asks for.

    A pixel counts as 1 mm where its size is unknown.
    """
    needed = image.modality in (Modality.CT, Modality.MR, Modality.XR) and not image.geometry.known
    geometry = replace(image.geometry, known=True) if needed else image.geometry
    voxels = image.voxels
    if image.modality is Modality.CT:
        voxels = np.clip(voxels, *CT_RANGE)
    return replace(image, geometry=geometry, voxels=voxels)


def scan_image(
    image: Image, doses: Sequence[float], realisations: int, seed: tuple[int, ...], kept: Integers
) -> Roles:
    """Make the roles of a clean image.

    CT, PET, SPECT: thinned differences, which leave the image its own noise. Planar scintigraphy: binomial
    thinning, two and two without a count in common where the dose allows, over the dose, so that all have
    the level of the full counts. Ultrasound: new speckle, beside that of 64 looks. MR and radiographs: the
    image taken as an object and scanned anew.

    Parameters
    ----------
    image : Image
        As read.
    doses : sequence of float
    realisations : int
        Noisy images of each dose; two and two are seconds to each other.
    seed : tuple of int
    kept : ndarray of int
        Slices that are wanted.

    Raises
    ------
    UnsuitableError
        If its dose cannot be found, or every dose is too low for it.
    InputError
        If the noise model refuses it.
    """
    image = usable(image)
    if image.modality in _AS_OBJECT:
        cut = taken(image.with_voxels(np.maximum(image.voxels, 0)), kept)
        return scan_truth(cut, _scanner_for(image), doses, realisations, seed)
    model: Any = noise_model(image)
    if isinstance(model, PlanarNoise) or is_projection(image):
        return _thinned(taken(image, kept), doses, realisations, seed)
    if image.modality is Modality.US:
        return _speckled(model, taken(image, kept), doses, realisations, seed)
    if image.modality is Modality.NM:
        # SPECT is scanned as a whole, and its slices chosen afterwards.
        return fewer(_simulated(_calibrated(model, image), image, doses, realisations, seed), kept)
    if image.modality is Modality.CT:
        # All slices have a say in the dose.
        model = model.calibrate(image)
        if not model.calibrated:
            raise UnsuitableError(image.name, "its dose cannot be found: no tissue is flat enough")
        return _simulated(model, taken(image, kept), doses, realisations, seed)
    image = taken(image, kept)
    return _simulated(_calibrated(model, image), image, doses, realisations, seed)


def fewer(roles: Roles, kept: Integers) -> Roles:
    """Return the roles of some slices."""
    if len(kept) == roles.like.shape[0]:
        return roles
    images = tuple(np.ascontiguousarray(one[kept]) for one in roles.images)
    return replace(roles, like=taken(roles.like, kept), images=images)


def scan_object(made: TestObject, doses: Sequence[float], realisations: int, seed: tuple[int, ...]) -> Roles:
    """Make the roles of an object: scanned at the doses, and at one whose noise is nothing.

    Parameters
    ----------
    made : TestObject
    doses : sequence of float
    realisations : int
        Noisy images of each dose; all are independent of each other.
    seed : tuple of int
    """
    return scan_truth(made.truth, scanner_of(made), doses, realisations, seed)


def given_roles(noisy: Image, clean: Image | None, second: Image | None) -> Roles:
    """Return the roles of real images on one grid."""
    images = [noisy.voxels]
    places = {"clean": NONE, "second": NONE}
    for role, other in (("clean", clean), ("second", second)):
        if other is not None:
            places[role] = len(images)
            images.append(other.voxels)
    variants = [Variant(0, places["clean"], places["second"])]
    if second is not None:
        # What is independent of one is as good an input as it.
        variants.append(Variant(places["second"], places["clean"], 0))
    return Roles(noisy, tuple(images), tuple(variants))


def split_counts(image: Image, realisations: int, seed: tuple[int, ...]) -> Roles:
    """Divide raw counts into halves without a count in common, each times two.

    Raises
    ------
    InputError
        If the image holds no raw counts.
    """
    halves: list[FloatArray] = []
    variants = []
    for number in range(realisations):
        rng = np.random.default_rng([*seed, number])
        pair = PlanarNoise().split(image, rng)
        n = len(halves)
        halves += [2 * half.image.voxels for half in pair]
        variants += [Variant(n, NONE, n + 1, 0.5), Variant(n + 1, NONE, n, 0.5)]
    note = f"{image.name}: each half of its counts is a noisy image of its own"
    return Roles(image, tuple(halves), tuple(variants), (note,))


def _scanner_for(image: Image) -> NoiseModel:
    if image.modality is Modality.MR:
        from quell.noise.mri import MRINoise

        return MRINoise(snr=FULL_SNR, zero_filling=1.3)
    from quell.noise.radiography import RadiographyNoise

    return RadiographyNoise(quanta_per_value=FULL_QUANTA / float(image.voxels.max()), structure=0.0)


def _streams(seed: tuple[int, ...], doses: Sequence[float], realisations: int) -> list[list[Any]]:
    return [
        [np.random.default_rng([*seed, 1 + d, r]) for r in range(realisations)] for d in range(len(doses))
    ]


def scan_truth(
    truth: Image, scanner: NoiseModel, doses: Sequence[float], realisations: int, seed: tuple[int, ...]
) -> Roles:
    """Make the roles of what lies before a scanner; as `scan_object`, with a scanner of one's own."""
    speckle = truth.modality is Modality.US
    full = FULL_LOOKS if speckle else FREE
    made = scanner.acquire(truth, full, np.random.default_rng([*seed, 0]))
    clean = made.image
    counted = clean.units == "counts" and not clean.volume
    if counted:
        clean = clean.with_voxels(clean.voxels / np.float32(full))
    groups = []
    for dose, streams in zip(doses, _streams(seed, doses, realisations), strict=True):
        noisy = [scanner.acquire(truth, dose, rng).image.voxels for rng in streams]
        groups.append([one / np.float32(dose) for one in noisy] if counted else noisy)
    return _together(clean, groups, doses, made.warnings, own_clean=speckle)


def _simulated(
    model: Any, image: Image, doses: Sequence[float], realisations: int, seed: tuple[int, ...]
) -> Roles:
    """Make the roles of CT, PET and SPECT."""
    groups, notes = [], []
    for dose, streams in zip(doses, _streams(seed, doses, realisations), strict=True):
        made = [model.simulate(image, dose, rng) for rng in streams]
        groups.append([one.image.voxels for one in made])
        notes += [text for one in made for text in one.warnings]
    return _together(image, groups, doses, tuple(dict.fromkeys(notes)))


def _calibrated(model: Any, image: Image) -> Any:
    try:
        return model.calibrate(image)
    except InputError:
        # The model then takes usual counts, and says so.
        return model


def _speckled(
    model: Any, image: Image, doses: Sequence[float], realisations: int, seed: tuple[int, ...]
) -> Roles:
    made = model.simulate(image, FULL_LOOKS, np.random.default_rng([*seed, 0]))
    groups = [
        [model.simulate(image, dose, rng).image.voxels for rng in streams]
        for dose, streams in zip(doses, _streams(seed, doses, realisations), strict=True)
    ]
    return _together(made.image, groups, doses, made.warnings, own_clean=True)


def _thinned(image: Image, doses: Sequence[float], realisations: int, seed: tuple[int, ...]) -> Roles:
    """Thin raw counts, and divide by the dose."""
    notes = PlanarNoise().check(image)
    counts = image.voxels if image.padding is None else np.where(image.padding, np.float32(0), image.voxels)
    groups = []
    for dose, streams in zip(doses, _streams(seed, doses, realisations), strict=True):
        group: list[FloatArray] = []
        for number, rng in enumerate(streams):
            # Counts that are in neither of two images are shared by both only in their absence.
            apart = number % 2 == 1 and dose <= 0.5
            left = counts - group[-1] * np.float32(dose) if apart else counts
            share = dose / (1 - dose) if apart else dose
            group.append((thin_counts(np.rint(left), share, rng) / dose).astype(np.float32))
        groups.append(group)
    return _together(image, groups, doses, notes)


def _together(
    clean: Image,
    groups: list[list[FloatArray]],
    doses: Sequence[float],
    warnings: tuple[str, ...],
    own_clean: bool = False,
) -> Roles:
    """Put clean and noisy images together; doses at which the mean moves are left out.

    `own_clean`: the clean image is brought to the mean of the noisy ones of each dose.
    """
    inside = _inside(clean)
    images, variants, notes = [clean.voxels], [], [f"{clean.name}: {text}" for text in warnings]
    for dose, group in zip(doses, groups, strict=True):
        moved = _moved(clean, group, inside)
        if moved > MOST_MOVED and clean.modality in _KEEP_THE_MEAN:
            notes.append(f"{clean.name}: dose {dose:g} is too low for it: its mean would move")
            continue
        base = 0
        if own_clean:
            base = len(images)
            images.append(_as_bright(clean.voxels, group, inside))
        first = len(images)
        images += group
        for number in range(len(group)):
            partner = number ^ 1
            second = first + partner if partner < len(group) else NONE
            variants.append(Variant(first + number, base, second, dose))
    if not variants:
        raise UnsuitableError(clean.name, "every dose is too low for it: its mean would move")
    if not all(np.isfinite(one).all() for one in images):
        raise InputError(clean.name, "the simulation gave values that are no numbers")
    return Roles(clean, tuple(images), tuple(variants), tuple(notes))


def _inside(image: Image) -> Any:
    low, _ = foreground(image)
    inside = image.voxels > low
    if image.padding is not None:
        inside &= ~image.padding
    return inside if inside.any() else np.ones(image.shape, bool)


def _moved(clean: Image, group: list[FloatArray], inside: Any) -> float:
    """Return the shift of the mean over the noise that was added, in the first noisy image."""
    difference = (group[0] - clean.voxels)[inside]
    added = float(np.std(difference, dtype=np.float64))
    return abs(float(np.mean(difference, dtype=np.float64))) / added if added > 0 else 0.0


def _as_bright(clean: FloatArray, group: list[FloatArray], inside: Any) -> FloatArray:
    """Return the clean image with the mean grey value of the noisy ones.

    The mean of the logarithm of speckle lies below the logarithm of its mean, by the less the more looks
    there are (Dutt and Greenleaf 1996). No network is asked to undo that.
    """
    offset = np.mean([np.mean(one[inside]) for one in group]) - np.mean(clean[inside])
    bright: FloatArray = np.maximum(clean + np.float32(offset), 0)
    return bright
