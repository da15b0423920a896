"""`quell benchmark`: what reaches the job, what is said, and the exit codes."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quell.cli.main import main
from quell.errors import InputError
from quell.evaluation.benchmark.record import Benchmark, Row, Table
from quell.evaluation.metrics.statistics import Interval
from quell.image import Modality

VALUES = {
    key: Interval(1.0, 0.5, 1.5, 0.95, 3) for key in ("psnr", "ssim", "rmse", "bias", "reduction", "shift")
}
TABLE = Table(
    Modality.CT, 0.25, "of the dose", (Row("noisy", "", VALUES), Row("nlm", "h 1", VALUES)), ("a", "b", "c"),
    3, True, 0.5, 40.0, ("d",), 4, "made up", "0" * 64,
)  # fmt: skip
DONE = Benchmark((TABLE,), (), (), (), ("MR: nothing there",), "0", "now", "here", "quell", 1.0, 0)


class FakeRun:
    """Records what it was asked for and answers with `found`, or raises `error`."""

    def __init__(self) -> None:
        self.found, self.error = DONE, None  # type: tuple[Benchmark, Exception | None]
        self.settings: Any = None

    def __call__(self, settings: Any, *, say: Any) -> Benchmark:
        self.settings = settings
        say("CT: median")
        if self.error is not None:
            raise self.error
        return self.found


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeRun:
    run = FakeRun()
    monkeypatch.setattr("quell.jobs.benchmark.run_benchmark", run)
    return run


def test_arguments_reach_the_job(fake: FakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = "universal.fast,cmd:'tool -a {in} {out}'"
    code = main(
        [
            *("benchmark", "-o", str(tmp_path), "--modality", "CT", "--modality", "DX"),
            *("--denoisers", names, "--dose", "0.5", "--task", "--seed", "7", "--data", str(tmp_path)),
        ]
    )
    assert code == 0
    assert fake.settings.modalities == (Modality.CT, Modality.XR)
    assert fake.settings.denoisers == ("universal.fast", "cmd:tool -a {in} {out}")
    assert fake.settings.doses == (0.5,) and fake.settings.task and fake.settings.seed == 7
    captured = capsys.readouterr()
    assert "nlm" in captured.out and "MR: nothing there" in captured.out
    assert "CT: median" in captured.err
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".csv", ".html", ".json", ".md"]


def test_the_record_does_not_hold_the_folders(
    fake: FakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ["benchmark", "-o", str(tmp_path / "Doe"), "--data", str(tmp_path / "Doe^John"), "--quiet"]
    monkeypatch.setattr(sys, "argv", ["quell", *given])
    main(given)
    assert fake.settings.command == "quell benchmark -o OUT --data DIR --quiet"


def test_a_denoiser_that_failed_gives_the_exit_code_1(fake: FakeRun, tmp_path: Path) -> None:
    failed = replace(TABLE, rows=(*TABLE.rows, Row("tool", failed="no licence")))
    fake.found = replace(DONE, tables=(failed,))
    assert main(["benchmark", "-o", str(tmp_path)]) == 1


def test_errors_are_one_line(fake: FakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fake.error = InputError("DIR", "nothing usable for CT in it")
    assert main(["benchmark", "-o", str(tmp_path / "out"), "--quiet"]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert lines == ["quell: error: DIR: nothing usable for CT in it"]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("given", [["--denoisers", "no-such"], ["--images", "0"], ["--modality", "XX"]])
def test_bad_arguments_end_with_2(given: list[str], tmp_path: Path) -> None:
    assert main(["benchmark", "-o", str(tmp_path / "out"), *given]) == 2
    assert not (tmp_path / "out").exists()
