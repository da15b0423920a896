"""What is no noise is not taken for it, and what is noise is believed."""

from __future__ import annotations

import numpy as np
import pytest

from quell.evaluation.benchmark.cases import make_case
from quell.evaluation.benchmark.subjects import drawn_subjects
from quell.evaluation.denoisers import find_denoiser
from quell.image import FloatArray, Image, Modality
from quell.inference.contracts import NoiseMap
from quell.inference.levels import even_noise, median_level
from quell.inference.network_denoiser import NetworkDenoiser
from quell.inference.plausibility import plausibility
from quell.models.registry import default_card
from quell.noise.on_the_fly import log_speckle
from quell.noise.spectrum import colour, describe, frequency_axes, normalised

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


def gaussian_power(f50: float, side: int) -> FloatArray:
    fy, fx = frequency_axes(side, side)
    power: FloatArray = normalised(np.exp(-np.log(2) * (fy**2 + fx**2) / f50**2))
    return power


def coarse(f50: float, side: int = 256) -> tuple[FloatArray, FloatArray]:
    """Return noise of level 1 that has half its power below a frequency, and its descriptor."""
    power = gaussian_power(f50, side)
    white = np.random.default_rng(4).standard_normal((side, side)).astype(np.float32)
    return colour(white, power), describe(power[None])[0]


@pytest.mark.parametrize("f50", [0.03, 0.05, 0.1])
def test_noise_coarser_than_a_block_is_believed_where_its_spectrum_says_so(f50: float) -> None:
    noise, descriptor = coarse(f50)
    y, x = np.mgrid[:256, :256]
    image = Image((100 + 60 * ((x // 64 + y // 64) % 2) + 10 * noise)[None].astype(np.float32), Modality.US)
    # Coarser than 0.035 cycles per pixel shows less in a block than the lowest bin stands for.
    assert plausibility(image, even_noise(image, 10, descriptor)) > (0.6 if f50 < 0.035 else 0.95)
    # Of a level far above what is there it is not, whatever its spectrum.
    assert plausibility(image, even_noise(image, 60, descriptor)) < 0.1
    assert plausibility(image, even_noise(image, 10)) < (0.3 if f50 < 0.1 else 1)


def test_coarse_speckle_keeps_most_of_its_level() -> None:
    card = default_card(Modality.US)
    denoiser = find_denoiser(card.identifier).denoiser
    white = np.random.default_rng(5).standard_normal((2, 256, 256)).astype(np.float32)
    real, imaginary = colour(white, gaussian_power(0.03, 256))
    y, x = np.mgrid[:256, :256]
    mean = 120 + 30 * np.sin(x / 31) * np.cos(y / 43)
    image = Image((mean + 20 * log_speckle(real, imaginary))[None].astype(np.float32), Modality.US)
    assert isinstance(denoiser, NetworkDenoiser)
    found = denoiser.estimate(image)
    assert 12 < median_level(found, image) < 26


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
