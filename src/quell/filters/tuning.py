"""Tune a classical method on validation images, each with the same number of trials."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from quell.errors import QuellError
from quell.filters.contracts import Setting, Space
from quell.filters.denoiser import ClassicalDenoiser
from quell.filters.registry import find_filter, make
from quell.image import Image
from quell.inference.contracts import Sigma
from quell.noise.contracts import NoiseEstimate

Score: TypeAlias = Callable[[Image, Image], float]
"""From the truth and the result to a number; higher is better."""

BUDGET = 24
_EXPLORED = 2 / 3
_NEAR = 0.3
_PATIENCE = 20


@dataclass(frozen=True, eq=False)
class Case:
    """One validation image.

    Attributes
    ----------
    truth, noisy : Image
    sigma : float or "auto"
        What the method is told of the noise.
    """

    truth: Image
    noisy: Image
    sigma: Sigma = "auto"


@dataclass(frozen=True, eq=False)
class Trial:
    """One setting and its mean score over the cases."""

    settings: Mapping[str, Setting]
    score: float


@dataclass(frozen=True, eq=False)
class Tuned:
    """What tuning found.

    Attributes
    ----------
    name : str
        Of the method.
    best : Trial
    trials : tuple of Trial
        All that were tried, in their order.
    budget : int
        How many were allowed; a method with fewer distinct settings has fewer trials.
    cases : int
        Images that each setting was scored on.
    seconds : float
    """

    name: str
    best: Trial
    trials: tuple[Trial, ...]
    budget: int
    cases: int
    seconds: float

    def __str__(self) -> str:
        chosen = ", ".join(f"{name} {value}" for name, value in self.best.settings.items()) or "no settings"
        return f"{self.name}: {chosen} (best of {len(self.trials)} settings on {self.cases} images)"

    def denoiser(
        self, estimate: Callable[[Image], NoiseEstimate] | None = None, streams: int = 1
    ) -> ClassicalDenoiser:
        """Return the method with the best settings."""
        return find_filter(self.name, estimate=estimate, streams=streams, **self.best.settings)


def tune(
    name: str,
    cases: Sequence[Case],
    score: Score,
    *,
    budget: int = BUDGET,
    estimate: Callable[[Image], NoiseEstimate] | None = None,
    streams: int = 1,
) -> Tuned:
    """Find the settings of a method with the best mean score over validation images.

    Two thirds of the trials are spread evenly over the whole space (a low-discrepancy sequence), the rest
    around the best of them. The same budget gives every method the same number of looks at the truth.

    Parameters
    ----------
    name : str
        See `quell.filters.registry.make`.
    cases : sequence of Case
        Validation images; the figures to be reported must come from others.
    score : callable
    budget : int
        Number of settings to try.
    estimate, streams
        See `ClassicalDenoiser`.

    Raises
    ------
    QuellError
        If there are no cases, or no setting gives a finite score.
    """
    if not cases or budget < 1:
        raise QuellError("tuning needs at least one image and one trial")
    started = time.perf_counter()
    space = make(name)().facts.space
    tried: list[tuple[Point, Trial]] = []

    def attempt(points: Iterator[Point], upto: int) -> None:
        seen = [trial.settings for _, trial in tried]
        for _ in range(_PATIENCE * budget):
            if len(tried) >= upto:
                return
            point = next(points)
            settings = _settings(space, point)
            if settings in seen:
                continue
            seen.append(settings)
            denoiser = find_filter(name, estimate=estimate, streams=streams, **settings)
            tried.append((point, Trial(settings, _mean_score(denoiser, cases, score))))

    attempt(_spread(len(space)), max(1, round(_EXPLORED * budget)))
    centre = max(tried, key=_value)[0]
    attempt(_around(centre), budget)
    # Where there are no more settings nearby, the rest goes to others.
    attempt(_spread(len(space)), budget)
    best = max(tried, key=_value)[1]
    if not np.isfinite(best.score):
        raise QuellError(f"{name}: no setting has a finite score")
    trials = tuple(trial for _, trial in tried)
    return Tuned(name, best, trials, budget, len(cases), time.perf_counter() - started)


Point: TypeAlias = tuple[float, ...]


def _value(attempt: tuple[Point, Trial]) -> float:
    score = attempt[1].score
    return score if np.isfinite(score) else -np.inf


def _mean_score(denoiser: ClassicalDenoiser, cases: Sequence[Case], score: Score) -> float:
    found = [score(c.truth, denoiser.denoise(c.noisy, sigma=c.sigma).image) for c in cases]
    return float(np.mean(found))


def _settings(space: Space, point: Point) -> dict[str, Setting]:
    return {name: one.at(share) for (name, one), share in zip(space.items(), point, strict=True)}


def _spread(dimensions: int) -> Iterator[Point]:
    """Yield points of the unit cube, evenly spread however many are taken (Roberts 2018, R sequence)."""
    ratio = 1.0
    for _ in range(50):
        ratio = (1 + ratio) ** (1 / (dimensions + 1))
    steps = [ratio ** -(i + 1) for i in range(dimensions)]
    index = 0
    while True:
        yield tuple((0.5 + index * step) % 1 for step in steps)
        index += 1


def _around(centre: Point) -> Iterator[Point]:
    """Yield points near another, within the unit cube."""
    for point in _spread(len(centre)):
        near = (c + _NEAR * (p - 0.5) for c, p in zip(centre, point, strict=True))
        yield tuple(min(max(share, 0.0), 1.0) for share in near)
