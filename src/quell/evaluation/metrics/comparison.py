"""Two or three images that may be compared, and the parts of them that numbers are computed of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from quell.errors import InputError
from quell.evaluation.metrics.contracts import Sample, Values, Window
from quell.filters.level import noise_sigma
from quell.image import BoolArray, Image, Modality
from quell.noise.flat import block_statistics

Labels: TypeAlias = npt.NDArray[np.integer]
Per: TypeAlias = Literal["slice", "region", "region and slice"]
Part: TypeAlias = tuple[int | None, int | None, Sample]
"""Slice, region (None stands for all of them) and what numbers are computed of."""

SOFT_TISSUE: Window = (-160.0, 240.0)

_NOISIER = 1.2
_QUIET = 0.2
_FEWEST = 20
_SLICES = 8
_ROUNDING = 1e-6
_SAME = 1e-3


@dataclass(frozen=True, eq=False)
class Comparison:
    """A test image beside its reference, checked; made by `compare`.

    Attributes
    ----------
    test : Image
        The image to judge.
    reference, noisy : Image or None
        What it should look like, and what it was made of.
    window : tuple of float
        Range of values that is looked at, and data range.
    regions : ndarray of int, shape (z, y, x), or None
        Labels; 0 belongs to no region.
    names : mapping of int to str
        What the regions are called.
    background : int or None
        Label of the region that contrasts are measured against.
    sigma : float or None
        Noise level of the noisy image.
    decibel : float or None
        dB that one unit of the image stands for.
    remarks : tuple of str
        What a reader must know of the numbers.
    """

    test: Image
    reference: Image | None
    noisy: Image | None
    window: Window
    regions: Labels | None = None
    names: Mapping[int, str] = field(default_factory=dict)
    background: int | None = None
    sigma: float | None = None
    decibel: float | None = None
    remarks: tuple[str, ...] = ()

    def samples(self, per: Per) -> Iterator[Part]:
        """Yield every part.

        ``"slice"`` gives each slice, ``"region"`` each region over all slices, ``"region and slice"`` each
        region in each slice that shows it.
        """
        depth = self.test.shape[0]
        if per == "slice":
            for z in range(depth):
                mask = self._real(slice(z, z + 1))
                if mask.any():
                    yield z, None, self._sample(slice(z, z + 1), mask, None)
            return
        for label in self.labels():
            pieces = [slice(0, depth)] if per == "region" else [slice(z, z + 1) for z in range(depth)]
            for piece in pieces:
                mask = self._inside(piece, label)
                if mask.any():
                    yield (None if per == "region" else piece.start), label, self._sample(piece, mask, label)

    def labels(self) -> tuple[int, ...]:
        """Return the labels of the regions, without that of the background."""
        if self.regions is None:
            raise InputError(self.test.name, "no regions were given")
        found = (int(label) for label in np.unique(self.regions))
        return tuple(label for label in found if label not in (0, self.background))

    def region_name(self, label: int) -> str:
        """Return what a region is called."""
        return self.names.get(label, f"region {label}")

    def _sample(self, piece: slice, mask: BoolArray, label: int | None) -> Sample:
        geometry = self.test.geometry
        behind = self._inside(piece, self.background) if self.background is not None else None
        return Sample(
            test=_values(self.test, piece),
            mask=mask,
            reference=None if self.reference is None else _values(self.reference, piece),
            noisy=None if self.noisy is None else _values(self.noisy, piece),
            background=behind,
            window=self.window,
            spacing=geometry.spacing if geometry.known else None,
            volume=self.test.volume and not self.test.gaps and len(mask) == self.test.shape[0],
            sigma=self.sigma,
            decibel=self.decibel,
            region=label,
            name=self.test.name,
        )

    def _inside(self, piece: slice, label: int) -> BoolArray:
        if self.regions is None:
            raise InputError(self.test.name, "no regions were given")
        return np.asarray((self.regions[piece] == label) & self._real(piece), np.bool_)

    def _real(self, piece: slice) -> BoolArray:
        mask = np.ones(self.test.voxels[piece].shape, np.bool_)
        for image in (self.test, self.reference, self.noisy):
            if image is not None and image.padding is not None:
                mask &= ~image.padding[piece]
        return mask


def compare(
    test: Image,
    reference: Image | None = None,
    noisy: Image | None = None,
    *,
    window: Window | None = None,
    regions: Labels | None = None,
    names: Mapping[int, str] | None = None,
    background: int | None = None,
    sigma: float | None = None,
    decibel: float | None = None,
    noisy_reference: bool = False,
) -> Comparison:
    """Check that images may be compared, and say over which values.

    Nothing is resampled, shifted or rescaled.

    Parameters
    ----------
    test : Image
        The image to judge.
    reference, noisy : Image, optional
        What it should look like, and what it was made of.
    window : tuple of float, optional
        Lowest and highest value that is looked at. By default -160 to 240 in CT, else the 0.5th to the
        99.5th percentile of the reference (of the test where there is none).
    regions : ndarray of int, shape (z, y, x), optional
        Label map; 0 belongs to no region.
    names : mapping of int to str, optional
    background : int, optional
        Label that contrasts are measured against.
    sigma : float, optional
        Noise level of the noisy image where it is known; by default it is measured in `noisy`.
    decibel : float, optional
        dB that one unit of the image stands for, in log-compressed ultrasound.
    noisy_reference : bool
        Go on with a reference that has more noise than the test, and say so in the remarks.

    Raises
    ------
    InputError
        If shapes, geometry, units or modality differ, a value is not finite, a region map does not fit,
        the window is empty, or the reference is noisier than it may be.
    """
    _check_finite(test)
    for other in (reference, noisy):
        if other is not None:
            _check_finite(other)
            _check_alike(test, other)
    _check_regions(test, regions, background)
    chosen = window if window is not None else default_window(reference if reference is not None else test)
    if not (np.isfinite(chosen).all() and chosen[1] > chosen[0]):
        raise InputError(test.name, f"the window {chosen[0]:g} to {chosen[1]:g} is empty")
    if sigma is None and noisy is not None:
        sigma = noise_sigma(noisy)
    remarks = _judge_reference(test, reference, noisy, noisy_reference)
    return Comparison(
        test, reference, noisy, chosen, regions, names or {}, background, sigma, decibel, remarks
    )


def default_window(image: Image) -> Window:
    """Return the range of values that is looked at when the user names none; see `compare`."""
    if image.modality is Modality.CT and image.units == "HU":
        return SOFT_TISSUE
    real = image.voxels if image.padding is None or image.padding.all() else image.voxels[~image.padding]
    low, high = (float(value) for value in np.percentile(real, (0.5, 99.5)))
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _values(image: Image, piece: slice) -> Values:
    return image.voxels[piece].astype(np.float64)


def _check_finite(image: Image) -> None:
    if not np.isfinite(image.voxels).all():
        raise InputError(image.name, "has values that are not finite (NaN or infinity)")


def _check_alike(one: Image, other: Image) -> None:
    if one.shape != other.shape:
        raise InputError(other.name, f"has shape {other.shape}, {one.name} has {one.shape}")
    if one.units != other.units:
        raise InputError(other.name, f"is in {other.units}, {one.name} is in {one.units}")
    known = Modality.UNKNOWN not in (one.modality, other.modality)
    if known and one.modality is not other.modality:
        raise InputError(other.name, f"is {other.modality.value}, {one.name} is {one.modality.value}")
    if not (one.geometry.known and other.geometry.known):
        return
    a, b = one.geometry, other.geometry
    if not np.allclose(a.spacing, b.spacing, rtol=_SAME):
        raise InputError(other.name, f"has voxels of {b.spacing} mm, {one.name} of {a.spacing} mm")
    apart = float(np.max(np.abs(np.subtract(a.origin, b.origin))))
    if apart > 0.01 * min(a.spacing) or not np.allclose(a.direction, b.direction, atol=_SAME):
        raise InputError(other.name, f"lies elsewhere in space than {one.name}: resample it first")


def _check_regions(image: Image, regions: Labels | None, background: int | None) -> None:
    if regions is None:
        if background is not None:
            raise InputError(image.name, "a background needs a map of regions")
        return
    if not np.issubdtype(regions.dtype, np.integer):
        raise InputError(image.name, f"the regions must be whole numbers, got {regions.dtype}")
    if regions.shape != image.shape:
        raise InputError(image.name, f"the regions have shape {regions.shape}, the image {image.shape}")
    if background is not None and not (regions == background).any():
        raise InputError(image.name, f"no pixel of the regions has the background's label {background}")


def _judge_reference(
    test: Image, reference: Image | None, noisy: Image | None, allowed: bool
) -> tuple[str, ...]:
    """Refuse a reference that cannot stand for the truth; return what must be said of one that can."""
    if reference is None:
        return ()
    if noisy is not None and not allowed:
        own, its = quiet_noise(reference, noisy)
        if own > _NOISIER * its:
            told = _told(own, its, reference)
            raise InputError(reference.name, f"the reference is noisier than the noisy image ({told})")
    own, its = quiet_noise(reference, test)
    if own <= _NOISIER * its:
        return ()
    told = _told(own, its, reference)
    if noisy is None and not allowed:
        raise InputError(
            reference.name,
            f"the reference is noisier than the test ({told}), so that errors against it are its own; "
            "give the noisy image too, or allow it explicitly",
        )
    return (
        f"In quiet parts the reference has more noise than the test ({told}): part of every error is the "
        "reference's own, and a smoother image may score lower than it deserves.",
    )


def quiet_noise(one: Image, other: Image) -> tuple[float, float]:
    """Return the standard deviations of two images in the same quiet blocks, (0, 0) where there are none.

    The fifth of the 8 x 8 blocks with the smallest variance of both together, the constant ones left out;
    the median of either image's standard deviations around a plane. Since the blocks are chosen by what
    varies least, the figures are for comparison, and lie below the noise level.
    """
    hidden = np.zeros(one.shape, np.bool_)
    for image in (one, other):
        if image.padding is not None:
            hidden |= image.padding
    pair = [replace(image, padding=hidden) for image in (one, other)]
    middle = range(0, one.shape[0], max(1, one.shape[0] // _SLICES))
    sd = np.stack([np.concatenate([block_statistics(image, z)[1] for z in middle]) for image in pair])
    # The SD of a constant block is seldom exactly 0 after rounding.
    sd[sd < _ROUNDING * sd.max(initial=0)] = 0
    both = np.hypot(*sd)
    sd, both = sd[:, both > 0], both[both > 0]
    if both.size < _FEWEST:
        return 0.0, 0.0
    quiet = sd[:, both <= np.quantile(both, _QUIET)]
    own, its = np.median(quiet, axis=1)
    return float(own), float(its)


def _told(own: float, its: float, reference: Image) -> str:
    units = "" if reference.units == "arbitrary" else f" {reference.units}"
    return f"{own:.3g}{units} against {its:.3g}{units}"
