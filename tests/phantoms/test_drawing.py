"""The brushes: areas of shapes, widths of tubes, spectra of textures, taper of vessels."""

from __future__ import annotations

import numpy as np
import pytest

from quell.phantoms.shapes import Canvas, ellipsoid, new_canvas, paint
from quell.phantoms.texture import power_law_field, smooth_field
from quell.phantoms.tubes import Tubes, along, grow_tree, tube_coverage


def _canvas(size: int = 96, slices: int = 1, distance: float = 1.0) -> Canvas:
    return new_canvas(np.random.default_rng(0), (slices, size, size), 1.0, distance=distance, bend=0.0)


@pytest.mark.parametrize("radii", [(5.0, 5.0), (9.3, 9.3), (20.0, 31.0), (6.0, 18.0)])
@pytest.mark.parametrize("angle", [0.0, 0.7])
def test_area_of_an_ellipse(radii: tuple[float, float], angle: float) -> None:
    canvas = _canvas()
    paint(canvas, ellipsoid(canvas, (0, 0.3, -0.2), (50.0, *radii), angle=angle), 1.0)
    assert canvas.values.sum() == pytest.approx(np.pi * radii[0] * radii[1], rel=0.005)


def test_a_ball_shrinks_away_from_its_middle() -> None:
    canvas = _canvas(slices=5, distance=5.0)
    paint(canvas, ellipsoid(canvas, (0, 0, 0), (12.0, 12.0, 12.0)), 1.0)
    areas = canvas.values.sum(axis=(1, 2))
    expected = np.pi * np.maximum(12.0**2 - np.array([-10, -5, 0, 5, 10.0]) ** 2, 0)
    np.testing.assert_allclose(areas, expected, rtol=0.01)


@pytest.mark.parametrize("radius", [0.2, 0.5, 1.0, 3.3])
def test_a_tube_is_as_wide_as_it_is(radius: float) -> None:
    canvas = _canvas()
    cover = tube_coverage(canvas, along(np.array([[0, -60.0, -47.8], [0, 60.0, 40.1]]), radius))
    run = np.hypot(120.0, 87.9) / 120.0
    assert cover[0].sum(axis=1)[20:76].mean() == pytest.approx(2 * radius * run, rel=0.05)


def test_a_tube_elsewhere_along_z_does_not_show() -> None:
    canvas = _canvas()
    piece = Tubes(np.float32([[9, -5, 0]]), np.float32([[9, 5, 0]]), np.float32([2]))
    assert not tube_coverage(canvas, piece).any()
    assert tube_coverage(canvas, piece._replace(start=np.float32([[-9, -5, 0]]))).any()


def test_pieces_in_one_call_or_in_many_are_the_same() -> None:
    canvas = _canvas(slices=3, distance=4.0)
    tree = grow_tree(np.random.default_rng(3), (0, 0, -50), (0, 0, 1), 3.0, step=4.0)
    one_by_one = [
        tube_coverage(canvas, Tubes(*(a[i : i + 1] for a in tree))) for i in range(len(tree.radius))
    ]
    np.testing.assert_allclose(tube_coverage(canvas, tree), np.max(one_by_one, axis=0), atol=1e-5)


def test_vessels_follow_murrays_law_and_taper() -> None:
    tree = grow_tree(np.random.default_rng(1), (0, 0, 0), (0, 0, 1), 4.0, step=1.0, steps=30, forking=0.3)
    assert tree.radius.max() == pytest.approx(4.0)
    for start in np.unique(tree.start, axis=0)[:40]:
        children = tree.radius[(tree.start == start).all(axis=1)]
        parent = tree.radius[(tree.end == start).all(axis=1)]
        if len(parent) == 1:
            assert (children**3).sum() == pytest.approx((0.985 * parent[0]) ** 3, rel=1e-4)


@pytest.mark.parametrize("beta", [1.0, 2.0, 3.0])
def test_spectrum_of_texture_falls_as_ordered(beta: float) -> None:
    field = power_law_field(np.random.default_rng(0), np.arange(8, dtype=np.float32) * 50, (128, 128), beta)
    power = (np.abs(np.fft.fft2(field)) ** 2).mean(axis=0)
    f = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.fftfreq(128)[None])
    band = (f > 0.03) & (f < 0.4)
    slope = np.polyfit(np.log(f[band]), np.log(power[band]), 1)[0]
    assert slope == pytest.approx(-beta, abs=0.15)


def test_texture_changes_faster_over_longer_distances() -> None:
    def likeness(distance: float) -> float:
        field = power_law_field(np.random.default_rng(2), np.float32([0, distance]), (128, 128), 2.0)
        return float(np.corrcoef(field[0].ravel(), field[1].ravel())[0, 1])

    assert likeness(0.2) > likeness(2.0) > likeness(20.0)
    assert likeness(0.0) == pytest.approx(1.0, abs=1e-5)


def test_smooth_field_has_unit_variance_and_its_length() -> None:
    z = np.float32([0, 6.0])
    field = smooth_field(np.random.default_rng(4), z, (256, 256), 6.0)
    assert field.std() == pytest.approx(1.0, abs=0.1)
    along_z = np.corrcoef(field[0].ravel(), field[1].ravel())[0, 1]
    along_y = np.corrcoef(field[0][6:].ravel(), field[0][:-6].ravel())[0, 1]
    assert along_z == pytest.approx(along_y, abs=0.12)
    assert 0.3 < along_y < 0.85
