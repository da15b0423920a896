"""``quell readers``: a blinded reader study to hand out, and the analysis of the sheets that come back."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quell.cli import console
from quell.cli.choices import given_modality
from quell.cli.denoise import Debug, ModalityOption, Quiet
from quell.cli.evaluate import given_window
from quell.cli.progress import progress_bars

if TYPE_CHECKING:
    from quell.evaluation.readers.analysis import ReaderStudy

readers = typer.Typer(
    help="Reader studies: make a blinded package, analyse the sheets that come back.",
    add_completion=False,
    rich_markup_mode=None,
)

Arm = Annotated[
    list[str],
    typer.Option("--arm", metavar="NAME=STUDY", help="Give two: a name and the study that it stands for."),
]
Package = Annotated[Path, typer.Option("-o", "--out", help="Folder of the package; made if absent.")]
Readers = Annotated[int, typer.Option(min=1, metavar="N", help="Score sheets, each in its own order.")]
Slices = Annotated[int, typer.Option(min=1, metavar="N", help="Pictures of each series, evenly spaced.")]
Repeats = Annotated[int, typer.Option(min=0, metavar="N", help="Pictures that are shown twice.")]
Question = Annotated[
    list[str] | None,
    typer.Option(
        "--question",
        metavar="NAME",
        help="What is scored 1 to 5; may be repeated. "
        "[default: noise, sharpness, texture, confidence, artefacts]",
        show_default=False,
    ),
]
WindowOption = Annotated[
    str | None,
    typer.Option(metavar="LO,HI", help="Shown black and white. [default: by modality]", show_default=False),
]
Seed = Annotated[int, typer.Option(min=0, metavar="N", help="The same seed draws the same package.")]
Given = Annotated[Path, typer.Argument(metavar="PACKAGE", help="The package, or its key.json.")]
Sheets = Annotated[list[Path], typer.Argument(metavar="SHEETS...", help="The sheets that came back.")]
Level = Annotated[float, typer.Option(metavar="0..1", help="Coverage of the intervals.")]
Json = Annotated[bool, typer.Option("--json", help="Print the analysis as JSON, and nothing else.")]


@readers.command()
def make(
    arm: Arm,
    out: Package,
    readers: Readers = 2,
    slices: Slices = 3,
    repeats: Repeats = 0,
    question: Question = None,
    window: WindowOption = None,
    modality: ModalityOption = None,
    seed: Seed = 0,
    quiet: Quiet = False,
    debug: Debug = False,
) -> int:
    """Write blinded, randomised pairs of pictures of two studies, with score sheets and a key."""
    arms, limits = _given_arms(arm), given_window(window)
    from quell.evaluation.readers.package import QUESTIONS
    from quell.jobs.reader_study import ReaderSettings, make_reader_study

    settings = ReaderSettings(
        readers=readers,
        slices=slices,
        repeats=repeats,
        questions=tuple(question) if question else QUESTIONS,
        window=limits,
        modality=given_modality(modality),
        seed=seed,
    )
    print(console.NOTICE, file=sys.stderr)
    with warnings.catch_warnings(), progress_bars(quiet, {"read": 1.0}) as progress:
        if not debug:
            warnings.simplefilter("ignore")
        made = make_reader_study(arms, out, settings, progress=progress)
    print(f"{made.pairs} pairs of pictures ({made.cases} different) for {made.readers} readers")
    print(f"hand out: {made.for_readers}")
    print(f"keep: {made.key} (it tells the pictures apart)")
    for item in made.passed_over:
        print(console.passed_over(item))
    return int(any(item.error for item in made.passed_over))


@readers.command()
def analyse(
    package: Given,
    sheets: Sheets,
    level: Level = 0.95,
    seed: Seed = 0,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Unblind the score sheets that came back: preference, scores, agreement, detection."""
    from quell.jobs.reader_study import analyse_reader_study

    study = analyse_reader_study(package, sheets, level=level, seed=seed)
    if json:
        _print_json(study, seed)
    else:
        _tell(study)
    return 0


def _given_arms(given: list[str]) -> dict[str, Path]:
    arms: dict[str, Path] = {}
    for text in given:
        name, _, path = text.partition("=")
        if not (name.strip() and path):
            raise typer.BadParameter(f"{text!r} is not of the form NAME=STUDY", param_hint="--arm")
        if name.strip() in arms:
            raise typer.BadParameter(f"two arms are called {name.strip()!r}", param_hint="--arm")
        arms[name.strip()] = Path(path)
    if len(arms) != 2:
        raise typer.BadParameter(f"give two arms, got {len(arms)}", param_hint="--arm")
    return arms


def _tell(study: ReaderStudy) -> None:
    from quell.evaluation.report.reader_json import reader_tables

    print(f"{len(study.readings.readers)} readers, {len(study.readings.cases)} cases")
    for headings, rows in reader_tables(study):
        console.print_rows(headings, rows)
    for name, value in (
        ("agreement of the readers on their preference (Fleiss' kappa)", study.preference_kappa),
        ("share of repeated pairs on which readers agreed with themselves", study.repeat_agreement),
    ):
        if value == value:
            print(f"{name}: {value:.2f}")


def _print_json(study: ReaderStudy, seed: int) -> None:
    from quell.evaluation.report.json_report import to_json
    from quell.evaluation.report.reader_json import reader_values

    print(to_json(reader_values(study, version=console.version(), seed=seed)), end="")
