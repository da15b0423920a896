"""Where a picture holds nothing: zones of exact zeros, and what is written into them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from quell.image import BoolArray

_SIDE = 8


def blank_zones(pixels: npt.NDArray[np.generic], side: int = _SIDE) -> BoolArray:
    """Return True in squares of zeros of `side` pixels and in zeros next to them, shape (y, x).

    Zeros that chance scatters over an image do not make such squares. An image smaller than the
    square has none.
    """
    zero: BoolArray = pixels == 0
    if min(zero.shape) < side or not zero.any():
        return np.zeros(zero.shape, bool)
    full = _box_sum(zero, side) == side * side
    blank: BoolArray = _box_sum(np.pad(full, side - 1), side) > 0
    # Zeros in sharp corners that no square reaches; not further, or chance would lead on.
    for _ in range(3 * side):
        blank[1:] |= blank[:-1] & zero[1:]
        blank[:-1] |= blank[1:] & zero[:-1]
        blank[:, 1:] |= blank[:, :-1] & zero[:, 1:]
        blank[:, :-1] |= blank[:, 1:] & zero[:, :-1]
    return blank


def scan_region(pixels: npt.NDArray[np.generic], padding: BoolArray | None = None) -> BoolArray:
    """Return True in the largest connected part of a picture that is neither blank nor padding.

    What stands alone on the black around it (text, a grey wedge) is left out.
    """
    shown = ~blank_zones(pixels)
    if padding is not None:
        shown &= ~padding
    rows, columns = (-(-n // _SIDE) for n in shown.shape)
    edge = [(0, rows * _SIDE - shown.shape[0]), (0, columns * _SIDE - shown.shape[1])]
    tiles = np.pad(shown, edge).reshape(rows, _SIDE, columns, _SIDE)
    blocks = np.logical_or.reduce(tiles, axis=(1, 3))
    largest = np.kron(_largest_part(blocks), np.ones((_SIDE, _SIDE), bool))
    region: BoolArray = largest[: shown.shape[0], : shown.shape[1]] & shown
    return region


def _box_sum(mask: BoolArray, side: int) -> npt.NDArray[Any]:
    """Return the number of True in each square of `side` pixels that lies wholly inside."""
    total = np.pad(mask, ((1, 0), (1, 0))).astype(np.int32).cumsum(axis=0).cumsum(axis=1)
    count: npt.NDArray[Any] = (
        total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
    )
    return count


def _largest_part(blocks: BoolArray) -> BoolArray:
    """Return the largest part that hangs together along rows and columns."""
    left = {(int(r), int(c)) for r, c in np.argwhere(blocks)}
    largest: list[tuple[int, int]] = []
    while left:
        part = [left.pop()]
        for r, c in part:
            beside = {(r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)} & left
            left -= beside
            part.extend(beside)
        largest = max(largest, part, key=len)
    found = np.zeros_like(blocks)
    if largest:
        found[tuple(np.array(largest).T)] = True
    return found
