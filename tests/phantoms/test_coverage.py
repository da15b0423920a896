"""Parts of voxels: volumes and centres of shapes are those of geometry."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quell.phantoms.coverage import Covered, Grid, box, cylinder, ellipsoid, sampled, sphere

GRID = Grid((20, 40, 44), (3.0, 1.1, 1.0))
_PLACES = st.floats(-8, 8)


def volume(grid: Grid, covered: Covered) -> float:
    return float(covered.part.sum()) * grid.voxel_mm3


@settings(max_examples=25, deadline=None)
@given(st.tuples(_PLACES, _PLACES, _PLACES), st.tuples(*[st.floats(1.0, 12.0)] * 3))
def test_volume_of_an_ellipsoid(
    centre: tuple[float, float, float], radii: tuple[float, float, float]
) -> None:
    covered = ellipsoid(GRID, centre, radii)
    assert volume(GRID, covered) == pytest.approx(4 / 3 * np.pi * np.prod(radii), rel=1e-3)
    assert covered.part.min() >= 0
    assert covered.part.max() <= 1 + 1e-12


@pytest.mark.parametrize("diameter", [0.5, 3.0, 10.0, 20.0])
def test_volume_and_place_of_a_ball(diameter: float) -> None:
    place = (1.3, -2.4, 3.7)
    covered = sphere(GRID, place, diameter)
    assert volume(GRID, covered) == pytest.approx(np.pi / 6 * diameter**3, rel=1e-5)
    for axis in range(3):
        weight = covered.part.sum(axis=tuple({0, 1, 2} - {axis}))
        middle = (weight @ GRID.centres(axis)[covered.window[axis]]) / weight.sum()
        # A voxel's part may lie off the voxel's own middle, most of all where the ball is smaller than it.
        assert middle == pytest.approx(place[axis], abs=0.1 * GRID.spacing[axis] + 0.5 * (diameter < 3))


def test_a_ball_agrees_with_counting_points() -> None:
    place, diameter = (0.7, 2.2, -1.9), 13.0

    def inside(z: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        far = (z - place[0]) ** 2 + (y - place[1]) ** 2 + (x - place[2]) ** 2
        return (far <= diameter**2 / 4).astype(float)

    exact = sphere(GRID, place, diameter)
    counted = sampled(GRID, (-5.8, -4.3, -8.4), (7.2, 8.7, 4.6), inside, fine=12)
    assert counted.window == exact.window
    np.testing.assert_allclose(counted.part, exact.part, atol=0.02)


@settings(max_examples=20, deadline=None)
@given(st.floats(-25, 0), st.floats(1, 25), st.floats(1, 15), st.floats(1, 15))
def test_volume_of_a_cylinder(low: float, high: float, ry: float, rx: float) -> None:
    covered = cylinder(GRID, (2.0, -3.0), (ry, rx), (low, high))
    assert volume(GRID, covered) == pytest.approx(np.pi * ry * rx * (high - low), rel=1e-9)


def test_a_cylinder_without_ends_fills_the_grid_along_z() -> None:
    assert volume(GRID, cylinder(GRID, (0, 0), (5, 5))) == pytest.approx(np.pi * 25 * 60)


def test_volume_of_a_box() -> None:
    covered = box(GRID, (-2.0, -3.3, 0.25), (4.5, 3.1, 0.75))
    assert volume(GRID, covered) == pytest.approx(6.5 * 6.4 * 0.5)


def test_what_lies_outside_covers_nothing() -> None:
    for covered in (sphere(GRID, (0, 0, 500), 10), box(GRID, (0, 0, 30), (1, 1, 40))):
        assert covered.part.size == 0 or covered.part.max() == 0


def test_a_ball_cut_by_the_border_keeps_its_half() -> None:
    covered = sphere(GRID, (30.0, 0, 0), 16)
    assert volume(GRID, covered) == pytest.approx(np.pi / 12 * 16**3, rel=1e-5)


def test_the_middle_of_the_grid_is_the_origin_of_the_patient() -> None:
    geometry = GRID.geometry
    for axis in range(3):
        # The origin of a geometry is in the order x, y, z.
        assert geometry.origin[2 - axis] == pytest.approx(GRID.centres(axis)[0])
        assert GRID.centres(axis).mean() == pytest.approx(0, abs=1e-12)
