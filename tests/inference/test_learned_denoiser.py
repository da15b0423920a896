"""Networks of training runs: scaled, whole or in tiles, told of a prior, drawn several times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quell.errors import InputError, ModelError
from quell.image import FloatArray, Image, Modality
from quell.inference.contracts import Runtime
from quell.inference.learned_denoiser import LearnedDenoiser
from quell.inference.make import make_denoiser
from quell.inference.network_denoiser import NetworkDenoiser
from quell.models.registry import default_card, locate, model_files
from quell.models.scaling import usual_scaling

torch = pytest.importorskip("torch", reason="making networks needs torch")

from samples.runs import make_run, network  # noqa: E402

HU = 1000.0
"""What one network unit is for CT."""


def with_spread(found: Any, *given: Any) -> Any:
    return found[:, :1], 0.05 + found[:, 1:].abs()


def with_interval(found: Any, *given: Any) -> Any:
    half = 0.1 + found[:, 1:].abs()
    return found[:, :1], found[:, :1] - half, found[:, :1] + half


def told_of_prior(found: Any, noisy: Any, prior: Any) -> Any:
    return prior[:, :1] + 0 * found


def noise_added(found: Any, noisy: Any, noise: Any) -> Any:
    return noisy[:, :1] + 0.1 * noise + 0 * found


def noise_and_spread(found: Any, noisy: Any, noise: Any) -> Any:
    return noisy[:, :1] + 0.03 * noise + 0 * found, torch.full_like(noise, 0.04) + 0 * found


def nothing_finite(found: Any, *given: Any) -> Any:
    return torch.log(-1 - found.abs())


KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "slice": ({}, {}),
    "slices": ({"inputs": 3}, {"slices": 3, "multiple": 4}),
    "volume": ({"dimensions": 3}, {"dimensions": 3, "multiple": 2}),
    "spread": ({"outputs": 2, "finish": with_spread}, {"outputs": ("image", "spread")}),
    "interval": ({"outputs": 2, "finish": with_interval}, {"outputs": ("image", "lower", "upper")}),
    "prior": ({"inputs": 6}, {"slices": 3, "prior": ("MR",)}),
    "prior alone": ({"inputs": 2, "finish": told_of_prior}, {"prior": ("MR",)}),
    "samples": ({"inputs": 2}, {"samples": 3}),
    "draws": ({"inputs": 2, "finish": noise_added}, {"samples": 64}),
    "draws and spread": (
        {"inputs": 2, "finish": noise_and_spread},
        {"samples": 64, "outputs": ("image", "spread")},
    ),
    "draws of a volume": ({"inputs": 2, "dimensions": 3}, {"dimensions": 3, "samples": 2}),
    "broken": ({"finish": nothing_finite}, {}),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a maker of the folder of a run, each exported once."""
    folder = tmp_path_factory.mktemp("runs")

    def run(kind: str) -> Path:
        place = folder / kind.replace(" ", "-")
        return place if place.exists() else make_run(place, module(kind), **KINDS[kind][1])

    return run


def module(kind: str) -> Any:
    return network(**KINDS[kind][0]).eval()


@pytest.fixture(scope="module")
def load(made: Callable[[str], Path], onnx: Runtime) -> Callable[..., LearnedDenoiser]:
    """Return a maker of denoisers."""

    def build(kind: str, runtime: Runtime = onnx, **options: Any) -> LearnedDenoiser:
        card, folder = locate(made(kind))
        return LearnedDenoiser(card, model_files(card, folder), runtime, **{"streams": 2, **options})

    return build


Load = Callable[..., LearnedDenoiser]


def ct(*shape: int, seed: int = 1, **fields: Any) -> Image:
    voxels = np.random.default_rng(seed).normal(40, 300, shape).astype(np.float32)
    return Image(voxels, **{"modality": Modality.CT, "units": "HU", "volume": shape[0] > 1, **fields})


def prior_of(image: Image) -> Image:
    voxels = np.random.default_rng(9).uniform(50, 900, image.shape).astype(np.float32)
    return Image(voxels, Modality.MR, volume=image.volume, name="mr")


