"""The counts and filters of a PET scan, from the grains in its image."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from quell.image import FloatArray
from quell.noise.emission.blur import SIGMA_OF_FWHM, blur_matrix, blur_slices
from quell.noise.emission.grains import Grains, measure_grains
from quell.noise.emission.ring_bed import RingBed

_ROUNDS = 3
_RUN, _RUNS = 4, 12
_HALVINGS = 7
_WIDEST = 4.0
"""Widest post-filter that is tried, in pixels."""

_STRONGEST_AXIAL = 0.5
_STRUCTURE = 0.72
"""No filter of three slices correlates noise so much: the blocks hold structure."""

_ALONG_MM, _ALONG_MOST, _ACROSS = 5.0, 2.5, 0.7
"""Standard deviations of the smoothing that shows the structure: along z in mm, at most so many slices, and
in the slice in pixels."""

_COUNTS = (1e3, 1e10)


@dataclass(frozen=True)
class ScanSettings:
    """What makes the level and the width of the grains; the fields are those of `PETNoise`."""

    counts_per_slice: float
    post_filter_mm: float
    axial_filter: float


def filter_axially(stack: FloatArray, weight: float, gaps: tuple[int, ...] = ()) -> FloatArray:
    """Mix neighbouring slices with weights (w, 1, w) / (1 + 2w), never across a gap.

    Where there is no neighbour the slice itself stands in.
    """
    if weight == 0 or len(stack) == 1:
        return stack
    index = np.arange(len(stack))
    after = np.where(np.isin(index, gaps) | (index == index[-1]), index, index + 1)
    before = np.where(np.isin(index - 1, gaps) | (index == 0), index, index - 1)
    share = np.float32(weight / (1 + 2 * weight))
    return np.asarray((1 - 2 * share) * stack + share * (stack[before] + stack[after]), np.float32)


def match_grains(
    bed: RingBed, distance: float, gaps: tuple[int, ...], start: ScanSettings, fixed: frozenset[str]
) -> ScanSettings | None:
    """Find the settings whose noise has the strength and the width of that in an image.

    Parameters
    ----------
    bed : RingBed
        The image's activity.
    distance : float
        Between slices, in mm.
    gaps : tuple of int
        Indices i such that slice i + 1 is not the neighbour of slice i.
    start : ScanSettings
        First guess.
    fixed : frozenset of str
        Names of settings that are known and stay.

    Returns
    -------
    ScanSettings or None
        None where too little of the image can be judged, or all of it is structure.
    """
    whole = measure_grains(bed.activity, bed.activity, gaps)
    if whole is None or whole.relative == 0 or whole.axial > _STRUCTURE:
        return None
    along = 0.0 if len(gaps) >= len(bed.activity) - 1 else min(_ALONG_MM / distance, _ALONG_MOST)
    chosen, gaps = _runs(len(bed.activity), gaps)
    few = replace(bed, activity=bed.activity[chosen], attenuation=bed.attenuation[chosen])
    structure = _structure(bed.activity, along)[chosen]
    seen = measure_grains(few.activity, few.activity, gaps)
    if seen is None or seen.relative == 0:
        return None
    target = replace(seen, axial=whole.axial)
    gain, found = bed.gain(1.0), start
    # Reconstruction of expected counts does not depend on how many there are.
    mean = few.through(lambda scan: scan.reconstruct(scan.expected, bed.iterations), gain * 1e6, 0.0)
    # Chance of its own, always the same: what is found depends on the image alone.
    rng = np.random.default_rng(0)
    rounds = []
    for _ in range(_ROUNDS):
        dose = gain * found.counts_per_slice
        noisy = few.through(lambda scan: scan.reconstruct(scan.measure(rng), bed.iterations), dose, 0.0)
        found = _step(noisy - mean, few, _Look(structure, along, gaps, target, fixed), found)
        rounds.append(found.counts_per_slice)
    # The first guess may be far off; the rounds after it differ by chance.
    return replace(found, counts_per_slice=float(np.sqrt(rounds[-1] * rounds[-2])))


def _runs(depth: int, gaps: tuple[int, ...]) -> tuple[npt.NDArray[np.intp], tuple[int, ...]]:
    """Choose runs of neighbouring slices, evenly over a volume, and tell the gaps among them."""
    if depth <= _RUN * _RUNS:
        return np.arange(depth), gaps
    # Not at the ends: the first and last slices of a scanner count least.
    starts = ((np.arange(_RUNS) + 0.5) * depth / _RUNS - _RUN / 2).astype(int)
    chosen = (starts[:, None] + np.arange(_RUN)).ravel()
    breaks = np.flatnonzero((np.diff(chosen) != 1) | np.isin(chosen[:-1], gaps))
    return chosen, tuple(int(place) for place in breaks)


@dataclass(frozen=True, eq=False)
class _Look:
    """What the noise is compared with: structure smoothed along z, gaps, the grains seen, settings known."""

    structure: FloatArray
    along: float
    gaps: tuple[int, ...]
    target: Grains
    fixed: frozenset[str]


def _step(noise: FloatArray, bed: RingBed, look: _Look, now: ScanSettings) -> ScanSettings:
    """Return better settings after a look at the unfiltered noise that the present ones make."""
    activity, width, axial = bed.activity, now.post_filter_mm / bed.pixel, now.axial_filter
    if "post_filter_mm" not in look.fixed:
        width = _matching_width(noise, activity, look.target.in_plane)
    smooth = _smooth(noise, width)
    if "axial_filter" not in look.fixed:
        axial = _matching_weight(smooth, activity, look.gaps, look.target.axial)
    counts = now.counts_per_slice
    if "counts_per_slice" not in look.fixed:
        strength = _strength(filter_axially(smooth, axial, look.gaps), look, axial)
        counts = float(np.clip(counts * (strength / look.target.relative) ** 2, *_COUNTS))
    return ScanSettings(counts, width * bed.pixel, axial)


def _strength(noise: FloatArray, look: _Look, axial: float) -> float:
    """Return how strong the grains of an image with this noise would look.

    What is known of the structure has some of the image's own noise left in it; its share is that of the
    simulated noise which passes the same smoothing, and is taken off.
    """
    both, alone, left = (
        measure_grains(stack, look.structure)
        for stack in (look.structure + noise, noise, blur_slices(noise, (_ACROSS, _ACROSS)))
    )
    if both is None or alone is None or left is None:
        return 0.0
    kept = left.relative**2 * _variance_left(axial, look.along)
    return float(np.sqrt(max(both.relative**2 - kept, 0.5 * alone.relative**2)))


def _variance_left(axial: float, along: float) -> float:
    """Return the share of the variance of slices mixed by (w, 1, w) that smoothing along z leaves."""
    kernel = blur_matrix(33, along)[16].astype(float)
    correlations = np.array([2 * axial, axial**2]) / (1 + 2 * axial**2)
    shifted = [float((kernel[k:] * kernel[: len(kernel) - k]).sum()) for k in range(3)]
    return shifted[0] + 2 * float((correlations * shifted[1:]).sum())


def _structure(activity: FloatArray, along: float) -> FloatArray:
    """Return activity with most of its noise smoothed away: edges and organs that grains lie upon.

    Mostly along the axis, where slices are close and anatomy changes slowly.
    """
    mixing = blur_matrix(len(activity), along)
    mixing /= mixing.sum(axis=1, keepdims=True)
    smooth = np.tensordot(mixing, activity, axes=1).astype(np.float32)
    return blur_slices(smooth, (_ACROSS, _ACROSS))


def _matching_width(noise: FloatArray, activity: FloatArray, in_plane: float) -> float:
    """Return the post-filter in pixels that makes grains as wide as those that were seen."""
    low, high = 0.0, _WIDEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        made = measure_grains(_smooth(noise, middle), activity)
        if made is not None and made.in_plane < in_plane:
            low = middle
        else:
            high = middle
    return low


def _matching_weight(noise: FloatArray, activity: FloatArray, gaps: tuple[int, ...], axial: float) -> float:
    """Return the weight of neighbouring slices that makes them as like each other as those that were seen."""
    low, high = 0.0, _STRONGEST_AXIAL
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        made = measure_grains(filter_axially(noise, middle, gaps), activity, gaps)
        if made is not None and made.axial < axial:
            low = middle
        else:
            high = middle
    return low


def _smooth(noise: FloatArray, width: float) -> FloatArray:
    return blur_slices(noise, (width * SIGMA_OF_FWHM, width * SIGMA_OF_FWHM))
