"""``quell phantom``: a test object whose truth is known exactly."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from quell.cli import console


class Format(str, Enum):
    """What images are written as."""

    NIFTI = "nifti"
    DICOM = "dicom"


Name = Annotated[
    str | None, typer.Argument(metavar="NAME", help="One of those that --list prints.", show_default=False)
]
Out = Annotated[
    Path | None,
    typer.Option("-o", "--out", help="Folder for what is written; made if absent.", show_default=False),
]
Dose = Annotated[
    float | None,
    typer.Option(
        metavar="A",
        help="Image it at this dose as well: a fraction of the full one; looks for ultrasound.",
        show_default=False,
    ),
]
Seed = Annotated[int, typer.Option(min=0, metavar="N", help="The same seed gives the same files.")]
FormatOption = Annotated[Format, typer.Option("--format", help="What images are written as.")]
List = Annotated[bool, typer.Option("--list", help="List the test objects and write nothing.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]


def phantom(
    name: Name = None,
    out: Out = None,
    dose: Dose = None,
    seed: Seed = 0,
    format_: FormatOption = Format.NIFTI,
    list_: List = False,
    debug: Debug = False,
) -> None:
    """Make a test object: its exact truth, images of it with noise, labels, parameters."""
    if list_:
        _print_list()
        return
    if name is None:
        raise typer.BadParameter("give a name; --list prints them", param_hint="NAME")
    if out is None:
        raise typer.BadParameter("give the folder to write to", param_hint="--out")
    from quell.jobs.phantom import PhantomSettings, run_phantom

    print(console.NOTICE, file=sys.stderr)
    record = run_phantom(name, out, PhantomSettings(dose, seed, format_.value))
    for warning in record.warnings:
        print(f"note: {console.printable(warning)}")
    print(f"{record.name}: {_written(record.files)}")


def _written(files: tuple[Path, ...]) -> str:
    folder = console.common_folder(files)
    return f"{len(files)} files" if folder is None else f"{len(files)} files in {folder}"


def _print_list() -> None:
    from quell.phantoms.objects import OBJECTS

    width = max(map(len, OBJECTS))
    for kind in OBJECTS.values():
        print(f"{kind.name:<{width}}  {kind.summary}")
