"""Test objects: areas, contrasts and truth are what the parameters say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quell.phantoms.uniform import (
    MITA_INSERTS,
    InsertKind,
    disc_coverage,
    low_contrast_phantom,
    uniform_disc,
)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.1, 20), st.floats(21, 42), st.floats(21, 42))
def test_area_of_a_disc_is_pi_r_squared(radius: float, row: float, column: float) -> None:
    cover = disc_coverage((64, 64), radius, (row, column))
    assert cover.sum() == pytest.approx(np.pi * radius**2, rel=1e-6)
    assert cover.min() >= 0
    assert cover.max() <= 1


@settings(max_examples=20, deadline=None)
@given(st.floats(1.0, 12), st.floats(20, 43), st.floats(20, 43))
def test_centre_of_mass_is_the_centre(radius: float, row: float, column: float) -> None:
    # To the little that a pixel's part may lie off the pixel's own centre.
    cover = disc_coverage((64, 64), radius, (row, column))
    assert (cover.sum(axis=1) @ np.arange(64)) / cover.sum() == pytest.approx(row, abs=0.05)
    assert (cover.sum(axis=0) @ np.arange(64)) / cover.sum() == pytest.approx(column, abs=0.05)


def test_coverage_agrees_with_counting_points() -> None:
    fine = 40
    offset = (np.arange(16 * fine) + 0.5) / fine - 0.5
    inside = np.hypot(offset[:, None] - 7.3, offset[None] - 8.1) <= 4.7
    counted = inside.reshape(16, fine, 16, fine).mean(axis=(1, 3))
    np.testing.assert_allclose(disc_coverage((16, 16), 4.7, (7.3, 8.1)), counted, atol=0.01)


def test_disc_cut_by_the_border_keeps_its_exact_part() -> None:
    half = disc_coverage((40, 40), 10.0, (-0.5, 19.5))
    assert half.sum() == pytest.approx(np.pi * 100 / 2, rel=1e-9)


def test_disc_has_its_values_and_is_the_same_in_every_slice() -> None:
    disc = uniform_disc((3, 64, 64), 40.0, 20.0, background=-1000.0)
    assert disc.shape == (3, 64, 64)
    assert disc.dtype == np.float32
    assert disc[1, 32, 32] == 40.0
    assert disc[1, 0, 0] == -1000.0
    np.testing.assert_array_equal(disc[0], disc[2])
    with pytest.raises(ValueError, match="positive"):
        uniform_disc((8, 8), 1.0, 0.0)


def test_inserts_are_the_published_ones_and_exact_in_their_cores() -> None:
    phantom = low_contrast_phantom((2, 420, 420), spacing_mm=0.5, value=20.0)
    found = [(2 * i.radius * 0.5, i.contrast) for i in phantom.inserts]
    assert found == [(3.0, 14.0), (5.0, 7.0), (7.0, 5.0), (10.0, 3.0)]
    y, x = np.mgrid[:420, :420]
    for insert in phantom.inserts:
        far = np.hypot(y - insert.centre[0], x - insert.centre[1])
        np.testing.assert_array_equal(
            phantom.voxels[1][far < insert.radius - 0.75], np.float32(20 + insert.contrast)
        )
        around = (far > insert.radius + 0.75) & (far < insert.radius + 4)
        np.testing.assert_array_equal(phantom.voxels[1][around], np.float32(20.0))


def test_signal_of_an_insert_is_contrast_times_area() -> None:
    settings_ = {"spacing_mm": 0.7, "body_diameter_mm": 160.0, "repeats": 2, "turn": 0.3}
    with_rods = low_contrast_phantom((1, 256, 256), **settings_)  # type: ignore[arg-type]
    without = low_contrast_phantom((1, 256, 256), kinds=(), **settings_)  # type: ignore[arg-type]
    signal = (with_rods.voxels.astype(float) - without.voxels).sum()
    expected = 2 * sum(k.contrast * np.pi * (k.diameter_mm / 2 / 0.7) ** 2 for k in MITA_INSERTS)
    assert signal == pytest.approx(expected, rel=1e-3)


def test_uniform_region_is_uniform() -> None:
    phantom = low_contrast_phantom((1, 256, 256), spacing_mm=1.0, value=7.0)
    region = phantom.voxels[0][phantom.uniform_region()]
    assert region.size > 20_000
    np.testing.assert_array_equal(region, np.float32(phantom.value))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ring_mm": 99.0}, "leaves the body"),
        ({"ring_mm": 2.0}, "overlap"),
        ({"body_diameter_mm": 900.0}, "does not fit"),
        ({"kinds": (InsertKind(60.0, 1.0),), "ring_mm": 80.0}, "leaves the body"),
    ],
)
def test_impossible_layouts_are_refused(change: dict[str, float], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        low_contrast_phantom((1, 512, 512), **change)  # type: ignore[arg-type]
