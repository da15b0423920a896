"""The analysis of a reader study as JSON and in words."""

from __future__ import annotations

import math
from typing import Any

from quell.evaluation.observers.scores import Interval
from quell.evaluation.readers.analysis import Detection, Preference, QuestionResult, ReaderStudy
from quell.evaluation.report import wording

SCHEMA = "quell-reader-study"
SCHEMA_VERSION = 1


def reader_values(study: ReaderStudy, *, version: str, seed: int) -> dict[str, Any]:
    """Return an analysis as plain values that JSON can hold; what is not a number becomes None."""
    first, second = study.readings.arms
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "notice": "Research use only. Not for diagnosis.",
        "quell_version": version,
        "seed": seed,
        "arms": [first, second],
        "readers": list(study.readings.readers),
        "cases": len(study.readings.cases),
        "preference_share_of_second": _interval(study.preference_share),
        "preference_kappa": _number(study.preference_kappa),
        "repeat_agreement": _number(study.repeat_agreement),
        "preferences": [_preference(one) for one in study.preferences],
        "questions": [_question(one) for one in study.questions],
        "detections": [_detection(one) for one in study.detections],
    }


def reader_tables(study: ReaderStudy) -> list[tuple[list[str], list[list[str]]]]:
    """Return headings and rows of the tables that are printed: preference, scores, detection."""
    first, second = study.readings.arms
    preference = [
        [p.reader, str(p.first), str(p.second), str(p.neither), str(p.missing), _told(p.share), _p(p.p_value)]
        for p in study.preferences
    ]
    preference.append(["all readers", "", "", "", "", _told(study.preference_share), ""])
    scores = [
        [q.question, *(_told(one) for one in (q.first, q.second, q.difference)), *_agreement(q)]
        for q in study.questions
    ]
    found = [
        [d.reader, _told(d.first), _told(d.second), _told(d.test.difference), _p(d.test.p_value)]
        for d in study.detections
    ]
    gap = f"{second} - {first}"
    tables = [
        (["Reader", first, second, "Neither", "Missing", f"Share of {second}", "p (sign test)"], preference),
        (["Score", first, second, gap, "ICC", "Kappa"], scores),
        (["AUC of", first, second, gap, "p (DeLong)"], found),
    ]
    return [table for table in tables if table[1]]


def _agreement(question: QuestionResult) -> list[str]:
    return [_or_none(question.correlation), _or_none(question.kappa)]


def _or_none(value: float) -> str:
    return "" if math.isnan(value) else wording.number(value)


def _told(found: Interval) -> str:
    if math.isnan(found.value):
        return "none"
    words = wording.number(found.value)
    if math.isnan(found.low):
        return words
    return f"{words} ({wording.number(found.low)} to {wording.number(found.high)})"


def _p(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2g}"


def _preference(one: Preference) -> dict[str, Any]:
    counts = {name: getattr(one, name) for name in ("reader", "first", "second", "neither", "missing")}
    return {**counts, "share_of_second": _interval(one.share), "sign_test_p": _number(one.p_value)}


def _question(one: QuestionResult) -> dict[str, Any]:
    return {
        "question": one.question,
        "first": _interval(one.first),
        "second": _interval(one.second),
        "difference": _interval(one.difference),
        "icc": _number(one.correlation),
        "kappa": _number(one.kappa),
    }


def _detection(one: Detection) -> dict[str, Any]:
    return {
        "reader": one.reader,
        "auc_first": _interval(one.first),
        "auc_second": _interval(one.second),
        "difference": _interval(one.test.difference),
        "p": _number(one.test.p_value),
    }


def _interval(found: Interval) -> dict[str, Any]:
    value, low, high = (_number(v) for v in (found.value, found.low, found.high))
    return {"value": value, "low": low, "high": high, "level": found.level, "method": found.method}


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
