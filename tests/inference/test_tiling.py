"""Tiles cover an axis once, and every kept pixel has its context."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quell.inference.tiling import boxes, tile_shape, tile_spans, tiles

MULTIPLE = 8


@given(length=st.integers(1, 80), tile=st.integers(3, 40), halo=st.integers(0, 60))
def test_tiles_keep_every_pixel_once_and_see_its_context(length: int, tile: int, halo: int) -> None:
    length, tile = length * MULTIPLE, tile * MULTIPLE
    if tile < length and (tile - 2 * halo) < MULTIPLE:
        with pytest.raises(ValueError, match="too small"):
            tile_spans(length, tile, halo, MULTIPLE)
        return
    spans = tile_spans(length, tile, halo, MULTIPLE)
    kept = [i for span in spans for i in range(span.keep_start, span.keep_stop)]
    assert kept == list(range(length))
    for span in spans:
        assert span.stop - span.start == min(tile, length)
        assert span.start >= 0
        assert span.stop <= length
        assert span.start % MULTIPLE == 0
        assert span.start == 0 or span.keep_start - span.start >= halo
        assert span.stop == length or span.stop - span.keep_stop >= halo


def test_tiles_of_a_plane_cover_it_once() -> None:
    count = np.zeros((120, 64), int)
    for rows, columns in tiles(count.shape, 48, 16, 8):
        count[rows.keep_start : rows.keep_stop, columns.keep_start : columns.keep_stop] += 1
    assert (count == 1).all()


@given(
    shape=st.lists(st.integers(1, 12), min_size=2, max_size=3),
    most=st.integers(1, 40**3),
    halo=st.integers(0, 20),
)
def test_boxes_of_any_dimensions_cover_once_with_tiles_of_the_told_shape(
    shape: list[int], most: int, halo: int
) -> None:
    whole = tuple(length * MULTIPLE for length in shape)
    tile = tile_shape(whole, most, halo, MULTIPLE)
    count = np.zeros(whole, int)
    for box in boxes(whole, tile, halo, MULTIPLE):
        assert tuple(span.stop - span.start for span in box) == tile
        count[tuple(slice(span.keep_start, span.keep_stop) for span in box)] += 1
    assert (count == 1).all()
    assert np.prod(tile) <= most or max(tile) < 2 * halo + max(halo, MULTIPLE) + MULTIPLE
