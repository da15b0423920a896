"""The equivalent dose finds a dose that is known."""

from __future__ import annotations

import numpy as np
import pytest

from quell.errors import QuellError
from quell.evaluation.observers.dose import DosePoint, equivalent_dose, inverse, isotonic
from quell.evaluation.observers.scores import Scores

DOSES = (0.1, 0.25, 0.5, 1.0)


def reading(rng: np.random.Generator, detectability: float, pairs: int = 120) -> Scores:
    return Scores(rng.standard_normal(pairs) + detectability, rng.standard_normal(pairs))


def quantum_limited(rng: np.random.Generator, pairs: int = 120) -> list[DosePoint]:
    """d' grows with the square root of the dose."""
    return [DosePoint(dose, reading(rng, 2.5 * dose**0.5, pairs)) for dose in DOSES]


def test_known_dose_is_recovered_as_often_as_the_interval_says() -> None:
    rng = np.random.default_rng(1)
    repeats, hits, values = 100, 0, []
    for _ in range(repeats):
        denoised = DosePoint(0.1, reading(rng, 2.5 * 0.4**0.5))
        found = equivalent_dose(quantum_limited(rng), denoised, rng, count=200)
        hits, values = hits + (0.4 in found.dose), [*values, found.dose.value]
    # Three standard errors of a share of 0.95 in 100 are 0.065.
    assert hits / repeats > 0.88
    assert np.median(values) == pytest.approx(0.4, abs=0.04)


def test_doing_nothing_is_worth_its_own_dose() -> None:
    rng = np.random.default_rng(2)
    points = quantum_limited(rng)
    found = equivalent_dose(points, DosePoint(0.25, points[1].scores), rng, count=300)
    assert found.dose.value == pytest.approx(0.25)
    # The same cases are drawn: what is left of the interval comes from the neighbours, where d' was
    # drawn out of order.
    assert found.dose.high - found.dose.low < 0.1
    assert found.beyond == ""


def test_what_is_beyond_the_doses_is_said_and_not_made_up() -> None:
    rng = np.random.default_rng(3)
    above = equivalent_dose(quantum_limited(rng), DosePoint(0.25, reading(rng, 4.0)), rng, count=100)
    below = equivalent_dose(quantum_limited(rng), DosePoint(0.25, reading(rng, -0.5)), rng, count=100)
    assert (above.beyond, above.dose.value, above.dose.high) == ("above", 1.0, 1.0)
    assert (below.beyond, below.dose.value, below.dose.low) == ("below", 0.1, 0.1)


def test_isotonic_regression_pools_what_is_out_of_order() -> None:
    np.testing.assert_allclose(
        isotonic(np.array([[1.0, 3.0, 2.0, 4.0], [4.0, 3.0, 2.0, 1.0], [1.0, 2.0, 3.0, 4.0]])),
        [[1.0, 2.5, 2.5, 4.0], [2.5] * 4, [1.0, 2.0, 3.0, 4.0]],
    )


def test_inverse_is_exact_where_quanta_are_all_the_noise() -> None:
    doses = np.array(DOSES)
    for dose in (0.1, 0.17, 0.25, 0.6, 1.0):
        assert inverse(doses, 2 * np.sqrt(doses), 2 * dose**0.5) == pytest.approx(dose)
    flat = inverse(doses, np.array([1.0, 2.0, 2.0, 3.0]), 2.0)
    assert flat == pytest.approx(((0.25**0.5 + 0.5**0.5) / 2) ** 2)


def test_one_dose_is_no_curve() -> None:
    rng = np.random.default_rng(4)
    point = DosePoint(0.5, reading(rng, 1.0))
    for points in ([point], [point, point]):
        with pytest.raises(QuellError, match="two or more different doses"):
            equivalent_dose(points, point, rng)
