"""The noise of magnitude images by their air."""

from __future__ import annotations

import numpy as np
import pytest

from quell.image import Image, Modality
from quell.noise.blind.air import air_noise


def magnitude(coils: int, sigma: float = 5.0) -> Image:
    """Return the root sum of squares over coils of a disc with complex noise."""
    rng = np.random.default_rng(coils)
    y, x = np.mgrid[:192, :192]
    signal = np.where(np.hypot(y - 96, x - 96) < 50, 400.0, 0.0) / np.sqrt(coils)
    power = np.zeros((192, 192))
    for _ in range(coils):
        real, imaginary = sigma * rng.standard_normal((2, 192, 192))
        power += (signal + real) ** 2 + imaginary**2
    return Image(np.sqrt(power)[None].astype(np.float32), Modality.MR)


@pytest.mark.parametrize("coils", [1, 2, 4, 8])
def test_level_and_coils_are_found(coils: int) -> None:
    # 350 blocks of 64 pixels: the level is known to 1 %; taking the quiet group biases it by 3 %.
    found = air_noise(magnitude(coils))
    assert found is not None
    assert found.level == pytest.approx(5, rel=0.06)
    assert found.coils == pytest.approx(coils, rel=0.2)


def test_masked_or_signed_air_tells_nothing() -> None:
    image = magnitude(1)
    masked = np.where(image.voxels < 60, 0, image.voxels)
    assert air_noise(image.with_voxels(masked.astype(np.float32))) is None
    assert air_noise(image.with_voxels(image.voxels - 8)) is None
    assert air_noise(Image(np.ones((1, 64, 64), np.float32))) is None
