"""Sum the numbers of many cases up: means with intervals, and paired tests against the noisy images."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from quell.errors import QuellError
from quell.evaluation.metrics.statistics import PairedTest, bootstrap_mean, compare_paired, holm
from quell.evaluation.metrics.table import Score, find_metric
from quell.evaluation.report.evaluation_record import CaseRecord, Row

_Key = tuple[str, str, str | None]


def rows_of(cases: Sequence[CaseRecord], *, level: float = 0.95, seed: int = 0) -> tuple[Row, ...]:
    """Return one row for each metric and region over the cases of one modality and unit.

    Of one case its slices are drawn, and the interval says how these vary, nothing of other patients; of
    several, whole cases are. Regions are taken over all their slices where there are several cases, and slice
    by slice of a single one.

    Parameters
    ----------
    cases : sequence of CaseRecord
        That were evaluated.
    level : float
        Nominal coverage of the intervals.
    seed : int
    """
    rows: list[Row] = []
    groups = dict.fromkeys(_group(case) for case in cases)
    for group in groups:
        own = [case for case in cases if _group(case) == group]
        rows += _adjusted(_rows_of_group(group, own, level, seed))
    return tuple(rows)


def per_of(score: Score) -> str:
    """Return what a value is of."""
    if score.region is None:
        return "slice"
    return "region" if score.slice is None else "region and slice"


def _group(case: CaseRecord) -> str:
    return f"{case.modality}, {case.units}"


def _rows_of_group(group: str, cases: Sequence[CaseRecord], level: float, seed: int) -> Iterable[Row]:
    scores = [score for case in cases for score in case.scores]
    noisy = {_place(score): score.value for case in cases for score in case.noisy_scores}
    several = len(cases) > 1
    for metric, per, region in _keys(scores, several):
        own = [s for s in scores if (s.metric, per_of(s), s.region) == (metric, per, region)]
        yield _row(group, cases[0].units, own, noisy, several, level, seed)


def _keys(scores: Sequence[Score], several: bool) -> list[_Key]:
    """Return which rows there are: regions as wholes, or by slice where a single case has more of these."""
    every = dict.fromkeys((s.metric, per_of(s), s.region) for s in scores)
    counts = {key: sum((s.metric, per_of(s), s.region) == key for s in scores) for key in every}
    kept = []
    for metric, per, region in every:
        by_slice = counts.get((metric, "region and slice", region), 0)
        split = not several and by_slice > 1 and not metric.startswith("SUV")
        if per == "slice" or (per == "region and slice") == split:
            kept.append((metric, per, region))
    return kept


def _row(
    group: str,
    units: str,
    own: Sequence[Score],
    noisy: dict[Hashable, float],
    several: bool,
    level: float,
    seed: int,
) -> Row:
    metric = find_metric(own[0].metric)
    names = [score.case for score in own] if several else None
    values = [score.value for score in own]
    row = Row(
        group=group,
        metric=metric.name,
        unit=units if metric.unit == "image" else metric.unit,
        direction=metric.direction.value,
        source=metric.source,
        per=per_of(own[0]),
        region=own[0].region,
        test=bootstrap_mean(values, names, level=level, seed=seed),
        parts=len(own),
    )
    both = [score for score in own if _place(score) in noisy]
    if not both:
        return row
    names = [score.case for score in both] if several else None
    before = [noisy[_place(score)] for score in both]
    row = replace(row, noisy=bootstrap_mean(before, names, level=level, seed=seed))
    return _compared(row, [score.value for score in both], before, names, level, seed)


def _compared(
    row: Row, after: list[float], before: list[float], names: list[Hashable] | None, level: float, seed: int
) -> Row:
    """Enter the difference; a single case has an interval over its slices, but no test."""
    if not (np.isfinite(after).all() and np.isfinite(before).all()):
        return row
    # Weighted as the means beside it are, so that it is their difference.
    gaps = np.subtract(after, before)
    row = replace(row, difference=bootstrap_mean(gaps, names, level=level, seed=seed))
    if names is None:
        return row
    try:
        found: PairedTest = compare_paired(after, before, names, level=level, seed=seed)
    except QuellError:
        return row
    return replace(
        row,
        wilcoxon=found.wilcoxon,
        student=found.student,
        warnings=found.warnings,
    )


def _adjusted(rows: Iterable[Row]) -> list[Row]:
    """Adjust the p values of a group for their number."""
    found = list(rows)
    values = {k: row.wilcoxon for k, row in enumerate(found) if row.wilcoxon is not None}
    tested = {k: value for k, value in values.items() if np.isfinite(value)}
    for k, p in zip(tested, holm(list(tested.values())), strict=True):
        found[k] = replace(found[k], wilcoxon_holm=float(p))
    return found


def _place(score: Score) -> Hashable:
    return score.case, score.metric, score.slice, score.region
