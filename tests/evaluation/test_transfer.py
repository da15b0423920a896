"""Transfer functions of known blurs come back."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ncx2

from quell.errors import QuellError
from quell.evaluation.transfer import crossing, find_centre, task_transfer

CENTRE = (40.3, 41.8)
PIXEL = 0.5


def blurred_disc(radius: float, sigma: float, side: int = 82) -> np.ndarray:
    """Return a disc of value 1 under a Gaussian, exactly: the chance that a point lands in it is a
    non-central chi-square."""
    y, x = np.indices((side, side))
    away = np.hypot(y - CENTRE[0], x - CENTRE[1])
    return ncx2.cdf((radius / sigma) ** 2, 2, (away / sigma) ** 2)


def gaussian_crossing(level: float, sigma: float) -> float:
    """Return where exp(-2 (pi f s)^2) falls to a level, 1/mm."""
    return float(np.sqrt(-np.log(level) / 2) / (np.pi * sigma * PIXEL))


@pytest.mark.parametrize("contrast", [-30.0, 1.0, 1000.0])
@pytest.mark.parametrize(
    ("radius", "sigma"), [(6, 0.8), (6, 1.2), (10, 1.0), (10, 2.0), (18, 0.7), (18, 3.0)]
)
def test_a_gaussian_blur_is_found_within_two_percent(radius: float, sigma: float, contrast: float) -> None:
    images = 50 + contrast * blurred_disc(radius, sigma)[None]
    found = task_transfer(images, CENTRE, radius, PIXEL)
    true = np.exp(-2 * (np.pi * found.frequency * sigma * PIXEL) ** 2)
    assert np.abs(found.value - true).max() < 0.02
    assert found.f50.value == pytest.approx(gaussian_crossing(0.5, sigma), rel=0.02)
    if gaussian_crossing(0.1, sigma) < 1:
        assert found.f10.value == pytest.approx(gaussian_crossing(0.1, sigma), rel=0.02)
    assert found.contrast == pytest.approx(contrast, rel=0.02) and not found.warnings


def test_noise_makes_it_uncertain_and_not_wrong(rng: np.random.Generator) -> None:
    true = gaussian_crossing(0.5, 1.0)
    hits, values = 0, []
    for seed in range(20):
        images = 5 * blurred_disc(12, 1.0) + rng.standard_normal((20, 82, 82))
        found = task_transfer(images, CENTRE, 12, PIXEL, seed=seed)
        values.append(found.f50.value)
        hits += found.f50.low <= true <= found.f50.high
    assert np.mean(values) == pytest.approx(true, rel=0.02)
    # Of 20 intervals of 95 % less than 15 hold the truth with a chance below 1 in 1000.
    assert hits >= 15
    assert found.contrast_to_noise == pytest.approx(5 * np.sqrt(20), rel=0.05)
    assert found.noise == pytest.approx(1, rel=0.03)


def test_faint_inserts_come_with_a_warning(rng: np.random.Generator) -> None:
    images = 1.0 * blurred_disc(12, 1.0) + rng.standard_normal((4, 82, 82))
    assert "uncertain" in task_transfer(images, CENTRE, 12, PIXEL).warnings[0]


def test_a_centre_known_roughly_is_found(rng: np.random.Generator) -> None:
    disc = 20 * blurred_disc(12, 1.0) + rng.standard_normal((82, 82))
    assert find_centre(disc, (38.0, 44.0), 12) == pytest.approx(CENTRE, abs=0.1)
    beside = task_transfer(disc[None], (38.0, 44.0), 12, PIXEL, margin=10, refine=True)
    assert beside.f50.value == pytest.approx(gaussian_crossing(0.5, 1.0), rel=0.1)


def test_sharpening_raises_it_above_one() -> None:
    sharp = 1.6 * blurred_disc(14, 1.0) - 0.6 * blurred_disc(14, 2.0)
    found = task_transfer(sharp[None], CENTRE, 14, PIXEL)
    narrow = np.exp(-2 * (np.pi * found.frequency * PIXEL) ** 2)
    assert np.abs(found.value - (1.6 * narrow - 0.6 * narrow**4)).max() < 0.02
    assert found.value.max() > 1.03


def test_where_a_curve_falls_below() -> None:
    f, v = np.array([0.0, 1.0, 2.0, 3.0]), np.array([1.0, 0.8, 0.4, 0.6])
    assert crossing(f, v, 0.5) == pytest.approx(1.75)
    assert np.isnan(crossing(f, v, 0.1))


def test_what_cannot_be_measured_is_told() -> None:
    images = blurred_disc(10, 1.0)[None]
    with pytest.raises(QuellError, match="too small"):
        task_transfer(images, CENTRE, 2)
    with pytest.raises(QuellError, match="pixels of image on every side"):
        task_transfer(images, (5, 5), 10)
    with pytest.raises(QuellError, match="not finite"):
        task_transfer(np.nan * images, CENTRE, 10)
    with pytest.raises(QuellError, match="stack of images"):
        task_transfer(images[0], CENTRE, 10)
    with pytest.raises(QuellError, match="no contrast"):
        task_transfer(np.ones((1, 82, 82)), CENTRE, 10)
