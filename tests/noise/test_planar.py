"""Planar scintigraphy: exact thinning of raw counts, and refusal of everything that is none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quell.errors import InputError
from quell.image import Acquisition, Geometry, Image, Modality
from quell.noise.emission.counting import dispersion
from quell.noise.planar import PlanarNoise

MODEL = PlanarNoise()
KNOWN = Geometry((1.0, 2.26, 2.26), known=True)


def body(mean: float = 12) -> np.ndarray:
    """Return expected counts of two views of something like a body."""
    y, x = np.mgrid[:192, :128]
    trunk = np.clip(2 - np.hypot((y - 90) / 40, (x - 64) / 22), 0.01, 1)
    spots = 4 * np.exp(-((y - 70) ** 2 + (x - 50) ** 2) / 18)
    view = (mean * (trunk + spots)).astype(np.float32)
    return np.stack([view, view[:, ::-1]])


def counts(rng: np.random.Generator, mean: float = 12, **fields: object) -> Image:
    drawn = rng.poisson(body(mean)).astype(np.float32)
    return Image(drawn, **{"modality": Modality.NM, "units": "counts", "geometry": KNOWN, **fields})


def test_simulated_dose_has_the_law_of_a_scan_at_that_dose(rng: np.random.Generator) -> None:
    expected = body()
    thinned = MODEL.simulate(counts(rng), 0.25, rng)
    squares = (thinned.image.voxels - 0.25 * expected) ** 2 / (0.25 * expected)
    # 49,152 pixels of mean 0.03 to 15: kurtosis 1/mean makes the mean of squares scatter by 0.02.
    assert squares.mean() == pytest.approx(1, abs=0.1)
    assert thinned.warnings == ()
    assert thinned.image.acquisition.counts == thinned.image.voxels.sum(dtype=float)
    assert thinned.image.shape == expected.shape and thinned.image.units == "counts"


def test_dose_one_changes_nothing(rng: np.random.Generator) -> None:
    image = counts(rng)
    assert MODEL.simulate(image, 1, rng).image is image


def test_the_same_seed_gives_the_same_image(rng: np.random.Generator) -> None:
    image = counts(rng)
    first, second = (MODEL.simulate(image, 0.1, np.random.default_rng(5)).image.voxels for _ in range(2))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("dose", [0, -1, 1.5, float("nan")])
def test_doses_are_fractions(dose: float, rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="dose"):
        MODEL.simulate(counts(rng), dose, rng)


def test_the_two_parts_of_a_split_are_all_counts_and_independent(rng: np.random.Generator) -> None:
    image, expected = counts(rng, 40), body(40)
    first, second = (part.image.voxels for part in MODEL.split(image, rng, 0.4))
    assert np.array_equal(first + second, image.voxels)
    left = (first - 0.4 * expected) / np.sqrt(0.4 * expected)
    right = (second - 0.6 * expected) / np.sqrt(0.6 * expected)
    # The correlation of n independent pairs scatters by 1 / sqrt(n) = 0.0045.
    assert np.mean(left * right) == pytest.approx(0, abs=0.018)


def test_padding_stays_as_it_is(rng: np.random.Generator) -> None:
    image = counts(rng)
    voxels, padding = image.voxels.copy(), np.zeros(image.shape, bool)
    padding[:, :20] = True
    voxels[padding] = -1000
    thinned = MODEL.simulate(replace(image, voxels=voxels, padding=padding), 0.5, rng).image
    assert (thinned.voxels[padding] == -1000).all() and (thinned.voxels[~padding] >= 0).all()


def smoothed(voxels: np.ndarray) -> np.ndarray:
    return (voxels + np.roll(voxels, 1, -1) + np.roll(voxels, 1, -2)) / 3


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (smoothed, "no integers"),
        (lambda v: np.rint(smoothed(v)), "filtered"),
        (lambda v: v * 1.07, "no integers"),
        (lambda v: np.rint(v * 1.07), "scaled"),
        (lambda v: np.rint(v * 2.4), "decay"),
        (lambda v: v - 1, "negative"),
        (lambda v: v * np.float32("nan"), "undefined"),
        (lambda v: 0 * v, "no count"),
        (lambda v: v + 2.0**25, "not exact"),
    ],
)
def test_what_is_no_raw_count_is_refused(change: object, reason: str, rng: np.random.Generator) -> None:
    image = counts(rng)
    with pytest.raises(InputError, match=reason) as caught:
        MODEL.simulate(image.with_voxels(change(image.voxels).astype(np.float32)), 0.5, rng)  # type: ignore[operator]
    assert str(caught.value).count("\n") == 0


def test_an_eight_bit_screenshot_is_refused_by_its_name(rng: np.random.Generator) -> None:
    image = counts(rng)
    shown = np.rint(255 * np.clip(image.voxels / 20, 0, 1)).astype(np.float32)
    screenshot = replace(image, voxels=shown, acquisition=Acquisition(bits=8))
    with pytest.raises(InputError, match="picture for viewing"):
        MODEL.check(screenshot)


def test_other_modalities_are_refused(rng: np.random.Generator) -> None:
    with pytest.raises(InputError, match="NM images"):
        MODEL.check(replace(counts(rng), modality=Modality.PT))


def test_a_wrong_sum_is_told_and_is_fatal_where_nothing_else_speaks(rng: np.random.Generator) -> None:
    image = counts(rng, acquisition=Acquisition(counts=1e6))
    assert "1000000 counts accumulated" in MODEL.check(image)[0]
    total = float(image.voxels.sum(dtype=float))
    assert MODEL.check(replace(image, acquisition=Acquisition(counts=total))) == ()
    dim = counts(rng, 0.001, acquisition=Acquisition(counts=1e6))
    with pytest.raises(InputError, match="too few counts"):
        MODEL.check(dim)
    assert "too few counts" in MODEL.check(replace(dim, acquisition=Acquisition()))[0]


def test_the_camera_blurs_by_its_resolution_and_keeps_the_counts(rng: np.random.Generator) -> None:
    truth = np.zeros((1, 96, 96), np.float32)
    truth[0, 48, 40] = 4e6
    geometry = Geometry((1.0, 2.0, 3.0), known=True)
    seen = MODEL.acquire(Image(truth, geometry=geometry), 0.5, rng)
    voxels = seen.image.voxels[0]
    assert voxels.sum(dtype=float) == pytest.approx(2e6, rel=0.004)
    for axis, spacing in ((0, 2.0), (1, 3.0)):
        profile = voxels.sum(axis=1 - axis, dtype=float)
        place = np.arange(96) * spacing
        centre = (place * profile).sum() / profile.sum()
        width = np.sqrt(8 * np.log(2) * ((place - centre) ** 2 * profile).sum() / profile.sum())
        assert width == pytest.approx(MODEL.resolution_mm, rel=0.01)
    assert seen.image.modality is Modality.NM
    MODEL.check(seen.image)


def test_an_acquired_scan_has_poisson_counts(rng: np.random.Generator) -> None:
    truth = Image(np.full((1, 200, 200), 6, np.float32))
    seen = MODEL.acquire(truth, 2.0, rng)
    assert "pixel size" in seen.warnings[0]
    # 40,000 pixels: the mean scatters by 0.017, the variance over the mean by 0.007.
    assert seen.image.voxels.mean() == pytest.approx(12, abs=0.08)
    assert seen.image.voxels.var() == pytest.approx(12, rel=0.03)


@pytest.mark.parametrize("dose", [0.5, 0.25, 0.1, 0.05])
def test_a_real_bone_scan_thins_to_poisson_counts(
    dose: float, shared_data: Path, rng: np.random.Generator
) -> None:
    from quell.formats.open import open_study

    image = open_study(shared_data / "nm" / "bone_wholebody_ge_millennium.dcm").series[0].read()
    first, second = MODEL.split(image, rng, dose)
    total = image.voxels.sum(dtype=float)
    assert first.image.acquisition.counts == pytest.approx(
        dose * total, abs=4 * np.sqrt(total * dose * (1 - dose))
    )
    assert MODEL.check(first.image) == ()
    # The median over some 700 tiles scatters by 0.01; structure adds to it, little.
    found = dispersion(first.image.voxels)
    assert abs(found.ratio - 1) < 4 * found.error + 0.02
    contrasts = []
    for part in (first, second):
        quads = part.image.voxels[0].reshape(512, 2, 128, 2).astype(float)
        contrasts.append(np.einsum("rict,it->rc", quads, np.array([[1, -1], [-1, 1]])))
    bright = image.voxels[0].reshape(512, 2, 128, 2).sum(axis=(1, 3)) > 20
    pair = [contrast[bright] / np.sqrt(contrast[bright].var()) for contrast in contrasts]
    # 27,000 squares of unlike brightness; contrasts of structure are common to both and small.
    assert abs(np.corrcoef(*pair)[0, 1]) < 0.05
