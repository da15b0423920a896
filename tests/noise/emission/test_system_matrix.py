"""The ring of detectors: strip integrals that agree with geometry, and an exact transpose."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy", reason="SciPy is not installed")

from quell.noise.emission.system_matrix import RingSystem, ring_system


def in_pixels(system: RingSystem, image: np.ndarray) -> np.ndarray:
    """Return an image as the column that a system takes."""
    return image.reshape(-1, 1)[system.pixels].astype(np.float32)


def sinogram(system: RingSystem, image: np.ndarray, blurred: bool = False) -> np.ndarray:
    """Return strip integrals, shape (views, bins)."""
    views = np.empty((system.views, system.bins))
    for s in range(system.subsets):
        ask = system.forward if blurred else system.project
        views[s :: system.subsets] = ask(in_pixels(system, image), s).reshape(-1, system.bins)
    return views


def disc(size: int, radius: float) -> np.ndarray:
    """Return how much of each pixel lies in a disc."""
    place = (np.arange(8 * size) + 0.5) / 8 - size / 2
    inside = np.hypot(place[:, None], place) < radius
    return inside.reshape(size, 8, size, 8).mean(axis=(1, 3))


@pytest.mark.parametrize("sigma", [0.0, 0.6])
def test_back_is_the_transpose_of_forward(sigma: float, rng: np.random.Generator) -> None:
    system = ring_system(40, 42, 6, sigma)
    for subset in range(6):
        x = rng.random((len(system.pixels), 3), np.float32)
        y = rng.random((7 * system.bins, 3), np.float32)
        there = np.vdot(system.forward(x, subset).astype(float), y)
        back = np.vdot(x, system.back(y, subset).astype(float))
        assert there == pytest.approx(back, rel=1e-5)


def test_every_pixel_casts_its_whole_area_in_every_view() -> None:
    system = ring_system(31, 28, 4, 0.0)
    for subset in range(4):
        area = system.strips[subset].toarray().reshape(7, system.bins, -1).sum(axis=1)
        # Slivers below a ten-thousandth are left out.
        assert np.abs(area - 1).max() < 1e-3


def test_a_disc_casts_its_chords() -> None:
    system = ring_system(64, 36, 1, 0.0)
    place = np.arange(system.bins) - (system.bins - 1) / 2
    fine = place[:, None] + (np.arange(50) + 0.5) / 50 - 0.5
    chords = 2 * np.sqrt(np.maximum(20.0**2 - fine**2, 0)).mean(axis=1)
    difference = sinogram(system, disc(64, 20)) - chords
    # At the rim, where chords fall steeply, the bins cut through pixels.
    assert np.abs(difference[:, np.abs(place) < 17]).max() < 0.01 * 40
    assert np.abs(difference).max() < 1
    assert difference.sum(axis=1) == pytest.approx(0, abs=1.5)


def test_a_point_is_as_wide_as_the_detectors() -> None:
    sigma = 1.3
    system = ring_system(41, 30, 5, sigma)
    image = np.zeros((41, 41))
    image[20, 28] = 1
    views = sinogram(system, image, blurred=True)
    place = np.arange(system.bins) - (system.bins - 1) / 2
    angles = np.arange(30) * np.pi / 30
    centre = views @ place / views.sum(axis=1)
    # A shadow wider than a bin is cut by three bins, which moves its centre a little.
    assert centre == pytest.approx(8 * np.cos(angles), abs=0.05)
    variance = views @ place**2 / views.sum(axis=1) - centre**2
    # The shadow of the pixel and the width of the bin, each with a variance of a twelfth.
    assert variance.mean() == pytest.approx(sigma**2 + 2 / 12, rel=0.01)
    assert variance == pytest.approx(sigma**2 + 2 / 12, rel=0.1)


def test_views_must_divide_into_subsets() -> None:
    with pytest.raises(ValueError, match="do not divide"):
        ring_system(16, 10, 3, 0.0)
