"""`quell noise`: what reaches the job, what is said, and the exit codes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quell.cli import console
from quell.cli.main import main
from quell.errors import InputError
from quell.evaluation.report.noise_record import Level, NoiseRecord, NoiseSurvey
from quell.evaluation.report.record import Status
from quell.formats.contracts import PassedOver
from quell.image import Modality

DONE = NoiseRecord(
    name="Abdomen",
    format="DICOM",
    modality="CT",
    units="HU",
    shape=(3, 64, 48),
    status=Status.DONE,
    level=Level(12.0, 8.0, 10.0, 14.0, 18.0, "classical estimate", 12.0),
    warnings=("the kernel is \x1b[2Ja guess",),
)


class FakeSurvey:
    """Records how it was called and answers with `series` and `passed_over`, or raises `error`."""

    def __init__(self) -> None:
        self.series: tuple[NoiseRecord, ...] = (DONE,)
        self.passed_over: tuple[PassedOver, ...] = ()
        self.error: Exception | None = None
        self.calls: list[tuple[Any, ...]] = []

    def __call__(self, source: Path, out: Path | None, settings: Any, *, progress: Any) -> NoiseSurvey:
        self.calls.append((source, out, settings))
        if self.error is not None:
            raise self.error
        return NoiseSurvey(source, self.series, self.passed_over, "2026-01-02T03:04:05+00:00", 1.0, "0.1.0")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeSurvey:
    survey = FakeSurvey()
    monkeypatch.setattr("quell.jobs.noise_survey.survey_noise", survey)
    return survey


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, list[str]]:
    """Return exit code, stdout, and the lines of stderr without the notice."""
    code = main(["noise", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, [line for line in captured.err.splitlines() if line != console.NOTICE]


def test_level_and_warnings_are_told(fake: FakeSurvey, capsys: Any) -> None:
    fake.passed_over = (PassedOver("localizer", "is a localizer"),)
    code, out, err = run(capsys, "study")
    assert (code, err) == (0, [])
    for words in ("Abdomen: CT, 3 x 64 x 48", "12.0 HU", "classical estimate", "is a localizer"):
        assert words in out
    assert "\x1b" not in out
    assert fake.calls[0][:2] == (Path("study"), None)


def test_every_option_reaches_the_job(fake: FakeSurvey, capsys: Any) -> None:
    line = "-i study -o out --repeat again --modality dx --engine onnx --device cpu --threads 2 -q"
    code, out, _ = run(capsys, *line.split())
    assert code == 0 and "numbers: out" in out
    source, folder, settings = fake.calls[0]
    assert (source, folder, settings.repeat) == (Path("study"), Path("out"), Path("again"))
    assert settings.modality is Modality.XR
    assert (settings.engine, settings.device, settings.threads) == ("onnx", "cpu", 2)


def test_json_alone_goes_to_stdout(fake: FakeSurvey, capsys: Any) -> None:
    code, out, _ = run(capsys, "study", "--json")
    values = json.loads(out)
    assert code == 0 and values["schema"] == "quell-noise"
    assert values["series"][0]["level"]["median"] == 12


def test_exit_codes(fake: FakeSurvey, capsys: Any) -> None:
    fake.series = (DONE, replace(DONE, status=Status.FAILED, reason="Abdomen: is damaged", level=None))
    code, out, _ = run(capsys, "study")
    assert code == 1 and "is damaged" in out
    fake.series = ()
    code, _, err = run(capsys, "study")
    assert code == 2 and err == ["quell: error: study: nothing in it can be measured"]
    fake.error = InputError("study", "no such file or folder")
    code, _, err = run(capsys, "study")
    assert code == 2 and err == ["quell: error: study: no such file or folder"]


@pytest.mark.parametrize(
    "arguments", [[], ["a", "-i", "b"], ["a", "--modality", "XX"], ["a", "--threads", "0"]]
)
def test_senseless_arguments_are_refused(fake: FakeSurvey, capsys: Any, arguments: list[str]) -> None:
    code, _, err = run(capsys, *arguments)
    assert code == 2 and len(err) == 1 and not fake.calls
