"""`quell simulate`: what reaches the job, what is said, and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from quell.cli import console
from quell.cli.main import main
from quell.errors import InputError
from quell.evaluation.report.record import Status
from quell.formats.contracts import PassedOver
from quell.image import Modality


@pytest.fixture
def fake_simulation(fake_job: Any, make_series: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the fake job in the place of the simulation."""
    monkeypatch.setattr("quell.jobs.simulation.run_simulation", fake_job)
    fake_job.series = (
        make_series(
            amount="25 % dose",
            model="quell.noise.ct.CTNoise",
            parameters={"photons_per_ray": 1e5},
            warnings=("the kernel is a guess",),
            clamped=7,
        ),
    )
    return fake_job


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, list[str]]:
    """Return exit code, stdout, and the lines of stderr without the notice."""
    code = main(["simulate", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, [line for line in captured.err.splitlines() if line != console.NOTICE]


def test_a_table_with_dose_model_and_warnings(fake_simulation: Any, capsys: Any) -> None:
    code, out, err = run(capsys, "study", "-o", "out", "--dose", "0.25")
    assert (code, err) == (0, [])
    for words in (
        "Abdomen",
        "25 % dose",
        "CTNoise",
        "abdomen (3 files)",
        "the kernel is a guess",
        "7 voxels",
    ):
        assert words in out


def test_every_option_reaches_the_job(fake_simulation: Any, capsys: Any) -> None:
    line = (
        "-i study -o out --dose 0.5 --snr 12 --looks 3 --seed 5 --modality dx --float --primary "
        "--series-offset 7 --dry-run"
    )
    assert run(capsys, *line.split())[0] == 0
    (call,) = fake_simulation.calls
    settings = call["settings"]
    assert (call["source"], call["out"], call["dry_run"]) == (Path("study"), Path("out"), True)
    assert (settings.dose, settings.snr, settings.looks, settings.seed) == (0.5, 12.0, 3, 5)
    assert settings.modality is Modality.XR
    assert settings.write.float_output and settings.write.primary and settings.write.series_offset == 7


def test_the_defaults_of_the_command_are_those_of_the_job(fake_simulation: Any, capsys: Any) -> None:
    from quell.jobs.simulation import SimulationSettings

    run(capsys, "study", "-o", "out", "--dose", "1")
    assert fake_simulation.calls[0]["settings"] == SimulationSettings(dose=1.0)


@pytest.mark.parametrize(
    "arguments",
    [
        ("study", "-o", "out"),
        ("study", "-o", "out", "--dose", "0"),
        ("study", "-o", "out", "--dose", "1.2"),
        ("study", "-o", "out", "--dose", "nan"),
        ("study", "-o", "out", "--dose", "-0.5"),
        ("study", "-o", "out", "--dose", "low"),
        ("study", "-o", "out", "--snr", "0"),
        ("study", "-o", "out", "--snr", "inf"),
        ("study", "-o", "out", "--looks", "0"),
        ("study", "-o", "out", "--dose", "0.5", "--seed", "-1"),
        ("study", "-i", "study", "-o", "out", "--dose", "0.5"),
        ("study", "--dose", "0.5"),
    ],
)
def test_unusable_arguments_end_with_2_and_one_line(
    fake_simulation: Any, capsys: Any, arguments: tuple[str, ...]
) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out, len(err)) == (2, "", 1)
    assert err[0].startswith("quell: error: ")
    assert fake_simulation.calls == []


def test_a_failed_series_ends_with_1(fake_simulation: Any, make_series: Any, capsys: Any) -> None:
    fake_simulation.series = (make_series(status=Status.FAILED, reason="no counts", files=()),)
    code, out, _ = run(capsys, "study", "-o", "out", "--dose", "0.5")
    assert (code, "failed: Abdomen: no counts" in out) == (1, True)


def test_nothing_to_simulate_ends_with_2(fake_simulation: Any, capsys: Any) -> None:
    fake_simulation.series, fake_simulation.passed_over = (), (PassedOver("report", "no image"),)
    assert run(capsys, "study", "-o", "out", "--dose", "0.5")[0] == 2
    fake_simulation.error = InputError("study", "no such file")
    assert run(capsys, "study", "-o", "out", "--dose", "0.5")[0] == 2


def test_json_is_all_that_is_printed(fake_simulation: Any, capsys: Any) -> None:
    _, out, _ = run(capsys, "study", "-o", "out", "--dose", "0.25", "--seed", "4", "--json")
    told = json.loads(out)
    assert (told["dose"], told["seed"]) == (0.25, 4)
    assert told["series"][0]["parameters"] == {"photons_per_ray": 1e5}


def test_a_dry_run_says_what_would_be_done(fake_simulation: Any, make_series: Any, capsys: Any) -> None:
    fake_simulation.series = (make_series(status=Status.PLANNED, files=(), seconds={}, amount="25 % dose"),)
    _, out, _ = run(capsys, "study", "-o", "out", "--dose", "0.25", "--dry-run")
    for words in ("Abdomen", "CT", "3 x 64 x 48", "25 % dose (derived DICOM)", "nothing was written"):
        assert words in out
