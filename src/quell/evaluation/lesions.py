"""Known lesions to be put into real anatomy: many sizes, many contrasts, places that do not touch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quell.errors import InputError, QuellError
from quell.evaluation.inserts import add_stamp, ball_stamp
from quell.evaluation.observers.scores import Array
from quell.image import BoolArray, Image


@dataclass(frozen=True)
class Lesion:
    """A ball to be put into an image.

    Attributes
    ----------
    site : (z, row, column)
        The voxel of its middle.
    diameter_mm : float
    contrast : float
        Difference to what is there, in the units of the image; negative for a dark one.
    """

    site: tuple[int, int, int]
    diameter_mm: float
    contrast: float


def insert_lesions(image: Image, lesions: Sequence[Lesion], resolution_mm: float) -> Image:
    """Add lesions to an image, blurred as the scanner would have shown them.

    Parameters
    ----------
    image : Image
        With as little noise as there is.
    lesions : sequence of Lesion
    resolution_mm : float
        Full width at half maximum of the image; 0 for an object that is still to be scanned.

    Raises
    ------
    InputError
        If the spacing is unknown, or a lesion lies outside the image.
    """
    require_spacing(image)
    voxels = image.voxels.astype(np.float64)
    for lesion in lesions:
        if not all(0 <= at < size for at, size in zip(lesion.site, image.shape, strict=True)):
            raise InputError(image.name, f"a lesion at {lesion.site} lies outside of {image.shape}")
        add_stamp(
            voxels, lesion_stamp(image, lesion.diameter_mm, resolution_mm), lesion.site, lesion.contrast
        )
    return image.with_voxels(voxels.astype(np.float32))


def spread_lesions(
    image: Image,
    diameters_mm: Sequence[float],
    contrasts: Sequence[float],
    rng: np.random.Generator,
    *,
    allowed: BoolArray | None = None,
    each: int = 1,
    apart: float = 3.0,
) -> tuple[Lesion, ...]:
    """Draw places for lesions of every size with every contrast.

    Parameters
    ----------
    image : Image
    diameters_mm, contrasts : sequence of float
    rng : numpy.random.Generator
    allowed : ndarray of bool, shape (z, y, x), optional
        Where lesions may lie, such as within an organ; everywhere but in padding by default.
    each : int
        Lesions of each kind.
    apart : float
        Least distance of the middles of two lesions, in diameters of the larger one.

    Raises
    ------
    QuellError
        If there is no room for all of them.
    """
    require_spacing(image)
    mask = np.ones(image.shape, np.bool_) if allowed is None else allowed.copy()
    if image.padding is not None:
        mask &= ~image.padding
    candidates = np.argwhere(mask)
    spacing = np.array(image.geometry.spacing)
    kinds = sorted([(d, c) for d in diameters_mm for c in contrasts] * each, reverse=True)
    placed: list[Lesion] = []
    for diameter, contrast in kinds:
        site = _free_site(candidates, placed, diameter, spacing, apart, image.shape, rng)
        if site is None:
            raise QuellError(
                f"there is no room for {len(kinds)} lesions {apart:g} diameters apart: "
                f"{len(placed)} were placed"
            )
        placed.append(Lesion(site, diameter, contrast))
    return tuple(placed)


def _free_site(
    candidates: npt.NDArray[np.int64],
    placed: Sequence[Lesion],
    diameter: float,
    spacing: Array,
    apart: float,
    shape: tuple[int, int, int],
    rng: np.random.Generator,
) -> tuple[int, int, int] | None:
    """Try some places in turn; those too close to another lesion or to the border in the plane are left."""
    border = np.ceil(apart / 2 * diameter / spacing[1:])
    for site in candidates[rng.integers(0, len(candidates), 3000)] if len(candidates) else ():
        if (site[1:] < border).any() or (site[1:] >= np.array(shape[1:]) - border).any():
            continue
        gaps = [
            np.linalg.norm((site - np.array(other.site)) * spacing)
            >= apart * max(diameter, other.diameter_mm)
            for other in placed
        ]
        if all(gaps):
            return int(site[0]), int(site[1]), int(site[2])
    return None


def difference(first: Image, second: Image) -> Array:
    """Return the first image minus the second.

    Raises
    ------
    QuellError
        If their shapes differ.
    """
    if first.shape != second.shape:
        raise QuellError(f"images of {first.shape} and {second.shape} cannot be compared")
    return first.voxels.astype(np.float64) - second.voxels


def lesion_stamp(image: Image, diameter_mm: float, resolution_mm: float = 0.0) -> Array:
    """Return the part of a lesion in each voxel; one slice of it where slices are no neighbours."""
    part = ball_stamp(image.geometry.spacing, diameter_mm, resolution_mm)
    if image.volume:
        return part
    middle = len(part) // 2
    return part[middle : middle + 1]


def require_spacing(image: Image) -> None:
    """Raise InputError where the spacing is unknown."""
    if not image.geometry.known:
        raise InputError(image.name, "the spacing is unknown, and with it the size of a lesion")