def ready(denoiser: LearnedDenoiser, image: Image) -> LearnedDenoiser:
    return denoiser.with_prior(prior_of(image)) if denoiser.card.prior else denoiser


def directly(kind: str, image: Image) -> FloatArray:
    """Compute with torch what a network without padding says of each slice."""
    slices = KINDS[kind][1].get("slices", 1)
    near = np.clip(
        np.arange(image.shape[0])[:, None] + np.arange(slices) - slices // 2, 0, image.shape[0] - 1
    )
    with torch.no_grad():
        found = module(kind)(torch.from_numpy(image.voxels[near] / np.float32(HU)))
    return np.clip(found[:, 0].numpy() * HU, image.voxels.min(), image.voxels.max())


@pytest.mark.parametrize("kind", ["slice", "slices"])
def test_the_result_is_that_of_the_network_on_scaled_slices(load: Load, kind: str) -> None:
    image = ct(4, 24, 32)
    found = load(kind).denoise(image).image
    np.testing.assert_allclose(found.voxels, directly(kind, image), atol=1e-2)
    assert (found.units, found.modality, found.geometry) == (image.units, image.modality, image.geometry)


def test_a_volume_is_given_as_one(load: Load) -> None:
    image = ct(6, 16, 20)
    with torch.no_grad():
        expected = module("volume")(torch.from_numpy(image.voxels[None, None] / np.float32(HU)))[0, 0].numpy()
    expected = np.clip(expected * HU, image.voxels.min(), image.voxels.max())
    np.testing.assert_allclose(load("volume").denoise(image).image.voxels, expected, atol=1e-2)


@pytest.mark.parametrize(
    ("kind", "shape", "most"),
    [
        ("slice", (2, 57, 70), 400),
        ("slices", (3, 61, 46), 500),
        ("prior", (3, 40, 52), 400),
        ("samples", (2, 50, 41), 400),
        ("volume", (21, 30, 26), 13**3),
        ("draws of a volume", (15, 20, 24), 12**3),
    ],
)
def test_tiles_equal_the_whole(load: Load, kind: str, shape: tuple[int, int, int], most: int) -> None:
    image = ct(*shape)
    whole = ready(load(kind), image).denoise(image).image.voxels
    tiled = ready(load(kind, most=most), image).denoise(image).image.voxels
    assert np.prod(shape[-KINDS[kind][1].get("dimensions", 2) :]) > 2 * most
    np.testing.assert_allclose(tiled, whole, atol=1e-2)


def test_a_halo_that_is_too_small_shows(load: Load) -> None:
    image = ct(1, 60, 60)
    denoiser = load("slice", most=400)
    whole = load("slice").denoise(image).image.voxels
    denoiser._card = denoiser.card.model_copy(update={"halo": 0})
    assert np.abs(denoiser.denoise(image).image.voxels - whole).max() > 1


@pytest.mark.parametrize("kind", ["slices", "volume", "spread", "interval", "prior", "samples"])
def test_both_engines_give_the_same(load: Load, openvino: Runtime, kind: str) -> None:
    image = ct(4, 21, 30)
    one, other = (
        ready(load(kind, runtime), image).denoise(image) for runtime in (load("slice")._runtime, openvino)
    )
    for name in ("spread", "lower", "upper"):
        first, second = getattr(one, name), getattr(other, name)
        assert (first is None) == (second is None)
        if first is not None:
            np.testing.assert_allclose(first, second, atol=1e-3 * HU)
    np.testing.assert_allclose(one.image.voxels, other.image.voxels, atol=1e-3 * HU)


def test_it_computes_in_32_bits_and_says_so(load: Load, openvino: Runtime) -> None:
    assert load("slice", openvino).engine == "OpenVINO CPU f32"


def test_the_prior_is_scaled_as_is_usual_for_its_modality(load: Load) -> None:
    image = ct(2, 20, 24)
    prior = prior_of(image)
    offset, scale = usual_scaling(Modality.MR).of(prior)
    expected = np.clip((prior.voxels - offset) / scale * HU, image.voxels.min(), image.voxels.max())
    found = load("prior alone").with_prior(prior).denoise(image)
    np.testing.assert_allclose(found.image.voxels, expected, atol=1e-2)


