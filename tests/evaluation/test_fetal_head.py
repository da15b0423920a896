"""A head that was drawn is measured as large as it was drawn."""

from __future__ import annotations

import math

import numpy as np
import pytest

from quell.errors import InputError
from quell.evaluation.ellipse import Ellipse, fit_ellipse
from quell.evaluation.fetal_head import draw_head, measure_head
from quell.image import Geometry, Image, Modality
from quell.noise.ultrasound import UltrasoundNoise

pytest.importorskip("scipy", reason="SciPy is not installed")


def test_circumference_is_that_of_ramanujan() -> None:
    a, b = 50.0, 35.0
    h = ((a - b) / (a + b)) ** 2
    expected = math.pi * (a + b) * (1 + 3 * h / (10 + math.sqrt(4 - 3 * h)))
    assert Ellipse((0, 0), (a, b), 0.4).circumference() == pytest.approx(expected, rel=1e-5)


def test_pixel_size_counts_in_its_direction() -> None:
    lying = Ellipse((0, 0), (50, 25), 0.0)
    assert lying.circumference((2.0, 1.0)) == pytest.approx(2 * math.pi * 50, rel=1e-5)


@pytest.mark.parametrize("angle", [-1.2, 0.0, 0.7])
def test_points_of_an_ellipse_give_it_back(angle: float) -> None:
    drawn = Ellipse((120.0, 300.0), (90.0, 60.0), angle)
    found = fit_ellipse(drawn.points(40)[:25])
    assert found is not None
    np.testing.assert_allclose(found.centre, drawn.centre, atol=1e-4)
    np.testing.assert_allclose(found.axes, drawn.axes, atol=1e-4)
    assert math.sin(found.angle - angle) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("centre", "axes", "angle"),
    [((210, 230), (150, 115), -0.3), ((190, 250), (130, 105), 0.2), ((200, 240), (120, 90), 0.5)],
)
def test_head_in_speckle_is_measured_within_one_per_cent(
    centre: tuple[float, float], axes: tuple[float, float], angle: float
) -> None:
    drawn = Ellipse(centre, axes, angle)
    head = draw_head(drawn)
    scanner = UltrasoundNoise(frequency=3.5, focus=40)
    image = scanner.acquire(head, 1, np.random.default_rng(1)).image
    found = measure_head(image)
    assert found.in_mm
    assert found.circumference == pytest.approx(drawn.circumference((0.2, 0.2)), rel=0.01)


def test_the_same_image_gives_the_same_head() -> None:
    head = draw_head(Ellipse((160, 180), (120, 92), 0.1), (320, 360), 0.2)
    # Without speckle, as grey values.
    image = Image(head.voxels * 4 + 100, Modality.US)
    one, other = measure_head(image), measure_head(image)
    assert one == other
    assert not one.in_mm
    assert one.circumference == pytest.approx(Ellipse((0, 0), (120, 92), 0).circumference(), rel=0.02)


def test_no_head_is_said_in_one_line() -> None:
    flat = Image(np.full((1, 128, 128), 50, np.float32), Modality.US, geometry=Geometry(known=True))
    with pytest.raises(InputError, match="skull"):
        measure_head(flat)
    with pytest.raises(InputError, match="64"):
        measure_head(Image(np.zeros((1, 20, 20), np.float32), Modality.US))
