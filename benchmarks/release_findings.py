"""The lines of the page of a release, and how records are read for them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

Record = Mapping[str, Any]


class Weights(NamedTuple):
    """Which network a figure is of."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True)
class Finding:
    """A line of the page.

    Attributes
    ----------
    what, goal, measured : str
        Where nothing was measured, `measured` says why.
    met : bool or None
        None where nothing was measured.
    command : str
        That printed it.
    weights : tuple of Weights
    """

    what: str
    goal: str
    measured: str
    met: bool | None
    command: str = ""
    weights: tuple[Weights, ...] = ()


def read(folder: Path, name: str) -> Record | None:
    """Return a record of a folder; None where it is not there."""
    file = folder / name
    return json.loads(file.read_text("utf-8")) if file.is_file() else None


def missing(what: str, goal: str, why: str) -> Finding:
    """Return the line of what was not measured."""
    return Finding(what, goal, why, None)


def interval(found: Record, digits: int = 2, sign: str = "+") -> str:
    """Return a value with its interval, where it has one."""
    text = f"{found['value']:{sign}.{digits}f}"
    if found.get("low") is None or found.get("high") is None:
        return text
    return f"{text} [{found['low']:{sign}.{digits}f}, {found['high']:{sign}.{digits}f}]"


def told_models(record: Record) -> tuple[Weights, ...]:
    """Return the weights of a record."""
    return tuple(Weights(one["name"], one["version"], one["sha256"]) for one in record.get("models", ()))


def percent(dose: str | float) -> str:
    return f"{100 * float(dose):g} %"
