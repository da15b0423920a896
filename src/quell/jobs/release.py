"""Train a network that ships, from a folder of references to a model: in pieces that go on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from quell.errors import InputError, OutputError, QuellError
from quell.inference.kinds import KINDS
from quell.jobs.training_extra import training_extra
from quell.models.registry import MODEL, TIERS

if TYPE_CHECKING:
    from quell.training.universal import Options

SETTINGS, MATERIAL = "release.json", "material"

CONFIG = "config.yaml"
"""In the folder of a run of any other method."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class ReleaseSettings:
    """What makes two runs the same.

    Attributes
    ----------
    tier : str
        One of `TIERS`.
    crops : int
        Length of the training.
    batch : int
    rate : float
        Highest rate of learning.
    seed : int
    start : str
        File of weights (``weights.safetensors`` of a model that ships, of this tier or a smaller one) to
        begin with; drawn anew where empty.
    kind : str
        One of `quell.inference.kinds.KINDS`: the one kind of image to train for; all where empty.
    """

    tier: str = "fast"
    crops: int = 3_000_000
    batch: int = 16
    rate: float = 2e-3
    seed: int = 0
    start: str = ""
    kind: str = ""

    def check(self) -> None:
        """Refuse what cannot work.

        Raises
        ------
        QuellError
        """
        if self.tier not in TIERS:
            raise QuellError(f"unknown tier {self.tier!r}; there is {', '.join(TIERS)}")
        if self.kind and self.kind not in KINDS:
            raise QuellError(f"unknown kind {self.kind!r}; there is {', '.join(KINDS)}")
        if self.crops < self.batch or self.batch < 2 or not self.rate > 0:
            raise QuellError("crops, batch and rate are above zero, and there is at least one batch")
        if self.batch % 2:
            raise QuellError(f"crops come two and two: a batch is even, not {self.batch}")
        if self.start and not Path(self.start).is_file():
            raise InputError(self.start, "no such file of weights")


@dataclass(frozen=True)
class ReleaseResult:
    """How a piece of a training ended.

    Attributes
    ----------
    folder : Path
    done : bool
        Whether the training is at its end, and the model in ``folder / "model"``.
    crops, of : int
        Seen so far, and in all.
    minutes : float
        Of all pieces.
    """

    folder: Path
    done: bool
    crops: int
    of: int
    minutes: float


def train_release(
    out: Path,
    settings: ReleaseSettings | None,
    data: Path | None = None,
    *,
    minutes: float | None = None,
    accelerator: Literal["auto", "cpu", "gpu"] = "auto",
    workers: int | None = None,
    say: Say = lambda text: None,
) -> ReleaseResult:
    """Train, or go on, for a piece of so many minutes; at the end export the model.

    Parameters
    ----------
    out : Path
        Folder of the run.
    settings : ReleaseSettings or None
        None to go on with those that the run began with.
    data : Path, optional
        Folder of references; needed as long as the run has no complete material.
    minutes : float, optional
        Length of this piece; to the end where it is not given.
    accelerator : str
    workers : int, optional
        Processes that prepare crops; none on a CPU, which has enough to do.
    say : callable
        Told of progress, a line at a time.

    Raises
    ------
    QuellError
        If settings make no sense, the folder holds another run, or none where one should be, or references
        are missing: before anything is written.
    """
    chosen = _settings(out, settings)
    if minutes is not None and not minutes > 0:
        raise QuellError(f"a piece is longer than 0 minutes, not {minutes}")
    with training_extra():
        # The model at the end is written with it: better missed now than then.
        import_module("onnx")
        from quell.training.material import make_material
        from quell.training.release import release
        from quell.training.universal import Options, Run, chosen_device

    device = chosen_device(accelerator)
    start = Path(chosen.start) if chosen.start else None
    _check(out, chosen, data)
    out.mkdir(parents=True, exist_ok=True)
    (out / SETTINGS).write_text(json.dumps(asdict(chosen), indent=1) + "\n", "utf-8")
    cores = os.cpu_count() or 1
    if data is not None:
        make_material(data, out / MATERIAL, seed=chosen.seed, workers=cores, say=say)
    if workers is None:
        workers = max(1, cores - 2) if device.type == "cuda" else 0
    same = ("crops", "batch", "rate", "seed", "tier", "kind")
    options = Options(**{name: getattr(chosen, name) for name in same})
    run = Run(out / MATERIAL, out, options, device, start, workers)
    done = run.train(float("inf") if minutes is None else minutes, lambda line: say(_line(line, options)))
    if done:
        release(out, chosen.tier, "0.0.0", out / MODEL)
    return ReleaseResult(out, done, run.step * options.batch, options.crops, run.seconds / 60)


def _line(line: dict[str, float], options: Options) -> str:
    share = line["crops"] / options.crops
    return f"{share:.1%} of {options.crops} crops: image {line['image']:.4f}, level {line['level']:.4f}"


def _check(out: Path, settings: ReleaseSettings, data: Path | None) -> None:
    """Refuse what would fail only after minutes of work."""
    from quell.training.material import INDEX, check_references
    from quell.training.pool import Pool
    from quell.training.universal import CHECKPOINT, Pair, starting_weights

    if not (out / MATERIAL / INDEX).exists():
        if data is None:
            raise QuellError("name the folder of the references: --data DIR")
        check_references(data)
    elif settings.kind:
        Pool(out / MATERIAL, settings.kind)
    if settings.start and not (out / CHECKPOINT).exists():
        starting_weights(Path(settings.start), Pair(settings.tier))


def _settings(out: Path, settings: ReleaseSettings | None) -> ReleaseSettings:
    """Return the settings of a run, those that it holds if none are given."""
    held = _held(out)
    if settings is None:
        if held is None:
            raise InputError(out, "holds no training of a release")
        return held
    settings.check()
    if held not in (None, settings):
        raise OutputError(
            out, "holds a run with other settings: go on with --resume, or choose another folder"
        )
    if held is None and ((out / CONFIG).exists() or (out / MODEL).exists()):
        raise OutputError(out, "holds a run of another method: choose another folder")
    if out.exists() and not out.is_dir():
        raise OutputError(out, "is a file; a run needs a folder")
    return settings


def _held(out: Path) -> ReleaseSettings | None:
    """Return the settings of the run in a folder; None where there is none."""
    file = out / SETTINGS
    if not file.is_file():
        return None
    try:
        return ReleaseSettings(**json.loads(file.read_text("utf-8")))
    except (ValueError, TypeError) as error:
        raise InputError(file, "does not hold what a run writes") from error
