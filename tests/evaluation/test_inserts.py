"""What is put into images has the volume, the place and the blur that it should have."""

from __future__ import annotations

import numpy as np
import pytest

from quell.evaluation.inserts import SIGMA_OF_FWHM, add_stamp, ball_stamp, rod_stamp
from quell.phantoms.uniform import disc_coverage


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.5, 0.7, 0.9)])
@pytest.mark.parametrize("blur", [0.0, 3.0])
def test_ball_has_its_volume(spacing: tuple[float, float, float], blur: float) -> None:
    part = ball_stamp(spacing, 9.0, blur)
    volume = part.sum() * np.prod(spacing)
    # Counting 125 points a voxel is good to 1 % here, cutting the blur at 3.5 sigma to 0.1 %.
    assert volume == pytest.approx(np.pi / 6 * 9.0**3, rel=0.015)
    assert all(n % 2 == 1 for n in part.shape)
    np.testing.assert_allclose(part, part[::-1, ::-1, ::-1], atol=1e-12)


def test_rod_covers_what_a_disc_covers() -> None:
    part = rod_stamp((3.0, 0.5, 0.5), 6.0)
    assert part.shape[0] == 1
    np.testing.assert_allclose(part[0], disc_coverage(part.shape[1:], 6.0), atol=0.06)
    assert part.sum() * 0.25 == pytest.approx(np.pi * 9, rel=0.01)


def test_blur_has_its_width() -> None:
    """A ball much smaller than the blur shows the blur: variance along an axis is sigma squared."""
    part = ball_stamp((1.0, 1.0, 1.0), 1.0, 5.0)
    profile = part.sum(axis=(0, 1))
    axis = np.arange(len(profile)) - len(profile) // 2
    variance = (profile * axis**2).sum() / profile.sum()
    assert variance == pytest.approx((5 * SIGMA_OF_FWHM) ** 2 + 0.05, rel=0.03)


def test_stamps_are_cut_at_the_border_and_lost_outside() -> None:
    part = rod_stamp((1.0, 1.0, 1.0), 5.0)
    inside, corner, outside = np.zeros((3, 1, 21, 21))
    add_stamp(inside, part, (0, 10, 10), 2.0)
    add_stamp(corner, part, (0, 0, 0), 2.0)
    add_stamp(outside, part, (0, 40, 10), 2.0)
    np.testing.assert_allclose(corner[0, :8, :8], inside[0, 10:18, 10:18])
    assert not outside.any()


def test_a_diameter_is_positive() -> None:
    with pytest.raises(ValueError, match="positive"):
        ball_stamp((1.0, 1.0, 1.0), 0.0)
