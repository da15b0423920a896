"""PET: thinned counts reconstruct as a scan of lower dose does, and images keep what they show."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("scipy", reason="SciPy is not installed")

from quell.errors import InputError, QuellError
from quell.image import Acquisition, Geometry, Image, Modality
from quell.noise.emission.grains import measure_grains
from quell.noise.emission.pet_calibration import filter_axially
from quell.noise.pet import PETNoise

GEOMETRY = Geometry((3.27, 5.0, 5.0), known=True)
SIZE, SLICES, DOSE = 64, 96, 0.25
MODEL = PETNoise(counts_per_slice=4e5, post_filter_mm=5.0, axial_filter=0.0)
"""Slices do not touch, so that each is a realisation of its own."""

Y, X = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
BODY = np.hypot(X / 26, Y / 19) < 1
LUNG, HOT = np.hypot(X + 12, Y) < 7, np.hypot(X - 11, Y + 3) < 4
REGIONS = {
    "background": BODY
    & ~(np.hypot(X / 22, Y / 15) > 1)
    & (np.hypot(X + 12, Y) > 11)
    & (np.hypot(X - 11, Y + 3) > 8),
    "lung": np.hypot(X + 12, Y) < 4,
    "hot": np.hypot(X - 11, Y + 3) < 2,
}


def phantom(slices: int = SLICES, **fields: object) -> Image:
    """Return equal slices with a background of 1, a lung of 0.4 and a hot spot of 4."""
    activity = (1.0 * BODY - 0.6 * LUNG + 3.0 * HOT).astype(np.float32)
    given = {"modality": Modality.PT, "units": "g/ml", "geometry": GEOMETRY, "volume": True, **fields}
    return Image(np.repeat(activity[None], slices, axis=0), **given)


@cache
def full() -> Image:
    return MODEL.acquire(phantom(), 1, np.random.default_rng(1)).image


@cache
def direct() -> Image:
    return MODEL.acquire(phantom(), DOSE, np.random.default_rng(2)).image


@cache
def inserted() -> Image:
    return MODEL.simulate(full(), DOSE, np.random.default_rng(3)).image


def spread(image: Image, region: str) -> float:
    """Return the standard deviation over slices, averaged over a region."""
    return float(np.sqrt(image.voxels[:, REGIONS[region]].var(axis=0).mean()))


def mean(image: Image, region: str) -> float:
    return float(image.voxels[:, REGIONS[region]].mean())


# The SD of 96 realisations scatters by 7 %; over the some 60 independent grains of the background by 1 %,
# over the 3 of lung and hot spot by 4 %. A ratio has both scatters. The systematic part is that of the
# reference tables for images: a few per cent, most in the hot spot.
@pytest.mark.parametrize(("region", "tolerance"), [("background", 0.06), ("lung", 0.2), ("hot", 0.2)])
def test_noise_of_an_inserted_dose_is_that_of_a_scan_at_that_dose(region: str, tolerance: float) -> None:
    assert spread(inserted(), region) == pytest.approx(spread(direct(), region), rel=tolerance)


def test_inserted_noise_keeps_the_means() -> None:
    assert mean(inserted(), "hot") == pytest.approx(mean(full(), "hot"), rel=0.01)
    assert mean(inserted(), "background") == pytest.approx(mean(full(), "background"), rel=0.01)
    assert mean(inserted(), "lung") == pytest.approx(mean(full(), "lung"), rel=0.04)


def test_grains_are_as_wide_as_those_of_a_scan() -> None:
    level = np.broadcast_to(direct().voxels.mean(axis=0), direct().shape)
    widths = []
    for image in (direct(), inserted()):
        found = measure_grains(image.voxels - image.voxels.mean(axis=0), level)
        assert found is not None
        widths.append(found.in_plane)
    assert widths[1] == pytest.approx(widths[0], abs=0.03)


def test_noise_follows_the_activity_and_is_skewed_the_more_the_lower_the_dose() -> None:
    slope = np.log(spread(full(), "hot") / spread(full(), "lung")) / np.log(
        mean(full(), "hot") / mean(full(), "lung")
    )
    assert 0.5 < slope < 1
    skew = []
    for image in (full(), direct()):
        noise = image.voxels[:, REGIONS["background"]]
        noise = (noise - noise.mean(axis=0)) / noise.std(axis=0)
        skew.append(float((noise**3).mean()))
    assert 0.05 < skew[0] < skew[1]


def test_thinned_counts_are_poisson_and_reconstruct_as_a_scan_of_that_dose(rng: np.random.Generator) -> None:
    truth = phantom()
    expected = MODEL.project(truth)
    counts = expected.draw(rng)
    thinned = counts.thin(DOSE, rng)
    law = DOSE * expected.counts
    squares = (thinned.counts - law) ** 2 / law
    # 96 slices of 84 views of 74 bins of 1 and more counts: scatter 0.003.
    assert squares.mean() == pytest.approx(1, abs=0.015)
    left = (counts.counts - thinned.counts) - (1 - DOSE) * expected.counts
    assert abs(np.corrcoef((thinned.counts - law).ravel(), left.ravel())[0, 1]) < 0.006
    image = MODEL.reconstruct(thinned, truth)
    for region, tolerance in (("background", 0.06), ("lung", 0.17), ("hot", 0.17)):
        assert spread(image, region) == pytest.approx(spread(direct(), region), rel=tolerance)
        assert mean(image, region) == pytest.approx(mean(direct(), region), rel=0.03)


def test_a_scan_without_noise_shows_the_activity_attenuation_and_all() -> None:
    sharp = replace(MODEL, iterations=8, counts_per_slice=1e9, post_filter_mm=0.0)
    image = sharp.acquire(phantom(2), 1, np.random.default_rng(0)).image
    for region, level in (("background", 1.0), ("hot", 4.0)):
        assert mean(image, region) == pytest.approx(level, rel=0.04)


def test_units_do_not_matter() -> None:
    image = replace(full(), voxels=full().voxels[:4].copy())
    one = MODEL.simulate(image, 0.5, np.random.default_rng(7)).image.voxels
    many = MODEL.simulate(image.with_voxels(image.voxels * 4096), 0.5, np.random.default_rng(7)).image.voxels
    assert many / 4096 == pytest.approx(one, rel=1e-3, abs=1e-3)


def test_counts_and_filters_are_found_in_the_image() -> None:
    model = replace(MODEL, axial_filter=0.25)
    image = model.acquire(phantom(40), 1, np.random.default_rng(4)).image
    found = PETNoise().calibrate(image)
    assert found.counts_per_slice is not None and found.post_filter_mm is not None
    # A factor of 1.4 in counts is 18 % in the level.
    assert 1 / 1.4 < found.counts_per_slice / 4e5 < 1.4
    assert found.post_filter_mm == pytest.approx(5, abs=2.5)
    assert found.axial_filter == pytest.approx(0.25, abs=0.12)
    assert PETNoise(counts_per_slice=1e5).calibrate(image).counts_per_slice == 1e5


def test_mixing_slices_has_its_law_and_stops_at_gaps(rng: np.random.Generator) -> None:
    noise = rng.standard_normal((200, 40, 40)).astype(np.float32)
    mixed = filter_axially(noise, 0.5)
    assert mixed[1:-1].var() == pytest.approx((1 + 0.5) / 4, rel=0.02)
    assert (mixed[1:-2] * mixed[2:-1]).mean() / mixed.var() == pytest.approx(2 / 3, abs=0.02)
    steps = np.repeat(np.array([0, 0, 5, 5], np.float32), 64).reshape(4, 8, 8)
    assert np.array_equal(filter_axially(steps, 0.3, (1,)), steps)


def test_a_cut_out_and_a_single_slice_are_simulated_and_said_to_be(rng: np.random.Generator) -> None:
    image = replace(full(), voxels=np.ascontiguousarray(full().voxels[:3, 20:44, 18:48]))
    done = MODEL.simulate(image, 0.5, rng)
    assert done.image.shape == (3, 24, 30) and (done.image.voxels >= 0).all()
    assert any("cut-out" in text for text in done.warnings)
    single = replace(image, voxels=image.voxels[:1].copy(), volume=False)
    done = PETNoise().simulate(single, 0.5, rng)
    assert any("cannot be told from structure" in text for text in done.warnings)
    assert done.parameters["counts_per_slice"] == 2e5


def test_fine_images_are_simulated_on_larger_pixels_with_the_same_noise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = replace(full(), voxels=full().voxels[:48, :63].copy())
    model = replace(MODEL, post_filter_mm=12.0)
    fine = model.simulate(image, DOSE, np.random.default_rng(8))
    monkeypatch.setattr("quell.noise.emission.pet_bed._LARGEST_FIELD", 40)
    coarse = model.simulate(image, DOSE, np.random.default_rng(8))
    assert coarse.image.shape == image.shape
    assert any("larger pixels" in text for text in coarse.warnings)
    where = REGIONS["background"][:63]
    added = [(done.image.voxels - image.voxels)[:, where].std() for done in (fine, coarse)]
    # Interpolation and averaging take a little of grains of three pixels.
    assert 0.75 < added[1] / added[0] < 1.1


def test_what_was_not_measured_stays_and_dose_one_changes_nothing(rng: np.random.Generator) -> None:
    padding = np.zeros((4, SIZE, SIZE), bool)
    padding[:, :6] = True
    voxels = full().voxels[:4].copy()
    voxels[padding] = -7
    image = replace(full(), voxels=voxels, padding=padding)
    assert MODEL.simulate(image, 1, rng).image is image
    done = MODEL.simulate(image, 0.3, rng).image.voxels
    assert (done[padding] == -7).all() and (done[~padding] >= 0).all()


def test_images_without_attenuation_correction_are_projected_without_attenuation(
    rng: np.random.Generator,
) -> None:
    image = replace(full(), voxels=full().voxels[:2].copy(), acquisition=Acquisition(corrections=("DECY",)))
    assert not any("water" in text for text in MODEL.simulate(image, 0.5, rng).warnings)
    corrected = replace(image, acquisition=Acquisition(corrections=("DECY", "ATTN")))
    assert any("water" in text for text in MODEL.simulate(corrected, 0.5, rng).warnings)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"modality": Modality.CT}, "PT images"),
        ({"geometry": Geometry()}, "spacing"),
        ({"geometry": Geometry((3.0, 4.0, 5.0), known=True)}, "not square"),
        ({"voxels": np.zeros((1, 8, 8), np.float32)}, "no activity"),
        ({"voxels": np.full((1, 8, 8), np.nan, np.float32)}, "no numbers"),
    ],
)
def test_images_that_cannot_be_projected_are_refused(change: dict[str, object], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        MODEL.check(replace(phantom(1), **change))


def test_doubtful_reconstructions_are_said_to_be() -> None:
    for words, told in (("FBP", "back-projection"), ("DEEP LEARNING OSEM", "network")):
        image = phantom(1, acquisition=Acquisition(reconstruction=words))
        assert told in MODEL.check(image)[0]


def test_a_map_must_fit_and_parameters_make_sense() -> None:
    with pytest.raises(InputError, match="attenuation map"):
        replace(MODEL, attenuation=np.zeros((1, 2, 3), np.float32)).check(phantom(1))
    for bad in ({"scatter_fraction": 1.0}, {"iterations": 0}, {"counts_per_slice": -1.0}):
        with pytest.raises(ValueError, match=r"lie in|at least|positive"):
            PETNoise(**bad)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="dose"):
        MODEL.simulate(full(), 1.2, np.random.default_rng(0))
    with pytest.raises(ValueError, match="dose"):
        MODEL.acquire(phantom(1), 0, np.random.default_rng(0))


def test_scipy_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.ndimage", None)
    with pytest.raises(QuellError, match=r"needs SciPy: pip install 'quell\[lab\]'"):
        MODEL.acquire(phantom(1), 1, np.random.default_rng(0))


def box_spread(voxels: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Return SD over mean of boxes of 12 x 8 x 8 voxels around their best quadratic; inf without activity."""
    z, y, x = (
        axis.ravel() for axis in np.meshgrid(*[np.linspace(-1, 1, n) for n in (12, 8, 8)], indexing="ij")
    )
    terms = np.stack([0 * z + 1, z, y, x, z * z, y * y, x * x, z * y, z * x, y * x], axis=1)
    basis, _ = np.linalg.qr(terms)

    def boxes(stack: np.ndarray) -> np.ndarray:
        n = [side // step for side, step in zip(stack.shape, (12, 8, 8), strict=True)]
        cut = stack[: 12 * n[0], : 8 * n[1], : 8 * n[2]].astype(float)
        return cut.reshape(n[0], 12, n[1], 8, n[2], 8).transpose(0, 2, 4, 1, 3, 5).reshape(-1, 768)

    mean, values = boxes(level).mean(axis=1), boxes(voxels)
    active = mean > 0.1 * np.percentile(level, 99.5)
    residual = values - values @ basis @ basis.T
    return np.where(active, residual.std(axis=1) / np.where(active, mean, 1), np.inf)


def test_half_the_dose_of_a_real_scan_adds_as_much_noise_as_is_in_it(shared_data: Path) -> None:
    from quell.formats.open import open_study

    image = open_study(shared_data / "pet" / "sts_crops" / "sts_013_pet_suv.nii.gz").series[0].read()
    image = replace(image, voxels=image.voxels[:96].copy())
    done = PETNoise().simulate(image, 0.5, np.random.default_rng(5))
    own = box_spread(image.voxels, image.voxels)
    quiet = np.argsort(own)[: np.isfinite(own).sum() // 10]
    added = box_spread(done.image.voxels - image.voxels, image.voxels)[quiet]
    # Twice the counts would be a ratio of 1.4. The quietest boxes of a real scan are those with least
    # structure, and by chance the quieter ones.
    assert np.median(added / own[quiet]) == pytest.approx(1, abs=0.25)
    assert done.image.voxels.sum(dtype=float) == pytest.approx(image.voxels.sum(dtype=float), rel=0.02)