def test_a_prior_is_given_to_the_copy_alone(load: Load) -> None:
    image = ct(1, 20, 24)
    denoiser = load("prior")
    denoiser.with_prior(prior_of(image)).denoise(image)
    with pytest.raises(InputError, match="needs a MR of the patient: --prior"):
        denoiser.denoise(image)


def test_a_prior_that_does_not_fit_is_refused(load: Load) -> None:
    image = ct(1, 20, 24)
    denoiser = load("prior")
    with pytest.raises(InputError, match="shape"):
        denoiser.with_prior(prior_of(ct(1, 20, 25))).denoise(image)
    with pytest.raises(InputError, match="must be MR, not CT"):
        denoiser.with_prior(image).denoise(image)


@pytest.mark.parametrize(("kind", "sigma"), [("draws", 0.1), ("draws and spread", 0.05)])
def test_draws_are_averaged_and_lie_apart_as_they_should(load: Load, kind: str, sigma: float) -> None:
    # 0.03 between the draws and 0.04 that the network tells make 0.05.
    image = ct(2, 30, 40)
    found = load(kind).denoise(image)
    inner = (image.voxels > image.voxels.min() + 300) & (image.voxels < image.voxels.max() - 300)
    assert found.spread is not None
    # 64 draws: the variance of a voxel is known to 18 %, the mean of about 2000 of them to 0.4 %.
    assert np.sqrt(np.mean(found.spread**2)) == pytest.approx(sigma * HU, rel=0.02)
    between = 0.1 if kind == "draws" else 0.03
    error = (found.image.voxels - image.voxels)[inner]
    assert error.std() == pytest.approx(between * HU / 8, rel=0.08)


def test_draws_repeat_and_depend_on_the_seed_but_not_on_the_streams(load: Load) -> None:
    image = ct(3, 20, 24)
    first = load("samples").denoise(image).image.voxels
    assert np.array_equal(first, load("samples", streams=1).denoise(image).image.voxels)
    assert not np.array_equal(first, load("samples", seed=1).denoise(image).image.voxels)


def test_an_interval_holds_the_image_and_tells_its_spread(load: Load) -> None:
    image = ct(2, 20, 24)
    found = load("interval").denoise(image)
    assert found.lower is not None and found.upper is not None and found.deviation is not None
    assert (found.lower <= found.image.voxels).all() and (found.image.voxels <= found.upper).all()
    np.testing.assert_allclose(found.deviation, (found.upper - found.lower) / 3.29, rtol=1e-5)


@pytest.mark.parametrize("kind", ["slice", "spread", "interval", "samples"])
def test_a_model_tells_a_spread_or_not(load: Load, kind: str) -> None:
    denoiser = load(kind)
    assert denoiser.tells_spread == (kind != "slice")
    found = denoiser.denoise(ct(1, 16, 16)).deviation
    assert (found is not None) == denoiser.tells_spread
    assert found is None or (found > 0).any()


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_strength_blends(load: Load, strength: float) -> None:
    image = ct(2, 20, 24)
    full = load("slice").denoise(image).image.voxels
    found = load("slice").denoise(image, strength).image.voxels
    np.testing.assert_allclose(found, image.voxels + strength * (full - image.voxels), atol=1e-3)
    if strength == 0:
        assert np.array_equal(found, image.voxels)


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_a_strength_that_is_none_is_refused(load: Load, strength: float) -> None:
    with pytest.raises(ValueError, match="strength"):
        load("slice").denoise(ct(1, 16, 16), strength)


@pytest.mark.parametrize("kind", ["slices", "volume", "spread"])
def test_padding_stays_and_has_no_say(load: Load, kind: str) -> None:
    image = ct(4, 20, 24)
    hidden = np.zeros(image.shape, bool)
    hidden[:, :3] = True
    results = []
    for value in (-2000, -3024):
        voxels = np.where(hidden, np.float32(value), image.voxels)
        padded = replace(image, voxels=voxels, padding=hidden)
        found = load(kind).denoise(padded)
        assert np.array_equal(found.image.voxels[hidden], voxels[hidden])
        assert found.deviation is None or not found.deviation[hidden].any()
        results.append(found.image.voxels[~hidden])
    assert np.array_equal(*results)


