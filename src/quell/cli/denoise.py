"""``quell denoise``: one study from door to door."""

from __future__ import annotations

import math
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quell.cli import console
from quell.cli.choices import Device, Engine, GivenModality, Tier, given_modality
from quell.cli.progress import progress_bars

if TYPE_CHECKING:
    from quell.evaluation.report.record import StudyRecord
    from quell.jobs.denoising import JobSettings


Study = Annotated[
    Path | None,
    typer.Argument(
        metavar="STUDY",
        help="Folder, file, DICOMDIR or ZIP; DICOM, NIfTI, PNG, TIFF or MetaImage.",
        show_default=False,
    ),
]
StudyOption = Annotated[
    Path | None, typer.Option("-i", "--input", help="The same as STUDY.", show_default=False)
]
Out = Annotated[Path, typer.Option("-o", "--out", help="Folder for what is written; made if absent.")]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="NAME.TAG|RUN",
        help="One of `quell models`, or the folder of a training run. [default: by modality]",
        show_default=False,
    ),
]
OfTier = Annotated[
    Tier | None,
    typer.Option(
        "--tier", help="Size of the model that is chosen by modality. [default: fast]", show_default=False
    ),
]
Strength = Annotated[
    float | None,
    typer.Option(
        metavar="0..1",
        help="Share of the estimated noise that is taken away. [default: the model's, by modality]",
        show_default=False,
    ),
]
Grain = Annotated[
    float | None,
    typer.Option(
        metavar="0..1",
        help="Share of the fine part of it that stays, for the texture. [default: the model's, by modality; "
        "0 beside --strength]",
        show_default=False,
    ),
]
Sigma = Annotated[
    str,
    typer.Option(
        metavar="auto|X", help="Noise level in the units of the image; auto estimates it from the image."
    ),
]
NoiseMap = Annotated[
    bool, typer.Option("--noise-map", help="Write the local noise level as a series as well.")
]
Residual = Annotated[
    bool, typer.Option("--residual", help="Write source minus denoised as a series as well.")
]
Spread = Annotated[
    bool,
    typer.Option("--spread", help="Write the standard deviation of the result, where the model tells it."),
]
Method = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="In place of a model: learn from this very study; one of `quell methods`.",
        show_default=False,
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(metavar="F.YAML", help="Settings of the method.", show_default=False),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="One setting of the method; may be repeated.", show_default=False
    ),
]
PriorOption = Annotated[
    Path | None,
    typer.Option(
        metavar="STUDY",
        help="Another image of the patient, for models and methods that can be told of one.",
        show_default=False,
    ),
]
Report = Annotated[bool, typer.Option("--report", help="Write report.html and report.json.")]
DeviceOption = Annotated[Device, typer.Option(help="Where the network runs.")]
EngineOption = Annotated[Engine, typer.Option(help="What runs the network.")]
Threads = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="[default: all cores]", show_default=False)
]
ModalityOption = Annotated[
    GivenModality | None,
    typer.Option(
        case_sensitive=False,
        metavar="CT|MR|...",
        help="CT, MR, PT, NM, US, XR; for formats that do not say it.",
        show_default=False,
    ),
]
FloatOutput = Annotated[
    bool, typer.Option("--float", help="Write floating point where the format can (not DICOM).")
]
Primary = Annotated[
    bool, typer.Option("--primary", help="Write DERIVED\\PRIMARY where DICOM leaves the choice.")
]
SeriesOffset = Annotated[int, typer.Option(min=0, metavar="N", help="Added to the source's series number.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done and write nothing.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks and the warnings of libraries.")]


