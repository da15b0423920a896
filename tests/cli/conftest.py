"""A job that does nothing but what a test tells it, in place of the real one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from quell.evaluation.report.record import NoiseSummary, SeriesRecord, Status, StudyRecord
from quell.formats.contracts import PassedOver


@dataclass
class FakeJob:
    """Records how it was called and answers with `series` and `passed_over`, or raises `error`."""

    series: tuple[SeriesRecord, ...] = ()
    passed_over: tuple[PassedOver, ...] = ()
    error: BaseException | None = None
    calls: list[dict[str, Any]] = field(default_factory=list)

    def __call__(
        self, source: Path, out: Path, settings: Any, *, dry_run: bool = False, progress: Any = None
    ) -> StudyRecord:
        self.calls.append({"source": source, "out": out, "settings": settings, "dry_run": dry_run})
        if self.error is not None:
            raise self.error
        for series in self.series:
            progress.begin(series.name, series.shape[0])
            for step in ("read", "estimate", "network", "write"):
                progress.advance(step, series.shape[0])
            progress.end(series.status is not Status.FAILED, series.reason)
        return StudyRecord(
            source, out, self.series, self.passed_over, "2026-01-02T03:04:05+00:00", 1.5, "0.1.0", "a machine"
        )


@pytest.fixture
def fake_job(monkeypatch: pytest.MonkeyPatch) -> FakeJob:
    job = FakeJob(series=(make_series(),))
    monkeypatch.setattr("quell.jobs.denoising.run_job", job)
    monkeypatch.setattr("quell.models.registry.locate", lambda identifier: None)
    return job


def make_series(**changes: Any) -> SeriesRecord:
    values: dict[str, Any] = {
        "name": "Abdomen",
        "format": "DICOM",
        "modality": "CT",
        "units": "HU",
        "shape": (3, 64, 48),
        "status": Status.DONE,
        "model": "universal.fast",
        "noise_before": NoiseSummary(20.0, 10.0, 30.0),
        "noise_after": NoiseSummary(8.0, 4.0, 12.0),
        "files": tuple(Path("out/abdomen") / f"{i}.dcm" for i in range(3)),
        "seconds": {"read": 0.1, "network": 0.4},
    }
    return SeriesRecord(**{**values, **changes})


@pytest.fixture(name="make_series")
def make_series_fixture() -> Callable[..., SeriesRecord]:
    return make_series
