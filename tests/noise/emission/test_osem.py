"""Expectation maximisation: the laws of Shepp and Vardi (1982), and subsets far apart."""

from __future__ import annotations

import numpy as np
import pytest

from quell.noise.emission.osem import osem, subset_order


class Toy:
    """A small system: three subsets of eight rays over twelve pixels."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.matrices = [rng.random((8, 12)).astype(np.float32) for _ in range(3)]
        self.truth = rng.uniform(1, 5, 12).astype(np.float32)

    def forward(self, x: np.ndarray, subset: int) -> np.ndarray:
        return self.matrices[subset] @ x

    def back(self, y: np.ndarray, subset: int) -> np.ndarray:
        return self.matrices[subset].T @ y


@pytest.fixture
def toy(rng: np.random.Generator) -> Toy:
    return Toy(rng)


def one(toy: Toy) -> Toy:
    """Return the system with all rays in one subset."""
    toy.matrices = [np.concatenate(toy.matrices)]
    return toy


def test_every_step_raises_the_likelihood_and_keeps_the_counts(toy: Toy, rng: np.random.Generator) -> None:
    one(toy)
    counts = rng.poisson(toy.forward(toy.truth, 0)).astype(np.float32)
    x, before = np.ones(12, np.float32), -np.inf
    for _ in range(12):
        x = osem([counts], None, toy.forward, toy.back, x, 1)
        expected = toy.forward(x, 0).astype(float)
        likelihood = (counts * np.log(expected) - expected).sum()
        assert likelihood >= before - 1e-3
        assert expected.sum() == pytest.approx(counts.sum(), rel=1e-4)
        before = likelihood


def test_counts_without_noise_lead_to_the_truth_under_a_known_background(toy: Toy) -> None:
    background = [np.full(8, 3, np.float32)] * 3
    counts = [toy.forward(toy.truth, s) + background[s] for s in range(3)]
    x = osem(counts, background, toy.forward, toy.back, np.ones(12, np.float32), 20000)
    assert x == pytest.approx(toy.truth, rel=0.05)


def test_what_no_ray_sees_is_empty_and_the_start_is_left_alone(toy: Toy) -> None:
    for matrix in toy.matrices:
        matrix[:, 5] = 0
    start = np.ones(12, np.float32)
    counts = [toy.forward(toy.truth, s) for s in range(3)]
    x = osem(counts, None, toy.forward, toy.back, start, 3)
    assert x[5] == 0 and (np.delete(x, 5) > 0).all() and (start == 1).all()


@pytest.mark.parametrize("subsets", [1, 2, 10, 14, 21])
def test_the_order_has_every_subset_once_and_neighbours_far_apart(subsets: int) -> None:
    order = subset_order(subsets)
    assert sorted(order) == list(range(subsets))
    steps = np.abs(np.diff(order))
    assert subsets < 8 or np.minimum(steps, subsets - steps).mean() > 0.25 * subsets
