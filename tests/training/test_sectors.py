"""Maps of directional noise follow their crop through cutting, flips and transposition."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")


from quell.image import FloatArray
from quell.phantoms.uniform import disc_coverage
from quell.training.sectors import CELLS, Place, crop_sectors, sector_maps, turned_sectors

SIDE = 192


@pytest.fixture(scope="module")
def slice_between_bones() -> FloatArray:
    """Return a body with two dense bones side by side: horizontal rays between them are starved."""
    body = 1000 * disc_coverage((SIDE, SIDE), 80.0) - 1000
    for column in (50, 142):
        body += 1500 * disc_coverage((SIDE, SIDE), 14.0, (95.0, column))
    return body.astype(np.float32)


@pytest.fixture(scope="module")
def maps(slice_between_bones: FloatArray) -> np.ndarray:
    return sector_maps(slice_between_bones[None], 2.0)


def test_noise_between_bones_comes_from_the_rays_that_join_them(maps: np.ndarray) -> None:
    middle = crop_sectors(maps, Place(0, 72, 72, 48), (1, SIDE, SIDE))
    # Rays along x have their detector axis, and their noise its frequencies, along y: half a turn on.
    strength = middle.mean(axis=(1, 2))
    assert strength.argmax() == len(strength) // 2
    assert strength.max() > 2 * strength[0]


def test_crops_have_mean_one_and_no_map_means_ones(maps: np.ndarray) -> None:
    crop = crop_sectors(maps, Place(0, 10, 30, 96), (1, SIDE, SIDE))
    assert crop.shape[1:] == (CELLS, CELLS)
    assert abs(crop.mean() - 1) < 0.05
    assert (crop_sectors(None, Place(0, 0, 0, 96), (1, SIDE, SIDE)) == 1).all()


@pytest.mark.parametrize("flips", [(1, 0, 0, 0, 0), (0, 1, 0, 0, 0), (0, 0, 0, 1, 0), (1, 1, 0, 1, 1)])
def test_turning_the_maps_gives_the_maps_of_the_turned_slice(
    slice_between_bones: FloatArray, maps: np.ndarray, flips: tuple[int, ...]
) -> None:
    pixels = slice_between_bones
    # Turned about one more thing, so that no symmetry hides a mistake.
    pixels = pixels + 800 * disc_coverage((SIDE, SIDE), 12.0, (60.0, 120.0)).astype(np.float32)
    whole = Place(0, 0, 0, SIDE)
    before = crop_sectors(sector_maps(pixels[None], 2.0), whole, (1, SIDE, SIDE))
    turned = pixels[::-1] if flips[0] else pixels
    turned = turned[:, ::-1] if flips[1] else turned
    turned = turned.T if flips[3] else turned
    after = crop_sectors(sector_maps(np.ascontiguousarray(turned)[None], 2.0), whole, (1, SIDE, SIDE))
    found = turned_sectors(before, np.array(flips, bool))
    inside = after > 0.1
    assert np.abs(np.log(found[inside] / after[inside])).mean() < 0.1
    assert np.abs(np.log(before[inside] / after[inside])).mean() > 0.15
