"""`quell evaluate`: what reaches the job, what is said, and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from quell.cli import console
from quell.cli.main import main
from quell.image import Modality

pytest.importorskip("skimage", reason="scikit-image is not installed")


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    clean = np.full((2, 48, 40), 40.0)
    for name, sd in (("full", 1), ("test", 4), ("low", 12)):
        voxels = clean + sd * rng.standard_normal(clean.shape)
        nibabel.save(nibabel.Nifti1Image(voxels.astype(np.float32).T, np.eye(4)), tmp_path / f"{name}.nii")
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, list[str]]:
    """Return exit code, stdout, and the lines of stderr without the notice."""
    code = main(["evaluate", "-q", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, [line for line in captured.err.splitlines() if line != console.NOTICE]


def given(folder: Path) -> list[str]:
    sides = {"--reference": "full", "--test": "test", "--noisy": "low"}
    return [word for option, name in sides.items() for word in (option, str(folder / f"{name}.nii"))]


def test_a_table_is_printed_and_the_page_written(studies: Path, capsys: Any) -> None:
    out = studies / "out"
    code, said, err = run(capsys, *given(studies), "--modality", "CT", "-o", str(out))
    assert (code, err) == (0, [])
    for words in ("CT, HU: slices", "PSNR", "Difference", "noise in plain parts", "evaluation.html"):
        assert words in said
    assert {path.name for path in out.iterdir()} == {f"evaluation.{s}" for s in ("html", "json", "csv")}


def test_json_is_all_that_is_printed(studies: Path, capsys: Any) -> None:
    code, said, _ = run(capsys, *given(studies), "--modality", "CT", "--json", "--window=-100,200")
    values = json.loads(said)
    assert code == 0 and values["cases"][0]["window"] == [-100, 200]


def test_options_reach_the_job(studies: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    def job(*arguments: Any, **named: Any) -> Any:
        calls.append(arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr("quell.jobs.evaluation.run_evaluation", job)
    options = ["--region", "2=left liver", "--background", "3", "--db-per-unit", "0.25", "--level", "0.9"]
    assert (
        run(capsys, *given(studies), "--seed", "4", "--modality", "CR", "--noisy-reference", *options)[0]
        == 130
    )
    settings = calls[0][4]
    assert (settings.seed, settings.level, settings.decibel, settings.background) == (4, 0.9, 0.25, 3)
    assert settings.names == {2: "left liver"} and settings.noisy_reference
    assert settings.modality is Modality.XR


@pytest.mark.parametrize(
    "arguments",
    [
        ["--test", "x"],
        ["--reference", "x"],
        ["--reference", "nowhere", "--test", "nowhere"],
        ["--reference", "x", "--test", "x", "--window", "3"],
        ["--reference", "x", "--test", "x", "--window", "3,nan"],
        ["--reference", "x", "--test", "x", "--region", "liver"],
    ],
)
def test_wrong_calls_of_evaluate_end_with_2(arguments: list[str], capsys: Any) -> None:
    code, said, err = run(capsys, *arguments)
    assert (code, said, len(err)) == (2, "", 1)


def test_a_single_case_that_fails_ends_with_2_and_its_reason(studies: Path, capsys: Any) -> None:
    small = np.ones((2, 20, 40), np.float32)
    nibabel.save(nibabel.Nifti1Image(small.T, np.eye(4)), studies / "other.nii")
    code, _, err = run(
        capsys,
        "--reference",
        str(studies / "other.nii"),
        "--test",
        str(studies / "test.nii"),
        "--modality",
        "CT",
    )
    assert code == 2 and len(err) == 1 and "shape" in err[0]
