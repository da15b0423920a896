"""Train a network that ships, from a folder of references to a model: in pieces that go on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from quell.errors import InputError, QuellError

if TYPE_CHECKING:
    from quell.training.universal import Options

SETTINGS, MATERIAL, MODEL = "release.json", "material", "model"

TIERS = ("fast", "standard")

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
    """

    tier: str = "fast"
    crops: int = 3_000_000
    batch: int = 16
    rate: float = 2e-3
    seed: int = 0
    start: str = ""

    def check(self) -> None:
        """Refuse what cannot work.

        Raises
        ------
        QuellError
        """
        if self.tier not in TIERS:
            raise QuellError(f"unknown tier {self.tier!r}; there is {', '.join(TIERS)}")
        if self.crops < self.batch or self.batch < 1 or not self.rate > 0:
            raise QuellError("crops, batch and rate are above zero, and there is at least one batch")
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
        If settings make no sense, or the folder holds another run, or none where one should be.
    """
    chosen = _settings(out, settings)
    import torch

    from quell.training.material import INDEX, make_material
    from quell.training.release import release
    from quell.training.universal import Options, Run

    device = torch.device(_device(accelerator, torch.cuda.is_available()))
    cores = os.cpu_count() or 1
    material = out / MATERIAL
    if not (material / INDEX).exists():
        if data is None:
            raise QuellError("name the folder of the references: --data DIR")
        make_material(data, material, seed=chosen.seed, workers=cores, say=say)
    if workers is None:
        workers = max(1, cores - 2) if device.type == "cuda" else 0
    options = Options(
        crops=chosen.crops, batch=chosen.batch, rate=chosen.rate, seed=chosen.seed, tier=chosen.tier
    )
    run = Run(material, out, options, device, Path(chosen.start) if chosen.start else None, workers)
    done = run.train(float("inf") if minutes is None else minutes, lambda line: say(_line(line, options)))
    if done:
        release(out, chosen.tier, "0.0.0", out / MODEL)
    return ReleaseResult(out, done, run.step * options.batch, options.crops, run.seconds / 60)


def _line(line: dict[str, float], options: Options) -> str:
    share = line["crops"] / options.crops
    return f"{share:.1%} of {options.crops} crops: image {line['image']:.4f}, level {line['level']:.4f}"


def _device(accelerator: str, has_gpu: bool) -> str:
    if accelerator == "gpu" and not has_gpu:
        raise QuellError("there is no GPU that PyTorch can use")
    return "cuda" if has_gpu and accelerator != "cpu" else "cpu"


def _settings(out: Path, settings: ReleaseSettings | None) -> ReleaseSettings:
    """Return the settings of a run, and write those of a new one."""
    file = out / SETTINGS
    held: dict[str, Any] | None = json.loads(file.read_text("utf-8")) if file.exists() else None
    if settings is None:
        if held is None:
            raise InputError(out, "holds no training of a release")
        return ReleaseSettings(**held)
    settings.check()
    if held is not None and held != asdict(settings):
        raise InputError(
            out, "holds a run with other settings: go on with --resume, or choose another folder"
        )
    out.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(asdict(settings), indent=1) + "\n", "utf-8")
    return settings
