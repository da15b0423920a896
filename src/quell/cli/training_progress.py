"""Progress of a training on the terminal: one bar with the losses, and a line for each validation."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from quell.cli.console import printable

if TYPE_CHECKING:
    import rich.progress

    from quell.training.loop import Step


class Lines:
    """A progress that prints lines where no bar can be drawn, or none at all.

    Parameters
    ----------
    quiet : bool
    """

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet

    def begin(self, name: str, steps: int | None, done: int) -> None:
        """Say that it goes on, where it does."""
        if done:
            self.tell(f"going on after step {done}")

    def step(self, step: Step) -> None:
        """Say nothing: a file is not to have a line for each step."""

    def tell(self, line: str) -> None:
        """Print a line."""
        if not self._quiet:
            print(printable(line), file=sys.stderr, flush=True)

    def end(self) -> None:
        """Do nothing."""


class Bar:
    """A progress that draws a bar.

    Parameters
    ----------
    display : rich.progress.Progress
        Needs the task fields ``name`` and ``step`` in its columns.
    """

    def __init__(self, display: rich.progress.Progress) -> None:
        self._display = display
        self._task: rich.progress.TaskID | None = None
        self._steps: int | None = None

    def begin(self, name: str, steps: int | None, done: int) -> None:
        """Start the bar."""
        self._steps = steps
        self._task = self._display.add_task("", total=1.0, name=name, step="")

    def step(self, step: Step) -> None:
        """Move the bar."""
        if self._task is None:
            return
        count = f"{step.number}/{self._steps}" if self._steps else f"{step.number}"
        losses = ", ".join(f"{name} {value:.3g}" for name, value in step.losses.items())
        told = printable(f"step {count}  {losses}")
        self._display.update(self._task, completed=step.progress, step=told)

    def tell(self, line: str) -> None:
        """Print a line above the bar."""
        self._display.console.print(printable(line), highlight=False, markup=False)

    def end(self) -> None:
        """Take the bar away."""
        if self._task is not None:
            self._display.remove_task(self._task)
            self._task = None


@contextmanager
def training_progress(quiet: bool = False) -> Iterator[Lines | Bar]:
    """Give a progress that draws on stderr, or prints lines where that is no terminal."""
    if quiet or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield Lines(quiet)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.fields[name]}", markup=False),
        BarColumn(bar_width=28),
        TaskProgressColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[step]}", markup=False, style="dim"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as display:
        yield Bar(display)
