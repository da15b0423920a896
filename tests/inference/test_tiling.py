"""Tiles cover an axis once, and every kept pixel has its context."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quell.inference.tiling import tile_spans, tiles

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
