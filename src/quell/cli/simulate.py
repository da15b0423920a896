"""``quell simulate``: a study as a lower dose would have given it."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quell.cli import console
from quell.cli.choices import given_modality
from quell.cli.denoise import (
    Debug,
    DryRun,
    FloatOutput,
    ModalityOption,
    Out,
    Primary,
    Quiet,
    SeriesOffset,
    Study,
    StudyOption,
    one_study,
)
from quell.cli.progress import SIMULATING, progress_bars

if TYPE_CHECKING:
    from quell.evaluation.report.record import StudyRecord
    from quell.jobs.simulation import SimulationSettings

Dose = Annotated[
    float | None,
    typer.Option(
        metavar="0..1",
        help="Fraction of the dose of the study: mAs (CT, X-ray), counts (PET, NM), time (MR).",
        show_default=False,
    ),
]
Snr = Annotated[
    float | None,
    typer.Option(
        "--snr", metavar="X", help="For MR: the signal-to-noise ratio to reach.", show_default=False
    ),
]
Looks = Annotated[
    int | None,
    typer.Option(metavar="N", help="For ultrasound, which has no dose: looks averaged.", show_default=False),
]
Seed = Annotated[int, typer.Option(metavar="N", help="The same seed gives the same noise.")]
Json = Annotated[bool, typer.Option("--json", help="Print the record of the run as JSON, and nothing else.")]


def simulate(
    out: Out,
    study: Study = None,
    study_option: StudyOption = None,
    dose: Dose = None,
    snr: Snr = None,
    looks: Looks = None,
    seed: Seed = 0,
    modality: ModalityOption = None,
    float_output: FloatOutput = False,
    primary: Primary = False,
    series_offset: SeriesOffset = 1000,
    json: Json = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> int:
    """Add noise to a study as a lower dose would have, and write derived series in its own format."""
    source = one_study(study, study_option)
    _check_amounts(dose, snr, looks, seed)
    from quell.formats.contracts import WriteOptions
    from quell.jobs.simulation import SimulationSettings

    settings = SimulationSettings(
        dose=dose,
        snr=snr,
        looks=looks,
        seed=seed,
        modality=given_modality(modality),
        write=WriteOptions(float_output=float_output, primary=primary, series_offset=series_offset),
    )
    print(console.NOTICE, file=sys.stderr)
    record = _run_quietly(source, out, settings, dry_run=dry_run, quiet=quiet, debug=debug)
    if json:
        _print_json(record, settings, out)
    else:
        _tell(record, dry_run)
    if not record.series:
        console.complain(f"{source}: nothing in it can be simulated from")
        return 2
    return record.exit_code


def _check_amounts(dose: float | None, snr: float | None, looks: int | None, seed: int) -> None:
    if dose is None and snr is None and looks is None:
        raise typer.BadParameter("give --dose, for MR or --snr, for ultrasound --looks", param_hint="--dose")
    # Written so that NaN fails too.
    if dose is not None and not 0.0 < dose <= 1.0:
        raise typer.BadParameter(f"{dose:g} is no fraction above 0 and up to 1", param_hint="--dose")
    if snr is not None and not 0.0 < snr < float("inf"):
        raise typer.BadParameter(f"{snr:g} is no positive number", param_hint="--snr")
    if looks is not None and looks < 1:
        raise typer.BadParameter(f"{looks} is less than 1", param_hint="--looks")
    if seed < 0:
        raise typer.BadParameter(f"{seed} is negative", param_hint="--seed")


def _run_quietly(
    source: Path, out: Path, settings: SimulationSettings, *, dry_run: bool, quiet: bool, debug: bool
) -> StudyRecord:
    from quell.jobs.simulation import run_simulation

    with warnings.catch_warnings(), progress_bars(quiet, SIMULATING) as progress:
        if not debug:
            # What matters of them to the user stands in the record as a note or a warning.
            warnings.simplefilter("ignore")
        return run_simulation(source, out, settings, dry_run=dry_run, progress=progress)


def _tell(record: StudyRecord, dry_run: bool) -> None:
    if dry_run:
        console.print_simulation_plan(record)
    else:
        console.print_simulation(record)


def _print_json(record: StudyRecord, settings: SimulationSettings, out: Path) -> None:
    from quell.evaluation.report.json_report import to_json
    from quell.jobs.simulation_record import run_values

    print(to_json(run_values(record, settings, out)), end="")
