"""Which parts of an image are looked at: patches of the patient, cut into overlapping regions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from quell.image import BoolArray, FloatArray, Image, Modality

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


def patches(image: Image, difference: bool) -> tuple[Patch, ...]:
    """Choose the patches to look at, the same ones every time.

    Parameters
    ----------
    image : Image
    difference : bool
        Look at differences of neighbouring slices, in which most of the anatomy cancels.
    """
    places = list(_places(image, difference))
    if len(places) > _PATCHES and image.voxels.size > _WHOLE:
        floor = signal_floor(image)
        shares = [float((_cut(image.voxels, place)[::8, ::8] > floor).mean()) for place in places]
        places = [place for place, share in zip(places, shares, strict=True) if share > 0.5] or places
        generator = np.random.default_rng(0)
        kept = generator.permutation(len(places))[:_PATCHES]
        places = [places[i] for i in sorted(kept)]
    return tuple(_patch(image, place, difference) for place in places)


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


def _places(image: Image, difference: bool) -> Iterator[tuple[int, slice, slice]]:
    depth, rows, columns = image.shape
    whole = image.voxels.size <= _WHOLE
    for z in range(depth - difference):
        if difference and z in image.gaps:
            continue
        for y in range(0, 1 if whole else max(1, rows // PATCH)):
            for x in range(0, 1 if whole else max(1, columns // PATCH)):
                if whole:
                    yield z, slice(0, rows), slice(0, columns)
                else:
                    yield z, slice(y * PATCH, (y + 1) * PATCH), slice(x * PATCH, (x + 1) * PATCH)


def _patch(image: Image, place: tuple[int, slice, slice], difference: bool) -> Patch:
    shown = _cut(image.voxels, place)
    usable = np.ones(shown.shape, bool) if image.padding is None else ~_cut(image.padding, place)
    if not difference:
        return Patch(shown, usable, shown)
    z, y, x = place
    other = _cut(image.voxels, (z + 1, y, x))
    if image.padding is not None:
        usable = usable & ~_cut(image.padding, (z + 1, y, x))
    return Patch((shown - other) / np.float32(np.sqrt(2)), usable, shown)


def _cut(array: npt.NDArray[Any], place: tuple[int, slice, slice]) -> npt.NDArray[Any]:
    z, y, x = place
    return array[z][y, x]


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