def test_the_result_stays_within_the_range_of_the_input(load: Load) -> None:
    image = ct(1, 20, 24)
    narrow = image.with_voxels(np.clip(image.voxels, 0, 20))
    found = load("slice").denoise(narrow).image.voxels
    assert found.min() >= 0
    assert found.max() <= 20


@pytest.mark.parametrize("kind", ["slices", "volume"])
def test_slices_on_both_sides_of_a_gap_do_not_see_each_other(load: Load, kind: str) -> None:
    image = ct(6, 20, 24, gaps=(2,))
    whole = load(kind).denoise(image).image.voxels
    # The range that the results are kept in is that of the whole.
    halves = [
        load(kind).denoise(replace(image, voxels=image.voxels[part], gaps=())).image.voxels
        for part in (slice(0, 3), slice(3, 6))
    ]
    np.testing.assert_allclose(whole, np.concatenate(halves), atol=1e-2)


def test_frames_are_no_volume(load: Load) -> None:
    with pytest.raises(InputError, match="needs a volume"):
        load("volume").denoise(ct(4, 16, 16, volume=False))
    frames = ct(3, 16, 16, volume=False)
    alone = [
        load("slices").denoise(replace(frames, voxels=frames.voxels[z : z + 1])).image.voxels
        for z in range(3)
    ]
    np.testing.assert_allclose(load("slices").denoise(frames).image.voxels, np.concatenate(alone), atol=1e-2)


@pytest.mark.parametrize(
    ("modality", "words"), [(Modality.PT, "trained for CT, not for PT"), (Modality.UNKNOWN, "--modality")]
)
def test_another_modality_is_refused(load: Load, modality: Modality, words: str) -> None:
    with pytest.raises(InputError, match=words):
        load("slice").denoise(ct(1, 16, 16, modality=modality))


def test_what_is_not_finite_is_refused_before_and_behind_the_network(load: Load) -> None:
    image = ct(1, 16, 16)
    holed = image.voxels.copy()
    holed[0, 3, 3] = np.nan
    with pytest.raises(InputError, match="not finite"):
        load("slice").denoise(image.with_voxels(holed))
    with pytest.raises(ModelError, match="not finite"):
        load("broken").denoise(image)


@pytest.mark.parametrize(("sigma", "level"), [("auto", 300), (7.0, 7)])
def test_a_given_level_changes_the_noise_map_alone(load: Load, sigma: Any, level: float) -> None:
    image = ct(2, 64, 64)
    found = load("slice").denoise(image, sigma=sigma)
    assert np.median(found.noise.level) == pytest.approx(level, rel=0.1)
    assert np.array_equal(found.image.voxels, load("slice").denoise(image).image.voxels)
    assert found.noise.pixels(1).shape == (64, 64)


def test_progress_is_told_of_every_slice(load: Load) -> None:
    for kind in ("slices", "volume"):
        told = {"estimate": 0, "network": 0}

        def step(name: str, count: int, told: dict[str, int] = told) -> None:
            told[name] += count

        load(kind).denoise(ct(5, 16, 16, gaps=(1,)), step=step)
        assert told == {"estimate": 5, "network": 5}


@pytest.mark.parametrize(
    "change", [{"scaling": None}, {"outputs": ("spread", "image")}, {"outputs": ("picture",)}, {"files": {}}]
)
def test_a_card_that_says_too_little_is_refused(
    made: Callable[[str], Path], onnx: Runtime, change: dict[str, Any]
) -> None:
    card, folder = locate(made("slice"))
    changed = card.model_copy(update=change)
    with pytest.raises(ModelError, match=r"card|outputs"):
        make_denoiser(changed, {r: folder / n for r, n in changed.files.items()}, onnx)


def test_the_card_decides_what_runs_a_model(made: Callable[[str], Path], onnx: Runtime) -> None:
    card, folder = locate(made("slice"))
    assert isinstance(make_denoiser(card, model_files(card, folder), onnx), LearnedDenoiser)
    universal = default_card(Modality.CT)
    assert isinstance(make_denoiser(universal, model_files(universal), onnx), NetworkDenoiser)
