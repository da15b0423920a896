"""Every classical method keeps the contract of a denoiser and takes noise out of a plain scene."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from quell.errors import InputError, QuellError
from quell.filters.denoiser import ClassicalDenoiser
from quell.filters.registry import find_filter, list_filters
from quell.image import Image, Modality
from quell.noise.contracts import NoiseEstimate, NoiseSpectrum
from quell.noise.estimation import estimate_noise

NAMES = [facts.name for facts in list_filters()]
EVERYTHING = [facts.name for facts in list_filters(installed=False)]
SPECKLE = ("lee", "frost", "srad")


def counted(name: str) -> bool:
    return name.startswith("anscombe+")


@pytest.fixture
def scene(rng: np.random.Generator) -> Callable[[str], tuple[Image, Image]]:
    """Return a maker of truth and noisy image with the noise that a method is for."""
    y, x = np.mgrid[:96, :104]
    clean = np.full((2, 96, 104), 100.0)
    clean[:, np.hypot(y - 40, x - 50) < 22] = 160
    clean[:, np.hypot(y - 70, x - 80) < 8] = 60

    def make(name: str) -> tuple[Image, Image]:
        if counted(name):
            noisy = rng.poisson(clean).astype(float)
            fields = {"modality": Modality.NM, "units": "counts"}
        elif name in SPECKLE:
            noisy = clean * (1 + 0.15 * rng.standard_normal(clean.shape))
            fields = {"modality": Modality.US, "units": "arbitrary"}
        else:
            noisy = clean + 12 * rng.standard_normal(clean.shape)
            fields = {"modality": Modality.CT, "units": "HU"}
        return tuple(Image(v.astype(np.float32), **fields) for v in (clean, noisy))  # type: ignore[return-value]

    return make


def error(truth: Image, found: Image) -> float:
    return float(np.sqrt(np.mean((truth.voxels - found.voxels) ** 2)))


def test_all_that_were_promised_are_there() -> None:
    assert {
        *("gaussian", "median", "bilateral", "anisotropic diffusion", "total variation", "wavelet", "nlm"),
        *("wiener", "anscombe+nlm", "butterworth", "lee", "frost", "srad"),
    } <= set(NAMES)
    assert {"bm3d (sigma)", "bm3d (spectrum)", "bm4d (sigma)"} <= set(EVERYTHING)
    ultrasound = {facts.name for facts in list_filters(Modality.US)}
    assert "srad" in ultrasound and not {"butterworth", "anscombe+nlm"} & ultrasound


@pytest.mark.parametrize("name", NAMES)
def test_noise_goes_and_the_scene_stays(name: str, scene: Callable[[str], tuple[Image, Image]]) -> None:
    truth, noisy = scene(name)
    found = find_filter(name).denoise(noisy)
    assert error(truth, found.image) < 0.65 * error(truth, noisy)
    assert found.image.voxels.dtype == np.float32 and found.image.units == noisy.units
    # Nothing but SRAD and the median changes the mean of noise that is symmetric by more than a tenth.
    assert found.image.voxels.mean() == pytest.approx(truth.voxels.mean(), rel=0.015)


@pytest.mark.parametrize("name", NAMES)
def test_settings_and_strength(name: str, scene: Callable[[str], tuple[Image, Image]]) -> None:
    _, noisy = scene(name)
    denoiser = find_filter(name)
    full, half, none = (denoiser.denoise(noisy, strength=s).image.voxels for s in (1, 0.5, 0))
    assert np.array_equal(none, noisy.voxels)
    assert half == pytest.approx((full + noisy.voxels) / 2, abs=1e-3)
    assert full.min() >= noisy.voxels.min() and full.max() <= noisy.voxels.max()
    assert denoiser.card.name == name and set(denoiser.settings) <= set(denoiser.card.training)
    assert set(denoiser.method.facts.space) == set(denoiser.settings)
    with pytest.raises(ValueError, match="strength"):
        denoiser.denoise(noisy, strength=1.5)


@pytest.mark.parametrize("name", NAMES)
def test_padding_and_units_do_not_matter(name: str, scene: Callable[[str], tuple[Image, Image]]) -> None:
    _, noisy = scene(name)
    padding = np.zeros(noisy.shape, bool)
    padding[:, :20] = True
    voxels = np.where(padding, np.float32(-3024), noisy.voxels)
    covered = replace(noisy, voxels=voxels, padding=padding)
    found = find_filter(name).denoise(covered).image.voxels
    assert np.array_equal(found[padding], voxels[padding])
    assert found[~padding].min() >= noisy.voxels[~padding].min()
    if not counted(name):
        factor = np.float32(1 / 64)
        scaled = find_filter(name).denoise(replace(noisy, voxels=noisy.voxels * factor, modality=Modality.US))
        plain = find_filter(name).denoise(replace(noisy, modality=Modality.US))
        assert scaled.image.voxels / factor == pytest.approx(plain.image.voxels, abs=0.05)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in SPECKLE and not counted(n)])
def test_an_offset_does_not_matter(name: str, scene: Callable[[str], tuple[Image, Image]]) -> None:
    _, noisy = scene(name)
    lower = noisy.with_voxels(noisy.voxels - np.float32(1000))
    plain, shifted = (find_filter(name).denoise(i, sigma=12.0).image.voxels for i in (noisy, lower))
    # Values of 1000 have a rounding of 6e-5, and iterations stop by relative changes.
    assert shifted + 1000 == pytest.approx(plain, abs=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_constant_and_tiny_images(name: str) -> None:
    constant = Image(np.full((1, 40, 40), 7, np.float32))
    assert np.array_equal(find_filter(name).denoise(constant).image.voxels, constant.voxels)
    for shape in ((1, 1, 1), (1, 40, 1), (1, 3, 50), (2, 16, 16)):
        small = Image(np.random.default_rng(1).random(shape, np.float32) + 5)
        assert np.isfinite(find_filter(name).denoise(small, sigma=0.3).image.voxels).all()


@pytest.mark.parametrize("name", NAMES)
def test_values_that_are_no_numbers_are_refused(name: str) -> None:
    broken = Image(np.full((1, 40, 40), np.nan, np.float32), name="slice")
    with pytest.raises(InputError, match=r"slice: .*not finite"):
        find_filter(name).denoise(broken)
    with pytest.raises(InputError, match="positive number"):
        find_filter(name).denoise(Image(np.ones((1, 40, 40), np.float32)), sigma=-1)


@pytest.mark.parametrize("name", ["anscombe+nlm", "srad"])
def test_negative_values_are_refused_where_they_mean_nothing(name: str, rng: np.random.Generator) -> None:
    image = Image(rng.standard_normal((1, 64, 64)).astype(np.float32))
    with pytest.raises(QuellError, match="negative"):
        find_filter(name).denoise(image)


def test_unknown_methods_and_settings_are_told() -> None:
    with pytest.raises(QuellError, match="unknown method 'magic'; there is: gaussian"):
        find_filter("magic")
    with pytest.raises(QuellError, match="nlm has no setting 'strength'; it has: h, patch"):
        find_filter("nlm", strength=1)
    assert find_filter("anscombe+median", side=5).settings["side"] == 5


def estimate_of(sigma: float) -> Callable[[Image], NoiseEstimate]:
    def estimate(image: Image) -> NoiseEstimate:
        level = np.full((image.shape[0], image.shape[1] // 8, image.shape[2] // 8), sigma, np.float32)
        power = np.full((32, 32), sigma**2)
        return NoiseEstimate(level, 8, NoiseSpectrum(power, (1.0, 1.0), 5))

    return estimate


def test_the_level_comes_from_the_caller_then_the_estimate_then_the_image(
    scene: Callable[[str], tuple[Image, Image]],
) -> None:
    _, noisy = scene("nlm")
    told, own = find_filter("nlm", estimate=estimate_of(30.0)), find_filter("nlm")
    assert np.median(told.denoise(noisy, sigma=5.0).noise.level) == 5
    assert np.median(told.denoise(noisy).noise.level) == 30
    assert np.median(own.denoise(noisy).noise.level) == pytest.approx(12, rel=0.1)
    found = told.denoise(noisy).noise
    # White noise has the descriptor 0 and the map covers every pixel.
    assert found.descriptor == pytest.approx(0, abs=1e-3) and found.pixels(1).shape == (96, 104)
    more = told.denoise(noisy).image.voxels.std()
    assert more < told.denoise(noisy, sigma=5.0).image.voxels.std()


def test_the_estimate_of_quell_can_be_given(scene: Callable[[str], tuple[Image, Image]]) -> None:
    _, noisy = scene("nlm")
    found = find_filter("nlm", estimate=estimate_noise).denoise(noisy).noise
    assert np.median(found.level) == pytest.approx(12, rel=0.1)
    assert np.abs(found.descriptor).max() < 0.5


def test_streams_do_not_change_the_result(scene: Callable[[str], tuple[Image, Image]]) -> None:
    _, noisy = scene("nlm")
    one, two = (find_filter("nlm", streams=n).denoise(noisy).image.voxels for n in (1, 2))
    assert np.array_equal(one, two)


def test_a_denoiser_tells_its_times(scene: Callable[[str], tuple[Image, Image]]) -> None:
    denoiser: ClassicalDenoiser = find_filter("gaussian")
    assert set(denoiser.denoise(scene("gaussian")[1]).seconds) == {"estimate", "network"}
