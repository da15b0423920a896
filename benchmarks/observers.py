"""Check the model observers and their statistics in simulation, and print the table of the docs.

python benchmarks/observers.py --repeats 2000
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

import numpy as np

from quell.evaluation.observers.auc import auc_interval, d_prime_from_auc
from quell.evaluation.observers.bootstrap import auc_figure, bootstrap_interval, d_prime_figure
from quell.evaluation.observers.channels import (
    Channels,
    annular_frequency,
    dense_difference_of_gaussians,
    gabor,
    laguerre_gauss,
    sparse_difference_of_gaussians,
)
from quell.evaluation.observers.comparison import compare
from quell.evaluation.observers.dose import DosePoint, equivalent_dose
from quell.evaluation.observers.hotelling import channelized_hotelling_observer
from quell.evaluation.observers.ideal import (
    hotelling_interval,
    ideal_detectability,
    stationary_covariance,
)
from quell.evaluation.observers.scores import Interval, Scores, auc_of, d_prime

SIDE = 25


def normal(rng: np.random.Generator, detectability: float, pairs: int) -> Scores:
    return Scores(rng.standard_normal(pairs) + detectability, rng.standard_normal(pairs))


def coverage(repeats: int, truth: float, draw: Callable[[], Interval]) -> str:
    found = [draw() for _ in range(repeats)]
    share = np.mean([truth in one for one in found])
    return f"{100 * share:.1f} %"


def intervals(repeats: int, rng: np.random.Generator) -> Iterator[tuple[str, str]]:
    for detectability, pairs in ((1.0, 30), (1.0, 100), (2.0, 40), (3.0, 40)):
        area = auc_of(detectability)
        case = f"d' {detectability:g}, {pairs} pairs"
        yield (
            f"AUC, DeLong on the logit scale: {case}",
            coverage(repeats, area, lambda d=detectability, n=pairs: auc_interval(normal(rng, d, n))),
        )
        yield (
            f"d' from the AUC: {case}",
            coverage(
                repeats, detectability, lambda d=detectability, n=pairs: d_prime_from_auc(normal(rng, d, n))
            ),
        )

    def drawn(make: Callable[[Scores], object]) -> Interval:
        scores = normal(rng, 1.2, 50)
        return bootstrap_interval(scores, make(scores), rng, count=1000)  # type: ignore[arg-type]

    few = max(repeats // 4, 1)
    yield "AUC, bootstrap: d' 1.2, 50 pairs", coverage(few, auc_of(1.2), lambda: drawn(auc_figure))
    yield "d', bootstrap: d' 1.2, 50 pairs", coverage(few, 1.2, lambda: drawn(d_prime_figure))

    def exact() -> Interval:
        present, absent = rng.standard_normal((2, 30, 6))
        return hotelling_interval(present + np.array([1.2, 0, 0, 0, 0, 0]), absent)

    yield "d' of the trained-out observer, exact: 6 channels, 30 pairs", coverage(few, 1.2, exact)

    def dose() -> Interval:
        points = [DosePoint(a, normal(rng, 2.5 * a**0.5, 120)) for a in (0.1, 0.25, 0.5, 1.0)]
        denoised = DosePoint(0.1, normal(rng, 2.5 * 0.4**0.5, 120))
        return equivalent_dose(points, denoised, rng, count=500).dose

    yield "equivalent dose of 40 %, 120 pairs a dose", coverage(few, 0.4, dose)


def levels(repeats: int, rng: np.random.Generator) -> Iterator[tuple[str, str]]:
    found = []
    for _ in range(max(repeats // 4, 1)):
        common = rng.standard_normal((2, 50))
        one, other = (common + 0.6 * rng.standard_normal((2, 50)) for _ in range(2))
        result = compare(Scores(one[0] + 1.2, one[1]), Scores(other[0] + 1.2, other[1]), rng, count=400)
        found.append((result.auc.p_value < 0.05, result.d_prime.p_value < 0.05))
    shares = 100 * np.mean(found, axis=0)
    yield "false alarms of the paired test at 5 %: AUC", f"{shares[0]:.1f} %"
    yield "false alarms of the paired test at 5 %: d'", f"{shares[1]:.1f} %"


def channel_sets() -> Iterator[tuple[str, str]]:
    """How much of the ideal observer's d' channels keep, for a round signal in noise like that of CT."""
    f = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.fftfreq(SIDE))
    power = (f + 0.03) * np.exp(-np.log(2) * (f / 0.25) ** 2)
    covariance = stationary_covariance(power / power.mean())
    axis = np.arange(SIDE) - SIDE // 2
    signal = np.exp(-(axis[:, None] ** 2 + axis**2) / 8)
    whole = ideal_detectability(signal, covariance)
    shape = (SIDE, SIDE)
    sets: list[Channels] = [
        *(laguerre_gauss(shape, 7.0, count) for count in (3, 6, 10)),
        gabor(shape),
        dense_difference_of_gaussians(shape),
        sparse_difference_of_gaussians(shape),
        annular_frequency(shape),
    ]
    for one in sets:
        share = ideal_detectability(signal, covariance, one) / whole
        yield f"share of the ideal d': {len(one)} {one.kind} channels", f"{100 * share:.1f} %"


def learning(repeats: int, rng: np.random.Generator) -> Iterator[tuple[str, str]]:
    """What is left of d' = 1.5 when six channels are learned, leaving one pair out at a time."""
    channels = laguerre_gauss((SIDE, SIDE), 7.0)
    axis = np.arange(SIDE) - SIDE // 2
    signal = np.exp(-(axis[:, None] ** 2 + axis**2) / 8)
    signal *= 1.5 / ideal_detectability(signal, np.eye(SIDE**2), channels)
    for pairs in (20, 50, 100, 200):
        found = []
        for _ in range(max(repeats // 20, 2)):
            present, absent = rng.standard_normal((2, pairs, SIDE, SIDE))
            found.append(d_prime(channelized_hotelling_observer(present + signal, absent, channels).scores))
        yield f"learned d' where 1.5 is the limit: {pairs} pairs", f"{np.mean(found):.2f}"


def cross_validated(repeats: int, rng: np.random.Generator) -> Iterator[tuple[str, str]]:
    """Do intervals of scores that other images trained hold the mean of such experiments, and the limit?"""
    channels = Channels("six pixels", np.eye(6).reshape(6, 2, 3))
    signal = np.array([[1.5, 0, 0], [0, 0, 0]])
    for pairs in (30, 100):
        found = []
        for _ in range(max(repeats // 4, 2)):
            present, absent = rng.standard_normal((2, pairs, 2, 3))
            seen = channelized_hotelling_observer(present + signal, absent, channels)
            found.append(auc_interval(seen.scores))
        mean = float(np.mean([one.value for one in found]))
        shares = [100 * np.mean([truth in one for one in found]) for truth in (mean, auc_of(1.5))]
        yield (
            f"AUC, leave-one-out, {pairs} pairs, mean of such experiments ({mean:.3f})",
            f"{shares[0]:.1f} %",
        )
        yield (
            f"AUC, leave-one-out, {pairs} pairs, limit of training ({auc_of(1.5):.3f})",
            f"{shares[1]:.1f} %",
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    for rows in (
        intervals(options.repeats, rng),
        cross_validated(options.repeats, rng),
        levels(options.repeats, rng),
        channel_sets(),
        learning(options.repeats, rng),
    ):
        for name, value in rows:
            print(f"| {name} | {value} |", flush=True)


if __name__ == "__main__":
    main()
