"""Records of runs as a job would leave them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quell.evaluation.report.record import NoiseSummary, Picture, SeriesRecord, Status, StudyRecord
from quell.formats.contracts import PassedOver


def make_picture(rows: int = 40, columns: int = 60, **changes: Any) -> Picture:
    rng = np.random.default_rng(7)
    after = np.linspace(-100, 200, rows * columns, dtype=np.float32).reshape(rows, columns)
    before = after + rng.normal(0, 20, after.shape).astype(np.float32)
    values: dict[str, Any] = {"window": (-160.0, 240.0), "difference_limit": 60.0, "caption": "Slice 1 of 3"}
    return Picture(before, after, **{**values, **changes})


def make_series(folder: Path, **changes: Any) -> SeriesRecord:
    values: dict[str, Any] = {
        "name": "Abdomen",
        "format": "DICOM",
        "modality": "CT",
        "units": "HU",
        "shape": (3, 40, 60),
        "status": Status.DONE,
        "spacing": (5.0, 0.8, 0.8),
        "model": "universal.fast",
        "model_version": "1.2",
        "model_sha256": "0123456789abcdef" * 4,
        "engine": "OpenVINO CPU bf16",
        "noise_before": NoiseSummary(20.0, 10.0, 30.0, (0.1, 0.3, 0.5), (0.2, 0.5, 0.3)),
        "noise_after": NoiseSummary(8.0, 4.0, 12.0, (0.1, 0.3, 0.5), (0.6, 0.3, 0.1)),
        "pictures": (make_picture(),),
        "files": tuple(folder / "abdomen" / f"{i}.dcm" for i in range(3)),
        "clamped": 12,
        "notes": ("1 slice is missing",),
        "warnings": ("the noise is stronger than in training",),
        "seconds": {"read": 0.1, "estimate": 0.2, "network": 0.4, "write": 0.1},
    }
    return SeriesRecord(**{**values, **changes})


def make_record(folder: Path, *series: SeriesRecord, **changes: Any) -> StudyRecord:
    values: dict[str, Any] = {
        "source": Path("/archive/DOE^JANE"),
        "out": folder,
        "series": series or (make_series(folder),),
        "passed_over": (PassedOver("scout", "a localizer", 2), PassedOver("1.dcm", "truncated", error=True)),
        "started": "2026-01-02T03:04:05+01:00",
        "seconds": 12.5,
        "version": "0.1.0",
        "machine": "Xeon, 2 cores, 8 GiB",
    }
    return StudyRecord(**{**values, **changes})


@pytest.fixture(name="make_picture")
def make_picture_fixture() -> Callable[..., Picture]:
    return make_picture


@pytest.fixture(name="make_series")
def make_series_fixture(tmp_path: Path) -> Callable[..., SeriesRecord]:
    return lambda **changes: make_series(tmp_path, **changes)


@pytest.fixture(name="make_record")
def make_record_fixture(tmp_path: Path) -> Callable[..., StudyRecord]:
    return lambda *series, **changes: make_record(tmp_path, *series, **changes)
