"""Processes and devices: what Lightning Fabric is asked for, and what only the first process does."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy

from quell.errors import QuellError
from quell.training.settings import RunSettings

_PATIENCE = timedelta(hours=12)
"""How long processes wait for the first one, which prepares the data and validates."""

_PRECISION = {"32": "32-true", "bf16": "bf16-mixed"}

_PAUSE = 0.3
"""Seconds in which the threads of a process group come to rest."""

Result = TypeVar("Result")


class Elsewhere(QuellError):
    """The first process failed and has said why; the others end without a word."""


def start(settings: RunSettings) -> Fabric:
    """Start the processes that a training was asked for, or join those that ``torchrun`` started.

    Where `settings` say several devices and nobody started them, this very command is started once more for
    each of the others.

    Raises
    ------
    QuellError
        If there are no such devices.
    """
    accelerator = _accelerator(settings)
    devices, nodes = _counts(settings)
    if accelerator == "cuda" and devices > torch.cuda.device_count():
        raise QuellError(f"run.devices: {devices} asked for, {torch.cuda.device_count()} GPUs found")
    several = devices * nodes > 1
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    fabric = Fabric(
        accelerator=accelerator,
        devices=devices,
        num_nodes=nodes,
        # Methods have networks of which some parts rest in some stages.
        strategy=DDPStrategy(timeout=_PATIENCE, find_unused_parameters=True) if several else "auto",
        precision=_PRECISION[settings.precision],  # type: ignore[arg-type]
    )
    if several:
        warnings.filterwarnings("ignore", message=".*find_unused_parameters=True was specified.*")
    fabric.launch()
    return fabric


def _accelerator(settings: RunSettings) -> str:
    if settings.accelerator == "cpu":
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    if settings.accelerator == "gpu":
        raise QuellError("run.accelerator: no GPU that torch can use was found")
    return "cpu"


def _counts(settings: RunSettings) -> tuple[int, int]:
    """Return the processes on this machine, and the machines."""
    if not started_by_torchrun():
        return settings.devices, 1
    here, everywhere = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
    return here, everywhere // here


def started_by_torchrun() -> bool:
    """Whether ``torchrun`` started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def is_first() -> bool:
    """Whether this process is the one that speaks; known before the processes have met."""
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))) == 0


def first_does(fabric: Fabric, work: Callable[[], Result]) -> Result | None:
    """Let the first process do something while the others wait; return what it gave, None for the others.

    Raises
    ------
    Elsewhere
        In the others, if the first failed.
    """
    if fabric.world_size == 1:
        return work()
    if not fabric.is_global_zero:
        if not _told(fabric, True):
            raise Elsewhere("the first process failed")
        return None
    try:
        result = work()
    except BaseException:
        _told(fabric, False)
        raise
    _told(fabric, True)
    return result


def _told(fabric: Fabric, well: bool) -> bool:
    """Return what the first process says; a barrier as well."""
    word = torch.tensor([float(well)], device=fabric.device)
    return bool(fabric.broadcast(word).item())


def finish(fabric: Fabric) -> None:
    """Let the processes part."""
    if fabric.world_size > 1 and torch.distributed.is_initialized():
        fabric.barrier()
        # Gloo's threads drop the tensors of their last work only when Python lets them; the destructor of
        # the process group waits for these threads and does not let them: without a pause both wait for ever.
        time.sleep(_PAUSE)
        torch.distributed.destroy_process_group()
