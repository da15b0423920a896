"""Noise that is inserted into a CT image is the noise of a scan at that dose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quell.image import Acquisition, Geometry, Image, Modality
from quell.noise.ct import CTNoise
from quell.noise.ct_wedge import crop_variance, sector_variance, wedge_noise
from quell.noise.tomography import counts, loops
from quell.noise.tomography.kernels import Kernel, ramp_power
from samples import ct_noise as s

COUNT = 48
"""Realisations. The SD of a pixel is known to 1 / sqrt(2 * 47) = 10 %, that of a block of 4 x 4 pixels of
which four or so are independent to 5 %, and the median over the 400 blocks of the body to 0.3 %."""


@pytest.fixture(scope="module")
def full() -> Image:
    return s.MODEL.acquire(s.copies(s.pelvis(), COUNT), 1.0, np.random.default_rng(1)).image


@pytest.fixture(scope="module")
def inserted(full: Image) -> np.ndarray:
    return s.MODEL.simulate(full, 0.25, np.random.default_rng(2)).image.voxels


@pytest.fixture(scope="module")
def direct() -> np.ndarray:
    return s.MODEL.acquire(s.copies(s.pelvis(), COUNT), 0.25, np.random.default_rng(3)).image.voxels


@pytest.mark.parametrize("dose", [0.5, 0.1])
def test_sd_follows_the_root_of_the_dose(dose: float) -> None:
    """15 * 8 000 / 4 independent samples: 0.4 % for the SD."""
    model = replace(s.MODEL, flux=1e7, electronic_noise=0.0)
    truth = s.copies(s.pelvis(), 16)
    levels = [
        np.sqrt(model.acquire(truth, a, np.random.default_rng(seed)).image.voxels.var(axis=0)[s.BODY].mean())
        for seed, a in enumerate((1.0, dose))
    ]
    assert levels[1] / levels[0] == pytest.approx(dose**-0.5, rel=0.02)


def test_inserted_noise_has_the_level_of_a_scan(inserted: np.ndarray, direct: np.ndarray) -> None:
    ratio = (s.sd_map(inserted) / s.sd_map(direct))[s.pooled(s.BODY)]
    assert np.median(ratio) == pytest.approx(1, abs=0.02)
    # Two maps of 5 % each: 90 % of the blocks lie within 1.65 * 7 %.
    assert np.abs(np.quantile(ratio, [0.05, 0.95]) - 1).max() < 0.13


def test_between_the_bones_too(inserted: np.ndarray, direct: np.ndarray) -> None:
    for where in (s.BETWEEN, s.FRONT):
        ratio = (s.sd_map(inserted) / s.sd_map(direct))[s.pooled(where)]
        assert ratio.mean() == pytest.approx(1, abs=0.03)


def test_starved_rays_are_met() -> None:
    """Where ten quanta are left, the first order would be far off."""
    truth = s.copies(s.pelvis(), COUNT)
    full = s.STARVED.acquire(truth, 1.0, np.random.default_rng(5)).image
    inserted = s.STARVED.simulate(full, 0.25, np.random.default_rng(6)).image.voxels
    direct = s.STARVED.acquire(truth, 0.25, np.random.default_rng(7)).image.voxels
    assert (
        s.sd_map(direct)[s.pooled(s.BETWEEN)].mean() > 2.3 * s.sd_map(full.voxels)[s.pooled(s.BETWEEN)].mean()
    )
    ratio = s.sd_map(inserted) / s.sd_map(direct)
    assert ratio[s.pooled(s.BETWEEN)].mean() == pytest.approx(1, abs=0.05)
    assert np.median(ratio[s.pooled(s.BODY)]) == pytest.approx(1, abs=0.02)


def test_texture_is_that_of_a_scan(inserted: np.ndarray, direct: np.ndarray) -> None:
    """Some 250 independent modes of 48 realisations: the first moment is known to 0.6 % of each."""
    moments = [s.first_moment(s.spectrum(stack, s.MIDDLE)) for stack in (inserted, direct)]
    assert moments[0] == pytest.approx(moments[1], rel=0.02)


@pytest.mark.parametrize("where", [s.BETWEEN, s.FRONT], ids=["between", "front"])
def test_directions_are_those_of_a_scan(inserted: np.ndarray, direct: np.ndarray, where: np.ndarray) -> None:
    """480 pixels, a third of them independent, of 48 realisations: 3.3 % for the ratio of two ratios."""
    found = [s.anisotropy(stack, where) for stack in (inserted, direct)]
    assert found[0] == pytest.approx(found[1], rel=0.1)


def test_streaks_run_between_the_bones(direct: np.ndarray) -> None:
    assert s.anisotropy(direct, s.BETWEEN) > 3
    assert s.anisotropy(direct, s.FRONT) < 1.5


def test_wedges_are_a_good_stand_in(full: Image, inserted: np.ndarray, rng: np.random.Generator) -> None:
    """Level and texture of the noise that is added, without any projection."""
    shape = (s.SIZE, s.SIZE)
    maps = crop_variance(sector_variance(s.pelvis(), s.SPACING, 0.25, s.MODEL.scan), shape, 0, 0, shape)
    white = rng.standard_normal((COUNT, *shape), np.float32)
    fast = wedge_noise(white, maps, ramp_power(shape, s.SPACING, s.MODEL.kernel))
    added = inserted - full.voxels
    ratio = (s.sd_map(fast) / s.sd_map(added))[s.pooled(s.BODY)]
    assert np.median(ratio) == pytest.approx(1, abs=0.03)
    found = [s.anisotropy(stack, s.BETWEEN) for stack in (fast, added)]
    assert found[0] == pytest.approx(found[1], rel=0.1)


def test_noise_has_no_mean_and_no_anatomy(full: Image, inserted: np.ndarray) -> None:
    added = inserted - full.voxels
    error = s.sd_map(added)[s.pooled(s.FRONT)].mean() / np.sqrt(COUNT)
    mean = added.mean(axis=0)
    # Means of 48 realisations over 480 pixels, of which 100 or so are independent.
    assert abs(mean[s.FRONT].mean()) < 4 * error / 10
    assert mean[s.FRONT].std() == pytest.approx(error, rel=0.15)


def test_full_dose_changes_nothing(full: Image) -> None:
    done = s.MODEL.simulate(full, 1.0, np.random.default_rng(0))
    np.testing.assert_array_equal(done.image.voxels, full.voxels)


def test_two_steps_are_as_good_as_one(full: Image, inserted: np.ndarray) -> None:
    half = s.MODEL.simulate(full, 0.5, np.random.default_rng(8)).image
    quarter = s.MODEL.at_dose(0.5).simulate(half, 0.5, np.random.default_rng(9)).image.voxels
    ratio = (s.sd_map(quarter) / s.sd_map(inserted))[s.pooled(s.BODY)]
    assert np.median(ratio) == pytest.approx(1, abs=0.02)
    power = [s.spectrum(stack, s.MIDDLE) for stack in (quarter, inserted)]
    assert s.first_moment(power[0]) == pytest.approx(s.first_moment(power[1]), rel=0.02)


def test_a_seed_repeats_whatever_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    image = s.ct(np.broadcast_to(s.pelvis(64), (5, 64, 64)), 6.0, volume=True, acquisition=THICK)
    results = []
    for cores in (1, 3, 3):
        monkeypatch.setattr(counts, "_cores", lambda cores=cores: cores)
        results.append(s.MODEL.simulate(image, 0.3, np.random.default_rng(4)).image.voxels)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[1], results[2])


def test_without_numba_the_law_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The draws differ: a mean that changes in the seventh digit moves the generator."""
    pytest.importorskip("numba")
    image = s.ct(np.broadcast_to(s.pelvis(64), (16, 64, 64)), 6.0)
    fast = s.MODEL.simulate(image, 0.3, np.random.default_rng(4)).image.voxels

    def missing() -> None:
        raise ImportError

    monkeypatch.setattr(loops, "_compiled", missing)
    plain = s.MODEL.simulate(image, 0.3, np.random.default_rng(4)).image.voxels
    # 15 realisations of some 500 independent pixels: 0.8 % each.
    ratio = np.sqrt(fast.var(axis=0)[s.pelvis(64) == 0].mean() / plain.var(axis=0)[s.pelvis(64) == 0].mean())
    assert ratio == pytest.approx(1, abs=0.04)


