"""``quell evidence``: the whole evidence report for one denoiser."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quell.cli import console
from quell.cli.choices import Device, Engine
from quell.cli.denoise import Debug, DeviceOption, EngineOption, Quiet, Threads

if TYPE_CHECKING:
    from quell.evaluation.evidence.record import Evidence

_WIDTH = 78

Model = Annotated[
    str | None,
    typer.Argument(
        metavar="MODEL", help="One of `quell models`, or the folder of a training run.", show_default=False
    ),
]
Other = Annotated[
    str | None,
    typer.Option(
        "--denoiser",
        metavar="MODULE:OBJECT",
        help="Judge this object in place of a model that ships.",
        show_default=False,
    ),
]
OfModality = Annotated[
    str, typer.Option("--modality", metavar="CT|PT|NM|US|MR|XR", help="What it is judged on.")
]
Out = Annotated[Path, typer.Option("-o", "--out", help="Folder for the report; made if absent.")]
Quick = Annotated[bool, typer.Option("--quick", help="Few realisations: a first look, wide intervals.")]
Pairs = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Pairs of regions for each signal and dose.", show_default=False),
]
Seed = Annotated[int, typer.Option(min=0, metavar="N", help="The same seed gives the same images.")]


def evidence(
    model: Model = None,
    denoiser: Other = None,
    modality: OfModality = "CT",
    out: Out = Path("report"),
    quick: Quick = False,
    pairs: Pairs = None,
    seed: Seed = 0,
    device: DeviceOption = Device.AUTO,
    engine: EngineOption = Engine.AUTO,
    threads: Threads = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Judge a denoiser on phantoms: noise, resolution, detection, bias, lesions, speed."""
    if (model is None) == (denoiser is None):
        raise typer.BadParameter("give either a model or --denoiser", param_hint="MODEL")
    from quell.image import Modality
    from quell.jobs.evidence import EvidenceSettings, load_model, load_object, run_evidence

    try:
        kind = Modality(modality.upper())
    except ValueError as error:
        raise typer.BadParameter("one of CT, PT, NM, US, MR, XR", param_hint="--modality") from error
    settings = EvidenceSettings(kind, quick, pairs, seed, engine.value, device.value, threads)
    settings.plan()
    print(console.NOTICE, file=sys.stderr)
    judged = load_object(denoiser) if denoiser else load_model(model or "", settings)
    with warnings.catch_warnings():
        if not debug:
            # What matters of them to the user stands in the report.
            warnings.simplefilter("ignore")
        found, files = run_evidence(
            judged, out, settings, name=denoiser or "", step=_quiet if quiet else _tell_step
        )
    if not quiet:
        _tell_step("")
    _tell(found)
    print(f"report: {files[0]}")
    print(f"numbers: {files[1]}")


def _quiet(words: str) -> None:
    """Say nothing."""


def _tell_step(words: str) -> None:
    """Overwrite one line of the terminal; a file or a pipe gets none."""
    if sys.stderr.isatty():
        print(f"\r{console.printable(words)[:_WIDTH]:<{_WIDTH}}", end="\r", file=sys.stderr, flush=True)


def _tell(found: Evidence) -> None:
    from quell.evaluation.evidence.page import cell, summary
    from quell.evaluation.evidence.record import Verdict

    for check in found.checks:
        if check.verdict is Verdict.SHORT and check.sure:
            words = f"falls short: {check.name}: {cell(check.quantity)} {check.unit}".rstrip()
            print(console.printable(words))
    counts = summary(found.checks)
    print(
        f"{counts['met']} checks meet their bar, {counts['short']} fall short, "
        f"{counts['perhaps']} fall short but may be chance, {counts['none']} have no verdict"
    )
