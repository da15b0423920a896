"""Filtered back-projection: a disc comes back from its chords, from half a turn and from a whole one."""

from __future__ import annotations

import numpy as np
import pytest

from quell.noise.emission.fbp import emission_fbp


@pytest.mark.parametrize("arc", [np.pi, 2 * np.pi])
def test_discs_come_back_from_their_chords(arc: float) -> None:
    size, views, place = 64, 96, np.arange(64) - 31.5
    angles = -0.8 + np.arange(views) * arc / views
    sinogram = np.zeros((views, size, 2), np.float32)
    for y, x, radius, level in ((0, 0, 22, 1.0), (8, -6, 5, 2.0)):
        offset = place - (x * np.cos(angles) + y * np.sin(angles))[:, None]
        sinogram[:, :, 1] += level * 2 * np.sqrt(np.maximum(radius**2 - offset**2, 0))
    found = emission_fbp(sinogram, angles)
    assert not found[:, :, 0].any()
    volume = found[:, :, 1]
    y, x = np.mgrid[:size, :size] - 31.5
    assert volume[np.hypot(y - 8, x + 6) < 3].mean() == pytest.approx(3, rel=0.02)
    plain = (np.hypot(y, x) < 18) & (np.hypot(y - 8, x + 6) > 8)
    assert volume[plain].mean() == pytest.approx(1, rel=0.02)
    assert abs(volume[(np.hypot(y, x) > 26) & (np.hypot(y, x) < 30)].mean()) < 0.02