THICK = Acquisition(thickness=12.0)


def test_overlapping_slices_share_their_noise() -> None:
    """Slices of 12 mm every 6 mm: neighbours share half of their quanta, others none."""
    flat = np.broadcast_to(s.pelvis(64), (40, 64, 64))
    for volume, expected in ((True, 0.5), (False, 0.0)):
        image = s.ct(flat, 6.0, volume=volume, acquisition=THICK)
        noise = s.MODEL.simulate(image, 0.25, np.random.default_rng(6)).image.voxels - image.voxels
        inside = noise[:, 20:44, 16:48]
        for step, share in ((1, expected), (2, 0.0)):
            # 38 pairs of about 200 independent pixels: 1.2 %.
            found = np.corrcoef(inside[:-step].ravel(), inside[step:].ravel())[0, 1]
            assert found == pytest.approx(share, abs=0.05)
    alone = s.MODEL.simulate(s.ct(flat, 6.0), 0.25, np.random.default_rng(7)).image.voxels - flat
    assert inside.std() == pytest.approx(alone[:, 20:44, 16:48].std(), rel=0.03)


def test_padding_and_the_range_of_values_stay() -> None:
    values = s.pelvis(64)
    values[values == -1000] = -1024
    padding = np.zeros((1, 64, 64), bool)
    padding[0, :8] = True
    values[:8] = -2000
    low = replace(s.MODEL, flux=2e4)
    done = low.simulate(s.ct(values, 6.0, padding=padding), 0.1, np.random.default_rng(0)).image.voxels
    np.testing.assert_array_equal(done[0, :8], -2000)
    assert done[0, 8:].min() == -1024
    values[:8] = -1024
    done = low.simulate(s.ct(values, 6.0), 0.1, np.random.default_rng(0)).image.voxels
    assert done.min() == -1024 and done.max() <= 3071


