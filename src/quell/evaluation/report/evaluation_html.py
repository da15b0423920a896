"""An evaluation as one HTML page that needs nothing beside itself, with its numbers as JSON and CSV."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from quell.errors import OutputError
from quell.evaluation.metrics.statistics import FEWEST_FOR_WILCOXON
from quell.evaluation.report import wording
from quell.evaluation.report.evaluation_figures import ORDER, TITLES, Stage, spectra_svg, stages
from quell.evaluation.report.evaluation_json import evaluation_csv, evaluation_values
from quell.evaluation.report.evaluation_record import CaseRecord, EvaluationRecord, Row
from quell.evaluation.report.json_report import to_json
from quell.evaluation.report.record import Status

if TYPE_CHECKING:
    from jinja2 import Template

    from quell.evaluation.metrics.statistics import Interval

HTML, JSON, CSV = "evaluation.html", "evaluation.json", "evaluation.csv"

_TEMPLATES = Path(__file__).with_name("templates")
_PARTS = {"slice": "slices", "region": "regions as wholes", "region and slice": "regions, slice by slice"}


@dataclass(frozen=True)
class Line:
    """A row of a table of the page, in words."""

    name: str
    region: str
    good: str
    noisy: str
    test: str
    difference: str
    p_value: str
    verdict: str
    """``"better"``, ``"worse"`` or nothing: whether the interval of the difference leaves out zero; of fewer
    than six slices or cases nothing is said."""


@dataclass(frozen=True)
class Table:
    """The metrics of the cases of one kind."""

    title: str
    of: str
    lines: tuple[Line, ...]
    compared: bool
    tested: bool
    regions: bool


@dataclass(frozen=True)
class CaseView:
    """What the page shows of one case."""

    anchor: str
    record: CaseRecord
    size: str
    plates: tuple[tuple[Stage, ...], ...]
    spectra: str
    keys: tuple[tuple[str, str], ...]
    noise: tuple[tuple[str, str, str, str], ...]
    shifts: tuple[tuple[str, str], ...]


def write_evaluation(record: EvaluationRecord, folder: Path) -> tuple[Path, Path, Path]:
    """Write ``evaluation.html``, ``evaluation.json`` and ``evaluation.csv``.

    Each is complete or absent, and replaces the one of an earlier run.

    Returns
    -------
    tuple of Path

    Raises
    ------
    OutputError
        If they cannot be written.
    """
    from quell.formats.atomic import atomic_file

    texts = {
        HTML: render_evaluation(record),
        JSON: to_json(evaluation_values(record)),
        CSV: evaluation_csv(record),
    }
    for name, text in texts.items():
        try:
            with atomic_file(folder / name) as temporary:
                temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise OutputError(folder / name, error.strerror or str(error)) from error
    return folder / HTML, folder / JSON, folder / CSV


def render_evaluation(record: EvaluationRecord) -> str:
    """Return the page: well-formed XML, its style and pictures inside, nothing from outside."""
    done = [case for case in record.cases if case.status is Status.DONE]
    page = _template().render(
        record=record,
        tables=tables(record),
        views=[_view(k, case) for k, case in enumerate(record.cases, start=1)],
        facts=_facts(record, done),
        title=_title(done),
        date=_date(record.started),
        titles=TITLES,
        percent=f"{100 * record.level:g} %",
    )
    return "".join(c for c in page if c in "\t\n\r" or ord(c) >= 0x20)


def tables(record: EvaluationRecord) -> tuple[Table, ...]:
    """Return the metrics in words, by kind of image and by what the values are of."""
    found = []
    for key in dict.fromkeys((row.group, row.per) for row in record.rows):
        rows = [row for row in record.rows if (row.group, row.per) == key]
        found.append(
            Table(
                title=key[0].replace("arbitrary", "arbitrary units"),
                of=_PARTS[key[1]],
                lines=tuple(_line(row) for row in rows),
                compared=any(row.noisy is not None for row in rows),
                tested=any(row.wilcoxon is not None for row in rows),
                regions=key[1] != "slice",
            )
        )
    return tuple(found)


def between(found: Interval | None, units: str = "", signed: bool = False) -> str:
    """Return an interval in words, such as ``"34.2 dB (33.9 to 34.6)"``."""
    if found is None:
        return ""
    say = wording.signed if signed else wording.number
    value = "∞" if math.isinf(found.value) else say(found.value)
    words = f"{value} {wording.unit(units)}".strip()
    if math.isnan(found.low):
        return words
    return f"{words} ({say(found.low)} to {say(found.high)})"


def case_lines(case: CaseRecord) -> list[str]:
    """Return what is to be said of the noise of a case, a line each."""
    lines = [
        f"noise in plain parts, {name.lower()}: SD {sd}, mean frequency {mean}"
        for name, sd, mean, _ in _textures(case)
    ]
    shift = None if case.noise is None else case.noise.shift
    if shift is not None:
        sd, mean = (between(one, "%", signed=True) for one in (shift.sd, shift.mean))
        lines.append(f"test against noisy: SD {sd}, mean frequency {mean}")
    return lines


def _line(row: Row) -> Line:
    return Line(
        name=f"{row.metric}, {wording.unit(row.unit)}" if row.unit else row.metric,
        region=row.region or "",
        good=row.direction.removesuffix(" is better"),
        noisy=between(row.noisy),
        test=between(row.test),
        difference=between(row.difference, signed=True),
        p_value=_p_value(row),
        verdict=_verdict(row),
    )


def _p_value(row: Row) -> str:
    if row.wilcoxon is None or row.wilcoxon_holm is None:
        return ""
    return f"{row.wilcoxon:.2g} ({row.wilcoxon_holm:.2g})"


def _verdict(row: Row) -> str:
    gap, before = row.difference, row.noisy
    if gap is None or before is None or gap.groups < FEWEST_FOR_WILCOXON:
        return ""
    if math.isnan(gap.low) or gap.low <= 0 <= gap.high:
        return ""
    if row.direction.startswith(("higher", "lower")):
        return "better" if (gap.value > 0) == row.direction.startswith("higher") else "worse"
    goal = 1.0 if "one" in row.direction else 0.0
    nearer = abs(before.value + gap.value - goal) < abs(before.value - goal)
    return "better" if nearer else "worse"


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
        number=wording.number,
        seconds=wording.seconds,
        plural=wording.plural,
        unit=wording.unit,
        sentence=wording.sentence,
    )
    return environment.get_template("evaluation.html.j2")


def _view(index: int, case: CaseRecord) -> CaseView:
    size = f"{wording.shape(case.shape)} voxels"
    if case.spacing is not None:
        size += f", {wording.millimetres(case.spacing)}"
    noise = case.noise
    keys = () if noise is None else tuple((n, TITLES[n]) for n in ORDER if n in noise.spectra)
    return CaseView(
        anchor=f"case-{index}",
        record=case,
        size=size,
        plates=tuple(tuple(stages(shown)) for shown in case.pictures),
        spectra="" if noise is None else spectra_svg(noise, case.units),
        keys=keys,
        noise=_textures(case),
        shifts=_shifts(case),
    )


def _textures(case: CaseRecord) -> tuple[tuple[str, str, str, str], ...]:
    """Return image, standard deviation, mean and peak frequency of each image, in words."""
    noise = case.noise
    if noise is None:
        return ()
    per = f"1/{noise.length}"
    return tuple(
        (
            TITLES[name],
            between(noise.textures[name].sd, case.units),
            between(noise.textures[name].mean, per),
            between(noise.textures[name].peak, per),
        )
        for name in ORDER
        if name in noise.textures
    )


def _shifts(case: CaseRecord) -> tuple[tuple[str, str], ...]:
    shift = None if case.noise is None else case.noise.shift
    if shift is None:
        return ()
    return (
        ("Standard deviation", between(shift.sd, "%", signed=True)),
        ("Mean frequency", between(shift.mean, "%", signed=True)),
        ("Peak frequency", between(shift.peak, "%", signed=True)),
        ("Area under the curve", between(shift.area, "%", signed=True)),
        ("Shape (0: only the amount changed)", between(shift.shape)),
    )


def _facts(record: EvaluationRecord, done: list[CaseRecord]) -> list[tuple[str, str]]:
    return [
        ("Cases evaluated", f"{len(done)} of {len(record.cases)}"),
        ("Slices", f"{sum(case.shape[0] for case in done):,}"),
        ("Numbers", f"{sum(len(case.scores) + len(case.noisy_scores) for case in done):,}"),
        ("Time", wording.seconds(record.seconds)),
    ]


def _title(done: list[CaseRecord]) -> str:
    if len(done) == 1:
        return f"Evaluation of {done[0].name}"
    return f"Evaluation of {len(done)} cases"


def _date(started: str) -> str:
    try:
        return datetime.fromisoformat(started).strftime("%-d %B %Y, %H:%M")
    except ValueError:
        return started
