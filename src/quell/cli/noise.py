"""``quell noise``: what noise is in a study."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quell.cli import console
from quell.cli.choices import Device, Engine, given_modality
from quell.cli.denoise import (
    Debug,
    DeviceOption,
    EngineOption,
    ModalityOption,
    Quiet,
    Study,
    StudyOption,
    Threads,
    one_study,
)
from quell.cli.progress import progress_bars

if TYPE_CHECKING:
    from quell.evaluation.report.noise_record import NoiseSurvey
    from quell.jobs.noise_survey import SurveySettings

MEASURING = {"read": 0.1, "estimate": 0.85, "write": 0.05}
"""Usual share of each step in the time of a series."""

Out = Annotated[
    Path | None,
    typer.Option(
        "-o", "--out", help="Folder for noise.json and a picture of each series.", show_default=False
    ),
]
Repeat = Annotated[
    Path | None,
    typer.Option(
        metavar="STUDY",
        help="A second scan of the same thing: what differs is noise.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print what was found as JSON, and nothing else.")]


def noise(
    study: Study = None,
    study_option: StudyOption = None,
    out: Out = None,
    repeat: Repeat = None,
    json: Json = False,
    device: DeviceOption = Device.AUTO,
    engine: EngineOption = Engine.AUTO,
    threads: Threads = None,
    modality: ModalityOption = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> int:
    """Measure the noise of a study: level, spectrum, law, and what it means at lower doses."""
    source = one_study(study, study_option)
    from quell.jobs.noise_survey import SurveySettings

    settings = SurveySettings(
        modality=given_modality(modality),
        repeat=repeat,
        engine=engine.value,
        device=device.value,
        threads=threads,
    )
    print(console.NOTICE, file=sys.stderr)
    survey = _run_quietly(source, out, settings, quiet=quiet, debug=debug)
    if json:
        _print_json(survey, out)
    else:
        _tell(survey, out)
    if not survey.series:
        console.complain(f"{source}: nothing in it can be measured")
        return 2
    return survey.exit_code


def _run_quietly(
    source: Path, out: Path | None, settings: SurveySettings, *, quiet: bool, debug: bool
) -> NoiseSurvey:
    from quell.jobs.noise_survey import survey_noise

    with warnings.catch_warnings(), progress_bars(quiet, MEASURING) as progress:
        if not debug:
            # What matters of them to the user stands in the record as a note or a warning.
            warnings.simplefilter("ignore")
        return survey_noise(source, out, settings, progress=progress)


def _tell(survey: NoiseSurvey, out: Path | None) -> None:
    from quell.evaluation.report.noise_wording import lines

    for series in survey.series:
        rows = lines(series)
        print(console.printable(rows[0][1]))
        width = max((len(name) for name, _ in rows[1:]), default=0)
        for name, words in rows[1:]:
            print(f"  {name:<{width}}  {console.printable(words)}")
        print()
    for item in survey.passed_over:
        print(console.passed_over(item))
    if out is not None and survey.series:
        print(f"numbers: {out / 'noise.json'}")


def _print_json(survey: NoiseSurvey, out: Path | None) -> None:
    from quell.evaluation.report.json_report import to_json
    from quell.evaluation.report.noise_json import survey_values

    print(to_json(survey_values(survey, out)), end="")
