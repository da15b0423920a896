"""A benchmark as plain values: JSON for programs, rows for CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from typing import Any

from quell.evaluation.benchmark.record import (
    Benchmark,
    Detection,
    DetectionRow,
    Row,
    SpeedRow,
    Table,
)
from quell.evaluation.benchmark.scoring import COLUMNS, unit_of
from quell.evaluation.metrics.statistics import Interval

SCHEMA = "quell-benchmark"
SCHEMA_VERSION = 1
"""Rises when a key changes its meaning or goes; new keys do not raise it."""

HEAD = (
    *("modality", "dose", "denoiser", "metric", "unit", "value", "low", "high", "level", "groups"),
    *("p_holm", "seed", "data_sha256", "version"),
)


def benchmark_values(found: Benchmark) -> dict[str, Any]:
    """Return a benchmark as values that JSON can hold; numbers that are not finite become None."""
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "notice": "Research use only. Not for diagnosis.",
        "quell_version": found.version,
        "started": found.started,
        "seconds": _finite(found.seconds),
        "machine": found.machine,
        "command": found.command,
        "seed": found.seed,
        "denoisers": [dict(one) for one in found.denoisers],
        "tables": [_table(table) for table in found.tables],
        "detections": [_detection(one) for one in found.detections],
        "speed": [_speed(row) for row in found.speed],
        "left_out": list(found.left_out),
    }


def to_csv(found: Benchmark) -> str:
    """Return every number with its interval on a line of its own."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(HEAD)
    for row in _lines(found):
        writer.writerow(["" if v is None else v for v in (*row, found.version)])
    return stream.getvalue()


def interval(found: Interval | None) -> dict[str, Any] | None:
    """Return an interval as plain values."""
    if found is None:
        return None
    ends = {"value": _finite(found.value), "low": _finite(found.low), "high": _finite(found.high)}
    return {**ends, "level": found.level, "groups": found.groups}


def _lines(found: Benchmark) -> Iterator[tuple[Any, ...]]:
    for table in found.tables:
        place = (table.modality.value, table.dose)
        last = (found.seed, table.data_sha256)
        for row in table.rows:
            for column in COLUMNS:
                if column.key in row.values:
                    unit = unit_of(column, table.modality)
                    ends = _ends(row.values[column.key])
                    yield (*place, row.denoiser, column.name, unit, *ends, None, *last)
            if row.difference is not None:
                ends, p = _ends(row.difference.mean), _finite(row.difference.p_holm)
                yield (*place, row.denoiser, "PSNR minus the first", "dB", *ends, p, *last)
    for one in found.detections:
        for seen in one.rows:
            told = (one.modality.value, one.dose, seen.denoiser)
            if seen.d_prime is not None:
                yield (*told, f"d' of {one.task}", "", *_ends(seen.d_prime), None, found.seed, None)
            if seen.difference is not None:
                ends, p = _ends(seen.difference), _finite(seen.p_holm)
                yield (*told, f"d' of {one.task} minus noisy", "", *ends, p, found.seed, None)
    for timed in found.speed:
        if timed.milliseconds is not None:
            yield (
                None,
                None,
                timed.denoiser,
                "time of 512 x 512",
                "ms",
                *_ends(timed.milliseconds),
                None,
                found.seed,
                None,
            )
        if timed.ratio is not None:
            yield (
                None,
                None,
                timed.denoiser,
                "time over the first",
                "",
                *_ends(timed.ratio),
                None,
                found.seed,
                None,
            )


def _ends(found: Interval) -> tuple[float | None, float | None, float | None, float, int]:
    return _finite(found.value), _finite(found.low), _finite(found.high), found.level, found.groups


def _table(table: Table) -> dict[str, Any]:
    return {
        "modality": table.modality.value,
        "dose": table.dose,
        "dose_means": table.meaning,
        "source": table.source,
        "images": list(table.images),
        "patients": table.patients,
        "intervals_over": "patients" if table.grouped else "images of one patient",
        "own_noise_over_added": _finite(table.own_noise),
        "psnr_ceiling_db": _finite(table.ceiling),
        "tuning": {"images": list(table.tuning_images), "budget": table.budget, "score": "PSNR"},
        "data_sha256": table.data_sha256,
        "warnings": list(table.warnings),
        "units": {column.key: unit_of(column, table.modality) for column in COLUMNS},
        "rows": [_row(row) for row in table.rows],
    }


def _row(row: Row) -> dict[str, Any]:
    told = row.difference
    difference = None
    if told is not None:
        tests = {"p": _finite(told.p), "p_holm": _finite(told.p_holm), "p_wilcoxon": _finite(told.p_wilcoxon)}
        difference = {"psnr_minus_first_db": interval(told.mean), **tests}
    return {
        "denoiser": row.denoiser,
        "settings": row.settings,
        "failed": row.failed or None,
        "values": {key: interval(value) for key, value in row.values.items()},
        "difference": difference,
        "per_image": {
            name: {key: _round(value) for key, value in one.items()} for name, one in row.per_image.items()
        },
    }


def _detection(found: Detection) -> dict[str, Any]:
    return {
        "task": found.task,
        "signal": found.signal,
        "observer": found.observer,
        "modality": found.modality.value,
        "dose": found.dose,
        "pairs": found.pairs,
        "warnings": list(found.warnings),
        "rows": [_detection_row(row) for row in found.rows],
    }


def _detection_row(row: DetectionRow) -> dict[str, Any]:
    return {
        "denoiser": row.denoiser,
        "d_prime": interval(row.d_prime),
        "auc": interval(row.auc),
        "d_prime_minus_noisy": interval(row.difference),
        "p": _finite(row.p),
        "p_holm": _finite(row.p_holm),
        "failed": row.failed or None,
    }


def _speed(row: SpeedRow) -> dict[str, Any]:
    return {
        "denoiser": row.denoiser,
        "engine": row.engine,
        "settings": row.settings,
        "milliseconds_512": interval(row.milliseconds),
        "milliseconds_per_megapixel": _finite(row.per_megapixel),
        "ratio_to_first": interval(row.ratio),
        "peak_mib": None if row.peak_mib is None else _finite(row.peak_mib),
        "failed": row.failed or None,
    }


def _finite(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None


_round = _finite
