"""Pictures of objects: the speckle, the beam, depth, electronic noise and looks of the scanner model."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from quell.errors import InputError
from quell.image import Geometry, Image, Modality
from quell.noise.echo.speckle import LOG_SD, MEAN_OVER_SD
from quell.noise.ultrasound import UltrasoundNoise

QUIET = {"electronic_noise": -300.0}
WIDE = {"dynamic_range": 120.0, "white": 40.0}
"""A display that cuts nothing off."""


def tissue(rows: int, columns: int, spacing: tuple[float, float], level: float = 0.0) -> Image:
    geometry = Geometry((1.0, *spacing), known=True)
    voxels = np.full((1, rows, columns), level, np.float32)
    return Image(voxels, Modality.US, "dB", geometry)


def decibels(model: UltrasoundNoise, picture: Image) -> np.ndarray:
    """Return the echo level that a picture shows, dB above reference tissue."""
    # Between two whole grey values any is as likely: no steps for the test of Kolmogorov and Smirnov.
    grey = picture.voxels[0] + np.random.default_rng(0).uniform(-0.5, 0.5, picture.shape[1:])
    return grey / 255 * model.dynamic_range - model.dynamic_range + model.white


def amplitude(model: UltrasoundNoise, picture: Image) -> np.ndarray:
    return 10 ** (decibels(model, picture) / 20)


def cells(model: UltrasoundNoise, truth: Image) -> float:
    """Return the number of speckle cells in a picture."""
    _, height, width = truth.geometry.spacing
    depth = height * np.arange(truth.shape[1])
    cell = 1.13 * model.pulse_length * model.beam_width(depth).mean()
    return truth.voxels.size * height * width / cell


@pytest.fixture(scope="module")
def one_look() -> tuple[UltrasoundNoise, Image, np.ndarray]:
    model = UltrasoundNoise(scatterers_per_cell=1000, **WIDE, **QUIET)
    truth = tissue(1400, 256, (0.03, 0.15))
    picture = model.acquire(truth, 1, np.random.default_rng(1)).image
    return model, truth, amplitude(model, picture)


def test_tissue_shows_fully_developed_speckle(one_look: tuple[UltrasoundNoise, Image, np.ndarray]) -> None:
    model, truth, seen = one_look
    n = cells(model, truth)
    # Over n independent cells: SD(mean/SD) = 1.9 / sqrt(n), SD(log-SD) = 5.1 dB / sqrt(n); 4 of them.
    assert seen.mean() / seen.std() == pytest.approx(MEAN_OVER_SD, abs=4 * 1.9 / np.sqrt(n))
    assert (20 * np.log10(seen)).std() == pytest.approx(LOG_SD, abs=4 * 5.1 / np.sqrt(n))
    # 0 dB is a mean intensity of 1.
    assert (seen**2).mean() == pytest.approx(1, abs=4 / np.sqrt(n))


def test_decorrelated_samples_are_rayleigh(one_look: tuple[UltrasoundNoise, Image, np.ndarray]) -> None:
    seen = one_look[2][::20, ::10].ravel()
    assert stats.kstest(seen, "rayleigh", args=(0, np.sqrt(0.5))).pvalue > 1e-3


def full_width(intensity: np.ndarray, axis: int) -> float:
    """Return the full width at half height of the autocorrelation along an axis, samples."""
    centred = np.moveaxis(intensity, axis, -1) - intensity.mean()
    n = centred.shape[-1]
    power = (np.abs(np.fft.rfft(centred, 2 * n)) ** 2).mean(axis=0)
    correlation = np.fft.irfft(power)[:n] / (1 - np.arange(n) / n)
    correlation /= correlation[0]
    first = int(np.argmax(correlation < 0.5))
    over = (correlation[first - 1] - 0.5) / (correlation[first - 1] - correlation[first])
    return 2 * (first - 1 + over)


@pytest.mark.parametrize(
    ("frequency", "bandwidth", "f_number"), [(5.0, 0.6, 2.0), (5.0, 0.3, 3.0), (10.0, 0.6, 2.0)]
)
def test_the_speckle_is_as_long_as_the_pulse_and_as_wide_as_the_beam(
    rng: np.random.Generator, frequency: float, bandwidth: float, f_number: float
) -> None:
    wavelength = 1.54 / frequency
    truth = tissue(800, 400, (wavelength / 12, wavelength * f_number / 6))
    focus = 400 * wavelength / 12
    model = UltrasoundNoise(
        frequency=frequency,
        bandwidth=bandwidth,
        f_number=f_number,
        focus=focus,
        aperture=100,
        **WIDE,
        **QUIET,
    )
    picture = model.acquire(truth, 1, rng).image
    _, height, width = truth.geometry.spacing
    intensity = amplitude(model, picture) ** 2
    near = abs(height * np.arange(800) - focus) < wavelength * f_number**2
    # 400 cells and more near the focus.
    length = 0.8825 * 1.54 / (2 * bandwidth * frequency)
    assert full_width(intensity, 0) * height == pytest.approx(length, rel=0.12)
    assert full_width(intensity[near], 1) * width == pytest.approx(wavelength * f_number, rel=0.12)


def test_the_beam_is_widest_beyond_the_reach_of_the_aperture() -> None:
    model = UltrasoundNoise(aperture=15, f_number=2, focus=25)
    width = model.beam_width(np.array([5.0, 25.0, 30.0, 60.0, 120.0]))
    assert width[1] == pytest.approx(model.wavelength * 2)
    assert width[0] > width[1] < width[2] < width[3] < width[4]
    # Far out both the received and the sent beam follow the depth.
    assert width[4] / width[3] == pytest.approx(2, rel=0.1)


def test_an_anechoic_cyst_is_black_and_keeps_its_contrast(rng: np.random.Generator) -> None:
    model = UltrasoundNoise(**WIDE, **QUIET)
    truth = tissue(600, 200, (0.05, 0.15))
    voxels = truth.voxels.copy()
    y, x = np.ogrid[:600, :200]
    inside = np.hypot((y - 300) * 0.05, (x - 100) * 0.15) < 6
    voxels[0, inside] = -30
    picture = model.acquire(truth.with_voxels(voxels), 1, rng).image
    intensity = amplitude(model, picture) ** 2
    well_inside = np.hypot((y - 300) * 0.05, (x - 100) * 0.15) < 4
    outside = np.hypot((y - 300) * 0.05, (x - 100) * 0.15) > 8
    contrast = 10 * np.log10(intensity[well_inside].mean() / intensity[outside].mean())
    # About 310 cells inside: 4.34 / sqrt(310) = 0.25 dB.
    assert contrast == pytest.approx(-30, abs=1.0)
    shown = UltrasoundNoise().acquire(
        truth.with_voxels(np.where(inside, -60, 0)[None].astype(np.float32)), 1, rng
    )
    assert (shown.image.voxels[0][well_inside] == 0).mean() > 0.99


def test_depth_gain_below_the_attenuation_darkens(rng: np.random.Generator) -> None:
    model = UltrasoundNoise(attenuation=0.7, gain_slope=0.4, **WIDE, **QUIET)
    truth = tissue(1200, 128, (0.05, 0.2))
    intensity = amplitude(model, model.acquire(truth, 1, rng).image) ** 2
    level = 10 * np.log10(intensity.reshape(12, -1).mean(axis=1))
    slope = np.polyfit(np.arange(12) * 0.5, level, 1)[0]
    # 2 ways, 5 MHz, 0.3 dB/cm/MHz; each of 12 levels scatters by about 4.34 / sqrt(600) dB.
    assert slope == pytest.approx(-2 * 5 * 0.3, abs=0.12)


def test_electronic_noise_rises_with_depth_gain(rng: np.random.Generator) -> None:
    model = UltrasoundNoise(electronic_noise=-50, **WIDE)
    truth = tissue(1200, 128, (0.05, 0.2), level=-300)
    level = 10 * np.log10(
        (amplitude(model, model.acquire(truth, 1, rng).image) ** 2).reshape(12, -1).mean(axis=1)
    )
    depth = (np.arange(12) + 0.5) * 0.5
    # 2 ways * 5 MHz * 0.5 dB/cm/MHz = 5 dB/cm; within a block of 0.5 cm the mean lies above the middle.
    assert level == pytest.approx(-50 + 5 * depth, abs=0.6)


def test_noise_of_the_receiver_knows_no_beam(rng: np.random.Generator) -> None:
    model = UltrasoundNoise(electronic_noise=0, attenuation=0, gain_slope=0, **WIDE)
    seen = amplitude(model, model.acquire(tissue(600, 128, (0.03, 0.1), level=-300), 1, rng).image) ** 2
    centred = seen - seen.mean()
    sideways = (centred[:, 1:] * centred[:, :-1]).mean() / centred.var()
    # 600 / 7.5 pulse lengths times 128 lines: 0.01.
    assert abs(sideways) < 0.05
    assert full_width(seen, 0) * 0.03 == pytest.approx(model.pulse_length, rel=0.1)


@pytest.mark.parametrize("looks", [2, 4, 9])
def test_compounding_raises_the_signal_to_noise_by_the_root_of_the_looks(
    rng: np.random.Generator, looks: int
) -> None:
    model = UltrasoundNoise(scatterers_per_cell=1000, **WIDE, **QUIET)
    truth = tissue(500, 128, (0.06, 0.3))
    seen = amplitude(model, model.acquire(truth, looks, rng).image)
    n = cells(model, truth)
    expected = MEAN_OVER_SD * np.sqrt(looks)
    # Near a Gaussian law the SD of an SD is 1 / sqrt(2 n); 4 of them.
    assert seen.mean() / seen.std() == pytest.approx(expected, rel=4 / np.sqrt(2 * n))
    assert (seen**2).mean() == pytest.approx(1, abs=4 / np.sqrt(looks * n))


def test_averaging_lowers_electronic_noise_and_leaves_speckle(rng: np.random.Generator) -> None:
    truth = tissue(400, 128, (0.06, 0.3))
    voxels = truth.voxels.copy()
    voxels[:, :, 64:] = -300
    truth = truth.with_voxels(voxels)
    model = UltrasoundNoise(
        electronic_noise=-35,
        attenuation=0,
        gain_slope=0,
        looks_by="averaging",
        scatterers_per_cell=1000,
        **WIDE,
    )
    one, nine = (amplitude(model, model.acquire(truth, k, np.random.default_rng(5)).image) for k in (1, 9))
    tissue_ratio = [part[:, :60].mean() / part[:, :60].std() for part in (one, nine)]
    noise_ratio = [part[:, 68:].mean() / part[:, 68:].std() for part in (one, nine)]
    # About 1000 cells of speckle, the same in both; 60 x 120 cells of noise.
    assert tissue_ratio[1] == pytest.approx(tissue_ratio[0], rel=0.02)
    assert noise_ratio[1] / noise_ratio[0] == pytest.approx(3, rel=0.06)


@pytest.mark.parametrize("number", [2.0, 8.0])
def test_few_scatterers_give_the_law_of_k(rng: np.random.Generator, number: float) -> None:
    model = UltrasoundNoise(scatterers_per_cell=number, aperture=1000, focus=20, **WIDE, **QUIET)
    truth = tissue(1000, 256, (0.04, 0.2))
    seen = amplitude(model, model.acquire(truth, 1, rng).image)
    _, height, _ = truth.geometry.spacing
    # The cell grows with the width of the beam; the kurtosis of intensity is 2 (1 + 1 / number in a cell).
    inverse = (
        model.beam_width(np.array([20.0])) / model.beam_width(height * np.arange(1000))
    ).mean() / number
    kurtosis = (seen**4).mean() / (seen**2).mean() ** 2
    # Ten seeds scatter by 0.044 (2 in a cell) and 0.016 (8).
    assert kurtosis == pytest.approx(2 * (1 + inverse), abs=0.35 / number)


@pytest.mark.parametrize("radius", [0.0, 30.0])
def test_a_sector_keeps_the_object_in_its_place(rng: np.random.Generator, radius: float) -> None:
    truth = tissue(300, 320, (0.3, 0.3))
    voxels = truth.voxels.copy()
    y, x = np.mgrid[:300, :320]
    inside = np.hypot(y - 170, x - 190) < 25
    voxels[0, inside] = -60
    model = UltrasoundNoise(geometry="sector", radius=radius, frequency=4)
    picture = model.acquire(truth.with_voxels(voxels), 1, rng).image
    assert picture.padding is not None
    black = (picture.voxels[0] == 0) & ~picture.padding[0] & (np.hypot(y - 170, x - 190) < 45)
    assert y[black].mean() == pytest.approx(170, abs=1)
    assert x[black].mean() == pytest.approx(190, abs=1)
    # What the blur of half a beam width (3 pixels) at the edge leaves black.
    assert 0.7 * inside.sum() < black.sum() < 1.05 * inside.sum()
    assert (picture.voxels[picture.padding] == 0).all()
    left, right = picture.padding[0, :, :160], picture.padding[0, :, 160:]
    assert np.array_equal(left, right[:, ::-1])


def test_speckle_of_a_sector_widens_along_arcs(rng: np.random.Generator) -> None:
    model = UltrasoundNoise(
        geometry="sector", radius=0, aperture=15, focus=30, frequency=4, angle=70, **WIDE, **QUIET
    )
    picture = model.acquire(tissue(400, 400, (0.3, 0.3)), 1, rng).image
    intensity = amplitude(model, picture) ** 2
    # The middle beams run down the picture.
    upper, lower = (
        full_width(intensity[rows, 170:230], 1) * 0.3 for rows in (slice(100, 160), slice(320, 380))
    )
    depth = 0.3 * np.array([130.0, 350.0])
    assert [upper, lower] == pytest.approx(list(model.beam_width(depth)), rel=0.2)


def test_a_seed_repeats_and_slices_differ(rng: np.random.Generator) -> None:
    truth = tissue(120, 80, (0.1, 0.2))
    stack = Image(np.repeat(truth.voxels, 2, axis=0), Modality.US, "dB", truth.geometry)
    model = UltrasoundNoise()
    first, again = (model.acquire(stack, 2, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(first.image.voxels, again.image.voxels)
    assert not np.array_equal(first.image.voxels[0], first.image.voxels[1])
    assert first.parameters["looks"] == 2 and first.parameters["frequency"] == 5.0
    assert np.array_equal(first.image.voxels, np.rint(first.image.voxels))


def test_what_cannot_be_acquired_is_refused(rng: np.random.Generator) -> None:
    truth = tissue(64, 64, (0.1, 0.1))
    model = UltrasoundNoise()
    with pytest.raises(InputError, match="pixel size"):
        model.acquire(Image(truth.voxels, Modality.US), 1, rng)
    with pytest.raises(InputError, match="not ultrasound"):
        model.acquire(Image(truth.voxels, Modality.CT, geometry=truth.geometry), 1, rng)
    for dose in (0.5, 0, 1.5, float("nan"), -1):
        with pytest.raises(ValueError, match="looks"):
            model.acquire(truth, dose, rng)


def test_coarse_pixels_are_told(rng: np.random.Generator) -> None:
    model = UltrasoundNoise()
    assert model.acquire(tissue(64, 64, (0.1, 0.2)), 1, rng).warnings == ()
    (warning,) = model.acquire(tissue(64, 64, (0.6, 0.6)), 1, rng).warnings
    assert "coarser" in warning


@pytest.mark.parametrize(
    "wrong",
    [
        {"frequency": 0},
        {"scatterers_per_cell": -1},
        {"angle": 200},
        {"geometry": "ring"},
        {"looks_by": "luck"},
    ],
)
def test_senseless_parameters_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        UltrasoundNoise(**wrong)  # type: ignore[arg-type]
