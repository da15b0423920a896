"""`quell denoise`: what reaches the job, what is said, and the exit codes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from quell.cli import console
from quell.cli.main import main
from quell.errors import InputError, ModelError
from quell.evaluation.report.record import Status
from quell.formats.contracts import PassedOver
from quell.image import Modality


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, list[str]]:
    """Return exit code, stdout, and the lines of stderr."""
    code = main(["denoise", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err.splitlines()


def errors(lines: list[str]) -> list[str]:
    return [line for line in lines if line != console.NOTICE]


def test_a_finished_study_ends_with_0_and_a_table(fake_job: Any, capsys: Any) -> None:
    code, out, err = run(capsys, "study", "-o", "out")
    assert code == 0
    assert err == [console.NOTICE]
    assert "Abdomen" in out
    assert "20.0 -> 8.00 HU (-60%)" in out
    assert "abdomen (3 files)" in out


def test_a_failed_series_ends_with_1_and_the_others_are_listed(
    fake_job: Any, make_series: Any, capsys: Any
) -> None:
    broken = make_series(name="Broken", status=Status.FAILED, reason="the file is truncated", files=())
    fake_job.series = (make_series(), broken)
    code, out, err = run(capsys, "study", "-o", "out")
    assert code == 1
    assert "failed: Broken: the file is truncated" in out
    assert "Abdomen" in out
    assert errors(err) == []


def test_a_damaged_file_ends_with_1_and_a_localizer_does_not(fake_job: Any, capsys: Any) -> None:
    fake_job.passed_over = (PassedOver("scout", "a localizer", 2),)
    code, out, _ = run(capsys, "study", "-o", "out")
    assert (code, "passed over: scout (2 files): a localizer" in out) == (0, True)
    fake_job.passed_over = (PassedOver("1.dcm", "truncated", error=True),)
    code, out, _ = run(capsys, "study", "-o", "out")
    assert (code, "failed: 1.dcm: truncated" in out) == (1, True)


def test_nothing_to_denoise_ends_with_2_and_the_reasons(fake_job: Any, capsys: Any) -> None:
    fake_job.series = ()
    fake_job.passed_over = (PassedOver("report", "no image"),)
    code, out, err = run(capsys, "study", "-o", "out")
    assert code == 2
    assert "passed over: report: no image" in out
    assert len(errors(err)) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("study", "-o", "out", "--strength", "1.01"),
        ("study", "-o", "out", "--strength", "-0.1"),
        ("study", "-o", "out", "--strength", "nan"),
        ("study", "-o", "out", "--grain", "1.5"),
        ("study", "-o", "out", "--sigma", "0"),
        ("study", "-o", "out", "--sigma", "-3"),
        ("study", "-o", "out", "--sigma", "inf"),
        ("study", "-o", "out", "--sigma", "much"),
        ("study", "-o", "out", "--threads", "0"),
        ("study", "-o", "out", "--device", "tpu"),
        ("study", "-o", "out", "--modality", "XX"),
        ("study", "-o", "out", "--tier", "huge"),
        ("study", "-o", "out", "--tier", "fast", "--model", "universal.fast"),
        ("study", "-o", "out", "--tier", "fast", "--method", "noise2void"),
        ("study", "-o", "out", "--series-offset", "-1"),
        ("study", "-i", "study", "-o", "out"),
        ("-o", "out"),
        ("study",),
        ("study", "-o", "out", "--unknown"),
    ],
)
def test_unusable_arguments_end_with_2_and_one_line(
    fake_job: Any, capsys: Any, arguments: tuple[str, ...]
) -> None:
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert out == ""
    assert len(err) == 1
    assert err[0].startswith("quell: error: ")
    assert fake_job.calls == []


def test_an_error_of_the_job_is_one_line_without_traceback(fake_job: Any, capsys: Any) -> None:
    fake_job.error = InputError("study", "holds no images")
    code, out, err = run(capsys, "study", "-o", "out")
    assert (code, out) == (2, "")
    assert errors(err) == ["quell: error: study: holds no images"]


def test_line_breaks_and_escapes_in_an_error_stay_on_one_line(fake_job: Any, capsys: Any) -> None:
    fake_job.error = InputError("a\nb\x1b[2J", "two\nlines")
    _, _, err = run(capsys, "study", "-o", "out")
    assert len(errors(err)) == 1
    assert "\x1b" not in err[-1]


def test_a_bug_is_one_line_and_a_traceback_only_on_request(fake_job: Any, capsys: Any) -> None:
    fake_job.error = ZeroDivisionError("by\nzero")
    code, _, err = run(capsys, "study", "-o", "out")
    assert code == 1
    assert len(errors(err)) == 1
    assert "bug" in err[-1] and "ZeroDivisionError" in err[-1]
    _, _, err = run(capsys, "study", "-o", "out", "--debug")
    assert any(line.startswith("Traceback") for line in err)


def test_a_full_disk_names_the_file(fake_job: Any, capsys: Any) -> None:
    fake_job.error = OSError(28, "No space left on device", "out/1.dcm")
    code, _, err = run(capsys, "study", "-o", "out")
    assert code == 2
    assert errors(err) == ["quell: error: out/1.dcm: No space left on device"]


def test_an_interruption_ends_with_130_and_one_line(fake_job: Any, capsys: Any) -> None:
    fake_job.error = KeyboardInterrupt()
    code, _, err = run(capsys, "study", "-o", "out")
    assert code == 130
    assert [line for line in errors(err) if line] == ["quell: error: interrupted"]


def test_an_unknown_model_ends_with_2_before_any_work(
    fake_job: Any, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locate(identifier: str) -> None:
        raise ModelError(f"unknown model {identifier!r}")

    monkeypatch.setattr("quell.models.registry.locate", locate)
    code, out, err = run(capsys, "study", "-o", "out", "--model", "no.such")
    assert (code, out, errors(err)) == (2, "", ["quell: error: unknown model 'no.such'"])
    assert fake_job.calls == []


def test_every_option_reaches_the_job(fake_job: Any, capsys: Any) -> None:
    line = (
        "-i study -o out --model universal.fast --strength 0.7 --grain 0.2 --sigma 12.5 --noise-map "
        "--residual --spread --prior other --report --device cpu --engine onnx --threads 2 --modality dx "
        "--float --primary --series-offset 7"
    )
    assert run(capsys, *line.split())[0] == 0
    (call,) = fake_job.calls
    settings = call["settings"]
    assert (call["source"], call["out"], call["dry_run"]) == (Path("study"), Path("out"), False)
    assert (settings.model, settings.strength, settings.sigma) == ("universal.fast", 0.7, 12.5)
    assert settings.grain == 0.2
    assert settings.noise_map and settings.residual and settings.spread and settings.report
    assert settings.prior == Path("other")
    assert (settings.device, settings.engine, settings.threads) == ("cpu", "onnx", 2)
    assert settings.modality is Modality.XR
    assert settings.write.float_output and settings.write.primary
    assert settings.write.series_offset == 7


@pytest.mark.parametrize("tier", ["fast", "standard"])
def test_a_tier_reaches_the_job(fake_job: Any, capsys: Any, tier: str) -> None:
    assert run(capsys, "study", "-o", "out", "--tier", tier)[0] == 0
    assert fake_job.calls[0]["settings"].tier == tier


def test_tiers_of_the_command_are_those_of_the_models() -> None:
    from quell.cli.choices import Tier
    from quell.models.registry import TIERS

    assert tuple(tier.value for tier in Tier) == TIERS


def test_the_defaults_of_the_command_are_those_of_the_job(fake_job: Any, capsys: Any) -> None:
    from quell.jobs.denoising import JobSettings

    run(capsys, "study", "-o", "out")
    assert fake_job.calls[0]["settings"] == JobSettings()


def test_a_dry_run_says_what_would_be_done(fake_job: Any, make_series: Any, capsys: Any) -> None:
    fake_job.series = (make_series(status=Status.PLANNED, files=(), seconds={}, noise_before=None),)
    code, out, _ = run(capsys, "study", "-o", "out", "--dry-run", "--noise-map")
    assert (code, fake_job.calls[0]["dry_run"]) == (0, True)
    for words in ("Abdomen", "CT", "3 x 64 x 48", "universal.fast", "denoised, noise map (derived DICOM)"):
        assert words in out


def test_markup_and_control_characters_in_a_name_are_plain_text(
    fake_job: Any, make_series: Any, capsys: Any
) -> None:
    fake_job.series = (make_series(name="[red]Scan[/red]\x1b[31m\nB"),)
    _, out, _ = run(capsys, "study", "-o", "out")
    assert "[red]Scan[/red]" in out
    assert "\x1b" not in out


def test_warnings_of_libraries_are_not_shown(fake_job: Any, capsys: Any, recwarn: Any) -> None:
    import warnings

    job = fake_job.__call__

    def warn(*args: Any, **kwargs: Any) -> Any:
        warnings.warn("odd value representation", UserWarning, stacklevel=1)
        return job(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("quell.jobs.denoising.run_job", warn)
        run(capsys, "study", "-o", "out")
    assert not recwarn.list
