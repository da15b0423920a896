"""The report as JSON: every number with its interval."""

from __future__ import annotations

import math
from typing import Any

from quell.evaluation.evidence.record import Cell, Check, Evidence, Plot, Quantity, Section, Table

SCHEMA, SCHEMA_VERSION = "quell-evidence", 1


def evidence_values(evidence: Evidence) -> dict[str, Any]:
    """Return the report as plain JSON; pictures are in the page only.

    Numbers that are not finite are null.
    """
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "notice": "Research use only. Not for diagnosis.",
        "quell_version": evidence.version,
        "model": evidence.model,
        "model_version": evidence.model_version,
        "weights_sha256": evidence.sha256,
        "modality": evidence.modality,
        "started": evidence.started,
        "seconds": _finite(evidence.seconds),
        "machine": evidence.machine,
        "provenance": dict(evidence.facts),
        "sections": {section.key: _section(section) for section in evidence.sections},
    }


def _section(section: Section) -> dict[str, Any]:
    return {
        "title": section.title,
        "checks": [_check(check) for check in section.checks],
        "tables": {table.key: _table(table) for table in section.tables},
        "plots": {plot.key: _plot(plot) for plot in section.plots},
        "readings": [{"name": one.name, "text": one.text, "source": one.source} for one in section.readings],
        "notes": list(section.notes),
    }


def _check(check: Check) -> dict[str, Any]:
    return {
        "name": check.name,
        "bar": check.bar,
        "found": _cell(check.quantity),
        "unit": check.unit,
        "verdict": check.verdict.value,
        "sure": check.sure,
        "remark": check.remark,
    }


def _table(table: Table) -> dict[str, Any]:
    return {
        "title": table.title,
        "columns": [{"key": c.key, "title": c.title, "unit": c.unit} for c in table.columns],
        "rows": [{key: _cell(cell) for key, cell in row.items()} for row in table.rows],
    }


def _plot(plot: Plot) -> dict[str, Any]:
    return {
        "title": plot.title,
        "x": plot.x_label,
        "y": plot.y_label,
        "curves": [
            {"name": c.name, "x": list(c.x), "y": [_finite(q.value) for q in c.y]} for c in plot.curves
        ],
    }


def _cell(cell: Cell) -> Any:
    if isinstance(cell, Quantity):
        return {
            "value": _finite(cell.value),
            "low": _finite(cell.low),
            "high": _finite(cell.high),
            "level": cell.level,
            "n": cell.number,
        }
    return _finite(cell) if isinstance(cell, float) else cell


def _finite(value: float) -> float | None:
    return float(f"{float(value):.6g}") if math.isfinite(value) else None
