"""The blind estimate against noise that is known: simulated, and of real repeats."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from quell.image import FloatArray, Geometry, Image, Modality
from quell.noise.contracts import NoiseSpectrum
from quell.noise.estimation import estimate_noise, level_percentiles, patient_level
from quell.noise.measures import first_moment, variance
from quell.noise.repeat import compare_repeats, repeat_frames
from quell.noise.spectrum import colour, frequency_axes, normalised, ramp_spectrum


@pytest.fixture(scope="module")
def simulated() -> ModuleType:
    """Return the simulated cases of the benchmark."""
    pytest.importorskip("scipy", reason="phantoms need SciPy")
    file = Path(__file__).parents[2] / "benchmarks" / "noise_cases.py"
    specification = importlib.util.spec_from_file_location("noise_cases", file)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["noise_cases"] = module
    specification.loader.exec_module(module)
    return module


def errors(cases: ModuleType, kind: str, dose: float, seed: int) -> tuple[float, float]:
    """Return the median relative error of the level map, and that of the first moment."""
    case = cases.simulate(kind, dose, seed)
    found = estimate_noise(case.image)
    truth = cases.blocks_of(case.level, found.block)
    judged = truth > 0
    level = float(np.median(np.abs(found.level[judged] / truth[judged] - 1)))
    spacing = case.image.geometry.spacing[1:]
    true = first_moment(NoiseSpectrum(np.fft.fftshift(case.power), spacing, 1))
    assert found.spectrum is not None
    return level, first_moment(found.spectrum) / true - 1


def test_level_and_spectrum_are_found_over_all_modalities_and_doses(simulated: ModuleType) -> None:
    # 36 images of 7 kinds at 3 doses; single ones may fail (see docs/noise/estimation.md), and the median
    # has a standard error of about 1 %: 1.25 times the spread of single errors (5 %) over the root of 36.
    found = [
        errors(simulated, kind, dose, seed)
        for kind in simulated.KINDS
        for dose in (1.0, 0.25, 0.1)
        for seed in ((0, 1) if kind in ("ct", "pet", "us", "xr", "mr") else (0,))
    ]
    level, moment = np.abs(np.array(found)).T
    assert np.median(level) < 0.07
    assert np.median(moment) < 0.05
    assert np.mean(moment < 0.1) > 0.75


@pytest.mark.parametrize("kind", ["ct_water", "mr", "nm", "xr"])
def test_where_much_is_plain_it_is_found_closely(simulated: ModuleType, kind: str) -> None:
    level, moment = np.abs(np.array([errors(simulated, kind, 0.25, seed) for seed in (5, 6, 7)])).T
    assert np.median(level) < 0.06
    assert np.median(moment) < 0.06


def ramp(shape: tuple[int, ...], f50: float, seed: int) -> tuple[FloatArray, np.ndarray]:
    fy, fx = frequency_axes(*shape[-2:])
    power = normalised(ramp_spectrum(np.hypot(fy, fx), 0.01, f50, 2.4))
    white = np.random.default_rng(seed).standard_normal(shape)
    return colour(white, power).astype(np.float32), power


@pytest.mark.parametrize("f50", [0.15, 0.25, 0.4])
def test_plain_noise_is_measured_as_it_is(f50: float) -> None:
    # 256 x 256 pixels hold some 60 independent regions of 32 x 32: the level is known to 1 %, the
    # first moment to 2 %; the regions' resolution biases the moment of the widest grains by 3 %.
    noise, power = ramp((1, 256, 256), f50, 1)
    image = Image(40 + 12 * noise, Modality.CT, "HU", Geometry((1, 0.7, 0.7), known=True))
    found = estimate_noise(image)
    assert np.median(found.level) == pytest.approx(12, rel=0.03)
    assert found.level.min() > 10 and found.level.max() < 14.5
    true = first_moment(NoiseSpectrum(np.fft.fftshift(power), (0.7, 0.7), 1))
    assert found.spectrum is not None
    assert first_moment(found.spectrum) == pytest.approx(true, rel=0.06)


def test_spectrum_is_a_density_whose_sum_is_the_variance() -> None:
    noise, _ = ramp((1, 256, 256), 0.3, 2)
    image = Image(40 + 12 * noise, Modality.CT, "HU", Geometry((1, 0.7, 0.5), known=True))
    found = estimate_noise(image)
    assert found.spectrum is not None and found.spectrum.spacing == (0.7, 0.5)
    assert variance(found.spectrum) == pytest.approx(patient_level(image, found.level) ** 2, rel=1e-5)
    assert variance(found.spectrum) == pytest.approx(144, rel=0.06)


def test_a_level_that_changes_over_the_image_is_followed() -> None:
    noise, _ = ramp((3, 256, 256), 0.3, 3)
    x = np.linspace(0.5, 2.0, 256, dtype=np.float32)
    found = estimate_noise(Image(10 * x * noise, volume=True))
    columns = np.median(found.level, axis=(0, 1))
    expected = 10 * x.reshape(-1, 8).mean(axis=1)
    # Averaging over five blocks and more draws the ends towards the middle.
    assert np.median(np.abs(columns / expected - 1)) < 0.08
    assert np.corrcoef(columns, expected)[0, 1] > 0.99


def test_gain_and_offset_go_through() -> None:
    noise, _ = ramp((1, 128, 128), 0.3, 4)
    one, other = (estimate_noise(Image(np.float32(a) * noise + np.float32(b))) for a, b in ((1, 0), (8, 64)))
    np.testing.assert_allclose(other.level, 8 * one.level, rtol=1e-3)
    assert one.spectrum is not None and other.spectrum is not None
    np.testing.assert_allclose(other.spectrum.power, 64 * one.spectrum.power, rtol=1e-3)


def test_edges_do_not_count() -> None:
    noise, _ = ramp((1, 256, 256), 0.3, 5)
    y, x = np.mgrid[:256, :256]
    stairs = 300.0 * ((x // 40 + y // 56) % 2)
    found = estimate_noise(Image((10 * noise + stairs).astype(np.float32)))
    assert np.median(found.level) == pytest.approx(10, rel=0.08)
    assert np.percentile(found.level, 95) < 13


def test_padding_and_constant_parts_have_level_zero() -> None:
    noise, _ = ramp((1, 128, 128), 0.3, 6)
    voxels = 10 * noise
    voxels[:, :, :32] = 0
    voxels[:, :32] = 900 * noise[:, :32]
    padding = np.zeros(voxels.shape, bool)
    padding[:, :32] = True
    found = estimate_noise(Image(voxels, padding=padding))
    assert (found.level[:, :4] == 0).all() and (found.level[:, 4:, :4] == 0).all()
    assert np.median(found.level[:, 4:, 4:]) == pytest.approx(10, rel=0.06)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5, 200), (2, 12, 9), (3, 20, 20)])
def test_small_images_have_a_level_and_no_spectrum(shape: tuple[int, int, int]) -> None:
    found = estimate_noise(Image(np.random.default_rng(7).standard_normal(shape).astype(np.float32)))
    assert found.spectrum is None
    assert found.level.shape == (shape[0], -(-shape[1] // 8), -(-shape[2] // 8))
    assert np.isfinite(found.level).all()


def test_an_image_without_noise_has_none() -> None:
    found = estimate_noise(Image(np.full((2, 64, 64), 3, np.float32)))
    assert found.spectrum is None and not found.level.any()
    assert level_percentiles(Image(np.zeros((2, 64, 64), np.float32)), found.level, (50, 95)) == (0, 0)


def test_the_same_image_gives_the_same_estimate() -> None:
    noise, _ = ramp((3, 96, 160), 0.2, 8)
    one, other = (estimate_noise(Image(noise.copy(), volume=True)) for _ in range(2))
    assert (one.level == other.level).all()


# Real repeats ---------------------------------------------------------------------------------------

LOW_SNR = ("sola_body_ax", "sola_body_cor", "sola_body_sag", "ge_explorer_sag")
RINGING = ("sola_breast", "sola_headneck", "sola_knee", "aera_tra")
EPI = tuple(f"fbirn_epi_skyra_pe_{way}_2vols.nii.gz" for way in ("ap", "pa", "lr", "rl"))


@pytest.fixture
def load(shared_data: Path) -> Callable[[str], Image]:
    from quell.formats.open import open_study

    return lambda path: open_study(shared_data / path).series[0].read()


def pair(load: Callable[[str], Image], name: str) -> tuple[Image, Image]:
    ending = "IMA" if name.startswith("aera") else "dcm"
    return load(f"mri/pairs/{name}_acq1.{ending}"), load(f"mri/pairs/{name}_acq2.{ending}")


def blind(image: Image) -> float:
    return patient_level(image, estimate_noise(image).level)


@pytest.mark.parametrize("name", LOW_SNR)
def test_one_mr_scan_tells_what_the_difference_of_two_does(load: Callable[[str], Image], name: str) -> None:
    first, second = pair(load, name)
    repeat = compare_repeats(first, second)
    assert repeat.still and abs(repeat.shared) < 0.1
    for image in (first, second):
        assert blind(image) == pytest.approx(repeat.level, rel=0.1)


@pytest.mark.parametrize("name", RINGING)
def test_where_ringing_exceeds_the_noise_the_blind_level_is_a_bound(
    load: Callable[[str], Image], name: str
) -> None:
    first, second = pair(load, name)
    repeat = compare_repeats(first, second)
    assert repeat.shared > 0.3
    assert all(blind(image) > 1.1 * repeat.level for image in (first, second))


@pytest.mark.parametrize("name", EPI)
def test_volumes_that_are_repeats_tell_their_noise(load: Callable[[str], Image], name: str) -> None:
    image = load(f"mri/pairs/{name}")
    half = image.shape[0] // 2
    first = replace(image, voxels=image.voxels[:half].copy(), gaps=())
    second = replace(image, voxels=image.voxels[half:].copy(), gaps=())
    found = repeat_frames(image)
    assert found is not None and found.still and found.shared > 0.9
    assert found.level == pytest.approx(compare_repeats(first, second).level, rel=0.02)
    difference = ((first.voxels - second.voxels) / np.sqrt(2)).reshape(half, 9, 8, 9, 8)
    inside = first.voxels.reshape(half, 9, 8, 9, 8).min(axis=(2, 4)) > 0.3 * first.voxels.max()
    local = difference.std(axis=(2, 4), ddof=1)[inside]
    assert found.level == pytest.approx(float(np.sqrt(np.mean(local**2))), rel=0.1)


def test_still_ultrasound_frames_tell_their_electronic_noise(load: Callable[[str], Image]) -> None:
    frames = load("ultrasound/plus/UltrasonixCurvilinearScanConvertedData.igs.mha")
    found = repeat_frames(frames)
    assert found is not None and found.still
    # Neighbours measure it; the first and the last frame, which they do not compare, check it.
    difference = (frames.voxels[0] - frames.voxels[4]) / np.sqrt(2)
    shown = frames.voxels.mean(axis=0) > 25
    assert found.level == pytest.approx(float(difference[shown].std()), rel=0.1)


@pytest.mark.parametrize("name", ["BoneUltrasound_L14", "SpinePhantomFreehand"])
def test_moving_ultrasound_frames_are_not_taken_for_repeats(load: Callable[[str], Image], name: str) -> None:
    image = load(f"ultrasound/plus/{name}.igs.mha")
    found = repeat_frames(replace(image, voxels=image.voxels[:6].copy()))
    assert found is None or not found.still


def test_water_slices_of_ct_tell_what_their_difference_does(load: Callable[[str], Image]) -> None:
    first, second = (load(f"ct/phantom/ge_ct750hd_qa_img{name}.dcm") for name in "AB")
    repeat = compare_repeats(first, second)
    # Rings and cupping are in both slices: a tenth to a quarter of the variance.
    assert 0.05 < repeat.shared < 0.3
    assert blind(first) == pytest.approx(repeat.level / np.sqrt(1 - repeat.shared), rel=0.1)


def test_slices_of_a_phantom_that_is_the_same_along_z(load: Callable[[str], Image]) -> None:
    whole = load("ct/phantom/qrm_canon_aquilion_one_fc12.nii.gz")
    first, second = (_part(whole, z, z + 6) for z in (4, 5))
    assert blind(first) == pytest.approx(compare_repeats(first, second).level, rel=0.1)


def _part(image: Image, start: int, stop: int) -> Image:
    padding = None if image.padding is None else image.padding[start:stop].copy()
    return replace(image, voxels=image.voxels[start:stop].copy(), padding=padding, gaps=())
