"""Slices that overlap share what the detector saw: the slabs of which a stack is made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

_STEP = 20
"""Thicknesses are rounded to a twentieth of the distance of the slices: thinner slabs cost time only."""

_MOST = 16


@dataclass(frozen=True)
class Slab:
    """A stretch of the axis that the same slices see.

    Attributes
    ----------
    number : int
        Counts the slabs of a stack.
    share : float
        Part of the thickness of a slice.
    slices : tuple of int
        The slices that it belongs to.
    """

    number: int
    share: float
    slices: tuple[int, ...]


def slabs_of_slices(
    depth: int, spacing: float, thickness: float | None, gaps: Iterable[int] = ()
) -> tuple[tuple[Slab, ...], ...]:
    """Cut a stack into slabs, and say of which each slice consists.

    Parameters
    ----------
    depth : int
        Number of slices.
    spacing : float
        Distance of their centres, mm.
    thickness : float, optional
        Of a slice, mm; slices no thicker than their distance share nothing. At most 16 distances.
    gaps : iterable of int
        Indices i such that slice i + 1 is no neighbour of slice i.

    Returns
    -------
    tuple of tuple of Slab
        For each slice; the shares of a slice sum to 1.
    """
    # Over- and underlaps below a twentieth are rounding in headers.
    ratio = round(_STEP * min(_MOST, (thickness or 0) / spacing))
    ends = [*sorted(gaps), depth - 1]
    starts = [0, *(end + 1 for end in ends[:-1])]
    slabs: list[Slab] = []
    for first, last in zip(starts, ends, strict=True):
        slabs += _stretch(first, last, max(ratio, _STEP), len(slabs))
    members: list[list[Slab]] = [[] for _ in range(depth)]
    for slab in slabs:
        for z in slab.slices:
            members[z].append(slab)
    return tuple(tuple(one) for one in members)


def _stretch(first: int, last: int, thickness: int, number: int) -> list[Slab]:
    """Cut neighbouring slices at all their faces; the thickness in twentieths of their distance."""
    tops = [n * _STEP for n in range(last - first + 1)]
    cuts = sorted({*tops, *(top + thickness for top in tops)})
    slabs: list[Slab] = []
    for low, high in pairwise(cuts):
        nearest, farthest = min(low // _STEP, last - first), max(0, -((thickness - high) // _STEP))
        if farthest <= nearest:
            inside = tuple(range(first + farthest, first + nearest + 1))
            slabs.append(Slab(number + len(slabs), (high - low) / thickness, inside))
    return slabs
