"""``quell evaluate``: denoised images beside what they should look like."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quell.cli import console
from quell.cli.choices import given_modality
from quell.cli.denoise import Debug, ModalityOption, Quiet
from quell.cli.progress import progress_bars

if TYPE_CHECKING:
    from quell.evaluation.report.evaluation_html import Line, Table
    from quell.evaluation.report.evaluation_record import CaseRecord, EvaluationRecord
    from quell.jobs.evaluation import EvaluationSettings

EVALUATING = {"read": 0.2, "measure": 0.8}
"""Usual share of each step in the time of a case."""

Reference = Annotated[
    Path | None,
    typer.Option(
        metavar="STUDY",
        help="What the images should look like, such as the full dose; without it only what needs none.",
        show_default=False,
    ),
]
Test = Annotated[
    Path, typer.Option(metavar="STUDY", help="The images to judge: folder, file, DICOMDIR or ZIP.")
]
Noisy = Annotated[
    Path | None,
    typer.Option(metavar="STUDY", help="What the images were made of.", show_default=False),
]
Out = Annotated[
    Path | None,
    typer.Option("-o", "--out", help="Folder for evaluation.html, .json and .csv.", show_default=False),
]
WindowOption = Annotated[
    str | None,
    typer.Option(
        metavar="LO,HI",
        help="Values that are looked at, and data range. [default: -160,240 in CT, else 0.5 to 99.5 %]",
        show_default=False,
    ),
]
Regions = Annotated[
    Path | None,
    typer.Option(
        metavar="LABELS", help="Map of labels on the same grid, such as labels.nii.gz.", show_default=False
    ),
]
RegionName = Annotated[
    list[str] | None,
    typer.Option("--region", metavar="LABEL=NAME", help="What a region is called.", show_default=False),
]
Background = Annotated[
    int | None,
    typer.Option(metavar="LABEL", help="Region that contrasts are measured against.", show_default=False),
]
Decibel = Annotated[
    float | None,
    typer.Option(
        "--db-per-unit",
        metavar="X",
        help="For log-compressed ultrasound: dB that one grey level stands for.",
        show_default=False,
    ),
]
NoisyReference = Annotated[
    bool, typer.Option("--noisy-reference", help="Go on with a reference that is noisier than the test.")
]
Level = Annotated[float, typer.Option(metavar="0..1", help="Coverage of the intervals.")]
Seed = Annotated[int, typer.Option(metavar="N", help="The same seed gives the same intervals.")]
Json = Annotated[bool, typer.Option("--json", help="Print every number as JSON, and nothing else.")]


def evaluate(
    test: Test,
    reference: Reference = None,
    noisy: Noisy = None,
    out: Out = None,
    window: WindowOption = None,
    regions: Regions = None,
    region: RegionName = None,
    background: Background = None,
    db_per_unit: Decibel = None,
    noisy_reference: NoisyReference = False,
    modality: ModalityOption = None,
    level: Level = 0.95,
    seed: Seed = 0,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> int:
    """Judge denoised images: metrics, noise, texture and bias, by slice and by region."""
    if reference is None and noisy is None:
        raise typer.BadParameter("give --reference, --noisy, or both", param_hint="--reference")
    limits, names = given_window(window), _given_names(region)
    from quell.jobs.evaluation import EvaluationSettings

    settings = EvaluationSettings(
        window=limits,
        names=names,
        background=background,
        decibel=db_per_unit,
        noisy_reference=noisy_reference,
        level=level,
        seed=seed,
        modality=given_modality(modality),
        regions=regions,
    )
    print(console.NOTICE, file=sys.stderr)
    record = _run_quietly(reference, test, noisy, out, settings, quiet=quiet, debug=debug)
    if json:
        _print_json(record)
    else:
        _tell(record, out)
    return record.exit_code


def given_window(text: str | None) -> tuple[float, float] | None:
    """Return a window from the words of the user, such as ``"-160,240"``."""
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not two numbers with a comma between", param_hint="--window"
        ) from None
    # Written so that NaN fails too.
    if not -float("inf") < low < high < float("inf"):
        raise typer.BadParameter(
            f"{text!r} does not go from a lower to a higher value", param_hint="--window"
        )
    return low, high


def _given_names(given: list[str] | None) -> dict[int, str]:
    names = {}
    for text in given or ():
        label, _, name = text.partition("=")
        if not (label.strip().isdigit() and name.strip()):
            raise typer.BadParameter(f"{text!r} is not of the form 1=liver", param_hint="--region")
        names[int(label)] = name.strip()
    return names


def _run_quietly(
    reference: Path | None,
    test: Path,
    noisy: Path | None,
    out: Path | None,
    settings: EvaluationSettings,
    *,
    quiet: bool,
    debug: bool,
) -> EvaluationRecord:
    from quell.jobs.evaluation import run_evaluation

    with warnings.catch_warnings(), progress_bars(quiet, EVALUATING) as progress:
        if not debug:
            # What matters of them to the user stands in the record as a note or a warning.
            warnings.simplefilter("ignore")
        return run_evaluation(reference, test, noisy, out, settings, progress=progress)


def _tell(record: EvaluationRecord, out: Path | None) -> None:
    from quell.evaluation.report.evaluation_html import tables

    for table in tables(record):
        print(console.printable(f"{table.title}: {table.of}"))
        _print_table(table)
    for case in record.cases:
        _tell_case(case)
    for item in record.passed_over:
        print(console.passed_over(item))
    if out is not None:
        print(f"page: {out / 'evaluation.html'}")


def _tell_case(case: CaseRecord) -> None:
    from quell.evaluation.report.evaluation_html import case_lines

    if case.reason:
        print(f"failed: {console.printable(case.name)}: {console.printable(case.reason)}")
    for line in case_lines(case):
        print(f"{console.printable(case.name)}: {console.printable(line)}")
    for remark in (*case.notes, *case.warnings):
        print(f"note: {console.printable(case.name)}: {console.printable(remark)}")


def _print_table(table: Table) -> None:
    shown = ["Metric", "Noisy", "Test", "Difference", "p (Holm)", "Good is"]
    kept = [
        name
        for name in shown
        if (table.compared or name not in ("Noisy", "Difference")) and (table.tested or name != "p (Holm)")
    ]
    headings = ["Region", *kept] if table.regions else kept
    console.print_rows(headings, [[_cell(line, name) for name in headings] for line in table.lines])


def _cell(line: Line, heading: str) -> str:
    cells = {
        "Region": line.region,
        "Metric": line.name,
        "Noisy": line.noisy,
        "Test": line.test,
        "Difference": f"{line.difference} {line.verdict}".strip(),
        "p (Holm)": line.p_value,
        "Good is": line.good,
    }
    return cells[heading]


def _print_json(record: EvaluationRecord) -> None:
    from quell.evaluation.report.evaluation_json import evaluation_values
    from quell.evaluation.report.json_report import to_json

    print(to_json(evaluation_values(record)), end="")
