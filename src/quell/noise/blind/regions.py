"""Which parts of an image are looked at: patches of the patient, cut into overlapping regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from quell.image import BoolArray, FloatArray, Image, Modality

Place: TypeAlias = tuple[int, slice, slice]

PATCH = 128
"""Side in pixels of the patches of images that are too large to be looked at whole."""

_WHOLE = 1_200_000
_PATCHES = 72
_FEWEST = 20
_SATURATED = 0.25
_SIGNAL = 0.1
_CT_BODY = -500.0


@dataclass(frozen=True, eq=False)
class Patch:
    """A part of one slice.

    Attributes
    ----------
    pixels : ndarray of float32, shape (y, x)
        The slice itself, or its difference to the next over the square root of two.
    usable : ndarray of bool, shape (y, x)
        False for padding.
    shown : ndarray of float32, shape (y, x)
        The slice itself: decides what is patient and what is saturated.
    """

    pixels: FloatArray
    usable: BoolArray
    shown: FloatArray


@dataclass(frozen=True, eq=False)
class Regions:
    """Square regions, half overlapping, of all patches.

    Attributes
    ----------
    values : ndarray of float64, shape (count, n, n)
        Of the chosen regions, with the mean of each taken away.
    chosen : tuple of ndarray of bool
        For each patch which places of its grid of regions were chosen, in the order of `values`.
    """

    values: npt.NDArray[np.float64]
    chosen: tuple[BoolArray, ...]


def signal_floor(image: Image) -> float:
    """Return the value above which a voxel shows the patient rather than air or dark background."""
    if image.modality is Modality.CT and image.units == "HU":
        return _CT_BODY
    voxels = image.voxels[:, ::2, ::2]
    if image.padding is not None and not image.padding[:, ::2, ::2].all():
        voxels = voxels[~image.padding[:, ::2, ::2]]
    low, high = np.percentile(voxels, (0.5, 99.5))
    return float(low + _SIGNAL * (high - low))


def patches(image: Image, pixels: FloatArray | None = None) -> tuple[Patch, ...]:
    """Choose the patches to look at, the same ones every time.

    Parameters
    ----------
    image : Image
    pixels : ndarray of float32, shape (z, y, x), optional
        What to look at where it is not the image itself (a difference of repeats).
    """
    source = image.voxels if pixels is None else pixels
    found = []
    for place in _chosen(image, range(image.shape[0])):
        shown = _cut(image.voxels, place)
        usable = np.ones(shown.shape, bool) if image.padding is None else ~_cut(image.padding, place)
        found.append(Patch(_cut(source, place), usable, shown))
    return tuple(found)


def difference_patches(image: Image) -> tuple[Patch, ...]:
    """Choose patches of the differences of neighbouring slices, in which most anatomy cancels."""
    starts = [z for z in range(image.shape[0] - 1) if z not in image.gaps]
    found = []
    for z, y, x in _chosen(image, starts):
        shown, other = _cut(image.voxels, (z, y, x)), _cut(image.voxels, (z + 1, y, x))
        usable = np.ones(shown.shape, bool)
        if image.padding is not None:
            usable = ~_cut(image.padding, (z, y, x)) & ~_cut(image.padding, (z + 1, y, x))
        found.append(Patch((shown - other) / np.float32(np.sqrt(2)), usable, shown))
    return tuple(found)


def cut(found: tuple[Patch, ...], n: int, floor: float, allowed: tuple[BoolArray, ...] | None) -> Regions:
    """Cut patches into usable regions of side `n`, those of the patient where there are enough.

    Parameters
    ----------
    found : tuple of Patch
    n : int
        Side of a region in pixels, even.
    floor : float
        See `signal_floor`.
    allowed : tuple of ndarray of bool, optional
        For each patch which places of the grid may be chosen.
    """
    usable = [_usable(patch, n) for patch in found]
    patient = [
        good & (_windows(p.shown, n).mean((2, 3)) > floor) for good, p in zip(usable, found, strict=True)
    ]
    enough = sum(int(mask.sum()) for mask in patient) >= _FEWEST
    chosen = patient if enough else usable
    if allowed is not None:
        chosen = [mask & other for mask, other in zip(chosen, allowed, strict=True)]
    values = [_windows(patch.pixels, n)[mask] for patch, mask in zip(found, chosen, strict=True)]
    stack = np.concatenate(values).astype(np.float64) if values else np.zeros((0, n, n))
    return Regions(stack - stack.mean(axis=(1, 2), keepdims=True), tuple(chosen))


def _chosen(image: Image, slices: Sequence[int]) -> list[Place]:
    """Return whole slices, or of large images a fixed choice of patches that show the patient."""
    _, rows, columns = image.shape
    if image.voxels.size <= _WHOLE:
        return [(z, slice(0, rows), slice(0, columns)) for z in slices]
    tops = [slice(y, y + PATCH) for y in range(0, max(1, rows - PATCH + 1), PATCH)]
    lefts = [slice(x, x + PATCH) for x in range(0, max(1, columns - PATCH + 1), PATCH)]
    places = [(z, y, x) for z in slices for y in tops for x in lefts]
    floor = signal_floor(image)
    shares = [float((_cut(image.voxels, place)[::8, ::8] > floor).mean()) for place in places]
    shown = [place for place, share in zip(places, shares, strict=True) if share > 0.5] or places
    kept = np.random.default_rng(0).permutation(len(shown))[:_PATCHES]
    return [shown[i] for i in sorted(kept)]


def _cut(array: npt.NDArray[Any], place: Place) -> npt.NDArray[Any]:
    z, y, x = place
    part: npt.NDArray[Any] = array[z][y, x]
    return part


def _windows(pixels: npt.NDArray[Any], n: int) -> npt.NDArray[Any]:
    """Return a view (rows, columns, n, n) of all regions of side `n`, half overlapping."""
    if min(pixels.shape) < n:
        return np.zeros((0, 0, n, n), pixels.dtype)
    windows: npt.NDArray[Any] = sliding_window_view(pixels, (n, n))[:: n // 2, :: n // 2]
    return windows


def _usable(patch: Patch, n: int) -> BoolArray:
    """Say which regions have no padding, vary, and do not stick to their lowest or highest value."""
    shown = _windows(patch.shown, n)
    low, high = shown.min((2, 3), keepdims=True), shown.max((2, 3), keepdims=True)
    clipped = ((shown == low).mean((2, 3)) > _SATURATED) | ((shown == high).mean((2, 3)) > _SATURATED)
    varies = np.ptp(_windows(patch.pixels, n), axis=(2, 3)) > 0
    inside = _windows(patch.usable, n).all((2, 3))
    usable: BoolArray = inside & varies & ~clipped
    return usable
