"""The noise of repeated scans: what differs between two images of the same thing.

The difference of two repeats over the square root of two has the noise of one and none of the object,
as far as the object held still.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from quell.errors import InputError
from quell.image import FloatArray, Image
from quell.noise.blind.level import BLOCK, level_map
from quell.noise.blind.periodogram import autocovariance
from quell.noise.blind.regions import patches, signal_floor
from quell.noise.blind.shape import shape_of
from quell.noise.contracts import NoiseEstimate
from quell.noise.estimation import estimate_noise, in_units, patient_level, white

Array = npt.NDArray[np.float64]

LARGEST_SHIFT = 0.1
"""Shift in pixels above which the object is said to have moved."""

LARGEST_EXCESS = 1.3
"""Level at the strongest structures over what is expected there, above which they have changed."""

LARGEST_GROWTH = 1.08
"""Level of the difference of frames two apart over that of neighbours, above which they drift."""

_STRONGEST = 95.0
_WHOLE_PIXELS = 4


@dataclass(frozen=True, eq=False)
class Repeat:
    """What two or more scans of the same thing say of the noise.

    Attributes
    ----------
    noise : NoiseEstimate
        Of one scan.
    level : float
        Median over the patient of the level of one scan, in the units of the image.
    shared : float
        Share of the variance of plain parts that the scans have in common: fixed patterns, texture,
        noise of one acquisition that was reconstructed twice. The blind estimate of one scan takes it
        for noise.
    shift : tuple of float
        How far the object moved along y and x, in pixels; already made up for in `noise`.
    excess : float
        Level of the difference at the strongest structures over what is expected there.
    growth : float or None
        Level of the difference of frames two apart over that of neighbours; None of two frames. Above
        1 the frames drift, or neighbours share noise (averaging over time).
    pairs : int
        Number of pairs of slices or frames.
    """

    noise: NoiseEstimate
    level: float
    shared: float
    shift: tuple[float, float]
    excess: float
    growth: float | None
    pairs: int

    @property
    def still(self) -> bool:
        """Whether the object held still, so that the difference is noise and nothing else."""
        moved = float(np.hypot(*self.shift)) > LARGEST_SHIFT
        return not moved and self.excess <= LARGEST_EXCESS and (self.growth or 1.0) <= LARGEST_GROWTH

    @property
    def remarks(self) -> tuple[str, ...]:
        """Why the difference may hold more, or less, than noise; a sentence each."""
        said = []
        if float(np.hypot(*self.shift)) > LARGEST_SHIFT:
            said.append(f"the object moved by {np.hypot(*self.shift):.2f} pixels between the repeats")
        if self.excess > LARGEST_EXCESS:
            said.append(f"edges differ between the repeats, {self.excess:.1f} times as much as their noise")
        if self.growth is not None and self.growth > LARGEST_GROWTH:
            said.append("frames further apart differ more: they move, or neighbours share noise")
        return tuple(said)


def compare_repeats(first: Image, second: Image) -> Repeat:
    """Measure the noise of two scans of the same thing.

    Parameters
    ----------
    first, second : Image
        Of the same shape and, where it is known, the same spacing.

    Raises
    ------
    InputError
        If the two cannot be repeats of each other.
    """
    _check(first, second)
    mean = first.with_voxels((first.voxels + second.voxels) / np.float32(2))
    return _from_difference(first, mean, first.voxels - second.voxels, None)


def repeat_frames(image: Image) -> Repeat | None:
    """Measure the noise of one image whose frames, or whose volumes, may be repeats.

    Parameters
    ----------
    image : Image
        Frames over time, or several volumes one after the other (with gaps at equal steps between).

    Returns
    -------
    Repeat or None
        None where the image has no two frames, or where they plainly show different things; see
        `Repeat.still` for whether they held still.
    """
    scans = _scans(image)
    if len(scans) < 2:
        return None
    differences = np.concatenate([a - b for a, b in pairwise(scans)])
    means = np.concatenate([(a + b) / 2 for a, b in pairwise(scans)])
    depth = len(scans[0])
    gaps = tuple(depth * k - 1 for k in range(1, len(scans) - 1)) if image.volume else ()
    padding = None
    if image.padding is not None:
        blanks = [image.padding[k * depth : (k + 1) * depth] for k in range(len(scans))]
        padding = np.concatenate([a | b for a, b in pairwise(blanks)])
    mean = replace(image, voxels=means, padding=padding, gaps=gaps)
    growth = _growth(scans, mean)
    found = _from_difference(image, mean, differences, growth)
    return found if found.shared > 0 or found.still else None


def _check(first: Image, second: Image) -> None:
    if first.shape != second.shape:
        sizes = " and ".join(" x ".join(map(str, image.shape)) for image in (first, second))
        raise InputError(second.name, f"is no repeat of {first.name}: {sizes} voxels")
    if first.modality is not second.modality:
        raise InputError(second.name, f"is no repeat of {first.name}: another modality")
    known = first.geometry.known and second.geometry.known
    if known and not np.allclose(first.geometry.spacing, second.geometry.spacing, rtol=0.01):
        raise InputError(second.name, f"is no repeat of {first.name}: another spacing")


def _scans(image: Image) -> list[FloatArray]:
    """Return the frames or volumes of an image, all of one shape; fewer than two where it has none."""
    depth = image.shape[0]
    if not image.volume:
        return [image.voxels[z : z + 1] for z in range(depth)]
    step = min(image.gaps, default=depth - 1) + 1
    if image.gaps != tuple(range(step - 1, depth - 1, step)) or depth % step:
        return [image.voxels]
    return [image.voxels[z : z + step] for z in range(0, depth, step)]


def _from_difference(one: Image, mean: Image, difference: FloatArray, growth: float | None) -> Repeat:
    shift, offset = _fitted(mean, difference)
    pixels = ((difference - offset) / np.float32(np.sqrt(2))).astype(np.float32)
    shape = shape_of(patches(mean, pixels), signal_floor(mean))
    correlation = white() if shape is None else autocovariance(shape.power)
    level = level_map(mean, correlation, pixels)
    typical = patient_level(mean, level)
    spectrum = None if shape is None else in_units(one, shape, typical)
    blind = estimate_noise(one)
    alone = patient_level(one, blind.level)
    return Repeat(
        noise=NoiseEstimate(level, BLOCK, spectrum),
        level=typical,
        shared=1 - (typical / alone) ** 2 if alone > 0 else 0.0,
        shift=shift,
        excess=_excess(mean, pixels, level),
        growth=growth,
        pairs=len(difference),
    )


def _fitted(mean: Image, difference: FloatArray) -> tuple[tuple[float, float], FloatArray]:
    """Return the shift in pixels, and what shift, gain and offset explain of a difference.

    To first order a shift by (a, b) changes an image by a times its derivative along y plus b times
    that along x.
    """
    gradients = [
        np.gradient(mean.voxels, axis=axis).astype(np.float64) for axis in (1, 2) if mean.shape[axis] > 1
    ]
    if len(gradients) < 2:
        return (0.0, 0.0), np.zeros_like(difference)
    terms = [*gradients, np.ones(mean.shape), mean.voxels.astype(np.float64)]
    used = mean.voxels > signal_floor(mean)
    if mean.padding is not None:
        used &= ~mean.padding
    if used.sum() < 100:
        return (0.0, 0.0), np.zeros_like(difference)
    design = np.stack([term[used] for term in terms], axis=1)
    gain, *_ = np.linalg.lstsq(design, difference[used].astype(np.float64), rcond=None)
    explained = sum(g * term for g, term in zip(gain, terms, strict=True))
    return (float(gain[0]), float(gain[1])), np.asarray(explained, np.float32)


def _growth(scans: list[FloatArray], mean: Image) -> float | None:
    """Return how much more frames two apart differ than neighbours do."""
    if len(scans) < 3:
        return None
    shown = mean.voxels[: len(scans[0])] > signal_floor(mean)
    if not shown.any():
        return None
    near = [np.var((a - b)[shown]) for a, b in pairwise(scans)]
    far = [np.var((a - b)[shown]) for a, b in zip(scans, scans[2:], strict=False)]
    return float(np.sqrt(np.mean(far) / np.mean(near))) if np.mean(near) > 0 else None


def _excess(mean: Image, pixels: FloatArray, level: FloatArray) -> float:
    """Return the level at the strongest structures over that of the map."""
    ratios, strengths = [], []
    for z in range(mean.shape[0]):
        strengths.append(_deviation(mean.voxels[z]))
        rows, columns = strengths[-1].shape
        expected = level[z, :rows, :columns]
        found = _deviation(pixels[z])
        ratios.append(np.where(expected > 0, found / np.maximum(expected, 1e-30), np.nan))
    strength, ratio = (
        np.concatenate([np.ravel(s) for s in strengths]),
        np.concatenate([np.ravel(r) for r in ratios]),
    )
    strong = (
        (strength >= np.percentile(strength, _STRONGEST)) & np.isfinite(ratio) if len(strength) else ratio > 0
    )
    return float(np.median(ratio[strong])) if strong.any() else 1.0


def _deviation(pixels: FloatArray) -> Array:
    """Return the standard deviation in whole blocks of a slice."""
    rows, columns = (length // BLOCK for length in pixels.shape)
    cut = pixels[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK)
    return np.asarray(cut.std(axis=(1, 3)), np.float64)
