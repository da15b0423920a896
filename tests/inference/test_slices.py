"""Slices as the network is given them."""

from __future__ import annotations

import numpy as np
import pytest

from quell.image import Image
from quell.inference.slices import Slices


def stack(depth: int, **fields: object) -> Slices:
    voxels = np.arange(depth * 20, dtype=np.float32).reshape(depth, 4, 5)
    return Slices(Image(voxels, **fields), 8)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 3, 17), (2, 8, 8), (1, 16, 9)])
def test_padded_slices_are_multiples_and_hold_the_slice(shape: tuple[int, int, int]) -> None:
    voxels = np.random.default_rng(0).random(shape).astype(np.float32)
    slices = Slices(Image(voxels), 8)
    padded = slices.padded(0)
    assert padded.shape == slices.padded_shape
    assert all(p % 8 == 0 and 0 <= p - n < 8 for p, n in zip(padded.shape, shape[1:], strict=True))
    np.testing.assert_array_equal(padded[: shape[1], : shape[2]], voxels[0])
    # A reflection brings in no value that was not there.
    assert set(padded.ravel()) == set(voxels[0].ravel())


def test_in_a_volume_neighbours_are_next_to_each_other() -> None:
    slices = stack(5, volume=True)
    assert slices.neighbours(2, 3) == (1, 2, 3)
    assert slices.neighbours(2, 5) == (0, 1, 2, 3, 4)
    assert slices.neighbours(2, 1) == (2,)


def test_at_the_ends_the_last_slice_stands_in() -> None:
    slices = stack(3, volume=True)
    assert slices.neighbours(0, 3) == (0, 0, 1)
    assert slices.neighbours(2, 5) == (0, 1, 2, 2, 2)


def test_a_gap_is_an_end() -> None:
    slices = stack(4, volume=True, gaps=(1,))
    assert slices.neighbours(1, 5) == (0, 0, 1, 1, 1)
    assert slices.neighbours(2, 5) == (2, 2, 2, 3, 3)


def test_frames_have_no_neighbours() -> None:
    assert stack(4, volume=False).neighbours(1, 3) == (1, 1, 1)


def test_holes_are_filled_with_the_lowest_real_value() -> None:
    voxels = np.arange(20, dtype=np.float32).reshape(1, 4, 5)
    padding = voxels < 7
    filled = Slices(Image(voxels, padding=padding), 4).padded(0)[:4, :5]
    np.testing.assert_array_equal(filled, np.maximum(voxels[0], 7))


def test_a_slice_that_is_all_hole_is_constant() -> None:
    voxels = np.random.default_rng(0).random((2, 4, 4)).astype(np.float32)
    for padding in (np.ones((2, 4, 4), bool), np.arange(2)[:, None, None] == np.zeros((2, 4, 4))):
        assert np.ptp(Slices(Image(voxels, padding=padding), 4).padded(0)) == 0
