"""`quell phantom`: what reaches the job, what is said, and the exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from quell.cli import console
from quell.cli.main import main
from quell.jobs.phantom import PhantomRecord, PhantomSettings
from quell.phantoms.objects import OBJECTS


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Return the calls of a job that only says what it would write."""
    made: list[tuple[Any, ...]] = []

    def job(name: str, out: Path, settings: PhantomSettings) -> PhantomRecord:
        made.append((name, out, settings))
        return PhantomRecord(name, (out / "a.nii.gz", out / "b.json"), ("a guess",))

    monkeypatch.setattr("quell.jobs.phantom.run_phantom", job)
    return made


def test_every_option_reaches_the_job(calls: list[tuple[Any, ...]], capsys: Any) -> None:
    line = "phantom ct-mita -o out --dose 0.25 --seed 7 --format dicom"
    assert main(line.split()) == 0
    assert calls == [("ct-mita", Path("out"), PhantomSettings(0.25, 7, "dicom"))]
    captured = capsys.readouterr()
    assert captured.err.splitlines() == [console.NOTICE]
    assert captured.out.splitlines() == ["note: a guess", "ct-mita: 2 files in out"]


def test_the_defaults_of_the_command_are_those_of_the_job(calls: list[tuple[Any, ...]]) -> None:
    main(["phantom", "ct-mita", "-o", "out"])
    assert calls[0][2] == PhantomSettings()


def test_the_list_names_every_object(capsys: Any) -> None:
    assert main(["phantom", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(OBJECTS)
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["sofa", "-o", "out"], "known are ct-uniform"),
        (["-o", "out"], "--list"),
        (["ct-mita"], "--out"),
        (["ct-mita", "-o", "out", "--dose", "-1"], "positive"),
        (["ct-mita", "-o", "out", "--seed", "-1"], "--seed"),
        (["ct-mita", "-o", "out", "--format", "png"], "--format"),
    ],
)
def test_a_wrong_call_is_one_line_and_ends_with_2(
    arguments: list[str], reason: str, capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["phantom", *arguments]) == 2
    err = [line for line in capsys.readouterr().err.splitlines() if line != console.NOTICE]
    assert len(err) == 1
    assert reason in err[0]
    assert not list(tmp_path.iterdir())


def test_help_loads_neither_numpy_nor_rich() -> None:
    code = (
        "import sys\nfrom quell.cli.main import main\nmain(['phantom', '--help'])\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert not set(done.stderr.split()) & {"numpy", "rich", "scipy", "nibabel", "pydicom"}
