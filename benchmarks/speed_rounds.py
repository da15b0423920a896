"""Timing in turn, so that a drift of the machine meets all who are timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np


class Contender(Protocol):
    """Whose time for a slice is measured.

    Attributes
    ----------
    name : str
        Line of the record.
    often : bool
        Whether it is quick enough to be timed again before each of the slow ones.
    """

    name: str
    often: bool

    def warm_up(self) -> None:
        """Do once what only the first call needs."""

    def seconds(self) -> float:
        """Return the seconds for a slice."""


class Alone:
    """A function that is called for one slice after the other.

    Parameters
    ----------
    name : str
    call : callable
        Denoises a slice; uses as many cores as it can.
    first : callable, optional
        In place of `call` before the first measurement, where that takes long.
    """

    often = False

    def __init__(
        self, name: str, call: Callable[[], object], first: Callable[[], object] | None = None
    ) -> None:
        self.name, self._call, self._first = name, call, first or call

    def warm_up(self) -> None:
        """Call it once."""
        self._first()

    def seconds(self) -> float:
        """Time one slice."""
        started = time.perf_counter()
        self._call()
        return time.perf_counter() - started


def turns(contenders: Sequence[Contender]) -> Iterator[Contender]:
    """Yield the contenders of a round: all quick ones, a slow one, all quick ones, the next slow one."""
    quick = [one for one in contenders if one.often]
    slow = [one for one in contenders if not one.often]
    for one in slow:
        yield from quick
        yield one
    if not slow:
        yield from quick


class Contest:
    """Measure several contenders in rounds.

    Parameters
    ----------
    contenders : sequence of Contender
        With names of their own.
    """

    def __init__(self, contenders: Sequence[Contender]) -> None:
        self._contenders = contenders
        self._times: dict[str, list[float]] = {one.name: [] for one in contenders}
        for one in contenders:
            one.warm_up()

    def run(self) -> None:
        """Run one round."""
        for one in turns(self._contenders):
            self._times[one.name].append(1000 * one.seconds())

    def medians(self) -> dict[str, float]:
        """Return the milliseconds for a slice by name."""
        return {name: float(np.median(values)) for name, values in self._times.items()}

    def ranges(self) -> dict[str, list[float]]:
        """Return the shortest and the longest time, ms, by name."""
        return {name: [min(values), max(values)] for name, values in self._times.items()}
