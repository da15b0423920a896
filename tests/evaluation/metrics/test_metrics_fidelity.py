"""PSNR, SSIM, RMSE, MAE: equal to scikit-image's, and what follows from their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from quell.errors import QuellError
from quell.evaluation.metrics.fidelity import mae, psnr, rmse, ssim, ssim_map

metrics = pytest.importorskip("skimage.metrics")

WINDOW = (-160.0, 240.0)


@pytest.fixture
def pair(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return a slice in HU with values beyond the window on both sides, and the same with noise."""
    y, x = np.mgrid[:60, :75]
    clean = 400 * np.sin(y / 7) * np.cos(x / 9)
    return clean, clean + 30 * rng.standard_normal(clean.shape)


def test_equal_to_scikit_image_on_the_same_window(pair: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = (np.clip(p, *WINDOW) for p in pair)
    theirs = metrics.peak_signal_noise_ratio(a, b, data_range=400)
    assert psnr(*pair, window=WINDOW) == pytest.approx(theirs, abs=1e-6)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    theirs = metrics.structural_similarity(a, b, data_range=400, **options)
    assert ssim(*pair, window=WINDOW) == pytest.approx(theirs, abs=1e-6)


def test_rmse_and_mae_of_gaussian_errors(rng: np.random.Generator) -> None:
    error = 7 * rng.standard_normal((200, 200))
    # The standard error of an RMS of 40000 values is 1 / sqrt(80000) of it, and four times that 1.4 %.
    assert rmse(np.zeros_like(error), error) == pytest.approx(7, rel=0.014)
    assert mae(np.zeros_like(error), error) == pytest.approx(7 * np.sqrt(2 / np.pi), rel=0.016)


def test_ten_times_the_error_costs_twenty_decibels(pair: tuple[np.ndarray, np.ndarray]) -> None:
    clean, noisy = pair
    wide = (-1e5, 1e5)
    far = clean + 10 * (noisy - clean)
    assert psnr(clean, noisy, window=wide) - psnr(clean, far, window=wide) == pytest.approx(20, abs=1e-9)


def test_equal_images_are_perfect(pair: tuple[np.ndarray, np.ndarray]) -> None:
    clean, _ = pair
    assert psnr(clean, clean, window=WINDOW) == np.inf
    assert ssim(clean, clean, window=WINDOW) == pytest.approx(1, abs=1e-12)


def test_what_lies_outside_the_window_does_not_count(pair: tuple[np.ndarray, np.ndarray]) -> None:
    clean, noisy = pair
    changed = np.where(clean > 300, 5000, noisy)
    same = np.where(clean > 300, 300, noisy)
    assert psnr(clean, changed, window=WINDOW) == pytest.approx(psnr(clean, same, window=WINDOW))


def test_regions_see_only_themselves(pair: tuple[np.ndarray, np.ndarray]) -> None:
    clean, noisy = pair
    mask = np.zeros(clean.shape, bool)
    mask[10:30, 20:50] = True
    cut = (slice(10, 30), slice(20, 50))
    expected = rmse(clean[cut], noisy[cut], window=WINDOW)
    assert rmse(clean, noisy, window=WINDOW, mask=mask) == pytest.approx(expected)
    local = ssim_map(clean, noisy, window=WINDOW)[cut].mean()
    assert ssim(clean, noisy, window=WINDOW, mask=mask) == pytest.approx(local)


def test_unusable_input_is_told(pair: tuple[np.ndarray, np.ndarray]) -> None:
    clean, noisy = pair
    with pytest.raises(QuellError, match="shapes differ"):
        rmse(clean, noisy[:-1])
    with pytest.raises(QuellError, match="from a lower to a higher value"):
        psnr(clean, noisy, window=(5, 5))
    with pytest.raises(QuellError, match="at least 11"):
        ssim(clean[:10], noisy[:10], window=WINDOW)
    border = np.zeros(clean.shape, bool)
    border[:5] = True
    with pytest.raises(QuellError, match="from the border"):
        ssim(clean, noisy, window=WINDOW, mask=border)