def test_padding_values_do_not_attenuate() -> None:
    """-3024 around the field of view must act as air, whether marked as padding or not."""
    values = s.pelvis(64)
    y, x = np.mgrid[:64, :64] - 31.5
    outside = np.hypot(y, x) > 31
    values[outside] = -3024
    plain = s.MODEL.simulate(s.ct(s.pelvis(64), 6.0), 0.25, np.random.default_rng(1)).image.voxels
    marked = s.ct(values, 6.0, padding=outside[None])
    for image in (marked, s.ct(values, 6.0)):
        done = s.MODEL.simulate(image, 0.25, np.random.default_rng(1)).image.voxels
        np.testing.assert_allclose(done[0][~outside], plain[0][~outside], atol=0.05)
        np.testing.assert_array_equal(done[0][outside], -3024)


def test_a_cut_body_is_continued() -> None:
    """Of a body that leaves the field of view, noise is nearer to the truth than if air were there."""
    whole = s.ct(np.where(np.hypot(*(np.mgrid[:128, :128] - 63.5)) < 55, 0, -1000).astype(np.float32))
    part = s.ct(whole.voxels[:, :, 22:106].copy())
    assert any("beyond the field of view" in warning for warning in s.MODEL.check(part))
    assert not any("beyond" in warning for warning in s.MODEL.check(whole))
    levels = []
    for image, cut in ((whole, slice(55, 73)), (part, slice(33, 51))):
        stack = s.ct(np.broadcast_to(image.voxels, (12, *image.shape[1:])))
        noise = s.MODEL.simulate(stack, 0.25, np.random.default_rng(1)).image.voxels - stack.voxels
        levels.append(noise[:, 55:73, cut].std())
    # Up to 39 mm of water are missing on each side; with air in their place the level is 16 % too low.
    assert levels[1] == pytest.approx(levels[0], rel=0.1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"reconstruction": "ITERATIVE"}, "iteratively"),
        ({"reconstruction": "DLIR-H"}, "iteratively"),
        ({"kernel": "I31f\\3"}, "iteratively"),
        ({"kernel": "Br40d\\2"}, "iteratively"),
    ],
)
def test_reconstructions_that_are_not_linear_are_told(changes: dict[str, str], words: str) -> None:
    image = s.ct(s.pelvis(), acquisition=Acquisition(**changes))
    assert any(
        words in warning for warning in s.MODEL.simulate(image, 0.5, np.random.default_rng(0)).warnings
    )


@pytest.mark.parametrize("kernel", ["", "STANDARD", "B30s", "Br40d", "FC12", "LUNG"])
def test_linear_reconstructions_give_no_alarm(kernel: str) -> None:
    image = s.ct(s.pelvis()[:, :], 1.0, acquisition=Acquisition(kernel=kernel, reconstruction="FBP"))
    assert replace(s.MODEL, calibrated=True).check(image) == ()


def test_small_and_coarse_images_are_told() -> None:
    warnings = s.MODEL.check(s.ct(s.pelvis()[:48, :48]))
    assert any("small part" in one for one in warnings) and any("resampled" in one for one in warnings)


def _unusable() -> list[tuple[Image, str]]:
    good = s.ct(s.pelvis(32))
    from quell.image import Modality

    return [
        (replace(good, modality=Modality.MR), "CT image"),
        (replace(good, units="arbitrary"), "HU"),
        (replace(good, geometry=Geometry()), "not known"),
        (replace(good, geometry=Geometry((1.0, 1.0, 1.2), known=True)), "square"),
        (replace(good, acquisition=Acquisition(bits=8)), "8-bit"),
    ]


