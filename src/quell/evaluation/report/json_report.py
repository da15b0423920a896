"""The report as JSON: every number of a run, for programs."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from quell.evaluation.report.record import NoiseSummary, Picture, SeriesRecord, StudyRecord
from quell.formats.contracts import PassedOver

SCHEMA = "quell-report"
SCHEMA_VERSION = 1
"""Rises when a key changes its meaning or goes; new keys do not raise it."""


def report_values(record: StudyRecord, folder: Path) -> dict[str, Any]:
    """Return a run as plain values that JSON can hold.

    There are no pixels in it, and no path of the source: folders of exported studies are often
    called after the patient. Numbers that are not finite become None.

    Parameters
    ----------
    record : StudyRecord
    folder : Path
        Where the report will lie; the written files are given relative to it.
    """
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "notice": "Research use only. Not for diagnosis.",
        "quell_version": record.version,
        "started": record.started,
        "seconds": _finite(record.seconds),
        "machine": record.machine,
        "exit_code": record.exit_code,
        "series": [_series(series, folder) for series in record.series],
        "passed_over": [_passed_over(item) for item in record.passed_over],
    }


def to_json(values: dict[str, Any]) -> str:
    """Return strict JSON (no NaN), indented, with a closing line break."""
    return json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def relative(file: Path, folder: Path) -> str:
    """Return `file` as seen from `folder`, with forward slashes; its name alone on another drive."""
    try:
        return Path(os.path.relpath(file, folder)).as_posix()
    except ValueError:
        return file.name


def _series(series: SeriesRecord, folder: Path) -> dict[str, Any]:
    return {
        "name": series.name,
        "format": series.format,
        "modality": series.modality,
        "units": series.units,
        "shape": [int(size) for size in series.shape],
        "spacing_mm": None if series.spacing is None else [_finite(step) for step in series.spacing],
        "status": series.status.value,
        "reason": series.reason,
        "model": series.model,
        "model_version": series.model_version,
        "model_sha256": series.model_sha256,
        "engine": series.engine,
        "strength": _finite(series.strength),
        "grain": _finite(series.grain),
        "sigma": _finite(series.sigma),
        "amount": series.amount,
        "seed": series.seed,
        "parameters": {key: plain(value) for key, value in series.parameters.items()},
        "noise_before": _noise(series.noise_before),
        "noise_after": _noise(series.noise_after),
        "pictures": [_picture(picture) for picture in series.pictures],
        "files": [relative(file, folder) for file in series.files],
        "clamped": int(series.clamped),
        "notes": list(series.notes),
        "warnings": list(series.warnings),
        "seconds": {step: _finite(spent) for step, spent in series.seconds.items()},
    }


def plain(value: Any) -> Any:
    """Return a value of a simulation's parameters as strict JSON can hold it."""
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    try:
        return _finite(float(value))
    except (TypeError, ValueError):
        return str(value)


def _noise(noise: NoiseSummary | None) -> dict[str, Any] | None:
    if noise is None:
        return None
    return {
        "level": _finite(noise.level),
        "level_p5": _finite(noise.level_p5),
        "level_p95": _finite(noise.level_p95),
        "frequencies": [_finite(value) for value in noise.frequencies],
        "power": [_finite(value) for value in noise.power],
    }


def _picture(picture: Picture) -> dict[str, Any]:
    rows, columns = picture.before.shape
    return {
        "caption": picture.caption,
        "rows": int(rows),
        "columns": int(columns),
        "window": [_finite(limit) for limit in picture.window],
        "difference_limit": _finite(picture.difference_limit),
        "aspect": _finite(picture.aspect),
    }


def _passed_over(item: PassedOver) -> dict[str, Any]:
    return {"what": item.what, "reason": item.reason, "count": int(item.count), "error": bool(item.error)}


def _finite(value: float | None) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    return float(value)
