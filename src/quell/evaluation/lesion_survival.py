"""How much of known lesions survives a denoiser, and what appears where nothing was put."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from quell.errors import QuellError
from quell.evaluation.false_structures import FalseStructures, false_structures
from quell.evaluation.inserts import add_stamp
from quell.evaluation.lesions import Lesion, difference, insert_lesions, lesion_stamp
from quell.evaluation.observers.scores import Array
from quell.image import Image
from quell.noise.contracts import Simulated

Denoise = Callable[[Image], Image]

LOST = 0.5
"""A lesion of which less than this share of the contrast is left counts as lost."""


class DoseReducer(Protocol):
    """The part of `quell.noise.contracts.NoiseModel` that a study of lesions needs."""

    def simulate(self, image: Image, dose: float, rng: np.random.Generator) -> Simulated: ...


@dataclass(frozen=True)
class Survival:
    """What is left of one lesion.

    Attributes
    ----------
    lesion : Lesion
    recovery : float
        Share of its contrast that is left, by a matched filter: 1 for all of it.
    peak : float
        Share of the contrast at its middle.
    width : float
        Its width over what it was, from the volume of what exceeds half of its peak; not a number where
        it is lost.
    noisy_recovery : float
        The same share before the denoiser; 1 but for what the noise model changes.
    """

    lesion: Lesion
    recovery: float
    peak: float
    width: float
    noisy_recovery: float

    @property
    def lost(self) -> bool:
        """Whether less than half of the contrast is left."""
        return self.recovery < LOST


@dataclass(frozen=True, eq=False)
class LesionStudy:
    """What a denoiser did to known lesions, and what it added.

    Attributes
    ----------
    survivals : tuple of Survival
    false_before, false_after : FalseStructures
        In the noisy image and in the denoised one, both without lesions, against the original.
    noisy, denoised : Image
        With the lesions.
    dose : float
    warnings : tuple of str
        Of the noise model.
    """

    survivals: tuple[Survival, ...]
    false_before: FalseStructures
    false_after: FalseStructures
    noisy: Image
    denoised: Image
    dose: float
    warnings: tuple[str, ...]


def lesion_study(
    image: Image,
    lesions: Sequence[Lesion],
    model: DoseReducer,
    dose: float,
    denoise: Denoise,
    rng: np.random.Generator,
    *,
    resolution_mm: float,
    threshold: float,
    diameter_mm: float | None = None,
) -> LesionStudy:
    """Put lesions into an image, lower its dose, denoise it, and look for them and for others.

    The image goes through all of it twice, with lesions and without, with the same noise: what differs
    afterwards is what is left of the lesions, free of noise and anatomy.

    Parameters
    ----------
    image : Image
        Real anatomy of good quality.
    lesions : sequence of Lesion
    model : DoseReducer
        A noise model of the modality.
    dose : float
        As the noise model understands it.
    denoise : callable
    rng : numpy.random.Generator
    resolution_mm : float
        Full width at half maximum of the image.
    threshold : float
        Contrast from which a false spot counts, positive, in the units of the image.
    diameter_mm : float, optional
        Size of the spots that are looked for; that of the smallest lesion by default.

    Raises
    ------
    InputError
        If the spacing is unknown, or the noise model refuses the image.
    QuellError
        If the denoiser changes the shape, or there is no lesion.
    """
    if not lesions:
        raise QuellError("a study of lesions needs at least one")
    seed = int(rng.integers(2**63))
    marked = insert_lesions(image, lesions, resolution_mm)
    noisy = model.simulate(marked, dose, np.random.default_rng(seed))
    empty = model.simulate(image, dose, np.random.default_rng(seed)).image
    denoised, plain = denoise(noisy.image), denoise(empty)
    before = difference(noisy.image, empty)
    after = difference(denoised, plain)
    size = diameter_mm or min(lesion.diameter_mm for lesion in lesions)
    return LesionStudy(
        tuple(survival(image, lesion, before, after, resolution_mm) for lesion in lesions),
        false_structures(empty, image, size, threshold),
        false_structures(plain, image, size, threshold),
        noisy.image,
        denoised,
        dose,
        noisy.warnings,
    )


def survival(image: Image, lesion: Lesion, before: Array, after: Array, resolution_mm: float) -> Survival:
    """Measure what is left of a lesion in the difference of an image with it and one without.

    Parameters
    ----------
    image : Image
        For its geometry.
    lesion : Lesion
    before, after : ndarray, shape (z, y, x)
        Differences before and after the denoiser.
    resolution_mm : float
        With which the lesion was put in.
    """
    part = lesion_stamp(image, lesion.diameter_mm, resolution_mm)
    window = _window(image, lesion, resolution_mm)
    found, noisy = after[window], before[window]
    expected = np.zeros(found.shape)
    z, y, x = (at - cut.start for at, cut in zip(lesion.site, window, strict=True))
    add_stamp(expected, part, (z, y, x), lesion.contrast)
    energy = float((expected**2).sum())
    peak = float(found[z, y, x] / expected[z, y, x])
    width = _width(found * np.sign(lesion.contrast)) / _width(expected * np.sign(lesion.contrast))
    recovery = float((expected * found).sum()) / energy
    return Survival(
        lesion,
        recovery,
        peak,
        width ** (1 / 3 if part.shape[0] > 1 else 1 / 2) if recovery >= LOST else math.nan,
        float((expected * noisy).sum()) / energy,
    )


def _window(image: Image, lesion: Lesion, resolution_mm: float) -> tuple[slice, slice, slice]:
    """Return a box of twice the size of the lesion, in its own slice where slices are no neighbours."""
    reach = lesion.diameter_mm + resolution_mm
    halves = [math.ceil(reach / step) for step in image.geometry.spacing]
    halves[0] = halves[0] if image.volume else 0
    found = [
        slice(max(at - half, 0), min(at + half + 1, size))
        for at, half, size in zip(lesion.site, halves, image.shape, strict=True)
    ]
    return found[0], found[1], found[2]


def _width(values: Array) -> float:
    """Return how many voxels exceed half of the highest value."""
    return float(np.count_nonzero(values >= 0.5 * values.max())) if values.max() > 0 else 0.0
