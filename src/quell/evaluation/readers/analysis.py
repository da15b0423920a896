"""The analysis of a reader study: preference, scores, agreement, detection."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np

from quell.evaluation.observers.auc import (
    PairedTest,
    auc,
    auc_interval,
    delong_covariance,
    normal_quantile,
    paired_delong,
)
from quell.evaluation.observers.scores import Array, Interval, Scores
from quell.evaluation.readers.agreement import fleiss_kappa, intraclass_correlation, weighted_kappa
from quell.evaluation.readers.proportion import binomial_interval, sign_test
from quell.evaluation.readers.sheet import Readings, read_sheets


@dataclass(frozen=True)
class Preference:
    """Which arm one reader preferred.

    Attributes
    ----------
    reader : str
    first, second, neither, missing : int
        Numbers of cases.
    share : Interval
        Of the second arm among the cases with a preference.
    p_value : float
        Sign test; of that share where the arms are equal.
    """

    reader: str
    first: int
    second: int
    neither: int
    missing: int
    share: Interval
    p_value: float


@dataclass(frozen=True)
class QuestionResult:
    """The scores of one question, over all readers.

    Attributes
    ----------
    question : str
    first, second : Interval
        Mean of each arm.
    difference : Interval
        Second minus first.
    correlation : float
        ICC(2,1) of the readers.
    kappa : float
        Their agreement, quadratic weights.
    """

    question: str
    first: Interval
    second: Interval
    difference: Interval
    correlation: float
    kappa: float


@dataclass(frozen=True)
class Detection:
    """How well readers found the lesion.

    Attributes
    ----------
    reader : str
        Or ``"mean of the readers"``.
    first, second : Interval
        Area under the curve of each arm.
    test : PairedTest
        Second minus first.
    """

    reader: str
    first: Interval
    second: Interval
    test: PairedTest


@dataclass(frozen=True, eq=False)
class ReaderStudy:
    """What the sheets say.

    Attributes
    ----------
    readings : Readings
    preferences : tuple of Preference
        One a reader.
    preference_share : Interval
        Mean over cases and readers of 1 for the second arm, 0 for the first, one half for neither.
    preference_kappa : float
        Agreement of the readers on their preference (Fleiss).
    repeat_agreement : float
        Share of repeated cases on which readers agreed with themselves; not a number without repeats.
    questions : tuple of QuestionResult
    detections : tuple of Detection
        One a reader and, for two or more, their mean; empty where no lesion was asked for.
    """

    readings: Readings
    preferences: tuple[Preference, ...]
    preference_share: Interval
    preference_kappa: float
    repeat_agreement: float
    questions: tuple[QuestionResult, ...]
    detections: tuple[Detection, ...]


def analyse_sheets(
    sheets: Mapping[str, Path],
    key: Path,
    rng: np.random.Generator,
    *,
    level: float = 0.95,
    count: int = 2000,
) -> ReaderStudy:
    """Unblind the sheets that came back and analyse them.

    Intervals over all readers draw the cases anew and take the readers as they are: they speak of other
    cases read by these readers. Missing answers are left out.

    Parameters
    ----------
    sheets : mapping of str to Path
        By reader.
    key : Path
    rng : numpy.random.Generator
    level : float
    count : int
        Draws of the bootstrap.

    Raises
    ------
    InputError
        As `read_sheets` does.
    QuellError
        If a lesion was asked for and fewer than two cases have it, or lack it, with both answers given.
    """
    readings = read_sheets(sheets, key)
    halves = (readings.preference + 1) / 2
    return ReaderStudy(
        readings,
        tuple(
            _preference(name, row, level)
            for name, row in zip(readings.readers, readings.preference, strict=True)
        ),
        case_interval(_mean(halves, axis=0), rng, level=level, count=count),
        fleiss_kappa(readings.preference),
        _repeated(readings),
        tuple(_question(what, table, rng, level, count) for what, table in readings.scores.items()),
        _detections(readings, level),
    )


def case_interval(
    values: Array, rng: np.random.Generator, *, level: float = 0.95, count: int = 2000
) -> Interval:
    """Return the mean over cases and its interval, drawing cases anew (percentiles)."""
    known = values[np.isfinite(values)]
    if not len(known):
        return Interval(math.nan, math.nan, math.nan, level, "bootstrap over cases")
    drawn = known[rng.integers(0, len(known), (count, len(known)))].mean(axis=1)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(known.mean()), float(low), float(high), level, "bootstrap over cases")


def _mean(table: Array, axis: int) -> Array:
    """Mean of what is there; not a number where nothing is."""
    count = np.isfinite(table).sum(axis=axis)
    total = np.nansum(table, axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _preference(reader: str, choices: Array, level: float) -> Preference:
    first, second, neither = (int((choices == kind).sum()) for kind in (-1, 1, 0))
    missing = len(choices) - first - second - neither
    share = binomial_interval(second, first + second, level)
    return Preference(reader, first, second, neither, missing, share, sign_test(second, first + second))


def _repeated(readings: Readings) -> float:
    pairs = [(readings.preference[:, case], again) for case, again in readings.repeats]
    same = [float(a == b) for one, two in pairs for a, b in zip(one, two, strict=True) if a == a and b == b]
    return float(np.mean(same)) if same else math.nan


def _question(what: str, table: Array, rng: np.random.Generator, level: float, count: int) -> QuestionResult:
    """Average over readers, then over cases; both arms of a case that lacks one are left out."""
    both = np.where(np.isfinite(table).all(axis=2, keepdims=True), table, np.nan)
    means = _mean(both, axis=0)
    first, second, difference = (
        case_interval(values, rng, level=level, count=count)
        for values in (means[:, 0], means[:, 1], means[:, 1] - means[:, 0])
    )
    images = table.reshape(len(table), -1)
    return QuestionResult(
        what, first, second, difference, intraclass_correlation(images), weighted_kappa(images)
    )


def _detections(readings: Readings, level: float) -> tuple[Detection, ...]:
    if readings.confidence is None or readings.lesion is None:
        return ()
    answered = np.asarray(np.isfinite(readings.confidence).all(axis=2), np.bool_)
    found = []
    for reader, table, known in zip(readings.readers, readings.confidence, answered, strict=True):
        arms = _arms(table[known], readings.lesion[known])
        found.append(
            Detection(
                reader,
                auc_interval(arms[0], level),
                auc_interval(arms[1], level),
                paired_delong(*arms, level),
            )
        )
    if len(found) > 1:
        common = answered.all(axis=0)
        tables = [_arms(table[common], readings.lesion[common]) for table in readings.confidence]
        found.append(_all_readers(tables, level))
    return tuple(found)


def _arms(table: Array, lesion: Array) -> tuple[Scores, Scores]:
    """Return the confidences of the two arms as scores of an observer."""
    there = lesion > 0
    first, second = (Scores(table[there, arm], table[~there, arm]) for arm in (0, 1))
    return first, second


def _all_readers(tables: list[tuple[Scores, Scores]], level: float) -> Detection:
    """Average areas over readers, with the covariance of all areas (DeLong), readers fixed."""
    readings = [one for arms in tables for one in arms]
    areas = np.array([auc(one) for one in readings])
    covariance = delong_covariance(readings)
    readers = len(tables)
    first = np.tile([1.0, 0.0], readers) / readers
    second = np.tile([0.0, 1.0], readers) / readers
    one, two, gap = (
        _contrast(weights, areas, covariance, level) for weights in (first, second, second - first)
    )
    reach = (gap.high - gap.low) / 2
    spread = reach / normal_quantile(level)
    p_value = 2 * NormalDist().cdf(-abs(gap.value) / spread) if spread > 1e-12 else float(gap.value == 0)
    return Detection("mean of the readers", one, two, PairedTest(gap, p_value))


def _contrast(weights: Array, areas: Array, covariance: Array, level: float) -> Interval:
    value = float(weights @ areas)
    reach = normal_quantile(level) * math.sqrt(max(float(weights @ covariance @ weights), 0.0))
    return Interval(value, value - reach, value + reach, level, "DeLong, readers fixed")
