"""Visual information and edges: what blur, noise and contrast do to them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.signal import convolve2d

from quell.errors import QuellError
from quell.evaluation.metrics.structure import edge_gradient, edge_preservation, vif

WINDOW = (0.0, 255.0)


@pytest.fixture
def scene(rng: np.random.Generator) -> np.ndarray:
    """Return a slice of discs of many values with fine texture."""
    y, x = np.mgrid[:128, :128]
    found = np.full((128, 128), 90.0)
    for _ in range(20):
        cy, cx, radius, value = rng.uniform((0, 0, 5, 30), (128, 128, 20, 220))
        found[np.hypot(y - cy, x - cx) < radius] = value
    return gaussian_filter(found, 0.7) + 3 * gaussian_filter(rng.standard_normal(found.shape), 1)


def test_vif_of_equal_images_is_one(scene: np.ndarray) -> None:
    assert vif(scene, scene, window=WINDOW) == pytest.approx(1, abs=1e-6)


def test_vif_falls_with_noise_and_with_blur(scene: np.ndarray, rng: np.random.Generator) -> None:
    noise = rng.standard_normal(scene.shape)
    noisy = [vif(scene, scene + s * noise, window=WINDOW) for s in (3, 10, 30)]
    blurred = [vif(scene, gaussian_filter(scene, s), window=WINDOW) for s in (0.5, 1, 2)]
    assert 1 > noisy[0] > noisy[1] > noisy[2] > 0
    assert 1 > blurred[0] > blurred[1] > blurred[2] > 0


def test_more_contrast_gives_a_vif_above_one(scene: np.ndarray) -> None:
    stretched = 1.2 * (scene - scene.mean()) + scene.mean()
    assert vif(scene, stretched, window=(-100, 400)) > 1.02


def published_vif(a: np.ndarray, b: np.ndarray) -> float:
    """Return the VIF by the authors' program (vifp_mscale.m), line by line."""
    kept = total = 0.0
    for scale in range(1, 5):
        n = 2 ** (4 - scale + 1) + 1
        at = np.arange(n) - n // 2
        window = np.exp(-(at[:, None] ** 2 + at**2) / (2 * (n / 5) ** 2))
        window /= window.sum()

        def mean(values: np.ndarray, window: np.ndarray = window) -> np.ndarray:
            return convolve2d(values, window, "valid")

        if scale > 1:
            a, b = mean(a)[::2, ::2], mean(b)[::2, ::2]
        s1 = np.maximum(mean(a * a) - mean(a) ** 2, 0)
        s2 = np.maximum(mean(b * b) - mean(b) ** 2, 0)
        s12 = mean(a * b) - mean(a) * mean(b)
        g = s12 / (s1 + 1e-10)
        sv = s2 - g * s12
        sv[g < 0], g[g < 0] = s2[g < 0], 0
        sv = np.maximum(sv, 1e-10)
        kept += np.log10(1 + g**2 * s1 / (sv + 2)).sum()
        total += np.log10(1 + s1 / 2).sum()
    return kept / total


def test_vif_is_that_of_the_published_program(scene: np.ndarray, rng: np.random.Generator) -> None:
    for test in (gaussian_filter(scene, 1.2), scene + 12 * rng.standard_normal(scene.shape), 255 - scene):
        clipped = np.clip(test, *WINDOW)
        assert vif(scene, test, window=WINDOW) == pytest.approx(published_vif(scene, clipped), rel=1e-6)


def test_edges_are_all_there_in_the_reference_itself(scene: np.ndarray) -> None:
    assert edge_preservation(scene, scene) == pytest.approx(1)
    assert edge_gradient(scene, scene) == pytest.approx(1)


def test_gain_scales_the_gradient_and_leaves_the_index(scene: np.ndarray) -> None:
    assert edge_gradient(scene, 0.8 * scene + 5) == pytest.approx(0.8)
    assert edge_preservation(scene, 0.8 * scene + 5) == pytest.approx(1)


def test_noise_lowers_the_index_and_leaves_the_gradient(scene: np.ndarray, rng: np.random.Generator) -> None:
    noisy = scene + 10 * rng.standard_normal(scene.shape)
    assert edge_preservation(scene, noisy) < 0.6
    assert edge_gradient(scene, noisy) == pytest.approx(1, abs=0.03)


def test_a_blurred_step_has_the_gradient_that_it_must() -> None:
    # A step under a Gaussian of total variance v has gradients exp(-x^2 / 2v) / sqrt(2 pi v), and of the
    # steepest tenth only the lines nearest to the edge are looked at.
    step = np.where(np.arange(200) < 100, 0.0, 100.0) * np.ones((50, 1))
    reference, blurred = gaussian_filter(step, (0, 2)), gaussian_filter(step, (0, 4))
    x = np.arange(-9.5, 10)
    narrow, wide = (np.exp(-(x**2) / (2 * v)) / np.sqrt(v) for v in (2**2 + 1, 4**2 + 1))
    assert edge_gradient(reference, blurred) == pytest.approx((narrow * wide).sum() / (narrow**2).sum(), 0.01)


def test_constant_images_do_not_divide_by_zero() -> None:
    flat = np.full((64, 64), 7.0)
    assert vif(flat, flat, window=WINDOW) == 1
    assert edge_preservation(flat, flat) == 1
    assert edge_gradient(flat, flat) == 1


def test_a_slice_too_small_for_four_scales_is_told() -> None:
    with pytest.raises(QuellError, match="at least"):
        vif(np.zeros((40, 64)), np.zeros((40, 64)), window=WINDOW)
