"""``quell benchmark``: denoisers side by side."""

from __future__ import annotations

import shlex
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quell.cli import console
from quell.cli.choices import Engine, GivenModality, given_modality
from quell.cli.denoise import Debug, EngineOption, Quiet

if TYPE_CHECKING:
    from quell.evaluation.benchmark.record import Benchmark
    from quell.jobs.benchmark import BenchmarkSettings

Out = Annotated[
    Path, typer.Option("-o", "--out", help="Folder for benchmark.html, .json, .csv, .md; made if absent.")
]
Modalities = Annotated[
    list[GivenModality] | None,
    typer.Option("--modality", help="Several times for several. [default: all]", show_default=False),
]
Denoisers = Annotated[
    str | None,
    typer.Option(
        metavar="A,B,C",
        help="Names with commas: a model, a classical method, module:object, cmd:'tool {in} {out}'; the "
        "others are compared with the first. [default: the network and every classical method]",
        show_default=False,
    ),
]
Data = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder of real images. [default: drawn anatomy]", show_default=False),
]
Dose = Annotated[
    list[float] | None,
    typer.Option(metavar="A", help="Several times for several. [default: by modality]", show_default=False),
]
Images = Annotated[int, typer.Option(metavar="N", help="At most so many images of each modality.")]
Tuning = Annotated[int, typer.Option(metavar="N", help="Images that classical methods are tuned on.")]
Budget = Annotated[int, typer.Option(metavar="N", help="Settings that each of them is tried with.")]
Rounds = Annotated[int, typer.Option(metavar="N", help="Rounds of the timing; 0 for none.")]
Task = Annotated[bool, typer.Option("--task", help="Let an observer read a detection task (slow).")]
Pairs = Annotated[int, typer.Option(metavar="N", help="Pairs of regions for the observer.")]
Seed = Annotated[int, typer.Option(metavar="N", help="The same seed gives the same numbers.")]
Timeout = Annotated[float, typer.Option(metavar="S", help="Seconds for each call of a command.")]
Threads = Annotated[int, typer.Option(metavar="N", help="Threads and slices side by side.")]


def benchmark(
    out: Out,
    modality: Modalities = None,
    denoisers: Denoisers = None,
    data: Data = None,
    dose: Dose = None,
    images: Images = 6,
    tuning_images: Tuning = 2,
    budget: Budget = 12,
    rounds: Rounds = 5,
    task: Task = False,
    pairs: Pairs = 100,
    seed: Seed = 0,
    engine: EngineOption = Engine.AUTO,
    threads: Threads = 1,
    timeout: Timeout = 600.0,
    quiet: Quiet = False,
    debug: Debug = False,
) -> int:
    """Judge denoisers side by side: quality, texture, bias, task, speed; with intervals."""
    from quell.evaluation.denoisers import split_names
    from quell.jobs.benchmark import BenchmarkSettings

    chosen = tuple(dict.fromkeys(m for m in map(given_modality, modality or []) if m is not None))
    settings = BenchmarkSettings(
        modalities=chosen,
        denoisers=split_names(denoisers or ""),
        data=data,
        doses=tuple(dose or ()),
        images=images,
        tuning_images=tuning_images,
        budget=budget,
        rounds=rounds,
        task=task,
        pairs=pairs,
        seed=seed,
        engine=engine.value,
        threads=threads,
        timeout=timeout,
        command=_command(data, out),
    )
    print(console.NOTICE, file=sys.stderr)
    found = _run(settings, quiet=quiet, debug=debug)
    from quell.evaluation.report.benchmark_files import terminal_lines, write_benchmark

    files = write_benchmark(found, out)
    for name, words in terminal_lines(found):
        print(f"{name}{console.printable(words)}")
    print(f"page: {files[0]}")
    return found.exit_code


def _run(settings: BenchmarkSettings, *, quiet: bool, debug: bool) -> Benchmark:
    from quell.jobs.benchmark import run_benchmark

    def say(text: str) -> None:
        if not quiet:
            print(console.printable(text), file=sys.stderr, flush=True)

    with warnings.catch_warnings():
        if not debug:
            # What matters of them to the user stands in the record.
            warnings.simplefilter("ignore")
        return run_benchmark(settings, say=say)


def _command(data: Path | None, out: Path) -> str:
    """Return what was typed, without the folders: these are often called after patients."""
    names = {str(data): "DIR", str(out): "OUT"}
    return shlex.join(["quell", *(names.get(word, word) for word in sys.argv[1:])])
