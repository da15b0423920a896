"""The denoiser that is judged, and the images that it is judged on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from quell.errors import QuellError
from quell.evaluation.evidence.plan import Plan
from quell.evaluation.metrics.contracts import Values
from quell.evaluation.tasks.task import Scene, Signal
from quell.image import BoolArray, FloatArray, Image, Modality
from quell.inference.contracts import Denoiser
from quell.phantoms.uniform import Insert

Step: TypeAlias = Callable[[str], None]
"""Told of what is being done, in a few words."""

_MARGIN = 4
_CT_PIXELS, _CT_PIXEL_MM, _CT_SLICE_MM = 384, 0.6, 3.0


@dataclass(frozen=True, eq=False)
class Subject:
    """A denoiser on trial.

    Attributes
    ----------
    denoiser : Denoiser
    plan : Plan
    step : callable
        Told of progress.
    """

    denoiser: Denoiser
    plan: Plan
    step: Step = lambda words: None

    def denoise(self, image: Image) -> Image:
        """Denoise an image.

        Raises
        ------
        QuellError
            If the result has another shape, or values that are not finite.
        """
        found = self.denoiser.denoise(image).image
        if found.shape != image.shape:
            raise QuellError(f"the denoiser turned an image of {image.shape} into one of {found.shape}")
        if not np.isfinite(found.voxels).all():
            raise QuellError("the denoiser gave values that are not finite (NaN or infinity)")
        return found

    def rng(self, *stream: int) -> np.random.Generator:
        """Return a generator for one purpose; each has its own, whatever else is measured."""
        return np.random.default_rng([self.plan.seed, *stream])


@dataclass(frozen=True, eq=False)
class Repeats:
    """Acquisitions of one object at one dose, and what the denoiser made of them.

    Attributes
    ----------
    dose : float
    noisy, denoised : ndarray of float32, shape (n, y, x)
        The middle slices.
    spacing : (row, column)
        mm.
    units : str
    parameters : dict
        Of the noise model.
    warnings : tuple of str
    """

    dose: float
    noisy: FloatArray
    denoised: FloatArray
    spacing: tuple[float, float]
    units: str
    parameters: dict[str, float | int | str]
    warnings: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class FlatObject:
    """An object with a large plain part.

    Attributes
    ----------
    truth : Image
    plain : ndarray of bool, shape (y, x)
        Of the middle slice: plain, and some pixels away from all that is not.
    """

    truth: Image
    plain: BoolArray


def flat_scene(plan: Plan) -> Scene:
    """Return the flat object of a modality as a scene: for CT a water cylinder of 200 mm."""
    if plan.modality is Modality.CT:
        from quell.phantoms.coverage import Grid
        from quell.phantoms.objects import make_object

        grid = Grid((plan.slices, _CT_PIXELS, _CT_PIXELS), (_CT_SLICE_MM, _CT_PIXEL_MM, _CT_PIXEL_MM))
        truth = make_object("ct-uniform", grid=grid).truth
        middle = (plan.slices // 2, _CT_PIXELS // 2, _CT_PIXELS // 2)
        return Scene(truth, (middle,))
    return plan.task(plan.flat).scene(np.random.default_rng(0))


def flat_object(plan: Plan) -> FlatObject:
    """Return the flat object and where it is plain."""
    from scipy.ndimage import binary_erosion

    scene = flat_scene(plan)
    z, y, x = scene.sites[0]
    plane = scene.truth.voxels[z]
    same = np.abs(plane - plane[y, x]) <= 1e-4 * max(abs(float(plane[y, x])), 1.0)
    plain = binary_erosion(same, iterations=_MARGIN, border_value=0)
    return FlatObject(scene.truth, np.asarray(plain, np.bool_))


def with_inserts(plan: Plan) -> tuple[Image, tuple[Insert, ...]]:
    """Return the flat object with rods on a ring, and where they are.

    Raises
    ------
    QuellError
        If the plan has no inserts.
    """
    if plan.inserts is None:
        raise QuellError(f"no inserts are planned for {plan.modality.value}")
    scene, task, kinds = flat_scene(plan), plan.task(plan.flat), plan.inserts
    spacing = scene.truth.geometry.spacing
    voxels = scene.truth.voxels.astype(np.float64)
    angles = 2 * np.pi * np.arange(len(kinds.contrasts)) / len(kinds.contrasts)
    found = []
    for angle, contrast in zip(angles, kinds.contrasts, strict=True):
        row = round((scene.truth.shape[1] - 1) / 2 + kinds.ring_mm / spacing[1] * np.sin(angle))
        column = round((scene.truth.shape[2] - 1) / 2 + kinds.ring_mm / spacing[2] * np.cos(angle))
        site = (scene.truth.shape[0] // 2, int(row), int(column))
        task.insert(voxels, scene.truth, site, Signal(kinds.diameter_mm, contrast))
        found.append(Insert((float(row), float(column)), kinds.diameter_mm / 2 / spacing[1], contrast))
    return scene.truth.with_voxels(voxels.astype(np.float32)), tuple(found)


def repeat(subject: Subject, truth: Image, dose: float, rng: np.random.Generator, what: str) -> Repeats:
    """Image an object again and again, and denoise each image."""
    model = subject.plan.scanner(truth)
    z = truth.shape[0] // 2
    noisy, denoised, warnings = [], [], dict[str, None]()
    parameters: dict[str, float | int | str] = {}
    image = truth
    for k in range(subject.plan.repeats):
        subject.step(f"{what}, dose {dose:g}: {k + 1} of {subject.plan.repeats}")
        found = model.acquire(truth, dose, rng)
        image, parameters = found.image, dict(found.parameters)
        warnings.update(dict.fromkeys(found.warnings))
        noisy.append(image.voxels[z])
        denoised.append(subject.denoise(image).voxels[z])
    height, width = truth.geometry.spacing[1:]
    return Repeats(
        dose, np.stack(noisy), np.stack(denoised), (height, width), image.units, parameters, tuple(warnings)
    )


def mean_over(stack: FloatArray, mask: BoolArray) -> Values:
    """Return the mean over a mask in each image."""
    return np.asarray(stack[:, mask].mean(axis=1, dtype=np.float64), np.float64)
