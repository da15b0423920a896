"""The spectrum of the noise from the plain regions of patches, small regions first, then larger ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quell.image import BoolArray
from quell.noise.blind.periodogram import radial_frequency, ring_index
from quell.noise.blind.plain import Plain, find_plain
from quell.noise.blind.regions import Patch, Regions, cut

Array = npt.NDArray[np.float64]

SIDES = (16, 32, 64)
"""Sides in pixels of the regions: the small ones tell where the large ones may lie."""

FEW_CYCLES = 5.0
"""Regions above 32 pixels are for noise of which fewer cycles than this fit into a region, on the average."""

ENOUGH = 20
"""Regions that make a large side worth its while."""

_FEWEST = {16: 8, 32: ENOUGH, 64: 8}
_SHARE = {16: 0.0, 32: 0.06, 64: 0.1}
_NEAR_PLAIN = 2.2
_OF_NINE = {16: 9, 32: 7, 64: 7}


@dataclass(frozen=True, eq=False)
class Shape:
    """A noise power spectrum in pixels.

    Attributes
    ----------
    power : ndarray, shape (n, n)
        In the order of an FFT; the mean is the variance of a typical plain region.
    regions : int
        Number of regions that were averaged.
    level : float
        Median standard deviation of these regions, robust against structure.
    """

    power: Array
    regions: int
    level: float


def shape_of(found: tuple[Patch, ...], floor: float) -> Shape | None:
    """Return the spectrum of the noise of some patches, or None where too little of them is plain.

    Parameters
    ----------
    found : tuple of Patch
    floor : float
        Regions whose mean lies above show the patient.
    """
    allowed: tuple[BoolArray, ...] | None = None
    result = None
    for side in SIDES:
        regions = cut(found, side, floor, allowed)
        fewest = max(_FEWEST[side], _SHARE[side] * (result.regions if result is not None else 0))
        if len(regions.values) < fewest or (result is not None and _resolved(result)):
            break
        plain = find_plain(regions.values)
        chosen = plain.averaged
        result = Shape(plain.power, int(chosen.sum()), float(np.median(plain.level[chosen])))
        allowed = _within_plain(regions, plain, _OF_NINE[side])
    return result


def _resolved(shape: Shape) -> bool:
    """Say whether regions of this side show the low frequencies well enough."""
    n = shape.power.shape[0]
    frequency = radial_frequency(n)
    inside = frequency <= 0.5
    ring = ring_index(n)[inside]
    # The mean over the radial curve: every ring counts alike, whatever its number of cells.
    weights = shape.power[inside] / np.bincount(ring)[ring]
    mean = float((weights * frequency[inside]).sum() / weights.sum())
    return bool(n > SIDES[0] and mean * n > FEW_CYCLES)


def _within_plain(regions: Regions, plain: Plain, least: int) -> tuple[BoolArray, ...]:
    """Return the places for regions twice as large in which at least so many of nine regions are plain."""
    near, start, allowed = plain.deviation < _NEAR_PLAIN, 0, []
    for mask in regions.chosen:
        stop = start + int(mask.sum())
        grid = mask.copy()
        grid[mask] = near[start:stop]
        start = stop
        rows, columns = (max(0, (n - 1) // 2) for n in grid.shape)
        parts = [
            grid[dy : dy + 2 * rows : 2, dx : dx + 2 * columns : 2][:rows, :columns]
            for dy in range(3)
            for dx in range(3)
        ]
        allowed.append(np.sum(parts, axis=0) >= least)
    return tuple(allowed)
