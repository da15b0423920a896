"""A survey of noise as JSON: every number of a run, for programs; docs/noise/README.md names the keys."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from enum import Enum
from math import isfinite
from pathlib import Path
from typing import TypeAlias

from quell.evaluation.report.json_report import relative
from quell.evaluation.report.noise_record import NoiseRecord, NoiseSurvey

SCHEMA = "quell-noise"
SCHEMA_VERSION = 1
"""Rises when a key changes its meaning or goes; new keys do not raise it."""


Json: TypeAlias = "dict[str, Json] | list[Json] | str | float | int | bool | None"


def survey_values(survey: NoiseSurvey, folder: Path | None) -> dict[str, Json]:
    """Return a survey as plain values that JSON can hold.

    There is no path of the source in it: folders of exported studies are often called after the
    patient. Numbers that are not finite become None.

    Parameters
    ----------
    survey : NoiseSurvey
    folder : Path, optional
        Where the JSON will lie; pictures are given relative to it.
    """
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "notice": "Research use only. Not for diagnosis.",
        "quell_version": survey.version,
        "started": survey.started,
        "seconds": plain(survey.seconds),
        "machine": survey.machine,
        "exit_code": survey.exit_code,
        "series": [_series(series, folder) for series in survey.series],
        "passed_over": [plain(item) for item in survey.passed_over],
    }


def _series(series: NoiseRecord, folder: Path | None) -> Json:
    values = plain(series)
    assert isinstance(values, dict)
    values["spacing_mm"] = values.pop("spacing")
    if series.picture is not None:
        values["picture"] = relative(series.picture, folder) if folder else series.picture.name
    return values


def plain(value: object) -> Json:
    """Return a value, a record or a collection of them as plain JSON values."""
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if isinstance(value, bool) or value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, float):
        # Six digits: more than any of these figures is worth, and a 2-D spectrum is long.
        return float(f"{value:.6g}") if isfinite(value) else None
    return str(value)
