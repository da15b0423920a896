"""A given B-mode with new speckle: its grain, its level, and what is left alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from quell.errors import InputError
from quell.image import Acquisition, Geometry, Image, Modality
from quell.noise.blank import blank_zones, scan_region
from quell.noise.echo.echoes import PointSpread
from quell.noise.echo.grain import measure_grain
from quell.noise.echo.speckle import LOG_SD, complex_lines, envelope, log_compress
from quell.noise.ultrasound import UltrasoundNoise

MODEL = UltrasoundNoise()


def bmode(truth: np.ndarray, seed: int = 0, looks: int = 1, **fields: object) -> Image:
    """Return a picture of echogenicity on pixels of 0.1 mm."""
    geometry = Geometry((1.0, 0.1, 0.1), known=True)
    object_ = Image(truth[None].astype(np.float32), Modality.US, "dB", geometry)
    model = UltrasoundNoise(aperture=30, electronic_noise=-120, **fields)  # type: ignore[arg-type]
    return model.acquire(object_, looks, np.random.default_rng(seed)).image


@pytest.fixture(scope="module")
def plain() -> Image:
    return bmode(np.zeros((400, 400)))


@pytest.fixture(scope="module")
def anew(plain: Image) -> Image:
    return MODEL.simulate(plain, 1, np.random.default_rng(1)).image


def decibels(image: Image) -> np.ndarray:
    return image.voxels[0].astype(float) * 60 / 255


def intensity(image: Image) -> np.ndarray:
    return 10 ** (decibels(image) / 10)


def correlation(one: Image, other: Image) -> float:
    return float(np.corrcoef(one.voxels.ravel(), other.voxels.ravel())[0, 1])


def spread_of(image: Image) -> PointSpread:
    grain = measure_grain(image.voxels[0], np.ones(image.shape[1:], bool), 255.0)
    assert grain is not None
    return grain.spread


@pytest.mark.parametrize(("frequency", "bandwidth"), [(3.5, 0.6), (5.0, 0.3), (7.0, 0.6)])
def test_the_grain_is_measured(frequency: float, bandwidth: float) -> None:
    picture = bmode(np.zeros((400, 400)), frequency=frequency, bandwidth=bandwidth)
    found = spread_of(picture)
    model = UltrasoundNoise(frequency=frequency, bandwidth=bandwidth, aperture=30)
    width = model.beam_width(0.1 * np.arange(400)) / 2.3548 / 0.1
    # Eight seeds scatter by 2 % along and 4 % across the beams.
    assert found.along == pytest.approx(model.pulse_length / 2.3548 / 0.1, rel=0.1)
    assert found.across.mean() == pytest.approx(width.mean(), rel=0.15)


def test_the_grain_stays_while_the_speckle_is_another(plain: Image, anew: Image) -> None:
    assert spread_of(anew).along == pytest.approx(spread_of(plain).along, rel=0.15)
    assert spread_of(anew).across.mean() == pytest.approx(spread_of(plain).across.mean(), rel=0.15)
    # What correlates is what the local mean keeps of the old speckle: (1.2 / 5.6)^2 and scatter.
    assert abs(correlation(plain, anew)) < 0.25


def test_contrast_of_one_look(anew: Image) -> None:
    # 1.2 dB of the old speckle are left in the level; 1400 cells scatter the SD by 5.1 / sqrt(1400) = 0.14.
    assert decibels(anew).std() == pytest.approx(np.hypot(LOG_SD, 1.2), abs=0.4)


def test_the_mean_echo_level_stays(plain: Image, anew: Image) -> None:
    # 1400 cells in each: 4.34 * sqrt(1 / 1400) = 0.12 dB, for the second the first is the truth.
    assert 10 * np.log10(intensity(anew).mean() / intensity(plain).mean()) == pytest.approx(0, abs=0.4)


@pytest.mark.parametrize("looks", [4, 16])
def test_more_looks_have_less_contrast_and_the_same_level(plain: Image, looks: int) -> None:
    picture = MODEL.simulate(plain, looks, np.random.default_rng(2)).image
    # For many looks the logarithm is linear: 20 / ln(10) / (1.913 sqrt(looks)); with what is left of the old.
    expected = np.hypot(8.686 / 1.913 / np.sqrt(looks), 1.2)
    assert decibels(picture).std() == pytest.approx(expected, rel=0.12)
    assert 10 * np.log10(intensity(picture).mean() / intensity(plain).mean()) == pytest.approx(0, abs=0.25)


def test_contrast_and_edges_of_the_object_stay() -> None:
    y, x = np.mgrid[:400, :400]
    truth = np.where(np.hypot(y - 150, x - 130) < 60, -18.0, 0.0)
    truth[np.hypot(y - 260, x - 270) < 60] = 12
    picture = bmode(truth, seed=4)
    seen = MODEL.simulate(picture, 4, np.random.default_rng(3)).image
    for middle, inner in (((150, 130), 45), ((260, 270), 45)):
        inside = np.hypot(y - middle[0], x - middle[1]) < inner
        change = 10 * np.log10(intensity(seen)[inside].mean() / intensity(picture)[inside].mean())
        # About 60 cells, of which four looks see 240: 4.34 / sqrt(240) * 1.1 = 0.3 dB.
        assert change == pytest.approx(0, abs=1.0)
    # Some 8 pixels outside the bright disc its echoes, 12 dB up, no longer shine.
    ring = (np.hypot(y - 260, x - 270) > 72) & (np.hypot(y - 260, x - 270) < 80)
    assert 10 * np.log10(intensity(seen)[ring].mean() / intensity(picture)[ring].mean()) < 1.5


@pytest.fixture(scope="module")
def screen() -> tuple[Image, np.ndarray]:
    """Return a sector with text, a grey wedge and a frame of padding on its screen, and where the scan is."""
    geometry = Geometry((1.0, 0.25, 0.25), known=True)
    truth = Image(np.zeros((1, 320, 400), np.float32), Modality.US, "dB", geometry)
    model = UltrasoundNoise(geometry="sector", frequency=3.5, electronic_noise=-120)
    picture = model.acquire(truth, 1, np.random.default_rng(6)).image
    assert picture.padding is not None
    scan = ~picture.padding[0]
    voxels = picture.voxels.copy()
    voxels[0, 10:130, 4:12] = np.rint(np.linspace(255, 1, 120))[:, None]
    voxels[0, 20:30, 340:390:4] = 200
    voxels[0, 300:, :30] = 90
    padding = np.zeros_like(voxels, bool)
    padding[0, 300:, :] = True
    return Image(voxels, Modality.US, geometry=geometry, padding=padding), scan


def test_outside_the_scan_nothing_changes(screen: tuple[Image, np.ndarray]) -> None:
    picture, scan = screen
    anew = MODEL.simulate(picture, 1, np.random.default_rng(1)).image
    assert picture.padding is not None
    outside = ~scan | picture.padding[0]
    changed = anew.voxels[0] != picture.voxels[0]
    assert not changed[outside].any()
    assert changed[scan & ~picture.padding[0]].mean() > 0.9
    assert np.array_equal(anew.voxels, np.rint(anew.voxels))


def test_zones_of_zeros_are_blank_and_single_zeros_are_not(rng: np.random.Generator) -> None:
    pixels = rng.integers(1, 255, (60, 70)).astype(np.float32)
    pixels[20:40, 30:50] = 0
    pixels[5:10, 5:60] = 0
    pixels[50, ::2] = 0
    expected = np.zeros(pixels.shape, bool)
    expected[20:40, 30:50] = True
    assert np.array_equal(blank_zones(pixels), expected)
    assert not blank_zones(pixels[:5]).any()


def test_the_scan_is_the_largest_part() -> None:
    pixels = np.zeros((80, 120), np.float32)
    pixels[10:70, 50:110] = 7
    pixels[10:20, 5:25] = 9
    region = scan_region(pixels)
    assert region[10:70, 50:110].all() and not region[:, :30].any()
    assert not scan_region(np.zeros((40, 40), np.float32)).any()


def test_twelve_bits_are_taken_as_such(plain: Image) -> None:
    deep = Image(plain.voxels * 16, Modality.US, acquisition=Acquisition(bits=12))
    found = MODEL.simulate(deep, 1, np.random.default_rng(1))
    assert found.parameters["white_grey_value"] == 4095
    assert found.image.voxels.std() == pytest.approx(16 * plain.voxels.std(), rel=0.1)
    assert not any("8-bit" in warning for warning in found.warnings)


def test_frames_are_speckled_each_by_itself(plain: Image) -> None:
    empty = np.zeros_like(plain.voxels)
    stack = Image(np.concatenate([plain.voxels, empty, plain.voxels]), Modality.US)
    found = MODEL.simulate(stack, 1, np.random.default_rng(1))
    assert np.array_equal(found.image.voxels[1], empty[0])
    assert not np.array_equal(found.image.voxels[0], found.image.voxels[2])
    assert any("1 of 3 frames" in warning for warning in found.warnings)


def test_the_approximations_are_told(plain: Image) -> None:
    told = " ".join(MODEL.check(Image(plain.voxels)))
    assert all(word in told for word in ("60 dB", "scan-converted", "8-bit", "does not say"))
    assert "does not say" not in " ".join(MODEL.check(plain))


def test_what_cannot_be_speckled_is_refused(plain: Image, rng: np.random.Generator) -> None:
    with pytest.raises(InputError, match="not ultrasound"):
        MODEL.check(Image(plain.voxels, Modality.MR))
    with pytest.raises(InputError, match="negative"):
        MODEL.check(Image(plain.voxels - 9, Modality.US))
    with pytest.raises(InputError, match="equal"):
        MODEL.check(Image(np.ones((1, 99, 99), np.float32), Modality.US))
    with pytest.raises(InputError, match="plain region"):
        MODEL.simulate(Image(plain.voxels[:, :40, :40].copy(), Modality.US), 1, rng)
    with pytest.raises(InputError, match="averaging"):
        UltrasoundNoise(looks_by="averaging").simulate(plain, 2, rng)
    with pytest.raises(ValueError, match="looks"):
        MODEL.simulate(plain, 0.25, rng)


def test_a_real_picture_keeps_its_level_and_its_surroundings(shared_data: Path) -> None:
    grey = np.asarray(
        Picture.open(shared_data / "ultrasound" / "hc18" / "090_HC.png").convert("L"), np.float32
    )
    picture = Image(grey[None].copy(), Modality.US)
    anew = MODEL.simulate(picture, 4, np.random.default_rng(1)).image
    inside = scan_region(grey)
    assert np.array_equal(anew.voxels[0][~inside], grey[~inside])
    change = 10 * np.log10(intensity(anew)[inside].mean() / intensity(picture)[inside].mean())
    assert abs(change) < 1


def test_raw_lines_of_a_real_scanner_keep_grain_and_contrast(shared_data: Path) -> None:
    raw = np.fromfile(shared_data / "ultrasound" / "plus" / "BkCurvilinearRfData.raw", np.int16)
    part = envelope(complex_lines(raw.reshape(358, 3480)))[20:145, 20:340]
    picture = Image(np.rint(log_compress(part, 60, float(part.max())))[None], Modality.US)
    anew = MODEL.simulate(picture, 1, np.random.default_rng(1)).image
    before, after = spread_of(picture), spread_of(anew)
    assert after.along == pytest.approx(before.along, rel=0.15)
    assert after.across.mean() == pytest.approx(before.across.mean(), rel=0.15)
    plain = np.s_[45:115, 80:230]
    assert decibels(anew)[plain].std() == pytest.approx(decibels(picture)[plain].std(), rel=0.15)
