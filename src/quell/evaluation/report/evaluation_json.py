"""An evaluation as JSON and as a table: every number with its interval, for programs."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import fields
from typing import Any

from quell.evaluation.metrics.statistics import Interval
from quell.evaluation.metrics.table import Score, find_metric
from quell.evaluation.report.evaluation_record import CaseRecord, EvaluationRecord, NoiseFound, Row, Shown

SCHEMA = "quell-evaluation"
SCHEMA_VERSION = 1
"""Rises when a key changes its meaning or goes; new keys do not raise it."""

COLUMNS = ("case", "modality", "metric", "unit", "region", "slice", "test", "noisy")


def evaluation_values(record: EvaluationRecord) -> dict[str, Any]:
    """Return an evaluation as plain values that JSON can hold.

    No pixels and no paths are in it. Slices count from 0. What is not a number becomes None, infinity (the
    PSNR of equal images) the word ``"infinity"``.
    """
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "notice": "Research use only. Not for diagnosis.",
        "quell_version": record.version,
        "started": record.started,
        "seconds": record.seconds,
        "machine": record.machine,
        "level": record.level,
        "seed": record.seed,
        "exit_code": record.exit_code,
        "summary": [_row(row) for row in record.rows],
        "cases": [_case(case) for case in record.cases],
        "passed_over": [
            {"what": i.what, "reason": i.reason, "count": i.count, "error": i.error}
            for i in record.passed_over
        ],
    }


def evaluation_csv(record: EvaluationRecord) -> str:
    """Return every value of every case as a table, one a line, slices counted from 0."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for case in record.cases:
        before = {(s.metric, s.slice, s.region): s.value for s in case.noisy_scores}
        for s in case.scores:
            noisy = before.get((s.metric, s.slice, s.region))
            unit = _unit(s, case)
            place = (s.region or "", "" if s.slice is None else s.slice)
            last = "" if noisy is None else repr(noisy)
            writer.writerow((_safe(case.name), case.modality, s.metric, unit, *place, repr(s.value), last))
    return file.getvalue()


def _safe(text: str) -> str:
    """Keep a spreadsheet from taking a name for a formula."""
    return f"'{text}" if text[:1] in "=+-@\t" else text


def _unit(score: Score, case: CaseRecord) -> str:
    unit = find_metric(score.metric).unit
    return case.units if unit == "image" else unit


def interval_values(found: Interval | None) -> dict[str, Any] | None:
    """Return an interval as plain values."""
    if found is None:
        return None
    value, low, high = (_number(v) for v in (found.value, found.low, found.high))
    return {"value": value, "low": low, "high": high, "level": found.level, "groups": found.groups}


def _row(row: Row) -> dict[str, Any]:
    return {
        **{name: getattr(row, name) for name in ("group", "metric", "unit", "direction", "source", "per")},
        "region": row.region,
        "test": interval_values(row.test),
        "noisy": interval_values(row.noisy),
        "difference": interval_values(row.difference),
        "wilcoxon_p": _number(row.wilcoxon),
        "wilcoxon_p_holm": _number(row.wilcoxon_holm),
        "student_p": _number(row.student),
        "values": row.parts,
        "warnings": list(row.warnings),
    }


def _case(case: CaseRecord) -> dict[str, Any]:
    return {
        "name": case.name,
        "format": case.format,
        "modality": case.modality,
        "units": case.units,
        "partners": dict(case.partners),
        "paired_by": case.paired_by,
        "shape": list(case.shape),
        "spacing_mm": None if case.spacing is None else list(case.spacing),
        "status": case.status.value,
        "reason": case.reason,
        "window": None if case.window is None else list(case.window),
        "sha256": dict(case.sha256),
        "scores": [_score(score) for score in case.scores],
        "noisy_scores": [_score(score) for score in case.noisy_scores],
        "noise": None if case.noise is None else _noise(case.noise),
        "pictures": [_picture(shown) for shown in case.pictures],
        "notes": list(case.notes),
        "warnings": list(case.warnings),
        "seconds": case.seconds,
    }


def _score(score: Score) -> dict[str, Any]:
    return {
        "metric": score.metric,
        "value": _number(score.value),
        "slice": score.slice,
        "region": score.region,
    }


def _noise(noise: NoiseFound) -> dict[str, Any]:
    def intervals(found: Any) -> dict[str, Any]:
        return {one.name: interval_values(getattr(found, one.name)) for one in fields(found)}

    return {
        "side_pixels": noise.side,
        "squares": noise.squares,
        "slices": noise.slices,
        "length": noise.length,
        "texture": {name: intervals(one) for name, one in noise.textures.items()},
        "shift_percent": None if noise.shift is None else intervals(noise.shift),
        "spectra": {
            name: {"frequency": list(one.frequency), "power": list(one.power)}
            for name, one in noise.spectra.items()
        },
    }


def _picture(shown: Shown) -> dict[str, Any]:
    return {"caption": shown.caption, "window": list(shown.window), "difference_limit": shown.limit}


def _number(value: float | None) -> float | str | None:
    if value is None or math.isnan(value):
        return None
    if math.isinf(value):
        return "infinity" if value > 0 else "-infinity"
    return float(value)
