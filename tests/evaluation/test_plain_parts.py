"""Plain parts hold noise and no anatomy, whatever the noise looks like."""

from __future__ import annotations

import numpy as np
import pytest

from quell.evaluation.plain_parts import plain_parts
from quell.image import Image, Modality

pytest.importorskip("scipy", reason="SciPy is not installed")


def body(noise: np.ndarray) -> Image:
    """Return a CT slice: a plain left half, vessels in the right one."""
    _, y, x = np.ogrid[: noise.shape[0], : noise.shape[1], : noise.shape[2]]
    half = noise.shape[2] // 2
    vessels = 60.0 * (np.hypot(y % 24 - 12, x % 24 - 12) < 5) * (x >= half)
    return Image((40 + vessels + noise).astype(np.float32), Modality.CT, "HU")


@pytest.mark.parametrize("width", [0.0, 1.2])
def test_squares_lie_where_nothing_but_noise_varies(width: float) -> None:
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(0).standard_normal((4, 256, 256))
    if width:
        noise = np.stack([gaussian_filter(one, width) for one in noise])
    found = plain_parts(body(10 * noise / noise.std()))
    assert found is not None and found.side >= 32
    assert max(x + found.side for _, _, x in found.corners) <= 128 + 12
    # White noise and blurred noise alike: most of the plain half is used.
    assert found.mask[:, :, :128].mean() > 0.5


def test_a_truth_without_noise_has_its_plain_parts_too() -> None:
    noisy = body(10 * np.random.default_rng(0).standard_normal((2, 128, 128)))
    found = plain_parts(body(np.zeros((2, 128, 128))), noisy)
    assert found is not None and max(x + found.side for _, _, x in found.corners) <= 64 + 12


def test_an_image_without_room_for_a_square_has_none() -> None:
    small = np.random.default_rng(0).standard_normal((1, 12, 40)).astype(np.float32)
    assert plain_parts(Image(small)) is None