@pytest.mark.parametrize(("image", "words"), _unusable(), ids=lambda v: v if isinstance(v, str) else "")
def test_what_is_no_ct_is_refused(image: Image, words: str) -> None:
    from quell.errors import InputError

    rng = np.random.default_rng(0)
    for attempt in (
        lambda: s.MODEL.check(image),
        lambda: s.MODEL.simulate(image, 0.5, rng),
        lambda: s.MODEL.acquire(image, 0.5, rng),
        lambda: s.MODEL.calibrate(image),
    ):
        with pytest.raises(InputError, match=words):
            attempt()


@pytest.mark.parametrize("dose", [0.0, -1.0, 1.01, float("nan")])
def test_senseless_doses_are_refused(dose: float) -> None:
    image, rng = s.ct(s.pelvis(32)), np.random.default_rng(0)
    with pytest.raises(ValueError):
        s.MODEL.simulate(image, dose, rng)
    with pytest.raises(ValueError):
        s.MODEL.simulate_sinogram(np.ones((3, 4)), dose, rng)
    if not dose > 1:
        with pytest.raises(ValueError):
            s.MODEL.acquire(image, dose, rng)


def test_what_was_done_is_told() -> None:
    told = s.MODEL.simulate(s.ct(s.pelvis(32), 6.0), 0.5, np.random.default_rng(0)).parameters
    assert told["dose"] == 0.5 and told["flux_quanta_per_ray"] == s.MODEL.flux
    assert all(isinstance(value, (int, float, str)) for value in told.values())


def test_counts_are_thinned_exactly(rng: np.random.Generator) -> None:
    """Whole quanta stay Poisson, and what is left out is independent of what is kept."""
    model = replace(s.MODEL, electronic_noise=0.0)
    before = rng.poisson(40.0, (200, 300))
    after = model.simulate_sinogram(before, 0.25, rng)
    assert after.dtype == before.dtype
    # 60 000 samples: var / mean is known to sqrt(2 / 60 000) = 0.6 %, a correlation to 0.4 %.
    assert after.var() / after.mean() == pytest.approx(1, abs=0.025)
    assert after.mean() == pytest.approx(10, rel=0.01)
    assert abs(np.corrcoef(after.ravel(), (before - after).ravel())[0, 1]) < 0.017


def test_signals_with_electronic_noise_get_the_law_of_the_dose(rng: np.random.Generator) -> None:
    for quanta in (50.0, 5000.0):
        signal = rng.poisson(quanta, (300, 400)) + 8 * rng.standard_normal((300, 400))
        after = s.MODEL.simulate_sinogram(signal.astype(np.float32), 0.25, rng)
        # 120 000 samples: 0.4 % for the variance.
        assert after.var() == pytest.approx(0.25 * quanta + 64, rel=0.02)
        assert after.mean() == pytest.approx(0.25 * quanta, rel=0.01)
    same = s.MODEL.simulate_sinogram(signal, 1.0, rng)
    np.testing.assert_array_equal(same, signal)


def test_sharper_kernels_are_noisier() -> None:
    truth = s.copies(s.pelvis(64), 4)
    truth = s.ct(truth.voxels, 6.0)
    levels = [
        replace(s.MODEL, kernel=Kernel(f50)).acquire(truth, 1.0, np.random.default_rng(0)).image.voxels
        for f50 in (0.04, 0.06)
    ]
    assert levels[1][:, 24:40, 24:40].std() > 1.3 * levels[0][:, 24:40, 24:40].std()


def test_default_parameters_are_those_of_the_literature() -> None:
    """SD in the middle of 32 cm of water, 5 mm slice, body kernel: some 10 to 20 HU."""
    y, x = (np.mgrid[:256, :256] - 127.5) * 1.4
    water = s.ct(np.where(np.hypot(y, x) < 160, 0.0, -1000.0).astype(np.float32), 1.4)
    done = CTNoise().acquire(water, 1.0, np.random.default_rng(0)).image.voxels
    assert 7 < done[0, 108:148, 108:148].std() < 25


def test_values_without_air_are_doubted() -> None:
    # What a magnitude image looks like to somebody who calls it CT.
    voxels = np.random.default_rng(0).normal(300, 40, (1, 96, 96)).clip(0).astype(np.float32)
    image = Image(voxels, Modality.CT, "HU", Geometry((1.0, 0.8, 0.8), known=True), name="thigh")
    assert any("no air" in doubt for doubt in s.MODEL.check(image))
    voxels = voxels.copy()
    voxels[:, :20] = -1000
    assert not any("no air" in doubt for doubt in s.MODEL.check(image.with_voxels(voxels)))
