"""Lesions that are sown are where they are said to be, and of the contrasts that are asked for."""

from __future__ import annotations

import numpy as np
import pytest

from quell.image import Geometry, Image, Modality
from quell.training.sowing import LESIONS, Lesions, sow

HOT = Lesions(1, (6.0, 6.0), (4.0, 4.0), 0.0)


def body(*shape: int, spacing: tuple[float, float, float] = (4.0, 4.0, 4.0)) -> Image:
    """Return a block of activity of 10 within nothing."""
    voxels = np.zeros(shape, np.float32)
    voxels[:, 8:-8, 8:-8] = 10
    return Image(voxels, Modality.PT, geometry=Geometry(spacing), volume=shape[0] > 1)


def test_a_hot_lesion_has_its_ratio_and_about_its_volume() -> None:
    volumes = []
    for seed in range(40):
        truth = body(24, 40, 40)
        sown, focus = sow(truth, HOT, np.random.default_rng(seed))
        rise = sown.voxels / np.maximum(truth.voxels, 1e-6)
        assert rise.max() == pytest.approx(4, rel=0.01)
        changed = sown.voxels != truth.voxels
        assert (focus[changed] > 0).all()
        volumes.append(((rise - 1).clip(0) / 3).sum() * 4.0**3)
    # Some are cut by the edge of the body or of the grid; axes vary by 20 %.
    assert np.median(volumes) == pytest.approx(4 / 3 * np.pi * 6**3, rel=0.35)


def test_cold_lesions_take_away() -> None:
    truth = body(12, 40, 40)
    sown, _ = sow(truth, Lesions(5, (6.0, 9.0), (2.0, 3.0), 1.0), np.random.default_rng(1))
    assert (sown.voxels <= truth.voxels).all() and sown.voxels.min() >= 0
    assert (sown.voxels < 0.8 * truth.voxels).any()


def test_nothing_is_sown_where_there_is_no_activity_and_the_object_itself_stays() -> None:
    truth = body(8, 40, 40)
    before = truth.voxels.copy()
    sown, _ = sow(truth, LESIONS["PT"], np.random.default_rng(2))
    assert np.array_equal(truth.voxels, before)
    assert not sown.voxels[truth.voxels == 0].any()
    empty = truth.with_voxels(np.zeros_like(truth.voxels))
    same, focus = sow(empty, LESIONS["PT"], np.random.default_rng(2))
    assert np.array_equal(same.voxels, empty.voxels) and not focus.any()


def test_a_single_slice_gets_discs() -> None:
    truth = body(1, 60, 60, spacing=(1.0, 2.4, 2.4))
    sown, focus = sow(truth, HOT, np.random.default_rng(3))
    assert (sown.voxels > 3.5 * 10).sum() >= 8
    assert 0.005 < (focus > 0).mean() < 0.2


def test_the_same_seed_sows_the_same() -> None:
    truth = body(8, 40, 40)
    one, same, other = (sow(truth, LESIONS["NM"], np.random.default_rng(seed))[0] for seed in (4, 4, 5))
    assert np.array_equal(one.voxels, same.voxels)
    assert not np.array_equal(one.voxels, other.voxels)
