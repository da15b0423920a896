"""What losses are judged on: likeness to the truth, contrast that is kept, texture of the noise left."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from physics_validation import SEED, Case, ct_cases, object_cases, psnr

from quell.evaluation.contrast_recovery import contrasts
from quell.evaluation.evidence.noise import periodograms
from quell.evaluation.evidence.plan import Plan, plan_for
from quell.evaluation.evidence.subject import FlatObject, Repeats, flat_object
from quell.evaluation.noise_texture import texture_shift
from quell.evaluation.tasks.task import Signal
from quell.image import FloatArray, Image, Modality
from quell.phantoms.uniform import Insert

LOW = 0.25
"""The dose, but for the hot spheres."""

PET_DOSES = (0.25, 1.0)
STRENGTHS = (1.0, 0.5)

Run: TypeAlias = Callable[[Image], FloatArray]
"""A denoiser at full strength: from an image to its voxels."""

_FREE = 1e6
"""A dose without noise."""

_CT_RING_MM, _CT_COPIES = 55.0, 5
_CT_RADII, _CT_SIGMAS = (2.0, 3.0), (1.0, 2.0)
_PET_RING_MM, _PET_MM, _PET_RATIO = 50.0, (8.0, 10.0, 12.0), 4.0


@dataclass(frozen=True, eq=False)
class Stage:
    """A flat object, imaged again and again, without inserts and with them.

    Attributes
    ----------
    name : str
    flat : FlatObject
    plain, marked : tuple of Image
        Without inserts and with them.
    inserts : mapping of str to tuple of Insert
        By what they are; those of one name are alike.
    paired : bool
        Whether the n-th of either have the same noise.
    """

    name: str
    flat: FlatObject
    plain: tuple[Image, ...]
    marked: tuple[Image, ...]
    inserts: Mapping[str, tuple[Insert, ...]]
    paired: bool


def ct_stage(realisations: int) -> Stage:
    """Image a water cylinder with rods of 2 and 3 pixels and 1 and 2 times the noise, at a quarter dose.

    The rods are too faint to change the noise: the image of them without noise is added to noise that
    was made without them, so that either can be looked at with the same noise.
    """
    plan = plan_for(Modality.CT, slices=3)
    flat, ring = flat_object(plan), _CT_RING_MM
    scanner, rng = plan.scanner(flat.truth), np.random.default_rng([SEED, 1])
    plain = [scanner.acquire(flat.truth, LOW, rng).image for _ in range(realisations)]
    middle, pixel = flat.truth.shape[0] // 2, flat.truth.geometry.spacing[1]
    sigma = float(np.mean([one.voxels[middle][_near(flat, ring)].std() for one in plain]))
    signals = [
        Signal(2 * r * pixel, s * sigma) for _ in range(_CT_COPIES) for r in _CT_RADII for s in _CT_SIGMAS
    ]
    truth, inserts = _with(plan, flat, signals, ring)
    there, absent = (scanner.acquire(one, _FREE, rng).image.voxels for one in (truth, flat.truth))
    marked = tuple(one.with_voxels(one.voxels + (there - absent)) for one in plain)
    names = [f"radius {r:g} px, {s:g} sigma" for r in _CT_RADII for s in _CT_SIGMAS]
    alike = {name: inserts[k :: len(names)] for k, name in enumerate(names)}
    return Stage(f"CT at dose {LOW:g}", flat, tuple(plain), marked, alike, True)


def pet_stage(realisations: int, dose: float) -> Stage:
    """Image warm water with hot balls of 8 to 12 mm, 4 to 1, at a share of the counts."""
    plan = plan_for(Modality.PT, slices=5)
    flat = flat_object(plan)
    warm = float(np.median(flat.truth.voxels[flat.truth.shape[0] // 2][flat.plain]))
    signals = [Signal(diameter, (_PET_RATIO - 1) * warm, "ball") for diameter in _PET_MM]
    truth, inserts = _with(plan, flat, signals, _PET_RING_MM)
    images = []
    for stream, one in enumerate((flat.truth, truth)):
        scanner, rng = plan.scanner(one), np.random.default_rng([SEED, 2, stream])
        images.append(tuple(scanner.acquire(one, dose, rng).image for _ in range(realisations)))
    alike = {f"sphere {d:g} mm": (insert,) for d, insert in zip(_PET_MM, inserts, strict=True)}
    return Stage(f"PT at dose {dose:g}", flat, *images, alike, False)


def _near(flat: FlatObject, ring_mm: float, width_mm: float = 8.0) -> Any:
    """Return the pixels about as far from the middle as the inserts are."""
    rows, columns = flat.plain.shape
    y, x = np.indices(flat.plain.shape)
    away = np.hypot(y - (rows - 1) / 2, x - (columns - 1) / 2) * flat.truth.geometry.spacing[1]
    return flat.plain & (np.abs(away - ring_mm) < width_mm)


def _with(
    plan: Plan, flat: FlatObject, signals: Sequence[Signal], ring_mm: float
) -> tuple[Image, tuple[Insert, ...]]:
    """Put signals at equal angles on a ring of a flat object."""
    truth, task = flat.truth, plan.task(plan.flat)
    depth, rows, columns = truth.shape
    pixel, voxels, found = truth.geometry.spacing[1], truth.voxels.astype(np.float64), []
    for angle, signal in zip(2 * np.pi * np.arange(len(signals)) / len(signals), signals, strict=True):
        row = round((rows - 1) / 2 + ring_mm / pixel * float(np.sin(angle)))
        column = round((columns - 1) / 2 + ring_mm / pixel * float(np.cos(angle)))
        task.insert(voxels, truth, (depth // 2, row, column), signal)
        found.append(Insert((float(row), float(column)), signal.diameter_mm / 2 / pixel, signal.contrast))
    return truth.with_voxels(voxels.astype(np.float32)), tuple(found)


def likeness_cases(data: Path) -> dict[str, list[Case]]:
    """Return validation patients of CT that are clean enough, and drawn anatomy, at a quarter of the dose."""
    return {
        "CT patients": [case for case in ct_cases(data, LOW) if case.quiet],
        "drawn CT": list(object_cases(("anatomy-ct",) * 2, 1e3, data, LOW)),
        "drawn PET": list(object_cases(("anatomy-pet",) * 6, 1e3, data, LOW)),
    }


def blended(noisy: FloatArray, denoised: FloatArray, strength: float) -> FloatArray:
    """Return what a denoiser gives at a strength, from what it gives at full."""
    result: FloatArray = noisy + np.float32(strength) * (denoised - noisy)
    return result


def likeness(run: Run, cases: Mapping[str, Sequence[Case]]) -> list[dict[str, Any]]:
    """Return the mean PSNR in dB of each set of cases, at each strength and without denoising."""
    rows = []
    for name, some in cases.items():
        pairs = [(case, run(case.noisy)) for case in some]
        for strength in (0.0, *STRENGTHS):
            values = [psnr(case, blended(case.noisy.voxels, found, strength)) for case, found in pairs]
            mean = float(np.mean(values)) if values else None
            rows.append(
                {
                    "what": "psnr_db",
                    "of": f"{name} at dose {LOW:g}",
                    "strength": strength,
                    "value": mean,
                    "images": len(values),
                }
            )
    return rows


def on_stage(run: Run, stage: Stage) -> list[dict[str, Any]]:
    """Return what is kept of the contrast of the inserts, and the texture of the noise that is left."""
    z = stage.flat.truth.shape[0] // 2
    noisy, marked = (np.stack([i.voxels[z] for i in images]) for images in (stage.plain, stage.marked))
    full = [np.stack([run(i)[z] for i in images]) for images in (stage.plain, stage.marked)]
    sd = float(noisy[:, stage.flat.plain].std(axis=1).mean())
    rows: list[dict[str, Any]] = [
        {
            "what": "contrast_before_over_sd",
            "of": f"{stage.name}, {name}",
            "value": _mean(marked, inserts) / sd,
        }
        for name, inserts in stage.inserts.items()
    ]
    for strength in STRENGTHS:
        plain, after = (blended(a, b, strength) for a, b in zip((noisy, marked), full, strict=True))
        about = {"strength": strength, "images": len(noisy)}
        for name, inserts in stage.inserts.items():
            if stage.paired:
                value, error = kept(after - plain, marked - noisy, inserts)
            else:
                value, error = kept(after, marked, inserts)
            of = f"{stage.name}, {name}"
            rows.append({"what": "contrast_kept", "of": of, **about, "value": value, "standard_error": error})
        shift, change = texture(stage, noisy, plain)
        rows.append({"what": "mean_frequency_shift_percent", "of": stage.name, **about, "value": shift})
        rows.append({"what": "sd_change_percent", "of": stage.name, **about, "value": change})
    return rows


def _mean(images: FloatArray, inserts: Sequence[Insert]) -> float:
    return float(np.mean([contrasts(images, one) for one in inserts]))


def kept(after: FloatArray, before: FloatArray, inserts: Sequence[Insert]) -> tuple[float, float]:
    """Return the mean contrast of inserts after over that before, and its jackknife error over the images.

    Parameters
    ----------
    after, before : ndarray, shape (n, y, x)
        The same images; n is at least 2.
    inserts : sequence of Insert
        Taken together.
    """
    top, bottom = (np.sum([contrasts(stack, one) for one in inserts], axis=0) for stack in (after, before))
    without = (top.sum() - top) / (bottom.sum() - bottom)
    error = np.sqrt((len(top) - 1) * np.mean((without - without.mean()) ** 2))
    return float(top.sum() / bottom.sum()), float(error)


def texture(stage: Stage, noisy: FloatArray, left: FloatArray) -> tuple[float, float]:
    """Return the change of the mean frequency and of the SD of the noise in the plain part, percent."""
    spacing = stage.flat.truth.geometry.spacing[1:]
    one = Repeats(LOW, noisy, left, (spacing[0], spacing[1]), "", {}, ())
    found = texture_shift(*(periodograms(stack, one, stage.flat) for stack in (noisy, left)), repeats=50)
    return found.mean.value, found.sd.value


def judged(run: Run, cases: Mapping[str, Sequence[Case]], stages: Sequence[Stage]) -> list[dict[str, Any]]:
    """Return all rows of a denoiser."""
    return [*likeness(run, cases), *chain.from_iterable(on_stage(run, stage) for stage in stages)]
