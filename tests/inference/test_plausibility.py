"""What is no noise is not taken for it, and what is noise is believed."""

from __future__ import annotations

import numpy as np
import pytest

from quell.evaluation.benchmark.cases import make_case
from quell.evaluation.benchmark.subjects import drawn_subjects
from quell.image import FloatArray, Image, Modality
from quell.inference.contracts import NoiseMap
from quell.inference.levels import even_noise
from quell.inference.network_denoiser import NetworkDenoiser
from quell.inference.plausibility import plausibility

SIDE = 128
Y, X = np.mgrid[:SIDE, :SIDE].astype(np.float32)


def picture(pixels: FloatArray, modality: Modality = Modality.UNKNOWN, sigma: float = 0.0) -> Image:
    noise = sigma * np.random.default_rng(0).standard_normal(pixels.shape)
    return Image((pixels + noise)[None].astype(np.float32), modality)


def believed(image: Image, sigma: float) -> float:
    return plausibility(image, even_noise(image, sigma))


ANATOMY = 100 + 60 * np.sin(X / 17) * np.cos(Y / 23) + 40 * ((X - 60) ** 2 + (Y - 50) ** 2 < 900)


@pytest.mark.parametrize("modality", [Modality.CT, Modality.MR, Modality.UNKNOWN])
def test_noise_at_its_level_is_believed(modality: Modality) -> None:
    assert believed(picture(ANATOMY, modality, 10), 10) == 1
    # Estimates may be wrong by a fifth.
    assert believed(picture(ANATOMY, modality, 10), 12) == believed(picture(ANATOMY, modality, 10), 8) == 1


def test_counts_are_believed() -> None:
    counts = np.random.default_rng(1).poisson(ANATOMY / 50).astype(np.float32)
    image = Image(counts[None], Modality.NM)
    level = np.sqrt(ANATOMY / 50).reshape(SIDE // 8, 8, SIDE // 8, 8).mean(axis=(1, 3))
    noise = NoiseMap(level[None].astype(np.float32), 8, image.shape, np.zeros(9, np.float32))
    assert plausibility(image, noise) == 1


def test_an_image_free_of_noise_has_none() -> None:
    assert believed(picture(ANATOMY, Modality.CT), 10) < 0.3
    flat = 50.0 * (X // 32 + Y // 32)
    assert believed(picture(flat, Modality.MR), 10) == 0


@pytest.mark.parametrize(
    "pattern",
    [
        255 * ((X + Y) % 2),
        255 * (np.random.default_rng(2).random((SIDE, SIDE)) < 0.5),
        127.5 + 127.5 * np.sin(0.5 * np.pi * X),
    ],
    ids=["checkerboard", "dots", "stripes"],
)
def test_patterns_of_a_few_values_are_no_noise(pattern: FloatArray) -> None:
    assert believed(picture(pattern, Modality.CT), float(pattern.std())) == 0
    assert believed(picture(pattern, Modality.CT, sigma=10), float(pattern.std())) < 0.1


def test_a_level_that_cannot_be_seen_is_left_alone() -> None:
    step = 100 + 1000.0 * (X > 60)
    assert believed(picture(step, Modality.XR, 0.9), 0.9) == 0
    assert 0.3 < believed(picture(step, Modality.XR, 1.5), 1.5) < 0.7
    assert believed(picture(step, Modality.XR, 2.5), 2.5) == 1


def test_a_drawing_is_asked_for_more_than_an_image_of_a_modality() -> None:
    lines = np.where((X % 6 < 1) | (Y % 6 < 1), 255, 40) + 0.3 * X
    assert believed(picture(lines, Modality.UNKNOWN), 12) == 0


def test_a_gain_and_an_offset_change_nothing() -> None:
    for sigma, told in ((10, 10), (10, 22), (0, 10)):
        image = picture(ANATOMY, Modality.MR, sigma)
        other = image.with_voxels(np.float32(8) * image.voxels + np.float32(512))
        assert believed(other, 8 * told) == pytest.approx(believed(image, told), abs=1e-3)


def test_an_image_without_a_foreground_has_nothing_to_lose() -> None:
    assert believed(picture(np.full((SIDE, SIDE), 7, np.float32)), 5) == 0


@pytest.mark.parametrize(
    ("modality", "dose"),
    [("CT", 0.1), ("MR", 0.25), ("PT", 0.25), ("NM", 0.1), ("US", 2), ("XR", 0.06)],
)
def test_simulated_noise_of_every_modality_keeps_the_level_that_is_found(
    exact: NetworkDenoiser, modality: str, dose: float
) -> None:
    subject = drawn_subjects(Modality(modality), 1, 1).test[0]
    noisy = make_case(subject, dose, (0,)).noisy[0]
    found = exact.denoise(noisy, strength=1.0).noise
    assert plausibility(noisy, found) == 1
    assert np.abs(found.level).max() > 0
