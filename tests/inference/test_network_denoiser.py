"""Laws of the whole denoiser, whatever its weights; in 32-bit floats where rounding would blur them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from quell.image import Image, Modality
from quell.inference.contracts import NoiseMap, Runtime
from quell.inference.grain import without_grain
from quell.inference.kinds import usual_grain, usual_strength
from quell.inference.levels import level_percentiles, median_level
from quell.inference.network_denoiser import (
    NetworkDenoiser,
)
from quell.models.registry import default_card, model_files
from quell.noise.flat import flat_noise_ratio
from quell.noise.spectrum import DESCRIPTOR_SIZE, colour, frequency_axes, normalised, ramp_spectrum
from quell.phantoms.procedural import random_anatomy

SIGMA = 0.1
Maker = Callable[..., Image]


def changed(image: Image, gain: float, offset: float) -> Image:
    return image.with_voxels(np.float32(gain) * image.voxels + np.float32(offset))


@pytest.mark.parametrize(("gain", "offset"), [(37.5, 0), (1, 10), (1000, -1000), (1e-9, 0), (1e9, 0)])
def test_gain_and_offset_come_out_unchanged(
    exact: NetworkDenoiser, noisy: Maker, gain: float, offset: float
) -> None:
    image = noisy(3, 60, 45, sigma=SIGMA, volume=True)
    plain = exact.denoise(image).image.voxels
    other = exact.denoise(changed(image, gain, offset)).image.voxels.astype(np.float64)
    np.testing.assert_allclose((other - offset) / gain, plain, atol=1e-3 * SIGMA)


@pytest.mark.parametrize(("gain", "offset"), [(37.5, 0), (1000, -1000)])
def test_gain_and_offset_come_out_unchanged_but_for_the_rounding_of_the_short_float(
    fast: NetworkDenoiser, noisy: Maker, gain: float, offset: float
) -> None:
    image = noisy(3, 60, 45, sigma=SIGMA, volume=True)
    plain = fast.denoise(image).image.voxels
    other = fast.denoise(changed(image, gain, offset)).image.voxels.astype(np.float64)
    error = ((other - offset) / gain - plain) / SIGMA
    assert np.abs(error).max() < 0.15
    assert error.std() < 0.02


def test_the_engine_of_the_user_agrees_with_the_exact_one(
    exact: NetworkDenoiser, fast: NetworkDenoiser, noisy: Maker
) -> None:
    image = noisy(3, 60, 45, sigma=SIGMA, volume=True)
    error = (exact.denoise(image).image.voxels - fast.denoise(image).image.voxels) / SIGMA
    assert np.abs(error).max() < 0.2
    assert error.std() < 0.02


@pytest.mark.parametrize("shape", [(288, 320), (64, 320)])
def test_tiles_equal_the_whole(
    exact: NetworkDenoiser, build: Callable[..., NetworkDenoiser], noisy: Maker, shape: tuple[int, int]
) -> None:
    image = noisy(1, *shape, sigma=SIGMA)
    whole = exact.denoise(image).image.voxels
    error = np.abs(build(tile=260).denoise(image).image.voxels - whole) / SIGMA
    assert error.max() < 1e-3
    # The comparison can fail: without their context the tiles show.
    shown = np.abs(build(tile=260, halo=0).denoise(image).image.voxels - whole) / SIGMA
    assert shown.max() > 0.01


@pytest.mark.parametrize("place", [0, 3, 7])
def test_the_reach_of_the_network_is_below_the_halo(onnx: Runtime, place: int) -> None:
    card = default_card(Modality.CT)
    side = 2 * card.halo + 64
    told = "condition" if card.kinds else "spectrum"
    shapes = {"normalised": (1, card.slices, side, side), told: (1, DESCRIPTOR_SIZE + len(card.kinds))}
    network = onnx.load(model_files(card)["denoiser"], shapes, 1, True)
    stack = np.random.default_rng(0).standard_normal(shapes["normalised"]).astype(np.float32)
    spectrum = np.zeros(shapes[told], np.float32)
    middle = side // 2 + place
    (before,) = network(stack, spectrum)
    stack[0, card.slices // 2, middle, middle] += 200
    (after,) = network(stack, spectrum)
    touched = np.argwhere(before[0, 0] != after[0, 0])
    reach = np.abs(touched - middle).max()
    assert 8 < reach < card.halo


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (1, 1, 19), (1, 19, 1), (3, 3, 5), (1, 33, 65), (2, 31, 37), (1, 2, 97)]
)
def test_any_shape_comes_out_finite_and_within_its_range(
    exact: NetworkDenoiser, noisy: Maker, shape: tuple[int, int, int]
) -> None:
    image = noisy(*shape, volume=shape[0] > 1)
    result = exact.denoise(image)
    voxels = result.image.voxels
    assert voxels.shape == shape
    assert voxels.dtype == np.float32
    assert np.isfinite(voxels).all()
    assert image.voxels.min() <= voxels.min() and voxels.max() <= image.voxels.max()
    assert result.noise.pixels(0).shape == shape[1:]


@pytest.mark.parametrize("sigma", ["auto", 3.0])
@pytest.mark.parametrize("value", [0.0, -1000.0, 7.3])
def test_a_constant_image_stays_as_it_is(exact: NetworkDenoiser, value: float, sigma: float | str) -> None:
    image = Image(np.full((2, 20, 30), value, np.float32), volume=True)
    np.testing.assert_array_equal(exact.denoise(image, sigma=sigma).image.voxels, image.voxels)


@pytest.mark.parametrize("blank", [0, 5, 8])
def test_a_constant_slice_among_others_stays_as_it_is(
    exact: NetworkDenoiser, noisy: Maker, blank: int
) -> None:
    voxels = noisy(9, 32, 32, volume=True).voxels.copy()
    voxels[blank] = 0.5
    result = exact.denoise(Image(voxels, volume=True)).image.voxels
    np.testing.assert_array_equal(result[blank], voxels[blank])
    assert (result[3] != voxels[3]).any()


def test_strength_zero_returns_the_input_bit_for_bit(exact: NetworkDenoiser, noisy: Maker) -> None:
    image = noisy(2, 40, 33, volume=True)
    np.testing.assert_array_equal(exact.denoise(image, strength=0).image.voxels, image.voxels)


@pytest.mark.parametrize("strength", [0.25, 0.5, 0.9])
def test_strength_is_linear_up_to_the_clamp(exact: NetworkDenoiser, noisy: Maker, strength: float) -> None:
    image = noisy(2, 40, 33, sigma=SIGMA, volume=True)
    full = exact.denoise(image, strength=1.0).image.voxels
    part = exact.denoise(image, strength=strength).image.voxels
    clamped = (full <= image.voxels.min()) | (full >= image.voxels.max())
    assert clamped.mean() < 0.1
    between = (1 - strength) * image.voxels + strength * full
    np.testing.assert_allclose(part[~clamped], between[~clamped], atol=1e-4 * SIGMA)


@pytest.mark.parametrize("grain", [0.3, 1.0])
def test_grain_keeps_that_share_of_the_fine_noise(exact: NetworkDenoiser, noisy: Maker, grain: float) -> None:
    image = noisy(1, 64, 96, sigma=SIGMA)
    # So little of it that no voxel leaves the range of the image, where it would be cut off.
    little = 0.02
    full = (image.voxels - exact.denoise(image, strength=little).image.voxels) / little
    found = (image.voxels - exact.denoise(image, strength=little, grain=grain).image.voxels) / little
    level = exact.estimate(image).pixels(0)
    expected = level * without_grain((full[0] / level).astype(np.float32), grain)
    inside = (full[0] != 0) & (np.abs(image.voxels[0] - image.voxels.mean()) < np.ptp(image.voxels) / 2.2)
    np.testing.assert_allclose(found[0][inside], expected[inside], atol=0.05 * SIGMA)
    assert found.std() < full.std()


def test_the_usual_grain_goes_with_the_usual_strength_alone(exact: NetworkDenoiser, noisy: Maker) -> None:
    image = replace(noisy(1, 64, 64, sigma=SIGMA), modality=Modality.CT)
    strength, grain = usual_strength(exact.card, image), usual_grain(exact.card, image)
    assert 0 < strength < 1 and 0 < grain < 1
    usual = exact.denoise(image).image.voxels
    np.testing.assert_array_equal(usual, exact.denoise(image, strength=strength, grain=grain).image.voxels)
    blend = exact.denoise(image, strength=strength).image.voxels
    np.testing.assert_array_equal(blend, exact.denoise(image, strength=strength, grain=0.0).image.voxels)
    assert not np.array_equal(usual, blend)
    with pytest.raises(ValueError, match="grain must lie between 0 and 1"):
        exact.denoise(image, grain=1.5)


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_a_strength_beyond_zero_to_one_is_refused(
    exact: NetworkDenoiser, noisy: Maker, strength: float
) -> None:
    with pytest.raises(ValueError, match="strength"):
        exact.denoise(noisy(1, 8, 8), strength=strength)


def test_padding_is_kept_and_has_no_say(exact: NetworkDenoiser, noisy: Maker) -> None:
    voxels = noisy(3, 48, 48, volume=True).voxels
    y, x = np.ogrid[:48, :48]
    padding = np.broadcast_to(np.hypot(y - 24, x - 24) > 20, voxels.shape)
    results = []
    for mark in (-2000.0, 1e6, np.nan):
        image = Image(np.where(padding, np.float32(mark), voxels), padding=padding, volume=True)
        result = exact.denoise(image).image.voxels
        np.testing.assert_array_equal(result[padding], image.voxels[padding])
        results.append(result[~padding])
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])
    assert voxels[~padding].min() <= results[0].min()
    assert (results[0] != voxels[~padding]).mean() > 0.9


@pytest.mark.parametrize("sigma", [0.03, 0.3])
def test_a_given_sigma_is_the_median_of_the_map_and_keeps_its_shape(
    exact: NetworkDenoiser, noisy: Maker, sigma: float
) -> None:
    image = noisy(2, 64, 50, volume=True)
    found, told = exact.denoise(image), exact.denoise(image, sigma=sigma)
    assert median_level(told.noise, image) == pytest.approx(sigma, rel=1e-5)
    ratio = told.noise.level / found.noise.level
    np.testing.assert_allclose(ratio, ratio[0, 0, 0], rtol=1e-4)
    np.testing.assert_array_equal(told.noise.descriptor, found.noise.descriptor)


def test_a_given_sigma_is_that_of_the_image_and_not_of_the_black_around_it(
    exact: NetworkDenoiser, noisy: Maker
) -> None:
    voxels = np.zeros((1, 192, 192), np.float32)
    voxels[:, 32:144, 32:144] = noisy(1, 112, 112, sigma=SIGMA).voxels
    image = Image(voxels)
    assert median_level(exact.denoise(image).noise, image) == pytest.approx(SIGMA, rel=0.2)
    told = exact.denoise(image, sigma=SIGMA)
    assert np.median(told.noise.level[:, 8:14, 8:14]) == pytest.approx(SIGMA, rel=0.2)


def test_the_sigma_that_was_found_changes_nothing_when_it_is_given(
    exact: NetworkDenoiser, noisy: Maker
) -> None:
    image = noisy(2, 64, 50, sigma=SIGMA, volume=True)
    found = exact.denoise(image)
    told = exact.denoise(image, sigma=median_level(found.noise, image))
    np.testing.assert_allclose(told.image.voxels, found.image.voxels, atol=1e-3 * SIGMA)


@pytest.mark.parametrize(
    ("volume", "gaps", "apart"), [(True, (1,), True), (False, (), True), (True, (), False)]
)
def test_gaps_and_frames_keep_slices_apart(
    exact: NetworkDenoiser, noisy: Maker, volume: bool, gaps: tuple[int, ...], apart: bool
) -> None:
    voxels = noisy(4, 32, 40).voxels.copy()
    # The range of values, to which results are clamped, is that of the series: hold it.
    voxels[0, 0, 0], voxels[0, 0, 1] = 9, -9
    turned = voxels.copy()
    # Negative slices have the same noise to the last bit, so that the one spectrum of a series stays.
    turned[2:] *= -1
    one, other = (exact.denoise(Image(v, volume=volume, gaps=gaps)).image.voxels for v in (voxels, turned))
    assert np.array_equal(one[:2], other[:2]) == apart
    np.testing.assert_array_equal(one[0], other[0])


@pytest.mark.parametrize("style", ["body", "brain", "radiograph"])
@pytest.mark.parametrize("spectrum", ["white", "ramp"])
def test_noise_of_known_level_is_found_and_removed_by_more_than_half(
    exact: NetworkDenoiser, style: str, spectrum: str
) -> None:
    rng = np.random.default_rng(5)
    shape = (3, 128, 128)
    clean = random_anatomy(rng, shape, style)
    noise = rng.standard_normal(shape)
    if spectrum == "ramp":
        radius = np.hypot(*frequency_axes(*shape[1:]))
        noise = colour(noise, normalised(ramp_spectrum(radius, 0.05, 0.25, 2.0)))
    image = Image((clean + 0.06 * noise).astype(np.float32), volume=True)
    result = exact.denoise(image)
    assert median_level(result.noise, image) == pytest.approx(0.06, rel=0.15)
    assert flat_noise_ratio(image, result.image.voxels, result.noise.level) < 0.5
    error = result.image.voxels - clean
    slopes = np.hypot(*np.gradient(clean, axis=(1, 2)))
    flat = slopes < np.quantile(slopes, 0.5)
    assert error[flat].std() < 0.5 * 0.06
    assert abs(error[flat].mean()) < 0.1 * 0.06


@pytest.mark.parametrize("engine", ["exact", "fast"])
def test_two_runs_are_equal(engine: str, request: pytest.FixtureRequest, noisy: Maker) -> None:
    denoiser: NetworkDenoiser = request.getfixturevalue(engine)
    image = noisy(3, 60, 45, volume=True)
    one, other = denoiser.denoise(image), denoiser.denoise(image)
    np.testing.assert_array_equal(one.image.voxels, other.image.voxels)
    np.testing.assert_array_equal(one.noise.level, other.noise.level)


def test_one_denoiser_serves_several_threads(exact: NetworkDenoiser, noisy: Maker) -> None:
    images = [noisy(2, 32 + 8 * i, 40, volume=bool(i % 2)) for i in range(4)]
    alone = [exact.denoise(image).image.voxels for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda image: exact.denoise(image).image.voxels, images))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_steps_that_are_told_add_up_to_the_slices(exact: NetworkDenoiser, noisy: Maker) -> None:
    told = {"estimate": 0, "network": 0}

    def step(name: str, count: int) -> None:
        told[name] += count

    exact.denoise(noisy(9, 16, 16, volume=True), step=step)
    assert told == {"estimate": 9, "network": 9}


def test_all_but_the_voxels_of_the_image_stays(exact: NetworkDenoiser, noisy: Maker) -> None:
    image = noisy(2, 16, 16, modality=Modality.MR, units="arbitrary", volume=True, name="scan")
    result = exact.denoise(image).image
    assert (result.modality, result.units, result.name) == (image.modality, image.units, image.name)
    assert result.geometry is image.geometry


def noise_map(level: np.ndarray, image: Image) -> NoiseMap:
    return NoiseMap(level, 8, image.shape, np.zeros(DESCRIPTOR_SIZE, np.float32))


@pytest.mark.parametrize("shape", [(1, 3, 3), (1, 10, 20), (2, 16, 16)])
def test_percentiles_are_those_of_the_blocks_with_an_image(shape: tuple[int, int, int]) -> None:
    image = Image(np.zeros(shape, np.float32))
    level = np.full((shape[0], 4, 4), 99.0, np.float32)
    inside = level[:, : -(-shape[1] // 8), : -(-shape[2] // 8)]
    inside[:] = np.arange(1, inside.size + 1).reshape(inside.shape)
    found = level_percentiles(noise_map(level, image), image, (0, 50, 100))
    assert found == (1, (inside.size + 1) / 2, inside.size)


@pytest.mark.parametrize("size", [3, 16, 21])
def test_blocks_of_padding_have_no_say_in_the_percentiles(size: int) -> None:
    padding = np.zeros((1, size, 32), bool)
    padding[:, :, 16:] = True
    image = Image(np.zeros((1, size, 32), np.float32), padding=padding)
    level = np.full((1, 4, 4), 1.0, np.float32)
    level[:, :, 2:] = 50.0
    assert level_percentiles(noise_map(level, image), image, (0, 50, 100)) == (1, 1, 1)


def test_the_level_of_reconstructed_activity_follows_the_activity(exact: NetworkDenoiser) -> None:
    rng = np.random.default_rng(5)
    activity = np.full((4, 192, 192), 100.0)
    activity[:, 64:, 64:] = 400.0
    voxels = (activity * (1 + 0.2 * rng.standard_normal(activity.shape))).astype(np.float32)
    pet = exact.denoise(Image(voxels, Modality.PT, "Bq/ml", volume=True)).noise
    hot, warm = pet.pixels(1)[112:160, 112:160].mean(), pet.pixels(1)[16:40, 16:160].mean()
    assert hot == pytest.approx(4 * warm, rel=0.15)
    assert hot == pytest.approx(80, rel=0.15)


def test_the_estimate_alone_is_that_of_denoising(exact: NetworkDenoiser, noisy: Callable[..., Image]) -> None:
    image = noisy(3, 40, 56, volume=True)
    alone, denoised = exact.estimate(image), exact.denoise(image).noise
    assert (alone.level == denoised.level).all() and (alone.descriptor == denoised.descriptor).all()


def test_a_pattern_is_left_alone_unless_the_user_says_that_it_is_noise(exact: NetworkDenoiser) -> None:
    y, x = np.mgrid[:96, :96]
    image = Image((255.0 * ((x + y) % 2))[None].astype(np.float32), Modality.XR)
    found = exact.denoise(image, strength=1.0)
    assert np.array_equal(found.image.voxels, image.voxels) and not found.noise.level.any()
    assert not exact.estimate(image).level.any()
    assert exact.denoise(image, strength=1.0, sigma=100.0).noise.level.any()
