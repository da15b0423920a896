"""Random anatomy: the laws that training relies on, for every style."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from quell.phantoms.procedural import STYLES, random_anatomy


@pytest.mark.parametrize("style", STYLES)
def test_a_seed_is_an_image(style: str) -> None:
    one, again, other = (random_anatomy(np.random.default_rng(s), (3, 96, 96), style) for s in (5, 5, 6))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_style_is_drawn_from_the_seed() -> None:
    images = [random_anatomy(np.random.default_rng(11), (1, 64, 64)) for _ in range(2)]
    np.testing.assert_array_equal(*images)
    with pytest.raises(ValueError, match="unknown style"):
        random_anatomy(np.random.default_rng(0), style="opera")


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("shape", [(1, 64, 64), (5, 48, 130), (3, 256, 256)])
def test_shape_type_and_values(style: str, shape: tuple[int, int, int]) -> None:
    for seed in range(4):
        image = random_anatomy(np.random.default_rng(seed), shape, style)
        assert image.shape == shape
        assert image.dtype == np.float32
        assert image.flags.c_contiguous
        assert np.isfinite(image).all()
        assert np.abs(image).max() < 25


@pytest.mark.parametrize("style", STYLES)
def test_neighbouring_slices_are_one_anatomy(style: str) -> None:
    for seed in range(8):
        image = random_anatomy(np.random.default_rng(seed), (3, 192, 192), style)
        for a, b in pairwise(image):
            assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.5
            assert not np.array_equal(a, b)


def test_counts_are_not_negative_and_not_empty() -> None:
    for seed in range(12):
        image = random_anatomy(np.random.default_rng(seed), (2, 128, 128), "counts")
        assert image.min() >= 0
        assert image.max() > 0.05


def test_a_body_has_contrasts_of_order_one() -> None:
    spans = [np.ptp(random_anatomy(np.random.default_rng(s), (1, 128, 128), "body")) for s in range(12)]
    assert 0.4 < np.median(spans) < 3


@pytest.mark.parametrize("style", STYLES)
def test_edges_are_no_sharper_than_a_scanner_makes_them(style: str) -> None:
    """Noise-free images are band-limited: hardly any power beyond 0.9 of the Nyquist frequency."""
    for seed in range(6):
        image = random_anatomy(np.random.default_rng(seed), (1, 128, 128), style)[0]
        window = np.outer(np.hanning(128), np.hanning(128))
        power = np.abs(np.fft.fft2((image - image.mean()) * window)) ** 2
        f = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.fftfreq(128)[None])
        assert power[f > 0.45].sum() < 0.02 * power.sum()


def test_images_differ_in_kind() -> None:
    """Over seeds the images must not look alike: the correlation of different ones is small."""
    flat = [random_anatomy(np.random.default_rng(s), (1, 64, 64))[0].ravel() for s in range(30)]
    across = np.corrcoef(np.array(flat))[np.triu_indices(30, 1)]
    assert np.median(np.abs(across)) < 0.5
