"""The JSON: strict, complete, without pixels, relative to the report."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quell.evaluation.report.html import write_report
from quell.evaluation.report.json_report import relative, report_values, to_json
from quell.evaluation.report.record import NoiseSummary, SeriesRecord


def refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def test_it_survives_the_round_trip(make_record: Any, tmp_path: Path) -> None:
    record = make_record()
    values = report_values(record, tmp_path)
    _, path = write_report(record, tmp_path)
    assert json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse_constant) == values


def test_every_field_of_a_series_is_in_it(make_record: Any, tmp_path: Path) -> None:
    (values,) = report_values(make_record(), tmp_path)["series"]
    fields = {field.name for field in dataclasses.fields(SeriesRecord)} - {"spacing"} | {"spacing_mm"}
    assert set(values) == fields
    assert values["noise_before"]["level"] == 20.0
    assert values["noise_after"]["power"] == [0.6, 0.3, 0.1]
    assert values["seconds"] == {"read": 0.1, "estimate": 0.2, "network": 0.4, "write": 0.1}


def test_what_failed_and_what_was_passed_over_is_in_it(make_record: Any, tmp_path: Path) -> None:
    values = report_values(make_record(), tmp_path)
    assert values["exit_code"] == 1
    assert values["schema_version"] == 1
    assert values["passed_over"] == [
        {"what": "scout", "reason": "a localizer", "count": 2, "error": False},
        {"what": "1.dcm", "reason": "truncated", "count": 1, "error": True},
    ]


def test_numpy_numbers_and_infinities_become_json(make_record: Any, make_series: Any, tmp_path: Path) -> None:
    series = make_series(
        noise_before=NoiseSummary(np.float32(2), np.float64("nan"), float("inf"), (np.float32(0.5),), (1.0,)),
        clamped=np.int64(3),
        shape=tuple(np.array([1, 2, 3])),
        seconds={"read": np.float32(1)},
    )
    text = to_json(report_values(make_record(series), tmp_path))
    (values,) = json.loads(text, parse_constant=refuse_constant)["series"]
    assert values["noise_before"]["level"] == 2
    assert values["noise_before"]["level_p5"] is None
    assert values["noise_before"]["level_p95"] is None
    assert (values["clamped"], values["shape"]) == (3, [1, 2, 3])


@pytest.mark.parametrize(
    ("file", "folder", "expected"),
    [("out/a/1.dcm", "out", "a/1.dcm"), ("out/1.dcm", "out", "1.dcm"), ("a/1.dcm", "b", "../a/1.dcm")],
)
def test_files_are_named_from_the_report(file: str, folder: str, expected: str) -> None:
    assert relative(Path(file), Path(folder)) == expected
