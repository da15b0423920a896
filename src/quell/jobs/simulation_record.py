"""The record beside simulated images: all that is needed to make them again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quell.evaluation.report.json_report import plain, relative, to_json
from quell.evaluation.report.record import SeriesRecord, Status, StudyRecord
from quell.formats.atomic import atomic_file

if TYPE_CHECKING:
    from quell.jobs.simulation import SimulationSettings

RECORD_NAME = "simulation.json"
SCHEMA = "quell-simulation"
SCHEMA_VERSION = 1
_LARGEST = 64 * 2**20


def write_simulation_record(record: StudyRecord, settings: SimulationSettings, out: Path) -> Path:
    """Write ``simulation.json``; runs with other settings that it tells of already stay in it.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    path = out / RECORD_NAME
    run = run_values(record, settings, out)
    kept = [one for one in _earlier(path) if not _replaced(one, run)]
    values = {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "notice": "Simulated images, not real examinations. Research use only. Not for diagnosis.",
        "runs": [*kept, run],
    }
    with atomic_file(path) as temporary:
        temporary.write_text(to_json(values), encoding="utf-8")
    return path


def run_values(record: StudyRecord, settings: SimulationSettings, out: Path) -> dict[str, Any]:
    """Return one run as plain values that JSON can hold; no pixels and no path of the source."""
    return {
        "quell_version": record.version,
        "started": record.started,
        "dose": settings.dose,
        "snr": settings.snr,
        "looks": settings.looks,
        "seed": settings.seed,
        "modality": None if settings.modality is None else settings.modality.value,
        "float": settings.write.float_output,
        "series": [_series(series, out) for series in record.series],
    }


def _series(series: SeriesRecord, out: Path) -> dict[str, Any]:
    return {
        "name": series.name,
        "format": series.format,
        "modality": series.modality,
        "units": series.units,
        "shape": list(series.shape),
        "spacing_mm": None if series.spacing is None else list(series.spacing),
        "status": series.status.value,
        "reason": series.reason,
        "amount": series.amount,
        "seed": series.seed,
        "model": series.model,
        "model_version": series.model_version,
        "model_sha256": series.model_sha256,
        "parameters": {key: plain(value) for key, value in series.parameters.items()},
        "warnings": list(series.warnings),
        "notes": list(series.notes),
        "clamped": int(series.clamped),
        "files": [relative(file, out) for file in series.files],
    }


def _earlier(path: Path) -> list[dict[str, Any]]:
    """Return the runs that an existing record tells of; none where it is no record of ours."""
    try:
        if path.stat().st_size > _LARGEST:
            return []
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return []
    if not isinstance(values, dict) or values.get("schema") != SCHEMA:
        return []
    runs = values.get("runs")
    return [run for run in runs if isinstance(run, dict)] if isinstance(runs, list) else []


def _replaced(earlier: dict[str, Any], run: dict[str, Any]) -> bool:
    """Whether all files of an earlier run were written again."""
    return _files(earlier) <= _files(run)


def _files(run: dict[str, Any]) -> set[str]:
    series = run.get("series")
    found = [one for one in series if isinstance(one, dict)] if isinstance(series, list) else []
    done = [one for one in found if one.get("status") == Status.DONE.value]
    return {str(file) for one in done for file in one.get("files", ())}
