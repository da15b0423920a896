"""What the scripts of a release compute is what they say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from quell.evaluation.benchmark.cases import Case
from quell.image import FloatArray, Image, Modality
from quell.noise.spectrum import colour, frequency_axes, normalised, ramp_spectrum

pytest.importorskip("skimage", reason="scikit-image is not installed")

Script = Callable[[str], ModuleType]


def scene(side: int) -> FloatArray:
    """Return a disc of 150 on a ground of 0."""
    y, x = np.mgrid[:side, :side]
    return (150 * (np.hypot(y - side / 2, x - side / 2) < side / 3))[None].astype(np.float32)


def test_spectrum_within_a_mask_has_the_variance_there(script: Script) -> None:
    rng = np.random.default_rng(1)
    fy, fx = frequency_axes(64, 64)
    power = normalised(ramp_spectrum(np.hypot(fy, fx), 0.05, 0.2, 2.4))
    noise = 5 * colour(rng.standard_normal((200, 64, 64)).astype(np.float32), power)
    inside = np.zeros((64, 64), bool)
    inside[8:56, 8:56] = True
    # Noise outside of the mask must not count.
    noise[:, ~inside] *= 10
    found = script("exact_bm3d").mean_power(noise.astype(np.float64), inside)
    # 200 fields of 2304 pixels, of which perhaps a quarter are independent: the variance to 0.5 %.
    assert found.mean() / found.size == pytest.approx(25, rel=0.03)
    expected = 25 * power * found.size
    strong = expected > 0.3 * expected.max()
    # The window of the mask and the smoothing blur the spectrum a little.
    assert np.corrcoef(found[strong], expected[strong])[0, 1] > 0.9


def test_the_truth_chooses_the_best_setting(script: Script) -> None:
    peers = script("ct_peers")
    truth = Image(scene(64), Modality.CT, "HU")
    rng = np.random.default_rng(2)
    noisy = tuple(
        truth.with_voxels(truth.voxels + rng.normal(0, 10, truth.shape).astype(np.float32)) for _ in "ab"
    )
    inside = np.ones((64, 64), bool)
    case = Case("x", "x", truth, noisy, 0, (-160.0, 240.0), inside, 10.0, 0.0)
    exact = truth.voxels[0].astype(np.float64)
    methods = {"as it is": lambda p: p, "half way": lambda p: (p + exact) / 2, "blank": lambda p: 0 * p}
    scores, chosen = peers.best(case, methods)
    as_is = peers.score(case, [one.voxels[0] for one in noisy])
    assert chosen == "half way"
    assert scores[0] - as_is[0] == pytest.approx(20 * np.log10(2), abs=1e-6)
    assert scores[1] > as_is[1]


def test_rounding_makes_the_psnr_of_a_perfect_picture_finite(script: Script) -> None:
    outside = script("outside")
    image = Image(scene(32))
    case = outside.Outside("x", "g", image, image, 1.0)
    # An error of 1/12 squared steps on the 255 steps of a picture of 8 bits.
    assert outside.psnr(case, image.voxels) == pytest.approx(10 * np.log10(255**2 * 12))
    assert outside.judge(case, lambda one: one.voxels)["change"] == 0
    worse = outside.judge(case, lambda one: one.voxels + np.float32(0.5))
    # 0.25 on top of 1/12 is four times the error.
    assert worse["change"] == pytest.approx(-10 * np.log10(4), abs=1e-4)
    assert not worse["met"]


def test_outside_has_every_kind_of_picture(script: Script) -> None:
    pytest.importorskip("scipy", reason="phantoms need SciPy")
    found = list(script("outside").outside(64))
    groups = {one.group for one in found}
    assert {"another modality", "extreme noise", "noise-free", "synthetic picture", "JPEG"} <= groups
    assert "denoised before" in groups
    assert len({one.name for one in found}) == len(found)
    assert all(one.given.shape == one.truth.shape for one in found)
    assert all(one.given.modality is one.truth.modality for one in found)


def pair(repeats: ModuleType, sigma: float = 10.0) -> tuple[object, FloatArray]:
    rng = np.random.default_rng(3)
    truth = scene(128)
    # Noise of the ground beyond a tenth of the span, below which there is no object, must not matter.
    scans = [Image((truth + rng.normal(0, sigma, truth.shape)).astype(np.float32)) for _ in "ab"]
    return repeats.Pair("x", "MR", *scans), truth


def test_the_object_is_not_chosen_by_its_noise(script: Script) -> None:
    repeats = script("repeats")
    mask = repeats.inside(pair(repeats)[0])[0]
    y, x = np.mgrid[:128, :128]
    radius = np.hypot(y - 64, x - 64)
    assert mask[radius < 38].all()
    assert not mask[radius > 52].any()


def test_a_perfect_denoiser_reaches_the_floor(script: Script) -> None:
    repeats = script("repeats")
    scans, truth = pair(repeats)
    row = repeats.judge(scans, lambda one: truth)
    # About 5 700 pixels of the disc or more: the ratio is known to a per cent or so.
    assert row["error_over_noisy"] == pytest.approx(np.sqrt(0.5), rel=0.03)
    assert row["noise_left"] == 0
    assert row["met"]


def test_doing_nothing_is_allowed_but_does_not_count(script: Script) -> None:
    repeats = script("repeats")
    scans, _ = pair(repeats)
    row = repeats.judge(scans, lambda one: one.voxels)
    assert row["error_over_noisy"] == pytest.approx(1)
    assert row["allowed"] == pytest.approx(1)
    assert not row["met"]


def test_signal_that_is_taken_away_is_found(script: Script) -> None:
    repeats = script("repeats")
    scans, truth = pair(repeats)
    lost = 6 * np.sign(np.sin(np.arange(128) * 1.3)).astype(np.float32)
    row = repeats.judge(scans, lambda one: truth + lost)
    assert row["signal_lost"] == pytest.approx(0.6, rel=0.15)
    assert not row["met"]


def test_unseen_minus_seen_needs_both(script: Script) -> None:
    between = script("generality")._between
    assert between([3.0, 1.0, 9.0], [False, True, None])["value"] == pytest.approx(2)
    assert between([3.0, 1.0], [True, True]) is None


def test_scanners_of_the_training_are_those_of_the_manifest(script: Script) -> None:
    generality = script("generality")
    scanners, kernels = generality.seen_in_training()
    assert "GE LightSpeed16" in scanners and "SOFT" in kernels
    assert "Siemens Sensation 16" not in scanners and "B10f" not in kernels


def test_a_record_names_no_folder_of_its_maker(script: Script, tmp_path: Path) -> None:
    common = script("release_common")
    argv = ["--data", "/a/data", "--peer", "DnCNN=/a/run", "--model", "/a/b", f"-o={tmp_path}/x.json"]
    command = common.told_command("ct_peers.py", [*argv, "-o", f"{tmp_path}/docs/results/x.json"])
    assert "/a" not in command and str(tmp_path) not in command
    assert command.endswith("-o docs/results/x.json")
    card = SimpleNamespace(version="1", sha256="ab")
    model = common.Model("n", SimpleNamespace(card=card), "1", "ab", "engine")
    common.save(tmp_path / "new" / "x.json", "quell-x", command, [model], {"value": np.float64(1.5)})
    found = json.loads((tmp_path / "new" / "x.json").read_text("utf-8"))
    assert found["value"] == 1.5 and found["models"][0]["sha256"] == "ab"


def test_a_named_run_needs_a_name_and_a_place(script: Script) -> None:
    import argparse

    named = script("release_common").named
    assert named("0.25=runs/a=b") == ("0.25", "runs/a=b")
    for wrong in ("runs", "=runs", "x="):
        with pytest.raises(argparse.ArgumentTypeError):
            named(wrong)
