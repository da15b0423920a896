"""SPECT: thinned views are those of a shorter scan, and volumes get the noise that such a scan has."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

pytest.importorskip("scipy", reason="SciPy is not installed")

from quell.errors import InputError, QuellError
from quell.image import Acquisition, Geometry, Image, Modality
from quell.noise.planar import PlanarNoise
from quell.noise.spect import SPECTNoise

DOSE = 0.25
SIZE, SLICES = 32, 24
GEOMETRY = Geometry((12.8, 12.8, 12.8), known=True)
MODEL = SPECTNoise(total_counts=4e5, views=30, subsets=6, cutoff=0.7)
FILTERED = replace(MODEL, reconstruction="fbp")

Z, Y, X = np.mgrid[:SLICES, :SIZE, :SIZE] - np.array([SLICES, SIZE, SIZE]).reshape(3, 1, 1, 1) / 2 + 0.5
BODY = np.hypot(X / 13, Y / 9) < 1
WALL = np.abs(np.sqrt((X - 4) ** 2 + (Y + 3) ** 2 + Z**2) - 3.5) < 1
INSIDE = (np.hypot(X / 10, Y / 6) < 1) & (np.sqrt((X - 4) ** 2 + (Y + 3) ** 2 + Z**2) > 8) & (np.abs(Z) < 9)


@cache
def phantom() -> Image:
    """Return a heart of 1 in a body of 0.15."""
    activity = np.where(WALL, 1.0, 0.15 * BODY).astype(np.float32)
    return Image(activity, Modality.NM, "counts", GEOMETRY, volume=True)


@cache
def realisations(model: SPECTNoise, how: str, count: int = 10) -> np.ndarray:
    """Return volumes at a quarter of the dose, made in one of three ways, or of the full dose."""
    truth, rng = phantom(), np.random.default_rng(len(how))
    if how == "full":
        return np.stack([model.acquire(truth, 1, rng).image.voxels for _ in range(count)])
    if how == "direct":
        return np.stack([model.acquire(truth, DOSE, rng).image.voxels for _ in range(count)])
    full = realisations(model, "full")
    corrected = () if model.reconstruction == "fbp" else ("ATTN",)
    image = replace(truth, acquisition=Acquisition(corrections=corrected))
    return np.stack([model.simulate(image.with_voxels(v.copy()), DOSE, rng).image.voxels for v in full])


def spread(volumes: np.ndarray, region: np.ndarray) -> float:
    return float(np.sqrt(volumes[:, region].var(axis=0, ddof=1).mean()))


def test_expected_views_have_the_counts_and_drawn_ones_are_raw(rng: np.random.Generator) -> None:
    expected = MODEL.project(phantom())
    assert expected.shape == (30, SLICES, SIZE) and not expected.volume
    assert expected.voxels.sum(dtype=float) == pytest.approx(4e5, rel=1e-4)
    drawn = PlanarNoise(resolution_mm=0).acquire(expected, 1, rng).image
    assert MODEL.check(drawn) == ()
    thinned = MODEL.simulate(drawn, DOSE, rng)
    law = DOSE * expected.voxels
    squares = (thinned.image.voxels - law) ** 2 / np.maximum(law, 1e-3)
    # 23,040 pixels of 0.1 to 30 counts: scatter 0.015.
    assert squares[law > 0.1].mean() == pytest.approx(1, abs=0.06)
    assert thinned.warnings == ()


def test_thinned_views_reconstruct_as_those_of_a_shorter_scan(rng: np.random.Generator) -> None:
    truth = phantom()
    expected = replace(MODEL, scatter_fraction=0.0).project(truth)
    volumes: dict[str, list[np.ndarray]] = {"direct": [], "thinned": []}
    for _ in range(10):
        drawn = expected.with_voxels(rng.poisson(expected.voxels).astype(np.float32))
        short = expected.with_voxels(rng.poisson(DOSE * expected.voxels).astype(np.float32))
        thinned = MODEL.simulate(drawn, DOSE, rng).image
        for name, frames in (("thinned", thinned), ("direct", short)):
            volumes[name].append(MODEL.reconstruct(frames, truth, DOSE).voxels)
    direct, thinned = (np.stack(volumes[name]) for name in ("direct", "thinned"))
    # 10 realisations of some 200 grains in the body and 60 in the wall: scatter of a ratio 3 and 6 %.
    assert spread(thinned, INSIDE) == pytest.approx(spread(direct, INSIDE), rel=0.1)
    assert spread(thinned, WALL) == pytest.approx(spread(direct, WALL), rel=0.2)
    assert thinned[:, WALL].mean() == pytest.approx(direct[:, WALL].mean(), rel=0.02)


@pytest.mark.parametrize("model", [MODEL, FILTERED], ids=["osem", "fbp"])
def test_a_volume_gets_the_noise_of_a_shorter_scan_and_keeps_its_heart(model: SPECTNoise) -> None:
    full, direct, inserted = (realisations(model, how) for how in ("full", "direct", "inserted"))
    assert spread(inserted, INSIDE) == pytest.approx(spread(direct, INSIDE), rel=0.12)
    assert spread(inserted, WALL) == pytest.approx(spread(direct, WALL), rel=0.25)
    assert inserted[:, WALL].mean() == pytest.approx(full[:, WALL].mean(), rel=0.01)


def test_noise_of_filtered_back_projection_goes_with_one_over_the_root_of_the_dose() -> None:
    ratio = spread(realisations(FILTERED, "direct"), INSIDE) / spread(realisations(FILTERED, "full"), INSIDE)
    assert ratio == pytest.approx(2, rel=0.1)


def test_attenuation_correction_brings_back_what_the_body_took() -> None:
    truth, quiet = phantom(), {"total_counts": 1e9, "iterations": 6, "scatter_fraction": 0.0}
    level = {}
    for corrects in (True, False):
        model = replace(MODEL, attenuation_correction=corrects, **quiet)  # type: ignore[arg-type]
        level[corrects] = model.acquire(truth, 1, np.random.default_rng(0)).image.voxels[INSIDE].mean()
    assert level[True] == pytest.approx(0.15, rel=0.06)
    assert level[False] < 0.5 * level[True]


def test_resolution_recovery_sharpens_the_wall() -> None:
    # Far away, so that the blur is two pixels wide.
    quiet = replace(
        MODEL, total_counts=1e9, scatter_fraction=0.0, iterations=8, cutoff=4.0, orbit_radius_mm=600
    )
    blunt = replace(quiet, resolution_recovery=False)
    peak = [
        m.acquire(phantom(), 1, np.random.default_rng(0)).image.voxels[WALL].mean() for m in (quiet, blunt)
    ]
    assert peak[0] > 1.1 * peak[1]


def test_slices_need_not_be_square_nor_as_far_apart_as_pixels(rng: np.random.Generator) -> None:
    geometry = Geometry((6.4, 12.8, 12.8), known=True)
    truth = replace(phantom(), voxels=phantom().voxels[:, 4:27, 1:30].copy(), geometry=geometry)
    done = MODEL.acquire(truth, 1, rng)
    assert done.image.shape == (SLICES, 23, 29)
    inside = INSIDE[:, 4:27, 1:30]
    assert done.image.voxels[inside].mean() == pytest.approx(0.15, rel=0.25)
    lower = MODEL.simulate(done.image, 0.5, rng)
    assert lower.image.shape == truth.shape and lower.parameters["total_counts"] == 4e5
    assert lower.warnings


def test_counts_are_found_in_a_volume_with_even_parts() -> None:
    y, x = np.mgrid[:64, :64] - 31.5
    activity = np.repeat(1.0 * (np.hypot(x, y) < 26)[None], 16, axis=0).astype(np.float32)
    truth = Image(activity, Modality.NM, "counts", Geometry((6.4, 6.4, 6.4), known=True), volume=True)
    model = replace(FILTERED, views=24, total_counts=3e5, cutoff=0.5)
    image = model.acquire(truth, 1, np.random.default_rng(1)).image
    found = replace(model, total_counts=None).calibrate(image).total_counts
    # A factor of 1.6 in counts is 26 % in the level.
    assert found is not None and 1 / 1.6 < found / 3e5 < 1.6


def test_counts_that_cannot_be_found_are_assumed_and_told(rng: np.random.Generator) -> None:
    image = realisations(MODEL, "full", 10)[0]
    volume = phantom().with_voxels(image.copy())
    small = replace(volume, voxels=volume.voxels[:1].copy())
    done = replace(MODEL, total_counts=None).simulate(small, 0.5, rng)
    assert "3000000 counts were assumed" in done.warnings[0]


def test_what_is_acquired_tells_how_it_was_made(rng: np.random.Generator) -> None:
    made = [m.acquire(phantom(), 1, rng).image.acquisition for m in (MODEL, FILTERED)]
    assert [(m.reconstruction, m.corrections) for m in made] == [("OSEM", ("ATTN",)), ("FBP", ())]


def test_a_header_that_tells_of_back_projection_is_followed(rng: np.random.Generator) -> None:
    image = replace(
        phantom(),
        voxels=realisations(FILTERED, "full")[0].copy(),
        acquisition=Acquisition(reconstruction="FBP"),
    )
    assert MODEL.simulate(image, 0.5, rng).parameters["reconstruction"] == "fbp"


def test_padding_stays_and_dose_one_changes_nothing(rng: np.random.Generator) -> None:
    padding = np.zeros(phantom().shape, bool)
    padding[:2] = True
    voxels = phantom().voxels.copy()
    voxels[padding] = -3
    image = replace(phantom(), voxels=voxels, padding=padding)
    assert MODEL.simulate(image, 1, rng).image is image
    done = MODEL.simulate(image, 0.5, rng).image.voxels
    assert (done[padding] == -3).all() and (done[~padding] >= 0).all()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"modality": Modality.PT}, "NM images"),
        ({"geometry": Geometry()}, "spacing"),
        ({"voxels": np.zeros((2, 8, 8), np.float32)}, "no activity"),
        ({"voxels": np.full((2, 8, 8), np.inf, np.float32)}, "no numbers"),
        ({"acquisition": Acquisition(reconstruction="PROJECTIONS")}, "no integers"),
        ({"volume": False}, "no integers"),
    ],
)
def test_what_cannot_be_simulated_is_refused(change: dict[str, object], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        MODEL.check(replace(phantom(), **change))


def test_parameters_and_shapes_make_sense(rng: np.random.Generator) -> None:
    bad: tuple[dict[str, object], ...] = (
        {"reconstruction": "mlem"},
        {"subsets": 99},
        {"scatter_fraction": 1.0},
        {"total_counts": 0.0},
    )
    for fields in bad:
        with pytest.raises(ValueError, match=r"reconstruction is|subset|scatter|positive"):
            SPECTNoise(**fields)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="views of shape"):
        MODEL.reconstruct(phantom(), phantom())
    with pytest.raises(ValueError, match="dose"):
        MODEL.simulate(phantom(), 0, rng)
    with pytest.raises(ValueError, match="dose"):
        MODEL.acquire(phantom(), -1, rng)


def test_scipy_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    monkeypatch.setitem(sys.modules, "scipy.sparse", None)
    with pytest.raises(QuellError, match=r"needs SciPy: pip install 'quell\[lab\]'"):
        MODEL.simulate(phantom(), 0.5, rng)
