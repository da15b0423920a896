"""The summary of a series says what was done to its noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from quell.evaluation.report.record import SeriesRecord
from quell.evaluation.report.summary import LUNG, SOFT_TISSUE, display_window, summarise
from quell.image import Geometry, Image, Modality
from quell.inference.contracts import Denoised, NoiseMap
from quell.noise.spectrum import DESCRIPTOR_SIZE, bin_centres

SIDE = 64
Make = Callable[..., SeriesRecord]


def flat(depth: int = 1, sigma: float = 5.0, **fields: object) -> Image:
    noise = np.random.default_rng(0).standard_normal((depth, SIDE, SIDE))
    return Image((100 + sigma * noise).astype(np.float32), **fields)


def denoised(image: Image, left: float, level: float) -> Denoised:
    """Return what a denoiser would give that leaves a share of the noise of a flat image."""
    voxels = 100 + np.float32(left) * (image.voxels - 100)
    grid = np.full((image.shape[0], SIDE // 8, SIDE // 8), level, np.float32)
    noise = NoiseMap(grid, 8, image.shape, np.zeros(DESCRIPTOR_SIZE, np.float32))
    return Denoised(image.with_voxels(voxels), noise, {})


@pytest.mark.parametrize("left", [0.0, 0.3, 1.0])
def test_the_level_after_is_the_level_before_times_what_is_left(make_series: Make, left: float) -> None:
    image = flat(3)
    record = summarise(make_series(noise_before=None, noise_after=None), image, denoised(image, left, 5.0))
    before, after = record.noise_before, record.noise_after
    assert before is not None and after is not None
    assert (before.level_p5, before.level, before.level_p95) == (5.0, 5.0, 5.0)
    assert after.level == pytest.approx(left * 5.0, abs=1e-3)
    assert after.level_p95 == pytest.approx(left * 5.0, abs=1e-3)


def test_what_lies_beside_the_patient_has_no_say_in_what_is_left(make_series: Make) -> None:
    rng = np.random.default_rng(1)
    # A small body that is denoised to a third, in a wide background of little noise that stays.
    body = np.zeros((SIDE, SIDE), bool)
    body[16:40, 16:40] = True
    noise = np.where(body, 20.0, 1.0) * rng.standard_normal((SIDE, SIDE))
    base = np.where(body, 200.0, 0.0)
    image = Image((base + noise)[None].astype(np.float32), Modality.PT)
    after = (base + np.where(body, noise / 3, noise))[None].astype(np.float32)
    level = np.where(body[::8, ::8], 20.0, 1.0)[None].astype(np.float32)
    found = NoiseMap(level, 8, image.shape, np.zeros(DESCRIPTOR_SIZE, np.float32))
    record = summarise(make_series(), image, Denoised(image.with_voxels(after), found, {}))
    assert record.noise_before is not None and record.noise_after is not None
    assert record.noise_before.level == pytest.approx(20)
    assert record.noise_after.level == pytest.approx(20 / 3, rel=1e-3)


def test_the_spectrum_is_told_as_shares_of_the_power(make_series: Make) -> None:
    image = flat()
    before = summarise(make_series(), image, denoised(image, 0.5, 5.0)).noise_before
    assert before is not None
    assert sum(before.power) == pytest.approx(1)
    assert before.frequencies == pytest.approx(tuple(bin_centres()))
    # White noise: the power in a ring grows with its radius.
    assert list(before.power) == sorted(before.power)


def test_where_nothing_is_flat_no_noise_after_is_told(make_series: Make) -> None:
    image = flat()
    steep = image.with_voxels(image.voxels + 1000 * np.random.default_rng(3).random(image.shape, np.float32))
    record = summarise(make_series(notes=("one",), noise_after=None), steep, denoised(steep, 0.5, 5.0))
    assert record.noise_before is not None and record.noise_after is None
    assert record.notes[0] == "one" and "no part of the image is flat" in record.notes[1]


def test_an_image_without_noise_is_warned_of_beside_the_other_warnings(make_series: Make) -> None:
    image = flat(sigma=0)
    record = summarise(make_series(warnings=("one",)), image, denoised(image, 1.0, 0.0))
    assert record.warnings[0] == "one"
    assert "no noise" in record.warnings[1]
    noisy = flat()
    assert summarise(make_series(warnings=()), noisy, denoised(noisy, 0.5, 5.0)).warnings == ()


@pytest.mark.parametrize(
    ("depth", "shown"), [(1, [1]), (2, [2]), (8, [5]), (9, [3, 5, 7]), (40, [11, 21, 31])]
)
def test_the_middle_is_shown_and_two_more_of_a_long_series(
    make_series: Make, depth: int, shown: list[int]
) -> None:
    image = flat(depth, volume=depth > 1)
    pictures = summarise(make_series(), image, denoised(image, 0.5, 5.0)).pictures
    assert [picture.caption for picture in pictures] == [f"slice {n} of {depth}" for n in shown]
    for number, picture in zip(shown, pictures, strict=True):
        np.testing.assert_array_equal(picture.before, image.voxels[number - 1])
        assert not np.shares_memory(picture.before, image.voxels)


def test_frames_are_called_frames_and_pixels_keep_their_aspect(make_series: Make) -> None:
    image = flat(3, geometry=Geometry((1.0, 2.0, 0.5), known=True))
    (picture,) = summarise(make_series(), image, denoised(image, 0.5, 5.0)).pictures
    assert picture.caption == "frame 2 of 3"
    assert picture.aspect == 4.0
    assert picture.difference_limit == pytest.approx(20.0)


def window(values: np.ndarray, modality: Modality, units: str = "arbitrary", **fields: object) -> tuple:
    image = Image(np.broadcast_to(values, (1, 50, 60)).astype(np.float32).copy(), modality, units, **fields)
    return display_window(image, 0)


def test_ct_is_shown_as_soft_tissue_or_as_lung_where_much_of_the_body_is_lung() -> None:
    body = np.full((1, 50, 60), 40.0)
    body[:, :10] = -1000
    assert window(body, Modality.CT, "HU") == SOFT_TISSUE
    body[:, 10:30] = -800
    assert window(body, Modality.CT, "HU") == LUNG
    assert window(np.full((1, 50, 60), -1000.0), Modality.CT, "HU") == SOFT_TISSUE


@pytest.mark.parametrize("modality", [Modality.PT, Modality.NM])
def test_activity_is_shown_from_zero(modality: Modality) -> None:
    low, high = window(np.linspace(2, 9, 60), modality)
    assert low == 0
    assert 8.5 < high <= 9


@pytest.mark.parametrize("modality", [Modality.MR, Modality.US, Modality.XR, Modality.UNKNOWN])
def test_others_are_shown_between_percentiles_whatever_the_outliers(modality: Modality) -> None:
    values = np.broadcast_to(np.linspace(-3, 7, 60), (1, 50, 60)).copy()
    values[0, 0, 0] = 1e6
    low, high = window(values, modality)
    assert (low, high) == pytest.approx((-3, 7), abs=0.2)


def test_padding_has_no_say_in_the_window() -> None:
    values = np.broadcast_to(np.linspace(0, 1, 60), (1, 50, 60)).copy()
    values[:, :25] = -5000
    low, high = window(values, Modality.MR, padding=values < -1000)
    assert 0 <= low < high <= 1
    assert window(values, Modality.MR)[0] == -5000


@pytest.mark.parametrize("modality", list(Modality))
@pytest.mark.parametrize("value", [0.0, -3.0, 5.0])
def test_every_window_has_a_width(modality: Modality, value: float) -> None:
    everything = np.ones((1, 50, 60), bool)
    for padding in (None, everything):
        low, high = window(np.full((1, 50, 60), value), modality, padding=padding)
        assert np.isfinite([low, high]).all()
        assert low < high
