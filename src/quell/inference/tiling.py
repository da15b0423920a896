"""Cut a large image into overlapping tiles so that the result equals that of the whole image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod


@dataclass(frozen=True)
class Span:
    """One tile along one axis, in pixels.

    Attributes
    ----------
    start, stop : int
        What the network sees.
    keep_start, keep_stop : int
        What of its output counts.
    """

    start: int
    stop: int
    keep_start: int
    keep_stop: int


def tile_spans(length: int, tile: int, halo: int, multiple: int) -> tuple[Span, ...]:
    """Split an axis into overlapping tiles of equal length.

    A pixel is kept only where the network saw `halo` pixels of context on both sides or the true
    border of the image, so that the pieces put together equal the result of the whole.

    Parameters
    ----------
    length : int
        Of the axis, a multiple of `multiple`.
    tile : int
        Wanted length of a tile, context included; a multiple of `multiple` above twice the halo.
    halo : int
        Context that an output pixel depends on.
    multiple : int
        Tiles start at multiples of this.
    """
    if tile >= length:
        return (Span(0, length, 0, length),)
    step = (tile - 2 * halo) // multiple * multiple
    if step <= 0:
        raise ValueError(f"a tile of {tile} pixels is too small for a halo of {halo}")
    starts = [*range(0, length - tile, step), length - tile]
    stops = [start + tile - halo for start in starts[:-1]] + [length]
    keeps = [0, *stops[:-1]]
    return tuple(Span(s, s + tile, a, b) for s, a, b in zip(starts, keeps, stops, strict=True))


def tiles(shape: tuple[int, int], tile: int, halo: int, multiple: int) -> Iterator[tuple[Span, Span]]:
    """Yield the tiles of an image of `shape` (rows, columns), row by row."""
    for rows in tile_spans(shape[0], tile, halo, multiple):
        for columns in tile_spans(shape[1], tile, halo, multiple):
            yield rows, columns


def boxes(
    shape: tuple[int, ...], tile: tuple[int, ...], halo: int, multiple: int
) -> Iterator[tuple[Span, ...]]:
    """Yield the tiles of an array of any number of axes, the last axis fastest.

    Parameters
    ----------
    shape, tile : tuple of int
        Lengths of the array and of a tile, axis by axis, all multiples of `multiple`.
    halo, multiple : int
        See `tile_spans`.
    """
    axes = zip(shape, tile, strict=True)
    yield from product(*(tile_spans(length, side, halo, multiple) for length, side in axes))


def tile_shape(shape: tuple[int, ...], most: int, halo: int, multiple: int) -> tuple[int, ...]:
    """Return the lengths of a tile of at most `most` elements; axes that are short are taken whole.

    A tile is never smaller than three times the halo, where most of it would be seen and thrown away.

    Parameters
    ----------
    shape : tuple of int
        Of the array, all multiples of `multiple`.
    most : int
        Elements of a tile.
    halo, multiple : int
        See `tile_spans`.
    """
    least = -(-(2 * halo + max(halo, multiple)) // multiple) * multiple
    side = max(*shape, least)
    while side > least and prod(min(length, side) for length in shape) > most:
        side -= multiple
    return tuple(min(length, side) for length in shape)
