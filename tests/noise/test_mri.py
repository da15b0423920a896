"""MR noise: the laws of magnitudes, coils, SENSE, k-space, and noise added to a given image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import special, stats

from quell.errors import InputError
from quell.image import Image, Modality
from quell.noise.coils.array import coil_covariance, coil_noise, coil_sensitivities, sum_of_squares
from quell.noise.coils.kspace import kspace_weights
from quell.noise.coils.magnitude import magnitude_noise, stretch_spectrum
from quell.noise.coils.sense import g_factor, noise_after, unfold, unfolding
from quell.noise.mri import MRINoise

SIDE = 256


def flat(level: float, side: int = 512) -> Image:
    return Image(np.full((1, side, side), level, np.float32), Modality.MR)


def disc(side: int = SIDE, level: float = 100.0) -> np.ndarray:
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    return np.where(np.hypot(y, x) < 0.7, level, 0).astype(np.float32)


def measured(sigma: float, seed: int = 0, channels: int = 1, side: int = SIDE) -> Image:
    """Return the magnitude of a disc of signal 100 with white noise of standard deviation `sigma`."""
    rng = np.random.default_rng(seed)
    noise = sigma * rng.standard_normal((channels, 2, side, side))
    noise[0, 0] += disc(side)
    return Image(np.sqrt((noise**2).sum(axis=(0, 1)))[None].astype(np.float32), Modality.MR)


def mean_of_chi(signal: float, channels: int) -> float:
    """Return the mean of a non-central chi law for unit noise (Constantinides et al. 1997)."""
    ratio = np.sqrt(2) * special.poch(channels, 0.5)
    return float(ratio * special.hyp1f1(-0.5, channels, -0.5 * signal**2))


@pytest.mark.parametrize("snr", [0.0, 0.5, 1.0, 2.0, 3.0, 5.0])
def test_one_coil_is_rician(rng: np.random.Generator, snr: float) -> None:
    # A pixel of strong signal sets the scale, so that the rest may have none; noise is 1.
    truth = flat(snr, 1024).voxels.copy()
    scale = 100.0
    truth[0, :, :12] = scale
    seen = (
        MRINoise(snr=scale, coils=1)
        .acquire(Image(truth, Modality.MR), 1, rng)
        .image.voxels[0, :, 12:]
        .ravel()
    )
    # 1e6 samples: mean and second moment scatter by at most 0.1 %; 4 of them.
    assert seen.mean() == pytest.approx(mean_of_chi(snr, 1), rel=0.004)
    assert (seen.astype(float) ** 2).mean() == pytest.approx(snr**2 + 2, rel=0.005)
    assert stats.kstest(seen[::20], "rice", args=(snr,)).pvalue > 1e-3


@pytest.mark.parametrize("snr", [0.0, 2.0])
def test_sum_of_squares_is_chi(rng: np.random.Generator, snr: float) -> None:
    noise = coil_noise(rng, coil_covariance(8, 0.0), (400, 400))
    noise += snr / np.sqrt(8)
    seen = sum_of_squares(noise)
    # 1.6e5 samples: the mean scatters by 0.05 %, the second moment by 0.1 %.
    assert seen.mean() == pytest.approx(mean_of_chi(snr, 8), rel=0.003)
    assert (seen.astype(float) ** 2).mean() == pytest.approx(snr**2 + 16, rel=0.005)


def test_the_noise_of_coils_has_its_covariance(rng: np.random.Generator) -> None:
    covariance = coil_covariance(6, 0.4, sigma=2.0)
    noise = coil_noise(rng, covariance, (300, 300)).reshape(6, -1)
    found = noise @ noise.conj().T / noise.shape[1] / 2
    # 9e4 samples: entries scatter by 4 / sqrt(9e4) = 0.013.
    assert found == pytest.approx(covariance, abs=0.06)
    assert (noise @ noise.T / noise.shape[1]) == pytest.approx(np.zeros((6, 6)), abs=0.12)


def test_coils_see_what_is_near_and_all_of_the_field() -> None:
    seen = np.abs(coil_sensitivities((96, 128), 8))
    assert np.sqrt((seen[:, 48, 64] ** 2).sum()) == pytest.approx(1)
    assert (np.sqrt((seen**2).sum(axis=0)) > 0.9).all()
    # The first coil lies at the right edge, the third below.
    assert seen[0, 48, 120] > 3 * seen[0, 48, 8]
    assert seen[2, 90, 64] > 3 * seen[2, 6, 64]
    assert (coil_sensitivities((10, 10), 1) == 1).all()


@pytest.mark.parametrize("acceleration", [1, 2, 3])
def test_noise_after_unfolding_is_that_of_pseudo_replicas(
    rng: np.random.Generator, acceleration: int
) -> None:
    rows, columns, replicas = 48, 40, 200
    seen = coil_sensitivities((rows, columns), 8)
    covariance = coil_covariance(8, 0.3)
    matrices = unfolding(seen, covariance, acceleration)
    folded = coil_noise(rng, acceleration * covariance, (replicas * rows // acceleration, columns))
    parts = folded.reshape(8, replicas, rows // acceleration, columns).swapaxes(0, 1)
    images = np.array([unfold(part, matrices) for part in parts])
    ratio = images.real.std(axis=0) / noise_after(seen, covariance, acceleration)
    # 200 replicas: each pixel scatters by 5 %, the median over 1920 pixels by 0.15 %.
    assert np.median(ratio) == pytest.approx(1, abs=0.01)
    assert np.quantile(ratio, [0.01, 0.99]) == pytest.approx([1 - 0.116, 1 + 0.116], abs=0.03)


def test_the_g_factor_follows_from_the_noise() -> None:
    seen, covariance = coil_sensitivities((48, 40), 8), coil_covariance(8, 0.3)
    for acceleration in (2, 3, 4):
        whole, fewer = (noise_after(seen, covariance, k) for k in (1, acceleration))
        g = g_factor(seen, covariance, acceleration)
        assert g == pytest.approx(fewer / whole / np.sqrt(acceleration), rel=1e-3)
        assert (g >= 1).all()
    assert np.median(g_factor(seen, covariance, 2)) < np.median(g) / 1.5
    assert g_factor(seen, covariance, 1) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("acceleration", [1, 2, 4])
def test_sense_brings_back_the_object(rng: np.random.Generator, acceleration: int) -> None:
    truth = Image(disc(96)[None], Modality.MR)
    seen = MRINoise(snr=1e5, acceleration=acceleration).acquire(truth, 1, rng).image
    assert seen.voxels == pytest.approx(truth.voxels, abs=0.2)


def test_sense_has_no_bias_and_its_noise_is_as_told(rng: np.random.Generator) -> None:
    model = MRINoise(snr=25, acceleration=2, correlation=0.2)
    truth = Image(np.repeat(disc(96)[None], 60, axis=0), Modality.MR)
    voxels = model.acquire(truth, 1, rng).image.voxels
    inside = disc(96) > 0
    sigma = noise_after(coil_sensitivities((96, 96), 8), coil_covariance(8, 0.2, 4.0), 2)
    # 60 images: the mean of a pixel scatters by sigma / 7.7, the mean over 3500 pixels by nearly nothing.
    bias = sigma**2 / (2 * 100)
    assert (voxels.mean(axis=0) - bias)[inside].mean() == pytest.approx(100, rel=0.002)
    assert np.median(voxels.std(axis=0)[inside] / sigma[inside]) == pytest.approx(1, abs=0.02)


def lag_one(voxels: np.ndarray, axis: int) -> float:
    """Return the correlation of neighbours along an axis."""
    part = np.moveaxis(voxels.astype(float), axis, -1) - voxels.mean()
    return float((part[..., 1:] * part[..., :-1]).mean() / (part**2).mean())


def test_zero_filling_correlates_as_a_sinc(rng: np.random.Generator) -> None:
    seen = MRINoise(snr=20, coils=1, zero_filling=2).acquire(flat(100.0), 1, rng).image.voxels[0]
    # sinc(1/2) = 0.637; 6.5e4 independent samples.
    assert lag_one(seen, 0) == pytest.approx(2 / np.pi, abs=0.02)
    assert lag_one(seen, 1) == pytest.approx(2 / np.pi, abs=0.02)
    # Three fourths of k-space hold no noise.
    assert seen.std() == pytest.approx(5 / 2, rel=0.02)


def test_partial_fourier_correlates_along_the_lines_that_were_left_out(rng: np.random.Generator) -> None:
    seen = MRINoise(snr=20, coils=1, partial_fourier=0.6).acquire(flat(100.0), 1, rng).image.voxels[0]
    # The real part sees half of the outer band mirrored: power 1 below 0.1, 1/2 above, mean 0.6.
    assert seen.std() == pytest.approx(5 * np.sqrt(0.6), rel=0.02)
    assert lag_one(seen, 1) == pytest.approx(0, abs=0.02)
    expected = 2 * np.sin(0.2 * np.pi) / (2 * np.pi) * 0.5 / 0.6
    assert lag_one(seen, 0) == pytest.approx(expected, abs=0.02)


def test_weights_of_kspace() -> None:
    assert (kspace_weights((8, 10)) == 1).all()
    weights = kspace_weights((64, 64), zero_filling=2)
    assert weights.mean() == pytest.approx((31 / 64) ** 2)
    assert kspace_weights((64, 64), partial_fourier=0.75).mean() == pytest.approx(0.75, abs=0.02)
    window = kspace_weights((65, 65), apodisation=1.0)
    assert window[0, 0] == 1 and window.min() < 0.01
    # Power of Hann's window: 3/8.
    assert (window[0] ** 2).mean() == pytest.approx(3 / 8, abs=0.01)


def test_dose_is_measuring_time(rng: np.random.Generator) -> None:
    model = MRINoise(snr=40, coils=1)
    full, quarter = (model.acquire(flat(100.0), dose, rng).image.voxels.std() for dose in (1.0, 0.25))
    # 2.6e5 pixels: 0.14 % each.
    assert (full, quarter) == pytest.approx((2.5, 5.0), rel=0.01)


@pytest.mark.parametrize("dose", [0.5, 0.25, 0.1])
@pytest.mark.parametrize("channels", [1, 4])
def test_less_time_gives_the_law_of_more_noise_whatever_the_signal(dose: float, channels: int) -> None:
    known = MRINoise(noise_level=2.0, channels=channels)
    image = measured(2.0, channels=channels)
    seen = known.simulate(image, dose, np.random.default_rng(1)).image.voxels[0]
    direct = measured(2.0 / np.sqrt(dose), seed=2, channels=channels).voxels[0]
    # 25000 pixels of disc, 40000 of air: SDs scatter by 0.45 and 0.35 %, both sides, 4 of them.
    for region in (disc() > 0, disc() == 0):
        assert seen[region].std() == pytest.approx(direct[region].std(), rel=0.025)
        assert seen[region].mean() == pytest.approx(direct[region].mean(), rel=0.01)
        assert stats.ks_2samp(seen[region], direct[region]).pvalue > 1e-3


def test_the_law_is_exact_at_low_signal(rng: np.random.Generator) -> None:
    # At a signal of 1 sigma, where sqrt(m^2 - 2 sigma^2) before the noise would have been far off.
    noise = rng.standard_normal((2, 600, 600))
    magnitude = np.hypot(1 + noise[0], noise[1]).astype(np.float32)[None]
    seen = (
        MRINoise(noise_level=1.0, channels=1).simulate(Image(magnitude, Modality.MR), 0.25, rng).image.voxels
    )
    assert stats.kstest(seen.ravel()[::5] / 2, "rice", args=(0.5,)).pvalue > 1e-3


def test_two_steps_are_one() -> None:
    image = measured(2.0)
    first = MRINoise(noise_level=2.0).simulate(image, 0.5, np.random.default_rng(1))
    level = 2.0 / np.sqrt(0.5)
    second = MRINoise(noise_level=level).simulate(first.image, 0.4, np.random.default_rng(2)).image.voxels[0]
    once = MRINoise(noise_level=2.0).simulate(image, 0.2, np.random.default_rng(3)).image.voxels[0]
    for region in (disc() > 0, disc() == 0):
        assert second[region].std() == pytest.approx(once[region].std(), rel=0.025)
        assert stats.ks_2samp(second[region], once[region]).pvalue > 1e-3


def test_full_time_changes_nothing() -> None:
    image = measured(2.0)
    assert np.array_equal(MRINoise().simulate(image, 1, np.random.default_rng(1)).image.voxels, image.voxels)


@pytest.mark.parametrize("sigma", [2.0, 5.0, 12.0])
@pytest.mark.parametrize("channels", [1, 4])
def test_the_level_is_found_in_the_image(sigma: float, channels: int) -> None:
    image = measured(sigma, channels=channels)
    noise = magnitude_noise(image, np.zeros(image.shape, bool))
    # Five seeds scatter by 2 %; the signal of a sum of squares is a little above that of one coil.
    assert noise.sigma == pytest.approx(sigma, rel=0.08)
    assert noise.channels == pytest.approx(channels, rel=0.15)
    assert noise.signal == pytest.approx(np.hypot(100, np.sqrt(2 * channels) * sigma), rel=0.08)


@pytest.mark.parametrize("dose", [0.5, 0.2])
def test_the_level_after_is_the_level_before_over_the_root_of_the_dose(dose: float) -> None:
    truth = Image(np.repeat(disc()[None], 4, axis=0), Modality.MR)
    image = MRINoise(snr=40, coils=1).acquire(truth, 1, np.random.default_rng(4)).image
    found = MRINoise().simulate(image, dose, np.random.default_rng(5))
    after = found.image.voxels[:, disc() > 0].std()
    # 2.5 as made; four slices let the level that was found scatter by 1 % (five seeds).
    assert after == pytest.approx(2.5 / np.sqrt(dose), rel=0.03)
    assert found.parameters["noise_level"] == pytest.approx(2.5, rel=0.03)


def test_added_noise_has_the_colour_of_the_noise_that_is_there() -> None:
    truth = Image(np.repeat(disc()[None], 6, axis=0), Modality.MR)
    image = MRINoise(snr=40, coils=1, zero_filling=2).acquire(truth, 1, np.random.default_rng(4)).image
    seen = MRINoise().simulate(image, 0.1, np.random.default_rng(5)).image
    plain = np.s_[:, 80:176, 80:176]
    for axis in (1, 2):
        assert lag_one(seen.voxels[plain], axis) == pytest.approx(
            lag_one(image.voxels[plain], axis), abs=0.15
        )
        assert lag_one(seen.voxels[plain], axis) > 0.45


def test_ratios_of_signal_to_noise() -> None:
    image, model = measured(2.5), MRINoise()
    seen = model.for_snr(image, 10, np.random.default_rng(1))
    assert 100 / seen.image.voxels[0, disc() > 0].std() == pytest.approx(10, rel=0.05)
    assert model.dose_for_snr(image, 20) == pytest.approx(0.25, rel=0.1)
    with pytest.raises(InputError, match="only"):
        model.dose_for_snr(image, 60)
    with pytest.raises(ValueError, match="ratio"):
        model.dose_for_snr(image, 0)


def test_a_background_of_zeros_stays() -> None:
    image = measured(3.0)
    voxels = np.where(disc() > 0, image.voxels, 0)
    masked = Image(voxels, Modality.MR)
    found = MRINoise(noise_level=3.0).simulate(masked, 0.25, np.random.default_rng(1))
    changed = found.image.voxels[0] != voxels[0]
    assert not changed[disc() == 0].any() and changed[disc() > 0].all()
    assert any("zero" in warning for warning in found.warnings)


def test_padding_stays_and_seeds_repeat() -> None:
    image = measured(3.0)
    padding = np.zeros(image.shape, bool)
    padding[:, :40] = True
    padded = Image(image.voxels, Modality.MR, padding=padding)
    first, again = (MRINoise().simulate(padded, 0.3, np.random.default_rng(2)).image for _ in range(2))
    assert np.array_equal(first.voxels, again.voxels)
    assert np.array_equal(first.voxels[padding], image.voxels[padding])
    assert (first.voxels[~padding] != image.voxels[~padding]).all()


def test_what_is_only_approximate_is_told() -> None:
    model = MRINoise()
    faint = model.simulate(measured(20.0), 0.25, np.random.default_rng(1)).warnings
    assert any("three times" in warning for warning in faint)
    assert not any("three times" in warning for warning in model.check(measured(2.0)))
    assert any("does not say" in warning for warning in model.check(Image(measured(2.0).voxels)))
    inside = Image(measured(2.0).voxels[:, 70:180, 70:180].copy(), Modality.MR)
    assert any("no air" in warning for warning in model.check(inside))


def test_what_means_nothing_is_refused(rng: np.random.Generator) -> None:
    model = MRINoise()
    with pytest.raises(InputError, match="not MR"):
        model.check(Image(measured(2.0).voxels, Modality.CT))
    with pytest.raises(InputError, match="magnitude"):
        model.check(Image(measured(2.0).voxels - 50, Modality.MR))
    with pytest.raises(InputError, match="no noise"):
        model.check(Image(disc()[None], Modality.MR))
    with pytest.raises(InputError, match="folded"):
        MRINoise(acceleration=3).acquire(Image(disc(64)[None], Modality.MR), 1, rng)
    with pytest.raises(InputError, match="signal"):
        model.acquire(Image(np.zeros((1, 8, 8), np.float32), Modality.MR), 1, rng)
    for dose in (0, 1.5, float("nan")):
        with pytest.raises(ValueError, match="dose"):
            model.simulate(measured(2.0), dose, rng)


@pytest.mark.parametrize(
    "wrong",
    [
        {"snr": 0},
        {"coils": 0},
        {"acceleration": 9},
        {"acceleration": 2, "combination": "sum_of_squares"},
        {"partial_fourier": 0.4},
        {"zero_filling": 0.5},
        {"noise_level": -1},
        {"channels": 0.5},
        {"combination": "luck"},
    ],
)
def test_senseless_parameters_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        MRINoise(**wrong)  # type: ignore[arg-type]


def test_a_spectrum_stretches_to_any_size(rng: np.random.Generator) -> None:
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(16), np.fft.fftfreq(16)))
    power = np.exp(-4 * f)
    fine = stretch_spectrum(power / power.mean(), (90, 51))
    expected = np.exp(-4 * np.hypot(np.fft.fftfreq(90)[:, None], np.fft.fftfreq(51)))
    assert fine.mean() == pytest.approx(1)
    assert fine == pytest.approx(expected / expected.mean(), rel=0.15)


@pytest.mark.parametrize(
    "name", ["sola_body_ax", "sola_body_cor", "sola_body_sag", "sola_headneck", "ge_explorer_sag"]
)
def test_the_level_of_a_real_image_is_that_of_its_repetition(shared_data: Path, name: str) -> None:
    from quell.formats.open import open_study

    one, other = (
        next(iter(open_study(shared_data / "mri" / "pairs" / f"{name}_acq{k}.dcm").series)).read()
        for k in (1, 2)
    )
    object_ = np.abs(one.voxels[0]) > 0.6 * np.percentile(one.voxels, 95)
    inner = (
        object_[4:-4, 4:-4] & object_[8:, 4:-4] & object_[:-8, 4:-4] & object_[4:-4, 8:] & object_[4:-4, :-8]
    )
    difference = (other.voxels - one.voxels)[0, 4:-4, 4:-4][inner] / np.sqrt(2)
    # The middle half of the differences: drift at edges does not count.
    expected = np.subtract(*np.percentile(difference, [75, 25])) / 1.349
    assert magnitude_noise(one, np.zeros(one.shape, bool)).sigma == pytest.approx(expected, rel=0.15)
