"""The counts and filters of a PET scan, from the grains in its image."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from quell.image import FloatArray
from quell.noise.blur import SIGMA_OF_FWHM, blur_slices
from quell.noise.grains import Grains, measure_grains
from quell.noise.tomography.ring_bed import RingBed

_ROUNDS = 3
_RUN, _RUNS = 4, 12
_HALVINGS = 7
_WIDEST = 4.0
"""Widest post-filter that is tried, in pixels."""

_STRONGEST_AXIAL = 0.5
_STRUCTURE = 0.72
"""No filter of three slices correlates noise so much: the blocks hold structure."""

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
    bed: RingBed, gaps: tuple[int, ...], start: ScanSettings, fixed: frozenset[str]
) -> ScanSettings | None:
    """Find the settings whose noise has the strength and the width of that in an image.

    Parameters
    ----------
    bed : RingBed
        The image's activity.
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
    chosen, gaps = _runs(len(bed.activity), gaps)
    few = replace(bed, activity=bed.activity[chosen], attenuation=bed.attenuation[chosen])
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
        found = _step(noisy - mean, few, gaps, target, found, fixed)
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


def _step(
    noise: FloatArray,
    bed: RingBed,
    gaps: tuple[int, ...],
    target: Grains,
    now: ScanSettings,
    fixed: frozenset[str],
) -> ScanSettings:
    """Return better settings after a look at the unfiltered noise that the present ones make."""
    activity, width, axial = bed.activity, now.post_filter_mm / bed.pixel, now.axial_filter
    if "post_filter_mm" not in fixed:
        width = _matching_width(noise, activity, target.in_plane)
    smooth = _smooth(noise, width)
    if "axial_filter" not in fixed:
        axial = _matching_weight(smooth, activity, gaps, target.axial)
    made = measure_grains(filter_axially(smooth, axial, gaps), activity, gaps)
    counts = now.counts_per_slice
    if made is not None and "counts_per_slice" not in fixed:
        counts = float(np.clip(counts * (made.relative / target.relative) ** 2, *_COUNTS))
    return ScanSettings(counts, width * bed.pixel, axial)


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
