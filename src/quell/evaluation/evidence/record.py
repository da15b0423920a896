"""What an evidence report holds: numbers with intervals, verdicts against a bar, plots and pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol, TypeAlias

from quell.evaluation.report.record import Picture


class Verdict(str, Enum):
    """How a number stands to its bar."""

    MET = "met"
    SHORT = "falls short"
    NO_BAR = "no bar"


class AnyInterval(Protocol):
    """What the intervals of metrics and of observers have in common."""

    @property
    def value(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...
    @property
    def level(self) -> float: ...


@dataclass(frozen=True)
class Quantity:
    """A number and where it may lie.

    Attributes
    ----------
    value : float
    low, high : float
        Ends of the interval; NaN where there is none.
    level : float
        Nominal coverage.
    number : int
        Images, regions or lesions that it rests on; 0 where that is said elsewhere.
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    level: float = 0.95
    number: int = 0

    @classmethod
    def of(cls, interval: AnyInterval, number: int = 0) -> Quantity:
        """Return the same interval as a quantity."""
        return cls(interval.value, interval.low, interval.high, interval.level, number)


Cell: TypeAlias = str | int | float | Quantity | None


@dataclass(frozen=True)
class Column:
    """A column of a table; `unit` is empty for words and for numbers without one."""

    key: str
    title: str
    unit: str = ""


@dataclass(frozen=True)
class Table:
    """Numbers of a section; each row maps the key of a column to a cell."""

    key: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Mapping[str, Cell], ...]


@dataclass(frozen=True)
class Check:
    """A number against its bar.

    Attributes
    ----------
    name : str
        What was measured, under which conditions.
    bar : str
        In words.
    quantity : Quantity
    unit : str
    verdict : Verdict
        By the number itself, whatever its interval.
    sure : bool
        Whether the interval (or the test, corrected for their number) lies on the same side of the bar.
    remark : str
    """

    name: str
    bar: str
    quantity: Quantity
    unit: str
    verdict: Verdict
    sure: bool
    remark: str = ""


@dataclass(frozen=True)
class Curve:
    """Points of a plot; `role` is ``"before"``, ``"after"`` or ``"truth"`` and gives the colour."""

    name: str
    role: str
    x: tuple[float, ...]
    y: tuple[Quantity, ...]


@dataclass(frozen=True)
class Plot:
    """Curves with their intervals over one axis.

    Attributes
    ----------
    references : tuple of (float, str)
        Level lines with what they stand for.
    log_x : bool
    dots : bool
        Whether points are marked (few of them), or only joined.
    """

    key: str
    title: str
    x_label: str
    y_label: str
    curves: tuple[Curve, ...]
    references: tuple[tuple[float, str], ...] = ()
    log_x: bool = False
    dots: bool = True


@dataclass(frozen=True)
class Reading:
    """How to read a number, and where it comes from."""

    name: str
    text: str
    source: str


@dataclass(frozen=True)
class Shown:
    """A picture with the units of its values."""

    picture: Picture
    units: str


@dataclass(frozen=True)
class Section:
    """One part of the report.

    Attributes
    ----------
    key, title : str
    readings : tuple of Reading
    checks, tables, plots : tuple
    pictures : tuple of Shown
    notes : tuple of str
        What could not be measured, and why; warnings of noise models.
    """

    key: str
    title: str
    readings: tuple[Reading, ...] = ()
    checks: tuple[Check, ...] = ()
    tables: tuple[Table, ...] = ()
    plots: tuple[Plot, ...] = ()
    pictures: tuple[Shown, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """The whole report.

    Attributes
    ----------
    model, model_version, sha256, description : str
    modality : str
    sections : tuple of Section
    facts : mapping
        Seed, sizes, versions, engine, noise models: everything that a repeat needs; plain JSON.
    started : str
        ISO 8601 with time zone.
    seconds : float
    machine, version : str
    """

    model: str
    model_version: str
    sha256: str
    description: str
    modality: str
    sections: tuple[Section, ...]
    facts: Mapping[str, object] = field(default_factory=dict)
    started: str = ""
    seconds: float = 0.0
    machine: str = ""
    version: str = ""

    @property
    def checks(self) -> tuple[Check, ...]:
        """Return the checks of all sections."""
        return tuple(check for section in self.sections for check in section.checks)


def at_most(name: str, quantity: Quantity, limit: float, unit: str, bar: str, remark: str = "") -> Check:
    """Check that a number, whatever its sign, is no larger than a limit."""
    met = abs(quantity.value) <= limit
    sides = [abs(end) <= limit for end in (quantity.low, quantity.high) if math.isfinite(end)]
    sure = bool(sides) and all(side is met for side in sides)
    if not met and quantity.low < 0 < quantity.high:
        sure = False
    return Check(name, bar, quantity, unit, Verdict.MET if met else Verdict.SHORT, sure, remark)


def at_least(name: str, quantity: Quantity, limit: float, unit: str, bar: str, remark: str = "") -> Check:
    """Check that a number is no smaller than a limit."""
    met = quantity.value >= limit
    sides = [end >= limit for end in (quantity.low, quantity.high) if math.isfinite(end)]
    sure = bool(sides) and all(side is met for side in sides)
    return Check(name, bar, quantity, unit, Verdict.MET if met else Verdict.SHORT, sure, remark)
