"""Grains: strength and width of noise that was made with known strength and width."""

from __future__ import annotations

import numpy as np
import pytest

from quell.noise.emission.blur import blur_slices
from quell.noise.emission.grains import measure_grains
from quell.noise.emission.pet_calibration import filter_axially


def activity() -> np.ndarray:
    level = np.zeros((40, 64, 64), np.float32)
    level[:, 8:56, 8:56] = 5
    level[:, 8:56, 32:56] = 20
    return level


def test_noise_that_follows_the_activity_has_one_strength(rng: np.random.Generator) -> None:
    true = activity()
    found = measure_grains(0.1 * true * rng.standard_normal(true.shape).astype(np.float32), true)
    assert found is not None
    # The lower fifth of the SD of 64 values around a plane: 1 - 0.84 / sqrt(2 * 61) = 0.924.
    assert found.relative == pytest.approx(0.0924, rel=0.02)
    # Residuals of 64 values around a plane are a little anticorrelated.
    assert abs(found.in_plane) < 0.06 and abs(found.axial) < 0.03


def test_an_image_is_as_strong_as_its_noise_alone_in_flat_parts(rng: np.random.Generator) -> None:
    true = activity()
    noise = 0.1 * true * rng.standard_normal(true.shape).astype(np.float32)
    alone, image = measure_grains(noise, true), measure_grains(true + noise, true + noise)
    assert alone is not None and image is not None
    assert image.relative == pytest.approx(alone.relative, rel=0.03)


def test_wider_grains_and_mixed_slices_are_seen(rng: np.random.Generator) -> None:
    true = np.ones((40, 64, 64), np.float32)
    white = rng.standard_normal(true.shape).astype(np.float32)
    widths = [measure_grains(blur_slices(white, (s, s)), true) for s in (0.5, 0.8, 1.2)]
    assert widths[0].in_plane < widths[1].in_plane < widths[2].in_plane  # type: ignore[union-attr]
    mixed = [measure_grains(filter_axially(white, w), true) for w in (0.0, 0.25, 0.5)]
    expected = [2 * w / (1 + 2 * w**2) for w in (0.0, 0.25, 0.5)]
    # Blocks are chosen for being quiet in two slices, which lowers the correlation by up to a fifth.
    for found, law in zip(mixed, expected, strict=True):
        assert 0.75 * law - 0.02 < found.axial < law + 0.02  # type: ignore[union-attr]


def test_slices_on_two_sides_of_a_gap_are_not_compared(rng: np.random.Generator) -> None:
    true = np.ones((8, 64, 64), np.float32)
    twins = np.repeat(rng.standard_normal((4, 64, 64)), 2, axis=0).astype(np.float32)
    assert measure_grains(twins, true, (1, 3, 5)).axial == pytest.approx(1)  # type: ignore[union-attr]
    assert measure_grains(twins, true, (0, 2, 4, 6)).axial < 0.1  # type: ignore[union-attr]


def test_too_little_activity_is_not_judged() -> None:
    assert measure_grains(np.ones((1, 20, 20), np.float32), np.ones((1, 20, 20), np.float32)) is None
    assert measure_grains(np.zeros((2, 64, 64), np.float32), np.zeros((2, 64, 64), np.float32)) is None
