"""Progress: drawn for a person, silent for a pipe, never past the end."""

from __future__ import annotations

import io
import sys
from threading import Thread
from typing import Any

import pytest
from rich.console import Console
from rich.progress import Progress as Display

from quell.cli.progress import SHARES, Bars, progress_bars
from quell.jobs.common import Silent


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def bars() -> Bars:
    return Bars(Display(console=Console(file=io.StringIO(), width=120), disable=False))


def test_the_shares_of_the_steps_sum_to_one() -> None:
    assert sum(SHARES.values()) == pytest.approx(1.0)


def test_a_pipe_sees_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bars() as progress:
        assert isinstance(progress, Silent)
        progress.begin("Abdomen", 3)
        progress.advance("read", 3)
        progress.end(True, "")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("quiet", [False, True])
def test_a_terminal_sees_the_series_and_the_step_unless_quiet(
    monkeypatch: pytest.MonkeyPatch, quiet: bool
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with progress_bars(quiet) as progress:
        progress.begin("Abdomen [b]", 10)
        progress.advance("network", 4)
        if isinstance(progress, Bars):
            progress._display.refresh()
        progress.end(False, "the disk\nis full")
    shown = terminal.getvalue()
    for words in ("Abdomen [b]", "denoising 4/10", "the disk is full"):
        assert (words in shown) is not quiet


def test_the_bar_rises_to_one_and_never_above(bars: Bars) -> None:
    bars.begin("Abdomen", 5)
    seen = [bars.fraction]
    for step in SHARES:
        for _ in range(7):
            bars.advance(step)
            seen.append(bars.fraction)
    assert seen == sorted(seen)
    assert seen[0] == 0
    assert seen[-1] == pytest.approx(1.0)


def test_steps_that_overlap_in_threads_are_all_counted(bars: Bars) -> None:
    bars.begin("Abdomen", 400)
    threads = [Thread(target=lambda step=step: [bars.advance(step) for _ in range(400)]) for step in SHARES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bars.fraction == pytest.approx(1.0)


@pytest.mark.parametrize("call", [lambda b: b.advance("read"), lambda b: b.end(True, "")])
def test_calls_outside_a_series_are_harmless(bars: Bars, call: Any) -> None:
    call(bars)
    bars.begin("Abdomen", 0)
    bars.advance("unknown step")
    bars.end(True, "")
    assert bars.fraction == 0
