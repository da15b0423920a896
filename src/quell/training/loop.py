"""The loop: batch, step, average, one after the other, so that it can stop and go on anywhere."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, fields
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric

from quell.errors import QuellError
from quell.methods.contracts import Batch, DataFacts, Method, Stage
from quell.training.averaging import Average, put


class Pool(Protocol):
    """Where batches come from."""

    def draw(self, stage: Stage, seed: tuple[int, ...]) -> Batch:
        """Return crops for a stage; the same for the same seed.

        Called from a thread of its own, so it must not touch torch's global generator.
        """


class TrainingStopped(QuellError):
    """A training that cannot go on: its loss is no number."""


@dataclass(frozen=True)
class Step:
    """What one step told.

    Attributes
    ----------
    number : int
        Counted from 1.
    progress : float
        Share of the training that is done after it.
    losses : mapping of str to float
    seconds : float
        That it took.
    waited : float
        Seconds of them in which the network waited for data.
    samples : int
        Crops that it learned from, in all processes.
    """

    number: int
    progress: float
    losses: Mapping[str, float]
    seconds: float
    waited: float
    samples: int


class Loop:
    """A training as a series of steps, from wherever it stands.

    Parameters
    ----------
    method : Method
        After `setup`.
    pool : Pool
    fabric : Fabric
    seed : int
    steps : int
        Length of the training.
    minutes : float, optional
        Ends the training by the clock in place of the steps.
    average : float
        See `quell.training.settings.RunSettings`.
    clock : callable
        Seconds from any beginning; those that count for `minutes`.

    Attributes
    ----------
    step : int
        Steps that are done.
    seconds : float
        Time that they took, with what was done between them.
    """

    def __init__(
        self,
        method: Method,
        pool: Pool,
        fabric: Fabric,
        seed: int = 0,
        steps: int = 1,
        minutes: float | None = None,
        average: float = 0.999,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.method, self.pool, self.fabric, self._clock = method, pool, fabric, clock
        self.seed, self.length, self.minutes = seed, steps, minutes
        self.average = Average(method.networks, average)
        self.step, self.seconds = 0, 0.0
        self._asked = self._stopping = False
        self._began = 0.0

    @property
    def progress(self) -> float:
        """Share of the training that is done, by the clock where a time was given."""
        if self.minutes is not None:
            return min(1.0, self.seconds / (60 * self.minutes))
        return min(1.0, self.step / self.length)

    def stop(self) -> None:
        """End `run` after the step that is being done."""
        self._asked = True

    def run(self) -> Iterator[Step]:
        """Take one step after the other and yield what each told, until the training is done or stopped.

        What the caller does between two steps counts as time of the training.

        Raises
        ------
        TrainingStopped
            If a loss is no number.
        """
        self._began = self._clock() - self.seconds
        with closing(_Ahead(self._draw)) as batches:
            while self.progress < 1 and not self._stopping:
                begun = time.perf_counter()
                batch, waited = batches.take(self.step, self.progress, self._after())
                losses = self._learn(batch)
                spent = time.perf_counter() - begun
                samples = batch.noisy.shape[0] * self.fabric.world_size
                yield Step(self.step, self.progress, losses, spent, waited, samples)
                if self.fabric.world_size == 1:
                    self._stopping = self._asked

    def state(self) -> dict[str, Any]:
        """Return everything that going on needs."""
        return {
            "method": self.method.state(),
            "average": self.average.weights,
            "step": self.step,
            "seconds": self.seconds,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.method.restore(state["method"])
        for name, weights in state["average"].items():
            for key, value in weights.items():
                self.average.weights[name][key].copy_(value)
        self.step, self.seconds = int(state["step"]), float(state["seconds"])

    def _after(self) -> float | None:
        """Return the progress after the step that is to be done, None where the training is then over."""
        if self.minutes is not None:
            return self.progress
        return None if self.step + 1 >= self.length else (self.step + 1) / self.length

    def _draw(self, step: int, progress: float) -> Batch:
        return self.pool.draw(self.method.stage(progress), (self.seed, self.fabric.global_rank, step))

    def _learn(self, batch: Batch) -> dict[str, float]:
        torch.manual_seed(seed_of(self.seed, self.fabric.global_rank, self.step))
        told = self.method.step(on_device(batch, self.fabric.device), self.progress, self.fabric)
        wrong = [name for name, value in told.items() if not math.isfinite(value)]
        if self._agree(bool(wrong)):
            name = wrong[0] if wrong else "loss"
            raise TrainingStopped(
                f"the loss {name!r} is no number any more in step {self.step + 1}; try a lower method.rate"
            )
        self.average.update(self.method.networks, self.step + 1)
        self.step += 1
        return dict(told)

    def _agree(self, wrong: bool) -> bool:
        """Let all processes take the same clock and the same end; return whether any has a wrong loss."""
        seconds = self._clock() - self._began
        if self.fabric.world_size == 1:
            self.seconds = seconds
            return wrong
        mine = torch.tensor([float(wrong), float(self._asked), seconds], dtype=torch.float64)
        found = self.fabric.all_reduce(mine.to(self.fabric.device), reduce_op="max")
        any_wrong, stopping, self.seconds = (float(value) for value in found)
        self._stopping = stopping > 0
        return any_wrong > 0


class _Ahead:
    """Draws the next batch in a thread while the network learns from this one.

    Parameters
    ----------
    draw : callable
        Takes the number of the step and the progress.
    """

    def __init__(self, draw: Callable[[int, float], Batch]) -> None:
        self._draw = draw
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._next: tuple[int, Future[Batch]] | None = None

    def take(self, step: int, progress: float, after: float | None) -> tuple[Batch, float]:
        """Return the batch of a step and the seconds that it was waited for; start the one after it.

        Parameters
        ----------
        step : int
        progress : float
        after : float or None
            Progress at the step after it; None where there is none.
        """
        begun = time.perf_counter()
        if self._next is None or self._next[0] != step:
            self._next = (step, self._thread.submit(self._draw, step, progress))
        batch = self._next[1].result()
        waited = time.perf_counter() - begun
        self._next = (
            (step + 1, self._thread.submit(self._draw, step + 1, after)) if after is not None else None
        )
        return batch, waited

    def close(self) -> None:
        """End the thread; what it draws is thrown away."""
        self._thread.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True)
class Fitted:
    """What a bare training told at its end.

    Attributes
    ----------
    steps : int
    seconds : float
    losses : mapping of str to float
        Of the last step.
    waited : float
        Share of the time in which the network waited for data.
    """

    steps: int
    seconds: float
    losses: Mapping[str, float]
    waited: float


def fit(
    method: Any,
    pool: Pool,
    steps: int | None = None,
    minutes: float | None = None,
    seed: int = 0,
    fabric: Fabric | None = None,
    average: float = 0.999,
    watch: Callable[[Step], None] | None = None,
) -> Fitted:
    """Train a method and leave the averaged weights in its networks: no folder, no log, no validation.

    Parameters
    ----------
    method : Method
        Before `setup`.
    pool : Pool
    steps : int, optional
        Those of its settings if not given.
    minutes : float, optional
        Ends the training by the clock in place of the steps.
    seed : int
    fabric : Fabric, optional
        One process on the CPU if not given.
    average : float
        See `quell.training.settings.RunSettings`.
    watch : callable, optional
        Told of each step.

    Raises
    ------
    TrainingStopped
        If a loss is no number.
    """
    fabric = fabric or Fabric(accelerator="cpu", devices=1)
    method.setup(fabric)
    loop = Loop(method, pool, fabric, seed, steps or method.config.steps, minutes, average)
    waited, last = 0.0, Step(0, 0.0, {}, 0.0, 0.0, 0)
    for last in loop.run():
        waited += last.waited
        if watch is not None:
            watch(last)
    put(loop.average.weights, method.networks)
    return Fitted(loop.step, loop.seconds, last.losses, waited / max(loop.seconds, 1e-9))


def make_method(kind: Any, config: Any, data: DataFacts, seed: int) -> Any:
    """Return a method whose networks begin with the weights that a seed gives."""
    torch.manual_seed(seed_of(seed))
    return kind(config, data)


def on_device(batch: Batch, device: torch.device) -> Batch:
    """Return a batch whose tensors are all on a device."""
    held = {one.name: getattr(batch, one.name) for one in fields(batch)}
    moved: dict[str, Any] = {
        name: None if value is None else value.to(device) for name, value in held.items()
    }
    return Batch(**moved)


def seed_of(*parts: int) -> int:
    """Return a seed for torch that is far from those of neighbouring numbers."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1
