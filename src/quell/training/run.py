"""A training with all that it leaves: log, validation, checkpoints, and the model at its end."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from lightning_fabric import Fabric

from quell.errors import OutputError, QuellError
from quell.training.averaging import put
from quell.training.devices import first_does
from quell.training.export import export_model
from quell.training.logs import RunLog
from quell.training.loop import Loop, Pool, Step, TrainingStopped
from quell.training.run_folder import BEST, LAST, RunFolder
from quell.training.settings import TrainSettings
from quell.training.validation import Case, Validation, Validator

REPORTS = 100
VALIDATIONS = 20
"""In a whole training, where the settings say nothing else."""


class Watch(Protocol):
    """Told of a training as it goes."""

    def begin(self, name: str, steps: int | None, done: int) -> None:
        """Take note that it starts after `done` steps; `steps` is None where the clock ends it."""

    def step(self, step: Step) -> None:
        """Take note of a step."""

    def tell(self, line: str) -> None:
        """Take note of something worth a line."""

    def end(self) -> None:
        """Take note that it ended."""


class Unwatched:
    """A training that nobody watches."""

    def begin(self, name: str, steps: int | None, done: int) -> None:
        """Do nothing."""

    def step(self, step: Step) -> None:
        """Do nothing."""

    def tell(self, line: str) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class RunResult:
    """How a training ended.

    Attributes
    ----------
    folder : Path
    finished : bool
        False if it was interrupted.
    card : Path or None
        Of the model; None for an interrupted training.
    steps : int
    minutes : float
    waited : float
        Share of the time of the steps in which the network waited for data; of this process alone.
    rate : float
        Crops a second, in all processes.
    figures : mapping of str to float
        Of the best validation.
    """

    folder: Path
    finished: bool
    card: Path | None
    steps: int
    minutes: float
    waited: float = 0.0
    rate: float = 0.0
    figures: Mapping[str, float] = field(default_factory=dict)


class Run:
    """One training in its folder.

    Parameters
    ----------
    folder : RunFolder
    method : Method
        Before `setup`.
    pool : Pool
    cases : sequence of Case
        To validate on.
    settings : TrainSettings
    fabric : Fabric
    watch : Watch
    """

    def __init__(
        self,
        folder: RunFolder,
        method: Any,
        pool: Pool,
        cases: Sequence[Case],
        settings: TrainSettings,
        fabric: Fabric,
        watch: Watch,
    ) -> None:
        self.folder, self.method, self.settings = folder, method, settings
        self.fabric, self.watch = fabric, watch
        method.setup(fabric)
        run = settings.run
        clock = time.process_time if run.clock == "processor" else time.perf_counter
        steps = settings.method.steps
        self.loop = Loop(method, pool, fabric, run.seed, steps, run.minutes, run.average, clock)
        self.validator = Validator(cases, pool, run.validate_voxels, fabric)
        self.best: float | None = None
        self.figures: dict[str, float] = {}
        self._saved = (0, time.perf_counter())
        self._sums = _Sums()
        self._total = _Sums()
        self._failed: QuellError | None = None

    def go(self, manifest: Sequence[Mapping[str, Any]]) -> RunResult:
        """Train from where the folder stands until the end, and export the best weights.

        Raises
        ------
        QuellError
            If the loss is no number any more, the disk is full, or a checkpoint is damaged.
        """
        self._resume()
        log = first_does(self.fabric, lambda: RunLog(self.folder.path, self.loop.step))
        steps = None if self.settings.run.minutes else self.loop.length
        self.watch.begin(self.method.facts.name, steps, self.loop.step)
        try:
            with stopping_on_signals(self.loop, self.watch):
                for step in self.loop.run():
                    self.watch.step(step)
                    self._after(step, log)
        except TrainingStopped as error:
            raise TrainingStopped(f"{error}; {self._kept()}") from None
        finally:
            self.watch.end()
            if log is not None:
                log.close()
        card = first_does(self.fabric, lambda: self._finish(manifest))
        return RunResult(
            self.folder.path,
            self.loop.progress >= 1,
            card,
            self.loop.step,
            self.loop.seconds / 60,
            self._total.waited_share,
            self._total.rate,
            self.figures,
        )

    def _resume(self) -> None:
        state = self.folder.load(LAST, self.fabric.device)
        if state is None:
            return
        self.loop.restore(state)
        self.best, self.figures = state["best"], dict(state["figures"])
        self._saved = (self.loop.step, time.perf_counter())

    def _after(self, step: Step, log: RunLog | None) -> None:
        """Report, validate and save where it is time; the first process alone has a log."""
        if log is None or self._failed is not None:
            return
        self._sums.add(step)
        self._total.add(step)
        try:
            self._report(step, log)
            if self._due_to_save(step):
                self._save()
        except QuellError as error:
            # The other processes wait in the next step; all end together behind it.
            self._failed = error
            self.loop.stop()

    def _report(self, step: Step, log: RunLog) -> None:
        found = self._validation() if self._due_to_validate(step) else None
        if found is None and not _crossed(step, self.loop, REPORTS):
            return
        values = {
            **self._sums.figures(),
            "minutes": self.loop.seconds / 60,
            **(found.figures if found else {}),
        }
        self._sums = _Sums()
        log.add(step.number, values)
        if found is not None:
            self.watch.tell(f"step {step.number}: {_in_words(values)}")

    def _due_to_validate(self, step: Step) -> bool:
        every = self.settings.run.validate_every
        if step.progress >= 1:
            return True
        return step.number % every == 0 if every else _crossed(step, self.loop, VALIDATIONS)

    def _validation(self) -> Validation | None:
        with self.loop.average.applied(self.method):
            found = self.validator.measure(self.method, self.loop.progress)
        if found is not None and (self.best is None or found.score > self.best):
            self.best, self.figures = found.score, found.figures
            self.folder.save(BEST, {"average": self.loop.average.weights, "step": self.loop.step})
        return found

    def _due_to_save(self, step: Step) -> bool:
        steps, seconds = self.settings.run.checkpoint_steps, self.settings.run.checkpoint_seconds
        saved_at, saved_when = self._saved
        by_steps = steps is not None and step.number - saved_at >= steps
        return by_steps or (seconds is not None and time.perf_counter() - saved_when >= seconds)

    def _save(self) -> None:
        state = {**self.loop.state(), "best": self.best, "figures": self.figures}
        self.folder.save(LAST, state)
        self._saved = (self.loop.step, time.perf_counter())

    def _finish(self, manifest: Sequence[Mapping[str, Any]]) -> Path | None:
        try:
            if self._failed is not None:
                raise self._failed
            if self._saved[0] < self.loop.step:
                self._save()
        except OutputError as error:
            raise OutputError(error.path, f"{error.reason}; {self._kept()}") from None
        return self._export(manifest) if self.loop.progress >= 1 else None

    def _export(self, manifest: Sequence[Mapping[str, Any]]) -> Path:
        best = self.folder.load(BEST) or {"average": self.loop.average.weights, "step": self.loop.step}
        with self.loop.average.applied(self.method):
            put(best["average"], self.method.networks)
            return export_model(
                self.method, self.folder.path, manifest, self._facts(int(best["step"])), self.figures
            )

    def _facts(self, best: int) -> dict[str, str | float | int]:
        """Return what the card says of the training."""
        told = self.settings.told()
        settings = {f"{part}.{key}": value for part in ("method", "run") for key, value in told[part].items()}
        return {
            "steps": self.loop.step,
            "minutes": round(self.loop.seconds / 60, 2),
            "step_of_the_weights": best,
            "processes": self.fabric.world_size,
            "training_images": self.method.data.items,
            **{
                key: value if isinstance(value, (int, float)) else str(value)
                for key, value in settings.items()
            },
        }

    def _kept(self) -> str:
        saved = self._saved[0]
        if not saved:
            return "there is no checkpoint yet"
        go_on = f"quell train {self.method.facts.name} --resume {self.folder.path}"
        return f"the checkpoint of step {saved} is kept; go on with: {go_on}"


@dataclass
class _Sums:
    """Sums over steps, from which a report gives means."""

    losses: dict[str, list[float]] = field(default_factory=dict)
    seconds: float = 0.0
    waited: float = 0.0
    samples: int = 0

    def add(self, step: Step) -> None:
        """Take a step into the sums."""
        for name, value in step.losses.items():
            self.losses.setdefault(name, []).append(value)
        self.seconds += step.seconds
        self.waited += step.waited
        self.samples += step.samples

    @property
    def waited_share(self) -> float:
        """Share of the time in which the network waited for data."""
        return self.waited / self.seconds if self.seconds else 0.0

    @property
    def rate(self) -> float:
        """Crops a second."""
        return self.samples / self.seconds if self.seconds else 0.0

    def figures(self) -> dict[str, float]:
        """Return means of the losses, the share of waiting, crops a second."""
        means = {f"loss {name}": sum(values) / len(values) for name, values in self.losses.items()}
        return {**means, "waited": self.waited_share, "crops a second": self.rate}


@contextmanager
def stopping_on_signals(loop: Loop, watch: Watch) -> Iterator[None]:
    """Let Ctrl-C, and a request to terminate, end the loop behind the step that is being done.

    A second one ends the process at once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        watch.tell("stopping after this step")
        loop.stop()
        signal.signal(number, before[number])

    before: dict[int, Any] = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _crossed(step: Step, loop: Loop, parts: int) -> bool:
    """Whether a step crossed one of the marks that cut the training into equal parts."""
    done = 1 / loop.length if loop.minutes is None else step.seconds / (60 * loop.minutes)
    return int(step.progress * parts + 1e-9) > int((step.progress - done) * parts + 1e-9)


def _in_words(values: Mapping[str, float]) -> str:
    told = {name: f"{value:.4g}" for name, value in values.items()}
    return ", ".join(f"{name} {value}" for name, value in told.items())
