"""Another image of the patient beside the one that is denoised: found, read, and brought onto its grid."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from quell.errors import InputError, QuellError
from quell.formats.contracts import Purpose, Series
from quell.image import BoolArray, FloatArray, Geometry, Image, Modality

ENOUGH = 0.9
"""Where less of an image than this share lies within its prior, it is said."""

_SAME = 1e-3
"""Voxels by which grids may differ and count as the same."""

_LOOKED_AT = 24
_ZOOM = 1.25

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Guide:
    """A prior image on the grid of an image that is denoised.

    Attributes
    ----------
    image : Image
    what : str
        Modality and a hash of the values, for the provenance.
    note : str
        For the report.
    """

    image: Image
    what: str
    note: str


class Prior:
    """What was given as prior: the files at a path, or an image.

    Parameters
    ----------
    source : Path or Image

    Raises
    ------
    InputError
        If there is nothing that can be used.
    """

    def __init__(self, source: Path | Image) -> None:
        self._source = source
        self._series: Sequence[Series] = ()
        self._read: dict[int, Image] = {}
        if not isinstance(source, Image):
            from quell.formats.open import open_study

            self._series = open_study(source, Purpose.GUIDE).series

    def guide(self, image: Image, wanted: Sequence[str]) -> Guide:
        """Return the prior for an image.

        Parameters
        ----------
        image : Image
            What will be denoised.
        wanted : sequence of str
            Modalities that the denoiser can be told of.

        Raises
        ------
        InputError
            If the modality is another, or the prior cannot be brought onto the grid.
        """
        found = self._image(wanted)
        moved, share = on_grid(found, image)
        digest = hashlib.sha256(found.voxels.tobytes() + repr(found.geometry).encode()).hexdigest()
        note = f"denoised with a {found.modality.value} of the patient as prior ({found.name})"
        if moved.voxels is not found.voxels:
            note += ", resampled to the grid of the image"
        if share < ENOUGH:
            note += f"; it covers only {share:.0%} of the image, the rest was taken as empty"
        return Guide(moved, f"{found.modality.value} {digest[:12]}", note)

    def _image(self, wanted: Sequence[str]) -> Image:
        if isinstance(self._source, Image):
            return _as_wanted(self._source, wanted)
        number = self._choose(wanted)
        if number not in self._read:
            self._read[number] = self._series[number].read()
        return _as_wanted(self._read[number], wanted)

    def _choose(self, wanted: Sequence[str]) -> int:
        """Return the one series of a modality that is wanted, or that says none."""
        kinds = [series.modality.value for series in self._series]
        fitting = [n for n, kind in enumerate(kinds) if kind in wanted]
        if not fitting and len(wanted) == 1:
            fitting = [n for n, kind in enumerate(kinds) if kind == Modality.UNKNOWN.value]
        path = Path(str(self._source))
        if not fitting:
            raise InputError(
                path, f"the prior must be {' or '.join(wanted)}, it is {' and '.join(sorted(set(kinds)))}"
            )
        if len(fitting) > 1:
            raise InputError(path, f"holds {len(fitting)} series that may be the prior: name the one to use")
        return fitting[0]


def _as_wanted(image: Image, wanted: Sequence[str]) -> Image:
    if image.modality is Modality.UNKNOWN and len(wanted) == 1:
        return replace(image, modality=Modality(wanted[0]))
    if image.modality.value not in wanted:
        raise InputError(image.name, f"the prior must be {' or '.join(wanted)}, it is {image.modality.value}")
    return image


def on_grid(prior: Image, image: Image) -> tuple[Image, float]:
    """Bring one image onto the grid of another, by where both lie in the patient.

    Linear interpolation; where the grid is coarser than the prior, it is first smoothed by a Gaussian of
    half the excess, so that fine structure does not turn into noise. What lies outside the prior gets its
    lowest value.

    Parameters
    ----------
    prior, image : Image

    Returns
    -------
    Image
        The prior, with shape and geometry of the image.
    float
        Share of the image that lies within the prior.

    Raises
    ------
    InputError
        If one of the two does not say where it lies and their shapes differ, slices are missing, or
        nothing of the image lies within the prior.
    """
    filled = _filled(prior)
    if not (prior.geometry.known and image.geometry.known):
        if prior.shape != image.shape:
            raise InputError(
                prior.name,
                f"the prior has shape {prior.shape}, the image {image.shape}; where both lie is not known",
            )
        return _like(image, prior, filled), 1.0
    to_prior = _Affine.between(image.geometry, prior.geometry)
    if prior.shape == image.shape and to_prior.keeps(image.shape):
        return _like(image, prior, filled), 1.0
    _check_volumes(prior, image)
    share = _share_inside(to_prior, prior.shape, image.shape)
    if share == 0:
        raise InputError(prior.name, f"the prior lies elsewhere: nothing of {image.name} is in it")
    return _like(image, prior, _resampled(filled, to_prior, image.shape)), share


def _filled(prior: Image) -> FloatArray:
    """Return the values with the lowest real one in place of padding."""
    if prior.padding is None or not prior.padding.any():
        return prior.voxels
    if prior.padding.all():
        raise InputError(prior.name, "the prior holds nothing but padding")
    lowest = prior.voxels[~prior.padding].min()
    filled: FloatArray = np.where(prior.padding, lowest, prior.voxels)
    return filled


def _like(image: Image, prior: Image, voxels: FloatArray) -> Image:
    return Image(
        voxels,
        prior.modality,
        prior.units,
        image.geometry,
        volume=image.volume,
        gaps=image.gaps,
        name=prior.name,
        acquisition=prior.acquisition,
    )


def _check_volumes(prior: Image, image: Image) -> None:
    for one, what in ((prior, "the prior"), (image, "the image")):
        if one.gaps:
            raise InputError(one.name, f"{what} has missing slices and cannot be brought onto another grid")
        if not one.volume and one.shape[0] > 1:
            raise InputError(one.name, f"{what} is no volume and cannot be brought onto another grid")


@dataclass(frozen=True, eq=False)
class _Affine:
    """From indices (z, y, x) of one grid to those of another.

    Attributes
    ----------
    matrix : ndarray, shape (3, 3)
    offset : ndarray, shape (3,)
    """

    matrix: Array
    offset: Array

    @classmethod
    def between(cls, source: Geometry, target: Geometry) -> _Affine:
        """Return the map from the indices of `source` to those of `target`."""
        into = np.linalg.inv(_axes(target))
        apart = np.asarray(source.origin, np.float64) - np.asarray(target.origin, np.float64)
        return cls(into @ _axes(source), into @ apart)

    def keeps(self, shape: tuple[int, ...]) -> bool:
        """Whether all indices of a shape stay what they are."""
        corners = _corners(shape)
        return bool(np.abs(self.of(corners) - corners).max() < _SAME)

    def of(self, indices: Array) -> Array:
        """Return the indices in the other grid, shape (3, ...)."""
        moved: Array = np.tensordot(self.matrix, indices, 1)
        return moved + self.offset.reshape(3, *(1,) * (indices.ndim - 1))

    @cached_property
    def coarser(self) -> Array:
        """How many voxels of the target one step of the source is along each of its axes, at most."""
        steps: Array = np.abs(self.matrix).max(axis=1)
        return steps


def _axes(geometry: Geometry) -> Array:
    """Return the steps in mm of the three indices as columns."""
    return np.asarray(geometry.direction, np.float64).T * np.asarray(geometry.spacing, np.float64)


def _corners(shape: tuple[int, ...]) -> Array:
    ends = [(0, length - 1) for length in shape]
    return np.stack(np.meshgrid(*ends, indexing="ij")).reshape(3, -1).astype(np.float64)


def _inside(indices: Array, shape: tuple[int, ...]) -> BoolArray:
    """Say which indices lie within the outer faces of the outer voxels."""
    last = np.asarray(shape, np.float64).reshape(3, *(1,) * (indices.ndim - 1)) - 0.5
    within = (indices >= -0.5 - _SAME) & (indices <= last + _SAME)
    return np.asarray(within.all(axis=0), np.bool_)


def _share_inside(to_prior: _Affine, prior: tuple[int, ...], image: tuple[int, ...]) -> float:
    axes = [np.linspace(0, length - 1, min(length, _LOOKED_AT)) for length in image]
    indices = np.stack(np.meshgrid(*axes, indexing="ij"))
    return float(_inside(to_prior.of(indices), prior).mean())


def _resampled(voxels: FloatArray, to_prior: _Affine, shape: tuple[int, int, int]) -> FloatArray:
    ndimage = _ndimage()
    lowest = voxels.min()
    excess = np.where(to_prior.coarser > _ZOOM, (to_prior.coarser - 1) / 2, 0.0)
    smooth = ndimage.gaussian_filter(voxels, excess, mode="nearest") if excess.any() else voxels
    result = np.empty(shape, np.float32)
    plane = np.stack(np.meshgrid(*(np.arange(n, dtype=np.float64) for n in shape[1:]), indexing="ij"))
    for z in range(shape[0]):
        indices = to_prior.of(np.concatenate([np.full((1, *shape[1:]), float(z)), plane]))
        values = ndimage.map_coordinates(smooth, indices, order=1, mode="nearest")
        result[z] = np.where(_inside(indices, voxels.shape), values, lowest)
    return result


def _ndimage() -> Any:
    try:
        from scipy import ndimage
    except ImportError as error:
        raise QuellError("a prior on another grid needs SciPy: pip install 'quell[lab]'") from error
    return ndimage
