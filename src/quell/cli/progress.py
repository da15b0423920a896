"""Progress on the terminal: one bar a series, with the step that is being done."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

from quell.cli.console import printable

if TYPE_CHECKING:
    import rich.progress

    from quell.jobs.common import Progress

SHARES = {"read": 0.1, "estimate": 0.15, "network": 0.65, "write": 0.1}
"""Usual share of each step in the time of a series; the bar moves evenly when they hold."""

SIMULATING = {"read": 0.05, "simulate": 0.9, "write": 0.05}
"""The same of a simulation."""

_LABELS = {
    "read": "reading",
    "estimate": "estimating noise",
    "network": "denoising",
    "simulate": "adding noise",
    "measure": "measuring",
    "write": "writing",
}


class Bars:
    """A progress that draws one bar a series.

    Parameters
    ----------
    display : rich.progress.Progress
        Needs the task fields ``name`` and ``step`` in its columns.
    shares : mapping of str to float
        Steps of the job and their share in its time.
    """

    def __init__(self, display: rich.progress.Progress, shares: Mapping[str, float] = SHARES) -> None:
        self._display = display
        self._shares = shares
        self._lock = Lock()
        self._task: rich.progress.TaskID | None = None
        self._name = ""
        self._slices = 1
        self._done: dict[str, int] = {}

    def begin(self, name: str, steps: int) -> None:
        """Start the bar of a series of `steps` slices."""
        with self._lock:
            self._slices = max(1, steps)
            self._done = dict.fromkeys(self._shares, 0)
            self._name = _shorten(name)
            self._task = self._display.add_task("", total=1.0, name=self._name, step="")

    def advance(self, step: str, count: int = 1) -> None:
        """Count `count` slices of `step`; steps may overlap and come from several threads."""
        with self._lock:
            if self._task is None or step not in self._done:
                return
            self._done[step] = min(self._slices, self._done[step] + count)
            label = f"{_LABELS[step]} {self._done[step]}/{self._slices}"
            self._display.update(self._task, completed=self.fraction, step=label)

    def end(self, ok: bool, message: str) -> None:
        """Take the bar away and leave one line."""
        with self._lock:
            if self._task is None:
                return
            self._display.remove_task(self._task)
            self._task = None
        self._display.console.print(_closing_line(ok, self._name, message), highlight=False)

    @property
    def fraction(self) -> float:
        """Share of the series that is done, 0 to 1."""
        return sum(share * self._done.get(step, 0) / self._slices for step, share in self._shares.items())


@contextmanager
def progress_bars(quiet: bool = False, shares: Mapping[str, float] = SHARES) -> Iterator[Progress]:
    """Give a progress that draws on stderr, or a silent one where nobody watches.

    Parameters
    ----------
    quiet : bool
        Silent even on a terminal.
    shares : mapping of str to float
        Steps of the job and their share in its time.
    """
    if quiet or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        from quell.jobs.common import Silent

        yield Silent()
        return
    with _display() as display:
        yield Bars(display, shares)


def _display() -> rich.progress.Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.fields[name]}", markup=False),
        BarColumn(bar_width=28),
        TaskProgressColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[step]}", markup=False, style="dim"),
        console=Console(stderr=True),
        transient=True,
    )


def _closing_line(ok: bool, name: str, message: str) -> rich.text.Text:
    from rich.text import Text

    mark = ("done  ", "green") if ok else ("failed", "red")
    return Text.assemble(mark, "  ", name, ("  " + printable(message), "dim"))


def _shorten(name: str, longest: int = 32) -> str:
    name = printable(name)
    return name if len(name) <= longest else name[: longest - 1] + "…"
