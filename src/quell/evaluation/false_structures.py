"""What a reader could take for a lesion where nothing was put: spots found by a matched filter."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from quell.evaluation.lesions import Lesion, difference, lesion_stamp, require_spacing
from quell.evaluation.observers.scores import Array
from quell.image import BoolArray, Image

_SLAB = 16
"""Slices that are filtered at a time, to bound the memory."""


@dataclass(frozen=True)
class FalseStructures:
    """Spots that a matched filter takes for lesions where nothing was put.

    Attributes
    ----------
    bright, dark : int
        Spots above, and below, the anatomy by at least `threshold`.
    threshold : float
        In the units of the image: the contrast of a ball of `diameter_mm`.
    diameter_mm : float
    volume_ml : float
        That was looked at; slices that are no neighbours count as 1 mm thick.
    """

    bright: int
    dark: int
    threshold: float
    diameter_mm: float
    volume_ml: float

    @property
    def per_litre(self) -> float:
        """Spots of both kinds in a litre."""
        return 1000 * (self.bright + self.dark) / self.volume_ml if self.volume_ml else 0.0


def false_structures(
    image: Image,
    truth: Image,
    diameter_mm: float,
    threshold: float,
    *,
    apart_from: Sequence[Lesion] = (),
) -> FalseStructures:
    """Count spots like lesions in the difference of an image and the truth.

    The difference goes through the matched filter of a ball on an unknown constant ground: its value is
    the contrast (least squares) of the ball that fits best at that place. Spots are the extremes of it,
    one within a diameter, at or beyond the threshold. In a noisy image they are noise; in a denoised one
    they are what a reader could take for structure. A threshold of half the contrast that matters is a
    good choice; well below it, what is counted is the noise of the truth.

    Parameters
    ----------
    image, truth : Image
    diameter_mm : float
    threshold : float
        Positive, in the units of the image.
    apart_from : sequence of Lesion
        Places that are left out, to a distance of two diameters.

    Raises
    ------
    InputError
        If the spacing is unknown.
    QuellError
        If the shapes differ.
    ValueError
        If the threshold is not positive.
    """
    require_spacing(truth)
    if not threshold > 0:
        raise ValueError(f"a threshold must be positive, got {threshold:g}")
    contrast = matched_contrast(difference(image, truth), truth, diameter_mm)
    spots = _looked_at(truth, diameter_mm, apart_from)
    bright, dark = (_extremes(sign * contrast, spots, truth, diameter_mm, threshold) for sign in (1, -1))
    thickness = truth.geometry.spacing[0] if truth.volume else 1.0
    area = truth.geometry.spacing[1] * truth.geometry.spacing[2]
    volume = float(spots.sum()) * area * thickness / 1000
    return FalseStructures(bright, dark, threshold, diameter_mm, volume)


def matched_contrast(residual: Array, truth: Image, diameter_mm: float) -> Array:
    """Fit a ball on a constant ground to the surroundings of each voxel and return its contrast.

    Parameters
    ----------
    residual : ndarray, shape (z, y, x)
    truth : Image
        For its geometry; slices that are no neighbours are filtered each by itself.
    diameter_mm : float
    """
    ball = lesion_stamp(truth, diameter_mm)
    wide = np.pad(ball, [((n + 1) // 2 if n > 1 else 0,) * 2 for n in ball.shape])
    kernel = wide - wide.mean()
    kernel /= (kernel * wide).sum()
    margin = len(kernel) // 2
    padded = np.pad(residual, [(n // 2,) * 2 for n in kernel.shape], mode="symmetric")
    slabs = [_correlated(padded[z : z + _SLAB + 2 * margin], kernel) for z in range(0, len(residual), _SLAB)]
    return np.concatenate(slabs)


def _correlated(values: Array, kernel: Array) -> Array:
    """Correlate by Fourier transform, where the kernel lies within the values."""
    spectrum = np.fft.rfftn(values) * np.conj(np.fft.rfftn(kernel, values.shape))
    found = np.fft.irfftn(spectrum, values.shape)
    return found[tuple(slice(0, n - k + 1) for n, k in zip(values.shape, kernel.shape, strict=True))]


def _looked_at(truth: Image, diameter_mm: float, apart_from: Sequence[Lesion]) -> BoolArray:
    """Return where spots count: not in padding, not near lesions."""
    spots = np.ones(truth.shape, np.bool_) if truth.padding is None else ~truth.padding
    axes = [np.arange(n) * step for n, step in zip(truth.shape, truth.geometry.spacing, strict=True)]
    for lesion in apart_from:
        reach = 2 * max(lesion.diameter_mm, diameter_mm)
        squares = [(axis - axis[at]) ** 2 for axis, at in zip(axes, lesion.site, strict=True)]
        spots &= squares[0][:, None, None] + squares[1][:, None] + squares[2] > reach**2
    return spots


def _extremes(contrast: Array, spots: BoolArray, truth: Image, diameter_mm: float, threshold: float) -> int:
    """Count peaks from the strongest on, leaving out what lies within a diameter of one."""
    places = np.argwhere((contrast >= threshold) & spots & _peaks(contrast, truth.volume))
    order = np.argsort(-contrast[tuple(places.T)], kind="stable")
    positions = places[order] * np.array(truth.geometry.spacing)
    if not truth.volume:
        # Slices that are no neighbours are far apart.
        positions[:, 0] = places[order][:, 0] * 10 * diameter_mm
    cells: dict[tuple[int, ...], list[Array]] = {}
    count = 0
    for position in positions:
        cell = [int(at) for at in position // diameter_mm]
        around = itertools.product(*((at - 1, at, at + 1) for at in cell))
        near = (one for key in around for one in cells.get(key, ()))
        if all(float(((position - one) ** 2).sum()) > diameter_mm**2 for one in near):
            cells.setdefault(tuple(cell), []).append(position)
            count += 1
    return count


def _peaks(contrast: Array, volume: bool) -> BoolArray:
    """Mark voxels that none of their neighbours exceeds."""
    highest = contrast
    for axis in range(0 if volume else 1, 3):
        pad = [(int(k == axis),) * 2 for k in range(3)]
        wide = np.pad(highest, pad, constant_values=-np.inf)
        highest = np.lib.stride_tricks.sliding_window_view(wide, 3, axis).max(axis=-1)
    return np.asarray(contrast >= highest)
