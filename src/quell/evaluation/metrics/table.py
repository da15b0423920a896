"""All metrics by name, computed over all parts of a comparison and summed up with intervals."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from quell.errors import QuellError
from quell.evaluation.metrics.bias import BIAS
from quell.evaluation.metrics.comparison import Comparison, Part, Per
from quell.evaluation.metrics.contracts import Metric
from quell.evaluation.metrics.fidelity import FIDELITY
from quell.evaluation.metrics.mri import MRI
from quell.evaluation.metrics.noise import NOISE
from quell.evaluation.metrics.statistics import Interval, bootstrap_mean
from quell.evaluation.metrics.structure import STRUCTURE
from quell.evaluation.metrics.ultrasound import ULTRASOUND

METRICS: tuple[Metric, ...] = (*FIDELITY, *STRUCTURE, *NOISE, *BIAS, *ULTRASOUND, *MRI)


@dataclass(frozen=True)
class Score:
    """One metric of one part of one image.

    Attributes
    ----------
    metric : str
    value : float
    case : hashable
        The patient or study; intervals are drawn over these.
    slice : int or None
    region : str or None
    """

    metric: str
    value: float
    case: Hashable
    slice: int | None = None
    region: str | None = None


@dataclass(frozen=True)
class Summary:
    """One metric over all parts of all images.

    Attributes
    ----------
    metric : Metric
    region : str or None
    mean : Interval
    parts : int
        How many values it rests on.
    """

    metric: Metric
    region: str | None
    mean: Interval
    parts: int


def find_metric(name: str) -> Metric:
    """Return a metric by its name.

    Raises
    ------
    QuellError
        If there is none.
    """
    for metric in METRICS:
        if metric.name.lower() == name.lower():
            return metric
    raise QuellError(f"unknown metric {name!r}; there is: {', '.join(m.name for m in METRICS)}")


def fitting_metrics(comparison: Comparison, per: Per) -> tuple[Metric, ...]:
    """Return the metrics that mean something for a modality and for which everything needed is there."""
    part = next(iter(comparison.samples(per)), None)
    if part is None:
        return ()
    modality = comparison.test.modality
    return tuple(m for m in METRICS if modality in m.modalities and not m.missing(part[2]))


def measure(
    comparison: Comparison, metrics: Iterable[Metric], per: Per = "slice", case: Hashable = None
) -> tuple[Score, ...]:
    """Compute metrics over every slice or every region of a comparison.

    Parameters
    ----------
    comparison : Comparison
    metrics : iterable of Metric
    per : str
        ``"slice"``, ``"region"`` or ``"region and slice"``.
    case : hashable
        The patient or study; the name of the test image by default.

    Returns
    -------
    tuple of Score
        Parts in which a metric is not defined are left out: SSIM of a region at the border of the
        image, a relative bias where the reference is zero.

    Raises
    ------
    QuellError
        If a metric needs what is not there, or is defined nowhere.
    """
    parts = list(comparison.samples(per))
    name = comparison.test.name if case is None else case
    return tuple(score for metric in metrics for score in _one_metric(metric, comparison, parts, name))


def _one_metric(metric: Metric, comparison: Comparison, parts: list[Part], case: Hashable) -> list[Score]:
    found: list[Score] = []
    why = QuellError(f"{comparison.test.name}: there is nothing to measure {metric.name} in")
    for z, label, sample in parts:
        region = None if label is None else comparison.region_name(label)
        try:
            found.append(Score(metric.name, metric.measure(sample), case, z, region))
        except QuellError as error:
            if metric.missing(sample):
                raise
            why = error
    if not found:
        raise why
    return found


def summarise(scores: Sequence[Score], *, level: float = 0.95, seed: int = 0) -> tuple[Summary, ...]:
    """Sum scores up by metric and region, with bootstrap intervals over the cases.

    Parameters
    ----------
    scores : sequence of Score
        Of any number of cases. Where there is only one, its slices are drawn instead, and the interval
        says how the slices of this one patient vary, nothing of others.
    level : float
        Nominal coverage.
    seed : int
    """
    keys = dict.fromkeys((score.metric, score.region) for score in scores)
    found = []
    for name, region in keys:
        own = [score for score in scores if (score.metric, score.region) == (name, region)]
        cases = [score.case for score in own]
        groups = cases if len(set(cases)) > 1 else None
        mean = bootstrap_mean([score.value for score in own], groups, level=level, seed=seed)
        found.append(Summary(find_metric(name), region, mean, len(own)))
    return tuple(found)
