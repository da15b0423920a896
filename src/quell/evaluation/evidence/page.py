"""The evidence report as one HTML page that needs nothing beside itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from quell.errors import OutputError
from quell.evaluation.evidence.plots import plot_svg
from quell.evaluation.evidence.record import Cell, Check, Evidence, Quantity, Shown, Verdict
from quell.evaluation.evidence.values import evidence_values
from quell.evaluation.report import wording
from quell.evaluation.report.json_report import to_json
from quell.evaluation.report.pictures import Panel, to_data_uri, to_grey

if TYPE_CHECKING:
    from jinja2 import Template

_TEMPLATES = Path(__file__).parent.parent / "report" / "templates"
PAGE, NUMBERS = "evidence.html", "evidence.json"


@dataclass(frozen=True)
class Seen:
    """One picture of the page: before, after, difference, and what black and white stand for."""

    caption: str
    panels: tuple[tuple[str, Panel, str, str], ...]
    units: str


def write_evidence(evidence: Evidence, folder: Path) -> tuple[Path, Path]:
    """Write ``evidence.html`` and ``evidence.json``, each complete or not at all.

    Raises
    ------
    OutputError
        If they cannot be written.
    """
    from quell.formats.atomic import atomic_file

    texts = {PAGE: render_page(evidence), NUMBERS: to_json(evidence_values(evidence))}
    for name, text in texts.items():
        try:
            with atomic_file(folder / name) as temporary:
                temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise OutputError(folder / name, error.strerror or str(error)) from error
    return folder / PAGE, folder / NUMBERS


def render_page(evidence: Evidence) -> str:
    """Return the page; it holds its style, plots and pictures, and refers to nothing outside."""
    return _template().render(
        evidence=evidence,
        short=sorted(
            (check for check in evidence.checks if check.verdict is Verdict.SHORT),
            key=lambda one: not one.sure,
        ),
        summary=summary(evidence.checks),
        by_section=[(section, summary(section.checks)) for section in evidence.sections if section.checks],
        facts=_facts(evidence.facts),
    )


def summary(checks: Sequence[Check]) -> dict[str, int]:
    """Return how many checks met their bar, fell short (surely, or perhaps by chance), had no verdict."""
    short = [check for check in checks if check.verdict is Verdict.SHORT]
    return {
        "met": sum(check.verdict is Verdict.MET for check in checks),
        "short": sum(check.sure for check in short),
        "perhaps": sum(not check.sure for check in short),
        "none": sum(check.verdict is Verdict.NO_BAR for check in checks),
    }


@cache
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        cell=cell, svg=plot_svg, seen=seen, seconds=wording.seconds, sentence=wording.sentence
    )
    return environment.get_template("evidence.html.j2")


def cell(value: Cell | None) -> str:
    """Return a cell in words: three digits that mean something, and the interval behind it.

    Examples
    --------
    >>> cell(Quantity(1.2345, 1.1, 1.3)), cell(0.25), cell(None)
    ('1.23 [1.10, 1.30]', '0.25', '')
    """
    if value is None:
        return ""
    if isinstance(value, Quantity):
        if not math.isfinite(value.value):
            return "\N{EN DASH}"
        if not (math.isfinite(value.low) and math.isfinite(value.high)):
            return wording.number(value.value)
        return f"{wording.number(value.value)} [{_end(value, value.low)}, {_end(value, value.high)}]"
    if isinstance(value, float):
        return wording.number(value) if abs(value) >= 1e4 or value != round(value, 4) else _plain(value)
    return str(value)


def _end(value: Quantity, end: float) -> str:
    scale = max(abs(value.value), abs(value.low), abs(value.high))
    if scale == 0:
        return "0"
    decimals = max(0, 2 - math.floor(math.log10(scale)))
    words = f"{abs(end):,.{min(decimals, 6)}f}"
    return f"\N{MINUS SIGN}{words}" if end < 0 and float(words.replace(",", "")) else words


def _plain(value: float) -> str:
    return f"{value:g}".replace("-", "\N{MINUS SIGN}")


def seen(shown: Shown) -> Seen:
    """Return a picture as panels: before and after in one window, the difference on a symmetric scale."""
    one, limit = shown.picture, abs(shown.picture.difference_limit) or 1.0
    drawn = []
    for name, values, low, high in (
        ("Before", one.before, *one.window),
        ("After", one.after, *one.window),
        ("Removed (before − after)", one.before - one.after, -limit, limit),
    ):
        panel = to_data_uri(to_grey(values, low, high))
        drawn.append((name, panel, wording.number(low), wording.number(high)))
    return Seen(one.caption, tuple(drawn), wording.unit(shown.units))


def _facts(facts: Mapping[str, object]) -> list[tuple[str, str]]:
    return [(name.replace("_", " "), _words(value)) for name, value in facts.items()]


def _words(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key.replace('_', ' ')} {_words(one)}" for key, one in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_words(one) for one in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
