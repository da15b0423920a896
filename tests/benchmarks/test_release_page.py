"""The page of the release says met only where the records do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

Script = Callable[[str], ModuleType]
RESULTS = Path(__file__).parents[2] / "docs" / "results"
MODEL = {"name": "universal.fast", "version": "9.9", "sha256": "f" * 64, "engine": "e"}


def put(folder: Path, name: str, values: dict[str, Any]) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(values), encoding="utf-8")
    return folder


def peers(psnr: float, nlm: float, installed: bool = True) -> dict[str, Any]:
    def value(number: float) -> dict[str, Any]:
        one = {"value": number, "low": None, "high": None, "p": None}
        return {"psnr": one, "ssim": {**one, "value": 0.01}}

    others = {"non-local means, best": value(nlm)} | (
        {"BM3D, exact spectrum": value(psnr)} if installed else {}
    )
    images = [{"name": "a, 1", "patient": "a"}, {"name": "b, 1", "patient": "b"}]
    doses = {"0.25": {"images": images, "differences": {"universal.fast": others}}}
    told = {"why_not": "" if installed else "it is not installed"}
    return {"command": "python benchmarks/ct_peers.py", "models": [MODEL], "bm3d": told, "doses": doses}


def verdicts(findings: list[Any]) -> dict[str, bool | None]:
    return {one.goal: one.met for one in findings}


def test_ct_is_met_only_above_the_peers(script: Script, tmp_path: Path) -> None:
    ct = script("release_bar").ct
    good = verdicts(ct(put(tmp_path, "ct_peers.json", peers(0.1, 1.0))))
    assert good["PSNR above BM3D told the exact spectrum"] is True
    assert good["at least 1 dB above non-local means with the best settings per image"] is True
    bad = verdicts(ct(put(tmp_path, "ct_peers.json", peers(0.0, 0.99))))
    assert bad["PSNR above BM3D told the exact spectrum"] is False
    assert bad["at least 1 dB above non-local means with the best settings per image"] is False


def test_a_peer_that_is_not_there_is_told(script: Script, tmp_path: Path) -> None:
    found = script("release_bar").ct(put(tmp_path, "ct_peers.json", peers(0, 2, installed=False)))
    bm3d = [one for one in found if "BM3D" in one.goal]
    assert [one.met for one in bm3d] == [None, None]
    assert "not installed" in bm3d[0].measured
    assert all(one.met is None for one in found if "DnCNN" in one.goal)


def test_one_dose_that_falls_short_is_enough(script: Script, tmp_path: Path) -> None:
    record = peers(0.5, 2.0)
    record["doses"]["0.1"] = peers(-0.01, 2.0)["doses"]["0.25"]
    found = verdicts(script("release_bar").ct(put(tmp_path, "ct_peers.json", record)))
    assert found["PSNR above BM3D told the exact spectrum"] is False


def generality(differences: dict[str, float]) -> dict[str, Any]:
    gain = {"universal.fast": {"value": 3.0}}
    doses = {
        dose: {"gain": gain}
        | ({"minus_special": {"universal.fast": {"value": differences[dose]}}} if dose in differences else {})
        for dose in ("0.5", "0.1")
    }
    none = {"unseen_minus_seen_scanner": {"over_best_nlm": None}}
    kernel = {"unseen_minus_seen_kernel": {"over_best_nlm": {"value": -0.31, "unseen": 2, "seen": 1}}}
    margin = {"universal.fast": {"over_best_nlm": {"value": 1.0}}}
    kernels = {"soft": {"seen": True, **margin}, "sharper": {"seen": False, **margin}}
    return {
        "command": "python benchmarks/generality.py",
        "models": [MODEL],
        "doses": doses,
        "scans": {"models": {"universal.fast": none | kernel}},
        "noise_kernels": {"kernels": kernels},
        "left_out": ["no run was given"],
    }


@pytest.mark.parametrize(
    ("differences", "met"),
    [({}, None), ({"0.5": 0.0}, None), ({"0.5": -0.3}, False), ({"0.5": -0.2, "0.1": 0.1}, True)],
)
def test_doses_that_were_not_measured_leave_it_open(
    script: Script, tmp_path: Path, differences: dict[str, float], met: bool | None
) -> None:
    found = script("release_bar").generality(put(tmp_path, "generality.json", generality(differences)))
    by_what = {one.what: one for one in found}
    assert by_what["universal.fast, doses"].met is met
    assert by_what["universal.fast, scanners of patients"].met is None
    assert by_what["universal.fast, kernels of patients"].met is False
    assert by_what["universal.fast, kernels of the noise"].met is True


def test_speed_is_read_in_the_precision_of_the_network(script: Script, tmp_path: Path) -> None:
    slices = {
        "universal.fast, OpenVINO f32": 1.0,
        "universal.fast, OpenVINO bf16": 10.0,
        "universal.standard, OpenVINO bf16": 50.0,
        "DnCNN-17, OpenVINO f32": 1e9,
        "DnCNN-17, OpenVINO bf16": 390.0,
        "DnCNN-17, eager PyTorch f32": 2600.0,
    }
    record = {"machine": "m", "slice_ms": slices, "job": {}}
    found = verdicts(script("release_bar_speed").speed(put(tmp_path, "speed.json", record)))
    assert found["at least 60 slices of 512 × 512 a second, 2 cores, bf16"] is True
    assert found["at least 30 slices of 512 × 512 a second, 2 cores, bf16"] is False
    assert found["at least 40 times as fast as DnCNN-17 in the same engine and precision"] is False
    assert found["at least 250 times as fast as DnCNN in eager PyTorch"] is True
    assert found["at least 500 times as fast as BM3D"] is None


@pytest.mark.parametrize(("many", "met"), [(109.0, True), (150.0, False)])
def test_memory_is_flat_or_not(script: Script, tmp_path: Path, many: float, met: bool) -> None:
    job = {"wall": 5, "wall_median": 6, "peak_mib": many, "peak_mib_by_slices": {"100": 100.0, "200": many}}
    record = {"machine": "m", "slice_ms": {}, "jobs": {"fast": job}}
    found = script("release_bar_speed").end_to_end(put(tmp_path, "speed.json", record))
    assert [one.met for one in found] == [True, met, None]


@pytest.mark.parametrize(
    ("good", "seen", "met"), [(True, "noise", True), (False, "noise", False), (True, "", False)]
)
def test_differences_must_be_free_of_anatomy_and_looked_at(
    script: Script, tmp_path: Path, good: bool, seen: str, met: bool
) -> None:
    row = {"name": "breast MRI", "likeness": 0.05, "edges": 0.9, "met": good}
    record = {
        "command": "python benchmarks/differences.py",
        "models": [MODEL],
        "goal": {"likeness": 0.1, "edges": 1.3},
        "seen": seen,
        "results": {"universal.fast": [row, {**row, "met": True}]},
    }
    put(tmp_path, "differences.json", record)
    (found,) = [one for one in script("release_bar").repeats(tmp_path) if "difference" in one.goal]
    assert found.met is met
    assert ("nobody looked" in found.measured) == (seen == "")


def test_an_empty_folder_gives_a_page_on_which_nothing_was_measured(script: Script, tmp_path: Path) -> None:
    text = script("release_page").page(tmp_path)
    assert "0 not met" in text
    assert text.count("**met**") == 1, "only the size of the weights, which are in the project"
    for heading in ("Task", "Real data", "Generality", "Speed", "GPU", "Bad input"):
        assert f"## {heading}" in text


def test_the_records_of_the_project_can_be_read(script: Script) -> None:
    text = script("release_page").page(RESULTS)
    assert "**met**" in text and "**not met**" in text
    assert "nan" not in text


def test_weights_that_no_longer_ship_are_marked_and_the_trials_taken_over(
    script: Script, tmp_path: Path
) -> None:
    put(tmp_path, "ct_peers.json", peers(1, 2))
    (tmp_path / "tried.md").write_text("| a | b |\n", encoding="utf-8")
    text = script("release_page").page(tmp_path)
    assert "universal.fast 9.9 (ffffffff, *older*)" in text
    assert text.endswith("## What was tried\n\n| a | b |\n")


@pytest.mark.parametrize(("near", "words"), [(True, "0.03 dB lost"), (False, "left")])
def test_int8_is_taken_only_where_it_is_near(script: Script, tmp_path: Path, near: bool, words: str) -> None:
    verdict = {"worst_lost_db": 0.03 if near else 0.3, "near": near, "times_as_fast": 1.6}
    record = {"command": "python benchmarks/int8.py", "models": [MODEL], "verdicts": {"int8": verdict}}
    found = script("release_bar").int8(put(tmp_path, "int8.json", record))
    assert found.met is near and words in found.measured


def test_a_peer_that_could_not_be_timed_says_why(script: Script, tmp_path: Path) -> None:
    record = {
        "machine": "m",
        "slice_ms": {"universal.fast, OpenVINO bf16": 16.0},
        "left_out": {"BM3D": "it is not installed"},
    }
    found = script("release_bar_speed").speed(put(tmp_path, "speed.json", record))
    (bm3d,) = (one for one in found if one.goal.endswith("BM3D"))
    assert bm3d.met is None and bm3d.measured == "it is not installed"
