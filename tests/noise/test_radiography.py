"""The noise of radiographs obeys its law: slope, spectrum, fixed pattern, doses that multiply."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quell.errors import InputError
from quell.image import Acquisition, FloatArray, Geometry, Image, Modality
from quell.noise.detector.exposure import decades_by_noise
from quell.noise.detector.response import modulation_transfer, pixel_share, quantum_noise_power
from quell.noise.radiography import RadiographyNoise

SPACING = (0.2, 0.2)
GEOMETRY = Geometry(spacing=(1.0, *SPACING), known=True)
LINEAR = Acquisition(presentation=False, intensity="LIN", bits=14)
MODEL = RadiographyNoise(quanta_per_value=0.5, structure=0.0)
LEVELS = np.array([200.0, 500.0, 1000.0, 2000.0])


def radiograph(voxels: FloatArray, acquisition: Acquisition = LINEAR) -> Image:
    return Image(np.asarray(voxels, np.float32), Modality.XR, geometry=GEOMETRY, acquisition=acquisition)


def flat(value: float, size: int = 256, slices: int = 1) -> Image:
    return radiograph(np.full((slices, size, size), value, np.float32))


def steps(size: int = 256) -> Image:
    """Return four even fields side by side."""
    return radiograph(np.repeat(LEVELS, size)[None, None].repeat(size, axis=1))


def fields(image: Image) -> list[FloatArray]:
    """Return the fields of `steps` without the blurred edges between them."""
    return [part[0, :, 12:-12] for part in np.split(image.voxels, len(LEVELS), axis=2)]


def field_variances(image: Image) -> np.ndarray:
    return np.array([part.astype(np.float64).var() for part in fields(image)])


@pytest.mark.parametrize("dose", [1.0, 0.25])
@pytest.mark.parametrize("scatter", [0.0, 1.0])
def test_variance_over_mean_is_a_line(rng: np.random.Generator, dose: float, scatter: float) -> None:
    model = replace(MODEL, scatter_to_primary=scatter, electronic_noise_quanta=10.0, scatter_mm=1e-3)
    image = model.acquire(steps(), dose, rng).image
    share = pixel_share(quantum_noise_power(model.mtf50, model.white_share), SPACING)
    slope, intercept = share * (1 + scatter) / (0.5 * dose), (10 / (0.5 * dose)) ** 2
    # 59000 pixels of which the blur leaves about half independent: 1 % of each variance (1 sigma).
    np.testing.assert_allclose(field_variances(image), intercept + slope * LEVELS, rtol=0.04)
    # A line through four variances, each known to 1 %, over a span of 1800: 1.4 % / 1800 of the largest.
    most = intercept + slope * LEVELS[-1]
    fitted = np.polyfit(LEVELS, field_variances(image), 1)
    assert fitted[0] == pytest.approx(slope, abs=3 * 0.014 * most / 1800)
    assert fitted[1] == pytest.approx(intercept, abs=3 * 0.014 * most)


def test_scatter_adds_noise_and_no_signal(rng: np.random.Generator) -> None:
    image = replace(MODEL, scatter_to_primary=2.0).acquire(flat(1000), 1.0, rng).image
    # The mean of 65536 pixels of SD 77 is known to 0.3 + what the blur correlates: about 0.6.
    assert image.voxels.mean() == pytest.approx(1000, abs=2.5)


def power(noise: FloatArray) -> np.ndarray:
    """Return the power spectrum of a stack per pixel, by radius in 16 bins up to the Nyquist frequency."""
    spectrum = (np.abs(np.fft.fft2(noise - noise.mean())) ** 2).mean(axis=0) / noise[0].size
    f = np.hypot(np.fft.fftfreq(noise.shape[1])[:, None], np.fft.fftfreq(noise.shape[2])[None])
    which = np.minimum((f * 32).astype(int), 16).ravel()
    return np.bincount(which, spectrum.ravel())[:16] / np.bincount(which)[:16]


def test_spectrum_lies_between_mtf_squared_and_white(rng: np.random.Generator) -> None:
    model = replace(MODEL, electronic_noise_quanta=0.0, white_share=0.3)
    noise = model.acquire(flat(1000, 128, 24), 1.0, rng).image.voxels
    f2 = (np.fft.fftfreq(128, 0.2)[:, None] ** 2 + np.fft.fftfreq(128, 0.2)[None] ** 2).astype(np.float32)
    law = 0.7 * modulation_transfer(model.mtf50)(f2) ** 2 + 0.3
    f = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.fftfreq(128)[None])
    which = np.minimum((f * 32).astype(int), 16).ravel()
    expected = np.bincount(which, law.ravel())[:16] / np.bincount(which)[:16] * 1000 / 0.5
    # The innermost ring has 45 frequencies (half of them independent) in 24 realisations: 4 %.
    np.testing.assert_allclose(power(noise)[1:], expected[1:], rtol=0.08)


def test_inserted_noise_is_that_of_a_direct_acquisition(rng: np.random.Generator) -> None:
    full = MODEL.acquire(flat(1000, 128, 24), 1.0, rng).image
    inserted = MODEL.simulate(full, 0.25, rng).image.voxels
    direct = MODEL.acquire(flat(1000, 128, 24), 0.25, rng).image.voxels
    # 390000 pixels, half independent: 0.2 % of each deviation.
    assert inserted.std() / direct.std() == pytest.approx(1, abs=0.01)
    np.testing.assert_allclose(power(inserted)[1:] / power(direct)[1:], 1, atol=0.12)


def test_inserted_noise_follows_the_signal(rng: np.random.Generator) -> None:
    full = MODEL.acquire(steps(), 1.0, rng).image
    inserted = field_variances(MODEL.simulate(full, 0.1, rng).image)
    direct = field_variances(MODEL.acquire(steps(), 0.1, rng).image)
    # Two variances, each known to 1 %.
    np.testing.assert_allclose(inserted / direct, 1, atol=0.05)


def test_the_fixed_pattern_does_not_change_with_dose(rng: np.random.Generator) -> None:
    model = replace(MODEL, structure=0.01, quanta_per_value=20.0)
    stacks = [model.acquire(flat(1000, 128, 40), dose, rng).image.voxels for dose in (1.0, 0.25)]
    lower = model.simulate(model.acquire(flat(1000, 128, 40), 1.0, rng).image, 0.25, rng).image.voxels
    patterns = [stack.mean(axis=0).ravel() for stack in (*stacks, lower)]
    # 40 exposures leave noise of 0.05 % (full) and 0.1 % (quarter) on a pattern of 1 %.
    assert np.corrcoef(patterns).min() > 0.98
    for pattern in patterns:
        assert pattern.std() == pytest.approx(10, rel=0.03)
    other = replace(model, detector=1).acquire(flat(1000, 128, 40), 1.0, rng).image.voxels
    assert abs(np.corrcoef(other.mean(axis=0).ravel(), patterns[0])[0, 1]) < 0.05


@pytest.mark.parametrize("dose", [1.0, 0.2])
def test_stabilised_noise_has_unit_variance(rng: np.random.Generator, dose: float) -> None:
    image = MODEL.acquire(steps(), dose, rng).image
    at_dose = replace(MODEL, quanta_per_value=0.5 * dose)
    stable = image.with_voxels(at_dose.stabilised(image))
    # Deviations known to 0.5 %; the transform itself holds to 1 % above 20 quanta.
    np.testing.assert_allclose(np.sqrt(field_variances(stable)), 1, atol=0.03)


def test_dose_1_adds_nothing(rng: np.random.Generator) -> None:
    full = RadiographyNoise().acquire(steps(64), 1.0, rng).image
    assert np.array_equal(RadiographyNoise().simulate(full, 1.0, rng).image.voxels, full.voxels)


def test_doses_multiply(rng: np.random.Generator) -> None:
    full = MODEL.acquire(steps(), 1.0, rng).image
    half = MODEL.simulate(full, 0.5, rng)
    again = replace(MODEL, quanta_per_value=half.parameters["quanta_per_value"])  # type: ignore[arg-type]
    twice, once = again.simulate(half.image, 0.4, rng).image, MODEL.simulate(full, 0.2, rng).image
    # Two variances, each known to 1 %.
    np.testing.assert_allclose(field_variances(twice) / field_variances(once), 1, atol=0.05)


def test_the_signal_stays(rng: np.random.Generator) -> None:
    full = MODEL.acquire(steps(), 1.0, rng).image
    for low in (MODEL.simulate(full, 0.1, rng).image, MODEL.acquire(steps(), 0.1, rng).image):
        # SD 130 at most over 59000 pixels, correlated over some: 1.2.
        means = [float(part.mean()) for part in fields(low)]
        np.testing.assert_allclose(means, LEVELS, atol=5)


@pytest.mark.parametrize("quanta", [0.05, 0.5, 5.0])
def test_quanta_are_found_in_the_noise(rng: np.random.Generator, quanta: float) -> None:
    image = replace(MODEL, quanta_per_value=quanta).acquire(steps(), 1.0, rng).image
    found = RadiographyNoise(structure=0.0).calibrate(image).quanta_per_value
    # 1024 blocks a field, the quantile of their variances is known to 2 %.
    assert found == pytest.approx(quanta, rel=0.06)


def test_quanta_are_found_beside_anatomy(rng: np.random.Generator) -> None:
    truth = steps().voxels.copy()
    truth[0, 64:128] *= 1 + 0.3 * np.sin(np.arange(1024) / 1.5, dtype=np.float32)
    truth[0, ::32] *= 1.5
    image = MODEL.acquire(radiograph(truth), 1.0, rng).image
    assert RadiographyNoise(structure=0.0).calibrate(image).quanta_per_value == pytest.approx(0.5, rel=0.15)


def test_unmeasured_quanta_are_measured_by_simulate(rng: np.random.Generator) -> None:
    full = MODEL.acquire(steps(), 1.0, rng).image
    blind = RadiographyNoise(structure=0.0).simulate(full, 0.25, rng)
    told = MODEL.simulate(full, 0.25, rng)
    np.testing.assert_allclose(field_variances(blind.image) / field_variances(told.image), 1, atol=0.06)
    assert blind.parameters["quanta_per_value_at_full_dose"] == pytest.approx(0.5, rel=0.06)
    assert blind.warnings == ()


def logarithmic(linear: Image, slope: float, acquisition: Acquisition, step: float = 1.0) -> Image:
    """Return ``1000 + slope * ln(I / largest)`` in whole steps."""
    values = 1000 + slope * np.log(np.maximum(linear.voxels, 1) / np.float32(LEVELS[-1]))
    return radiograph(np.rint(values / step) * step, acquisition)


@pytest.mark.parametrize("slope", [300.0, -300.0])
def test_logarithmic_values_are_inverted_by_their_own_noise(rng: np.random.Generator, slope: float) -> None:
    ramp = radiograph(np.geomspace(200, 2000, 768, dtype=np.float32)[None, None].repeat(384, axis=1))
    log = Acquisition(presentation=False, intensity="LOG", bits=12)
    full = logarithmic(MODEL.acquire(ramp, 1.0, rng).image, slope, log)
    assert np.sign(decades_by_noise(full)) == -np.sign(slope)
    low = RadiographyNoise().simulate(full, 0.25, rng)
    direct = logarithmic(MODEL.acquire(ramp, 0.25, rng).image, slope, log)
    trend = logarithmic(ramp, slope, log)
    for part in (slice(32, 160), slice(320, 448), slice(600, 728)):
        got, wanted = ((image.voxels - trend.voxels)[0, :, part].std() for image in (low.image, direct))
        # The law is guessed from the noise, which electronics make steeper than quanta alone.
        assert got / wanted == pytest.approx(1, abs=0.3)
    assert any("approximate" in warning for warning in low.warnings)


VIEWED = (
    Acquisition(presentation=True),
    Acquisition(intensity="DISP"),
    Acquisition(bits=8),
    Acquisition(presentation=False, intensity="LOG", bits=12),
    Acquisition(bits=12),
)


@pytest.mark.parametrize("acquisition", VIEWED)
def test_values_that_are_not_linear_are_called_approximate(
    rng: np.random.Generator, acquisition: Acquisition
) -> None:
    noisy = MODEL.acquire(steps(64), 1.0, rng).image
    image = logarithmic(noisy, -80.0, acquisition)
    simulated = RadiographyNoise().simulate(image, 0.25, rng)
    assert any(warning.startswith("approximate") for warning in simulated.warnings)
    assert simulated.image.voxels.min() >= image.voxels.min() - 1e-2
    assert simulated.image.voxels.max() <= image.voxels.max() + 1e-2
    assert simulated.image.voxels.std() > image.voxels.std()


def test_noise_below_the_grey_levels_is_assumed_and_said(rng: np.random.Generator) -> None:
    image = radiograph(np.rint(np.linspace(0, 255, 256))[None, None].repeat(256, 1), Acquisition(bits=8))
    simulated = RadiographyNoise().simulate(image, 0.25, rng)
    assert any("1000 quanta" in warning for warning in simulated.warnings)


def test_padding_stays(rng: np.random.Generator) -> None:
    full = MODEL.acquire(steps(64), 1.0, rng).image
    padding = np.zeros(full.shape, bool)
    padding[:, :9] = True
    low = MODEL.simulate(replace(full, padding=padding), 0.25, rng).image
    assert np.array_equal(low.voxels[padding], full.voxels[padding])
    assert not np.array_equal(low.voxels, full.voxels)


def test_the_same_state_gives_the_same_image() -> None:
    full = MODEL.acquire(steps(64), 1.0, np.random.default_rng(3)).image
    for image in (full, MODEL.acquire(steps(64), 1.0, np.random.default_rng(3)).image):
        assert np.array_equal(image.voxels, full.voxels)
    lows = [MODEL.simulate(full, 0.3, np.random.default_rng(4)).image.voxels for _ in range(2)]
    assert np.array_equal(*lows)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (Image(np.ones((1, 8, 8), np.float32), Modality.CT), "not a radiograph"),
        (flat(0, 16), "constant"),
        (radiograph(np.linspace(-9, 9, 256).reshape(1, 16, 16)), "negative"),
        (radiograph(np.array([[[np.nan, 1.0]]])), "not finite"),
    ],
)
def test_bad_images_are_refused(image: Image, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        RadiographyNoise().check(image)


def test_an_image_without_noise_cannot_be_calibrated(rng: np.random.Generator) -> None:
    with pytest.raises(InputError, match="cannot be measured"):
        RadiographyNoise().simulate(steps(64), 0.5, rng)


@pytest.mark.parametrize("dose", [0.0, -1.0, 1.5, float("nan")])
def test_a_dose_is_a_fraction(dose: float, rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="dose"):
        MODEL.simulate(steps(64), dose, rng)


@pytest.mark.parametrize("changes", [{"mtf50": 0.0}, {"white_share": 1.5}, {"structure": -1.0}])
def test_senseless_parameters_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        replace(MODEL, **changes)  # type: ignore[arg-type]
