"""Tuning: the budget is kept, the best is found, the settings lie where they may."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from quell.errors import QuellError
from quell.filters.contracts import Choice, Span
from quell.filters.registry import list_filters
from quell.filters.tuning import Case, tune
from quell.image import Image


def minus_rmse(truth: Image, found: Image) -> float:
    return -float(np.sqrt(np.mean((truth.voxels - found.voxels) ** 2)))


@pytest.fixture
def cases(rng: np.random.Generator) -> list[Case]:
    found = []
    for _ in range(2):
        truth = 300 * gaussian_filter(rng.standard_normal((1, 64, 64)), (0, 3, 3), mode="wrap")
        noisy = truth + 20 * rng.standard_normal(truth.shape)
        found.append(Case(*(Image(v.astype(np.float32)) for v in (truth, noisy)), sigma=20.0))
    return found


@pytest.mark.parametrize("budget", [1, 6, 12])
def test_every_method_has_the_same_number_of_looks(cases: list[Case], budget: int) -> None:
    for name in ("gaussian", "wiener", "median"):
        found = tune(name, cases, minus_rmse, budget=budget)
        assert len(found.trials) == found.budget == budget
        assert len({tuple(t.settings.items()) for t in found.trials}) == budget
        assert found.best.score == max(t.score for t in found.trials)
        assert found.cases == 2 and f"best of {budget} settings on 2 images" in str(found)


def test_the_best_width_is_found(cases: list[Case]) -> None:
    def loss(width: float) -> float:
        each = [minus_rmse(c.truth, Image(gaussian_filter(c.noisy.voxels, (0, width, width)))) for c in cases]
        return float(np.mean(each))

    best = max(np.geomspace(0.3, 4, 100), key=loss)
    found = tune("gaussian", cases, minus_rmse, budget=16)
    assert found.best.settings["width"] == pytest.approx(best, rel=0.1)
    assert found.denoiser().settings == dict(found.best.settings)
    assert minus_rmse(cases[0].truth, found.denoiser().denoise(cases[0].noisy).image) > -20


def test_a_method_with_few_settings_tries_them_all(cases: list[Case]) -> None:
    found = tune("median", cases, minus_rmse, budget=60)
    assert len(found.trials) == 24 and found.budget == 60


def test_settings_lie_within_their_bounds() -> None:
    assert [Span(0.5, 8).at(s) for s in (0, 0.5, 1)] == [0.5, 2, 8]
    assert [Span(2, 60, whole=True).at(s) for s in (0, 1)] == [2, 60]
    assert [Choice((3, 5, 7)).at(s) for s in (0, 0.4, 0.99, 1)] == [3, 5, 7, 7]
    assert all(facts.space for facts in list_filters(installed=False))


def test_senseless_requests_are_told(cases: list[Case]) -> None:
    with pytest.raises(QuellError, match="at least one image"):
        tune("gaussian", [], minus_rmse)
    with pytest.raises(QuellError, match="no setting has a finite score"):
        tune("gaussian", cases, lambda truth, found: float("nan"), budget=2)
