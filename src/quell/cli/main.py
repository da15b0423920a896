"""The command ``quell``: what it is called with, and how it ends."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from quell.cli import console
from quell.cli.benchmark import benchmark
from quell.cli.demo import demo
from quell.cli.denoise import denoise
from quell.cli.evaluate import evaluate
from quell.cli.evidence import evidence
from quell.cli.methods import methods
from quell.cli.models import models
from quell.cli.noise import noise
from quell.cli.phantom import phantom
from quell.cli.readers import readers
from quell.cli.simulate import simulate
from quell.cli.train import train
from quell.errors import QuellError

DONE, SOME_FAILED, UNUSABLE, INTERRUPTED = 0, 1, 2, 130

_HELP = f"""Denoise medical images: DICOM in, valid derived DICOM out. {console.NOTICE}

Exit codes: 0 done, 1 some series failed (the others are written), 2 unusable input or arguments.
"""

# Rich help would cost half of the 0.3 s in which `quell --help` has to answer.
app = typer.Typer(
    name="quell",
    help=_HELP,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"quell {console.version()}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _start(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(UNUSABLE)


app.command()(denoise)
app.command()(models)
app.command()(demo)
app.command()(simulate)
app.command()(phantom)
app.command()(noise)
app.command()(evaluate)
app.add_typer(readers, name="readers")
app.command()(evidence)
app.command()(benchmark)
app.command()(methods)
app.command()(train)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        What follows ``quell``; by default what the process was started with.

    Returns
    -------
    int
        The exit code: 0 done, 1 some series failed, 2 unusable input or arguments, 130 interrupted.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = app(args=given, prog_name="quell", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of the pipe has left (`quell models | head -1`): nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return SOME_FAILED
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:
        if "--debug" in given:
            traceback.print_exc()
        return _explain(error)
    if code == INTERRUPTED:
        console.complain("interrupted")
    return code if isinstance(code, int) else DONE


def run() -> None:
    """Run the command and end the process; the entry point of the installed ``quell``."""
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's encoding lacks must not end the run.
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")
    sys.exit(main())


def _explain(error: Exception) -> int:
    if isinstance(error, QuellError):
        console.complain(error)
        return UNUSABLE
    usage = getattr(error, "format_message", None)
    if callable(usage):
        context = getattr(error, "ctx", None)
        command = getattr(context, "command_path", None) or "quell"
        console.complain(f"{str(usage()).rstrip('.')} (see: {command} --help)")
        return UNUSABLE
    if isinstance(error, MemoryError):
        console.complain("not enough memory for this study")
        return UNUSABLE
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        console.complain(f"{where}{error.strerror}")
        return UNUSABLE
    console.complain(
        f"this is a bug in Quell: {type(error).__name__}: {error} (run it again with --debug and report it)"
    )
    return SOME_FAILED
