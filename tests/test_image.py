"""An image refuses what would break the rooms behind it."""

from __future__ import annotations

import numpy as np
import pytest

from quell.image import Geometry, Image, Modality


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


@pytest.mark.parametrize(
    "voxels", [zeros(4, 4), zeros(1, 1, 4, 4), zeros(2, 4, 4).astype(np.float64), zeros(0, 4, 4)]
)
def test_voxels_are_float32_with_three_axes_and_not_empty(voxels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="voxels"):
        Image(voxels)


def test_padding_has_the_shape_of_the_voxels() -> None:
    with pytest.raises(ValueError, match="padding"):
        Image(zeros(2, 4, 4), padding=np.zeros((4, 4), bool))


def test_voxels_cannot_be_written() -> None:
    image = Image(zeros(1, 4, 4))
    with pytest.raises(ValueError, match="read-only"):
        image.voxels[0] = 1


def test_with_voxels_keeps_all_but_the_voxels() -> None:
    image = Image(
        zeros(3, 4, 5), Modality.PT, "Bq/ml", Geometry((2, 1, 1)), zeros(3, 4, 5) > 0, True, (1,), "scan"
    )
    changed = image.with_voxels(zeros(3, 4, 5) + 1)
    assert changed.voxels.min() == 1
    for field in ("modality", "units", "geometry", "padding", "volume", "gaps", "name"):
        assert getattr(changed, field) is getattr(image, field)


def test_with_voxels_refuses_another_shape() -> None:
    with pytest.raises(ValueError, match="shape"):
        Image(zeros(3, 4, 5)).with_voxels(zeros(3, 5, 4))
