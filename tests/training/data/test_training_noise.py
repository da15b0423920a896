"""The roles of an image: noise with the right mean, independent where it should be, on the right level."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from quell.errors import InputError
from quell.image import Geometry, Image, Modality
from quell.phantoms.objects import make_object
from quell.training.data.contracts import NONE
from quell.training.data.noise import check_clean, check_doses, scan_image, scan_object, split_counts
from quell.training.data.slices import kept_slices, taken

ALL = np.arange(1)


def planar(rng: np.random.Generator, level: float = 50.0, side: int = 128) -> Image:
    counts = rng.poisson(level, (1, side, side)).astype(np.float32)
    return Image(counts, Modality.NM, "counts", Geometry((1, 2, 2), known=True))


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def test_thinned_counts_have_the_level_of_the_full_ones(rng: np.random.Generator) -> None:
    image = planar(rng)
    roles = scan_image(image, (0.25, 0.05), 4, (1,), ALL)
    assert len(roles.variants) == 8
    for variant in roles.variants:
        noisy = roles.images[variant.noisy]
        back = noisy * variant.dose
        assert np.allclose(back, np.rint(back), atol=1e-3)
        # Given the counts, a thinned pixel over p has variance c (1 - p) / p; five standard errors.
        error = np.sqrt(image.voxels.sum() * (1 - variant.dose) / variant.dose) / image.voxels.size
        assert abs(float(noisy.mean() - image.voxels.mean())) < 5 * error


@pytest.mark.parametrize("dose", [0.5, 0.25, 0.1])
def test_seconds_of_counts_are_independent(rng: np.random.Generator, dose: float) -> None:
    roles = scan_image(planar(rng), (dose,), 2, (1,), ALL)
    first, second = (roles.images[v.noisy] for v in roles.variants)
    assert roles.variants[0].second == roles.variants[1].noisy
    # The correlation of n independent pairs scatters by 1 / sqrt(n); thinned twice, it would be the dose.
    assert abs(correlation(first, second)) < 4 / np.sqrt(first.size)


def test_halves_of_counts_are_independent_and_add_up(rng: np.random.Generator) -> None:
    image = planar(rng)
    roles = split_counts(image, 1, (0,))
    first, second = roles.images
    assert np.array_equal((first + second) / 2, image.voxels)
    assert abs(correlation(first, second)) < 4 / np.sqrt(first.size)


@pytest.mark.parametrize(
    ("name", "dose"), [("anatomy-nm", 0.1), ("anatomy-xr", 0.1), ("spect-cardiac", 0.125)]
)
def test_objects_are_scanned_without_bias_and_anew(name: str, dose: float) -> None:
    made = make_object(name, 4)
    roles = scan_object(made, (dose,), 4, (2,))
    clean = roles.images[0]
    noise = [roles.images[v.noisy] - clean for v in roles.variants]
    inside = clean > 0.2 * np.quantile(clean, 0.995)
    mean = np.mean(noise, axis=0)[inside].mean()
    # Correlated over cells of at most 64 pixels; six standard errors, and a percent for reconstruction.
    error = np.std(noise[0][inside]) / np.sqrt(4 * inside.sum() / 64)
    assert abs(mean) < 6 * error + 0.01 * clean[inside].mean()
    assert abs(correlation(noise[0][inside], noise[1][inside])) < 6 / np.sqrt(inside.sum() / 64)
    assert np.std(noise[0][inside]) > 0


def test_realisations_tend_to_the_clean_image() -> None:
    made = make_object("anatomy-nm", 1)
    roles = scan_object(made, (0.2,), 16, (0,))
    clean = roles.images[0]
    one, many = (
        float(np.mean((np.mean([roles.images[v.noisy] for v in roles.variants[:n]], axis=0) - clean) ** 2))
        for n in (1, 16)
    )
    # The squared error falls as 1 / 16; both are known to a few percent from 65 536 pixels.
    assert 0.05 < many / one < 0.075


def test_ct_is_calibrated_or_left_out(rng: np.random.Generator) -> None:
    flat = Image(
        np.full((1, 64, 64), -1000.0, np.float32), Modality.CT, "HU", Geometry((1, 1, 1), known=True)
    )
    with pytest.raises(InputError, match="no tissue is flat enough"):
        scan_image(flat, (0.25,), 1, (0,), ALL)


def test_mr_and_radiographs_are_scanned_anew(rng: np.random.Generator) -> None:
    for modality in (Modality.MR, Modality.XR):
        y, x = np.indices((96, 96)) - 48
        image = Image((900.0 * (np.hypot(y, x) < 40))[None].astype(np.float32), modality, "arbitrary")
        roles = scan_image(image, (0.25, 0.1), 1, (0,), ALL)
        noise = [
            float(np.std((roles.images[v.noisy] - roles.images[v.clean])[0, 40:56, 40:56]))
            for v in roles.variants
        ]
        assert 0 < noise[0] < noise[1]
        assert all(v.second == NONE for v in roles.variants)


def test_ultrasound_has_a_clean_image_as_bright_as_its_looks() -> None:
    made = make_object("anatomy-us", 2)
    image = scan_object(made, (1.0,), 1, (0,)).images
    again = Image(image[-1], Modality.US, "arbitrary", made.truth.geometry)
    roles = scan_image(again, (1.0, 4.0), 1, (0,), ALL)
    assert len({v.clean for v in roles.variants}) == 2
    for variant in roles.variants:
        clean, noisy = roles.images[variant.clean], roles.images[variant.noisy]
        inside = clean > 0.3 * clean.max()
        assert abs(float(clean[inside].mean() - noisy[inside].mean())) < 2


def test_doses_are_checked() -> None:
    check_doses((1.0, 4.0), Modality.US, "a")
    for doses, modality in (
        ((0.5,), Modality.US),
        ((1.0,), Modality.CT),
        ((2.0,), Modality.NM),
        ((), Modality.CT),
    ):
        with pytest.raises(InputError, match="doses of"):
            check_doses(doses, modality, "a")


def test_counts_that_are_no_counts_are_refused(rng: np.random.Generator) -> None:
    image = planar(rng)
    check_clean(image)
    with pytest.raises(InputError, match="no integers"):
        check_clean(image.with_voxels(image.voxels + np.float32(0.3)))
    with pytest.raises(InputError, match="negative"):
        check_clean(image.with_voxels(image.voxels - 100))


def test_slices_are_spread_in_runs_with_gaps_between() -> None:
    image = Image(np.zeros((100, 4, 4), np.float32), volume=True, gaps=(50,))
    kept = kept_slices(image, 27, together=False)
    assert len(kept) == 27
    cut = taken(image, kept)
    assert set(cut.gaps) >= {8, 17}
    for i in range(26):
        assert (kept[i + 1] != kept[i] + 1 or kept[i] == 50) == (i in cut.gaps)
    assert np.array_equal(kept_slices(image, 10, together=True), np.arange(45, 55))
    assert np.array_equal(kept_slices(image, None, together=True), np.arange(100))
    frames = replace(image, volume=False, gaps=())
    assert len(kept_slices(frames, 7, together=False)) == 7