def denoise(
    out: Out,
    study: Study = None,
    study_option: StudyOption = None,
    model: Model = None,
    tier: OfTier = None,
    method: Method = None,
    config: Config = None,
    changes: Set = None,
    prior: PriorOption = None,
    strength: Strength = None,
    grain: Grain = None,
    sigma: Sigma = "auto",
    noise_map: NoiseMap = False,
    residual: Residual = False,
    spread: Spread = False,
    report: Report = False,
    device: DeviceOption = Device.AUTO,
    engine: EngineOption = Engine.AUTO,
    threads: Threads = None,
    modality: ModalityOption = None,
    float_output: FloatOutput = False,
    primary: Primary = False,
    series_offset: SeriesOffset = 1000,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> int:
    """Denoise a study and write derived series in its own format."""
    source = one_study(study, study_option)
    _check_share(strength, "--strength")
    _check_share(grain, "--grain")
    level = _parse_sigma(sigma)
    _check_model(model, method, tier)
    from quell.formats.contracts import WriteOptions
    from quell.jobs.denoising import JobSettings

    settings = JobSettings(
        model=model,
        method=method,
        method_settings=_method_settings(config, changes or []),
        prior=prior,
        strength=strength,
        sigma=level,
        noise_map=noise_map,
        residual=residual,
        spread=spread,
        report=report,
        device=device.value,
        engine=engine.value,
        threads=threads,
        modality=given_modality(modality),
        write=WriteOptions(float_output=float_output, primary=primary, series_offset=series_offset),
        tier=None if tier is None else tier.value,
        grain=grain,
    )
    return run(source, out, settings, dry_run=dry_run, quiet=quiet, debug=debug)


def run(source: Path, out: Path, settings: JobSettings, *, dry_run: bool, quiet: bool, debug: bool) -> int:
    """Run the job, tell what it did, and return the exit code."""
    print(console.NOTICE, file=sys.stderr)
    record = run_quietly(source, out, settings, dry_run=dry_run, quiet=quiet, debug=debug)
    if dry_run:
        console.print_plan(record, _outputs(settings))
    else:
        console.print_summary(record)
        _print_report_path(out, settings)
    if not record.series:
        console.complain(f"{source}: nothing in it can be denoised")
        return 2
    return record.exit_code


def run_quietly(
    source: Path, out: Path, settings: JobSettings, *, dry_run: bool = False, quiet: bool, debug: bool
) -> StudyRecord:
    """Run the job with progress on the terminal and without the warnings of libraries."""
    from quell.jobs.denoising import run_job

    with warnings.catch_warnings(), progress_bars(quiet) as progress:
        if not debug:
            # What matters of them to the user stands in the record as a note or a warning.
            warnings.simplefilter("ignore")
        return run_job(source, out, settings, dry_run=dry_run, progress=progress)


def one_study(argument: Path | None, option: Path | None) -> Path:
    """Return the study, which may be given as argument or as option, but only once."""
    given = [path for path in (argument, option) if path is not None]
    if len(given) != 1:
        raise typer.BadParameter("give the study once, as STUDY or with -i", param_hint="STUDY")
    return given[0]


def _check_share(share: float | None, option: str) -> None:
    # Written so that NaN fails too.
    if share is not None and not 0.0 <= share <= 1.0:
        raise typer.BadParameter(f"{share:g} does not lie between 0 and 1", param_hint=option)


def _check_model(identifier: str | None, method: str | None, tier: Tier | None) -> None:
    if identifier is not None and method is not None:
        raise typer.BadParameter("give a model or a method, not both", param_hint="--method")
    if tier is not None and (identifier is not None or method is not None):
        raise typer.BadParameter("leave it out with a model or a method", param_hint="--tier")
    # An unknown model is a wrong argument, not a failure of every series.
    if identifier is not None:
        from quell.models.registry import locate

        locate(identifier)


def _method_settings(config: Path | None, changes: list[str]) -> dict[str, Any]:
    if config is None and not changes:
        return {}
    from quell.jobs.method_settings import read_method_settings

    return read_method_settings(config, changes)


def _parse_sigma(text: str) -> float | None:
    if text.strip().lower() == "auto":
        return None
    try:
        level = float(text)
    except ValueError:
        level = math.nan
    if not (math.isfinite(level) and level > 0):
        raise typer.BadParameter(f"{text} is neither 'auto' nor a positive number", param_hint="--sigma")
    return level


def _outputs(settings: JobSettings) -> list[str]:
    wanted = {
        "denoised": True,
        "residual": settings.residual,
        "noise map": settings.noise_map,
        "spread": settings.spread,
    }
    return [kind for kind, chosen in wanted.items() if chosen]


def _print_report_path(out: Path, settings: JobSettings) -> None:
    page = out / "report.html"
    if settings.report and page.is_file():
        print(f"report: {page}")
