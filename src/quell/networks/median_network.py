"""Medians by comparators: minima and maxima of whole images, which every engine has."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor


@lru_cache(maxsize=16)
def comparators(count: int) -> tuple[tuple[int, int], ...]:
    """Return the comparators that bring the median of `count` values to the middle.

    Batcher's odd-even merge sort (1968, AFIPS Spring Joint Computer Conference), without what has no part
    in the middle.
    """
    pairs = []
    p = 1
    while p < count:
        k = p
        while k >= 1:
            for j in range(k % p, count - k, 2 * k):
                for i in range(min(k, count - j - k)):
                    if (i + j) // (2 * p) == (i + j + k) // (2 * p):
                        pairs.append((i + j, i + j + k))
            k //= 2
        p *= 2
    needed, kept = {count // 2}, []
    for low, high in reversed(pairs):
        if low in needed or high in needed:
            needed |= {low, high}
            kept.append((low, high))
    return tuple(reversed(kept))


def median_of(values: Sequence[Tensor]) -> Tensor:
    """Return the median of an odd number of images, pixel by pixel."""
    wires = list(values)
    for low, high in comparators(len(wires)):
        a, b = wires[low], wires[high]
        wires[low], wires[high] = torch.minimum(a, b), torch.maximum(a, b)
    return wires[len(wires) // 2]
