"""The noise of reconstructed activity follows the activity."""

from __future__ import annotations

import numpy as np
import pytest

from quell.image import Image, Modality
from quell.noise.activity import relative_noise


def activity(share: float, gain: float = 1.0) -> Image:
    rng = np.random.default_rng(3)
    y, x = np.mgrid[-1:1:96j, -1:1:96j]
    body = np.where(x**2 + y**2 < 0.8, 1.0, 0.0) + 2 * np.exp(-((x - 0.3) ** 2 + y**2) / 0.05)
    voxels = gain * body * (1 + share * rng.standard_normal((6, 96, 96)))
    return Image(voxels.astype(np.float32), Modality.PT, "Bq/ml", volume=True)


@pytest.mark.parametrize("share", [0.1, 0.2, 0.3])
def test_the_share_is_found_whatever_the_units(share: float) -> None:
    assert relative_noise(activity(share)) == pytest.approx(share, rel=0.15)
    assert relative_noise(activity(share, gain=5000)) == pytest.approx(
        relative_noise(activity(share)), rel=1e-4
    )


def test_too_small_or_empty_images_have_no_say() -> None:
    assert relative_noise(Image(np.ones((1, 8, 8), np.float32), Modality.PT)) == 0
    assert relative_noise(Image(np.zeros((4, 64, 64), np.float32), Modality.PT)) == 0


def test_blocks_with_padding_have_no_say() -> None:
    image = activity(0.1)
    wild = image.voxels.copy()
    wild[:, :, :48] *= np.random.default_rng(1).uniform(0.1, 3, (6, 96, 48)).astype(np.float32)
    padding = np.zeros(image.shape, bool)
    padding[:, :, :48] = True
    masked = Image(wild, Modality.PT, padding=padding, volume=True)
    assert relative_noise(masked) == pytest.approx(0.1, rel=0.15)
