"""The command ``quell evidence``: what it refuses before any work."""

from __future__ import annotations

from pathlib import Path

import pytest

from quell.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give either a model or --denoiser"),
        (["universal.fast", "--denoiser", "a:b"], "give either a model or --denoiser"),
        (["no.such"], "unknown model"),
        (["universal.fast", "--modality", "ZZ"], "one of CT"),
        (["universal.fast", "--modality", "OT"], "no evidence can be made"),
        (["universal.fast", "--pairs", "5"], "at least 20 pairs"),
        (["--denoiser", "nothing"], "module:object"),
        (["--denoiser", "no_such_module:x"], "cannot be imported"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report"
    assert main(["evidence", *arguments, "-o", str(out)]) == 2
    said = capsys.readouterr().err
    assert words in said and "Traceback" not in said
    assert not out.exists()
