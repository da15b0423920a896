"""The commands ``quell train`` and ``quell methods``: what they say, and what they refuse before any work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quell.cli.main import main
from quell.methods.contracts import Need
from quell.methods.registry import list_methods


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["redcnn"], "give the folder of a new run, or --resume"),
        (["redcnn", "-o", "RUN", "--resume", "RUN"], "give the folder of a new run, or --resume"),
        (["no-such-method", "-o", "RUN"], "unknown method 'no-such-method'; there is: "),
        (["redcnn", "-o", "RUN", "--steps", "0"], "method.steps: input should be greater than or equal to 1"),
        (["redcnn", "-o", "RUN", "--minutes", "0"], "run.minutes: input should be greater than 0"),
        (["redcnn", "-o", "RUN", "--set", "method.widht=8"], "did you mean width"),
        (["redcnn", "-o", "RUN", "--set", "width=8"], "say section.key=value"),
        (["redcnn", "-o", "RUN", "--config", "RUN.yaml"], "RUN.yaml: cannot be read"),
        (["redcnn", "-o", "RUN", "--doses", "0.25;0.1"], "numbers with commas"),
        (["redcnn", "-o", "RUN", "--data", "RUN/none", "--accelerator", "cpu"], "no such folder"),
        (["redcnn", "--resume", "RUN"], "is no folder of a run"),
        (["redcnn", "-o", "RUN", "--precision", "16"], "precision"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", *arguments]) == 2
    said = capsys.readouterr().err
    assert words in said and "Traceback" not in said
    assert said.count("quell: error") == 1
    assert not (tmp_path / "RUN" / "config.yaml").exists()


def test_a_method_that_learns_from_one_study_is_sent_to_denoise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [facts.name for facts in list_methods() if facts.need is Need.ONE_IMAGE]
    for name in names:
        assert main(["train", name, "-o", str(tmp_path / "run")]) == 2
        assert f"quell denoise STUDY -o OUT --method {name}" in capsys.readouterr().err


def test_methods_are_told_with_what_they_need(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods"]) == 0
    said = capsys.readouterr().out
    for facts in list_methods():
        block = next(part for part in said.split("\n\n") if part.startswith(f"{facts.name}  "))
        together = " ".join(block.split())
        for word in (facts.title, facts.need.value, facts.fidelity.value, *(m.value for m in facts.prior)):
            assert word in together


def test_methods_are_told_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [entry["name"] for entry in told] == [facts.name for facts in list_methods()]
    redcnn = next(entry for entry in told if entry["name"] == "redcnn")
    assert redcnn["modalities"] == ["CT"] and redcnn["need"] == Need.PAIRED.value
