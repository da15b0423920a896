"""``quell train``: from images to a model."""

from __future__ import annotations

import os
import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quell.cli import console
from quell.cli.choices import GivenModality, Tier, given_modality
from quell.cli.release_training import NAME as RELEASE
from quell.cli.release_training import train_release
from quell.cli.training_progress import training_progress

if TYPE_CHECKING:
    from quell.training.run import RunResult

_INTERRUPTED = 130


class Accelerator(str, Enum):
    """Where it trains."""

    AUTO = "auto"
    CPU = "cpu"
    GPU = "gpu"


class Precision(str, Enum):
    """What it computes in."""

    FULL = "32"
    BF16 = "bf16"


Name = Annotated[
    str,
    typer.Argument(metavar="METHOD", help="One of `quell methods`, or `release`: the networks that ship."),
]
OfTier = Annotated[
    Tier | None,
    typer.Option("--tier", help="Of `release`: size of the network. [default: fast]", show_default=False),
]
Crops = Annotated[
    int | None,
    typer.Option(metavar="N", help="Of `release`: length. [default: 3000000]", show_default=False),
]
OfKind = Annotated[
    str | None,
    typer.Option(
        "--kind",
        metavar="CT|MR|PT|SPECT|NM|US|XR",
        help="Of `release`: the one kind of image to train for. [default: all]",
        show_default=False,
    ),
]
Start = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Of `release`: weights to begin with.", show_default=False),
]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Studies to learn from; without it, test objects are drawn.",
        show_default=False,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("-o", "--out", metavar="RUN", help="Folder of the run; made if absent.", show_default=False),
]
Resume = Annotated[Path | None, typer.Option(metavar="RUN", help="Go on with this run.", show_default=False)]
Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="YAML with method, data, run.", show_default=False),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="One setting; repeat it.", show_default=False),
]
Steps = Annotated[int | None, typer.Option(metavar="N", help="Length of the training.", show_default=False)]
Minutes = Annotated[
    float | None,
    typer.Option(
        metavar="M",
        help="Length by the clock in place of steps; of `release`: of a piece.",
        show_default=False,
    ),
]
Devices = Annotated[
    int | None, typer.Option(metavar="N", help="Processes or GPUs side by side.", show_default=False)
]
OnAccelerator = Annotated[
    Accelerator | None, typer.Option(help="Where it trains. [default: auto]", show_default=False)
]
InPrecision = Annotated[
    Precision | None, typer.Option(help="What it computes in. [default: 32]", show_default=False)
]
OfModality = Annotated[
    GivenModality | None,
    typer.Option(help="Of images whose format does not say it.", show_default=False, case_sensitive=False),
]
Doses = Annotated[
    str | None,
    typer.Option(metavar="A,B", help="Doses that are simulated from clean images.", show_default=False),
]
AsNoisy = Annotated[bool, typer.Option("--as-noisy", help="The images are noisy, not clean.")]
Force = Annotated[bool, typer.Option("--force", help="Take a modality that the method is not meant for.")]
Seed = Annotated[
    int | None, typer.Option(metavar="N", help="The same seed gives the same training.", show_default=False)
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing but what went wrong.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]


def train(
    method: Name,
    data: Data = None,
    out: Out = None,
    resume: Resume = None,
    config: Config = None,
    set_: Set = None,
    steps: Steps = None,
    minutes: Minutes = None,
    devices: Devices = None,
    accelerator: OnAccelerator = None,
    precision: InPrecision = None,
    modality: OfModality = None,
    doses: Doses = None,
    as_noisy: AsNoisy = False,
    force: Force = False,
    seed: Seed = None,
    tier: OfTier = None,
    crops: Crops = None,
    start: Start = None,
    kind: OfKind = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> int:
    """Train a method on a folder of images; the run is then a model for `quell denoise --model`."""
    if (out is None) == (resume is None):
        raise typer.BadParameter(
            "give the folder of a new run, or --resume with that of an old one", param_hint="--out"
        )
    own: dict[str, Any] = {
        "tier": _value(tier),
        "crops": crops,
        "start": None if start is None else str(start.absolute()),
        "kind": None if kind is None else kind.upper(),
    }
    others: dict[str, Any] = {
        "config": config,
        "set": set_,
        "steps": steps,
        "devices": devices,
        "precision": precision,
        "modality": modality,
        "doses": doses,
        "as-noisy": as_noisy or None,
        "force": force or None,
    }
    _refuse(others if method == RELEASE else own, method)
    if method == RELEASE:
        where: Any = _value(accelerator) or "auto"
        return train_release(out, resume, data, {**own, "seed": seed}, minutes, where, quiet)
    given: dict[str, dict[str, Any]] = {
        "method": {"steps": steps},
        "data": {
            "folder": None if data is None else str(data),
            "modality": _value(given_modality(modality)),
            "doses": None if doses is None else _numbers(doses),
            "role": "noisy" if as_noisy else None,
            "force": force or None,
        },
        "run": {
            "minutes": minutes,
            "devices": devices,
            "accelerator": _value(accelerator),
            "precision": _value(precision),
            "seed": seed,
        },
    }
    # Before torch is loaded: what its processes say to each other is nothing for a user.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    if _speaks():
        print(console.NOTICE, file=sys.stderr)
    with training_progress(quiet or not _speaks()) as watch:
        result = _run(method, out, resume, config, set_ or [], given, watch)
    return _tell(method, result) if _speaks() else 0


def _refuse(options: dict[str, Any], method: str) -> None:
    """Refuse options that were given though the method has no use for them."""
    for name, value in options.items():
        if value is not None:
            raise typer.BadParameter(f"is nothing to `quell train {method}`", param_hint=f"--{name}")


def _run(
    method: str,
    out: Path | None,
    resume: Path | None,
    config: Path | None,
    changes: list[str],
    given: dict[str, dict[str, Any]],
    watch: Any,
) -> RunResult:
    from quell.errors import QuellError
    from quell.jobs.training import entered, resume_method, settings_for, train_method, trainable

    try:
        trainable(method)
        told = entered(config, changes, given)
        if resume is not None:
            return resume_method(method, resume, told, watch)
        assert out is not None
        return train_method(method, settings_for(method, told), out, watch)
    except QuellError:
        if _speaks():
            raise
        # The first process says it; a failure here would take it down before it has.
        sys.exit(0)


def _tell(method: str, result: RunResult) -> int:
    """Print how it ended; return the exit code."""
    spent = f"{result.steps} steps in {result.minutes:.1f} min, {result.rate:.3g} crops a second"
    print(f"{spent}, {result.waited:.0%} of the time waiting for data")
    for name, value in result.figures.items():
        print(f"{name}: {value:.4g}")
    if not result.finished:
        print(console.printable(f"stopped; go on with: quell train {method} --resume {result.folder}"))
        return _INTERRUPTED
    print(console.printable(f"model: quell denoise STUDY -o OUT --model {result.folder}"))
    return 0


def _value(word: Enum | None) -> str | None:
    return None if word is None else str(word.value)


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise typer.BadParameter("numbers with commas, such as 0.25,0.1", param_hint="--doses") from error


def _speaks() -> bool:
    """Whether this process is the one of several that talks to the user."""
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))) == 0
