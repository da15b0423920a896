"""Observers find what theory says they can find, and say when they have seen too little."""

from __future__ import annotations

import math

import numpy as np
import pytest
from known_noise import SIDE, blob, coloured_power, noise

from quell.errors import QuellError
from quell.evaluation.observers.auc import auc_interval
from quell.evaluation.observers.bootstrap import bootstrap_interval, d_prime_figure
from quell.evaluation.observers.channels import dense_difference_of_gaussians, gabor, laguerre_gauss
from quell.evaluation.observers.hotelling import (
    InternalNoise,
    Observation,
    channelized_hotelling_observer,
)
from quell.evaluation.observers.ideal import (
    hotelling_interval,
    ideal_detectability,
    spectral_detectability,
    stationary_covariance,
)
from quell.evaluation.observers.scores import auc_of, d_prime
from quell.evaluation.observers.splits import Split, pairs_needed, training_efficiency

POWER = coloured_power()
CHANNELS = laguerre_gauss((SIDE, SIDE), 7.0)


def signal_of(detectability: float) -> np.ndarray:
    """Return a blob that the ideal observer of `CHANNELS` sees with that d'."""
    signal = blob()
    covariance = stationary_covariance(POWER)
    return signal * detectability / ideal_detectability(signal, covariance, CHANNELS)


def observed(rng: np.random.Generator, pairs: int, detectability: float, **options: object) -> Observation:
    signal = signal_of(detectability)
    present, absent = noise(rng, pairs, POWER) + signal + 1000, noise(rng, pairs, POWER) + 1000
    return channelized_hotelling_observer(present, absent, CHANNELS, **options)  # type: ignore[arg-type]


def test_known_covariance_and_spectrum_agree() -> None:
    direct = ideal_detectability(blob(), stationary_covariance(POWER))
    assert direct == pytest.approx(spectral_detectability(blob(), POWER), rel=1e-9)


def test_white_noise_gives_the_energy_of_the_signal() -> None:
    signal = 0.1 * blob()
    assert ideal_detectability(signal, 4 * np.eye(signal.size)) == pytest.approx(
        math.sqrt((signal**2).sum()) / 2
    )


def test_channels_lose_and_never_gain() -> None:
    covariance = stationary_covariance(POWER)
    whole = ideal_detectability(blob(), covariance)
    some = [ideal_detectability(blob(), covariance, laguerre_gauss((SIDE, SIDE), 7.0, k)) for k in (1, 3, 6)]
    assert some[0] < some[1] < some[2] < whole
    # Six Laguerre-Gauss channels all but reach the ideal observer of a round signal.
    assert some[2] > 0.95 * whole
    assert 0.95 * whole < ideal_detectability(blob(), covariance, dense_difference_of_gaussians((SIDE, SIDE)))


@pytest.mark.parametrize("detectability", [0.8, 2.0])
def test_observer_reaches_the_analytic_value(detectability: float) -> None:
    """With 600 pairs and 6 channels learning costs about 1 %, a tenth of the standard error."""
    rng = np.random.default_rng(int(10 * detectability))
    seen = observed(rng, 600, detectability, split=Split("k-fold"))
    # 99 % intervals, so that a sound observer fails once in a hundred seeds.
    assert auc_of(detectability) in auc_interval(seen.scores, 0.99)
    assert detectability in bootstrap_interval(
        seen.scores, d_prime_figure(seen.scores), rng, count=1000, level=0.99
    )
    assert detectability in hotelling_interval(seen.present, seen.absent, 0.99)


def test_no_signal_gives_no_detection() -> None:
    rng = np.random.default_rng(4)
    areas = [auc_interval(observed(rng, 40, 0.0).scores).value for _ in range(60)]
    # The standard deviation of one area is about 0.065; leaving one out lets areas fall below 1/2.
    assert np.mean(areas) == pytest.approx(0.5, abs=0.035)


def test_learning_from_few_pairs_costs_what_is_foretold() -> None:
    rng = np.random.default_rng(6)
    found = np.mean([d_prime(observed(rng, 30, 1.5).scores) for _ in range(80)])
    # One d' has a standard deviation of about 0.3, their mean 0.033; the formula is approximate.
    assert found == pytest.approx(1.5 * training_efficiency(1.5, 6, 29), abs=0.12)
    assert found < 1.45


def test_testing_on_what_trained_flatters() -> None:
    rng = np.random.default_rng(7)
    gaps = []
    for _ in range(20):
        state = rng.bit_generator.state
        honest = d_prime(observed(rng, 30, 1.0).scores)
        rng.bit_generator.state = state
        gaps.append(d_prime(observed(rng, 30, 1.0, split=Split("none")).scores) - honest)
    assert min(gaps) > 0


def test_exact_interval_has_its_coverage_and_no_bias() -> None:
    rng = np.random.default_rng(8)
    difference = np.array([1.2, 0, 0, 0, 0, 0])
    repeats, hits, squares = 160, 0, []
    for _ in range(repeats):
        present, absent = rng.standard_normal((2, 30, 6)) + np.array([difference, 0 * difference])[:, None]
        interval = hotelling_interval(present, absent, 0.9)
        hits, squares = hits + (1.2 in interval), [*squares, interval.value**2]
    # Three standard errors of a share of 0.9 in 160, and of the mean of d'^2 (sd about 0.8).
    assert hits / repeats == pytest.approx(0.9, abs=0.072)
    assert np.mean(squares) == pytest.approx(1.44, abs=0.19)


@pytest.mark.parametrize("kind", ["leave-one-out", "k-fold", "half"])
def test_every_split_sees_the_signal_and_trains_on_others(kind: str) -> None:
    seen = observed(np.random.default_rng(9), 120, 2.0, split=Split(kind))  # type: ignore[arg-type]
    assert {"leave-one-out": 119, "k-fold": 108, "half": 60}[kind] == seen.training_pairs
    assert len(seen.scores.present) == (60 if kind == "half" else 120)
    assert d_prime(seen.scores) == pytest.approx(2.0, abs=0.6)


def test_regions_of_one_image_stay_together() -> None:
    """Regions of one image look alike: an observer that trained on some of them knows the others."""
    rng = np.random.default_rng(10)
    groups = np.repeat(np.arange(10), 6)
    together, apart = [], []
    for _ in range(30):
        shared = np.repeat(noise(rng, 20, POWER).reshape(2, 10, SIDE, SIDE), 6, axis=1)
        present, absent = 3 * shared + noise(rng, 120, POWER).reshape(2, 60, SIDE, SIDE)
        seen = channelized_hotelling_observer(present, absent, CHANNELS, groups=groups)
        together.append(auc_interval(seen.scores).value)
        apart.append(auc_interval(channelized_hotelling_observer(present, absent, CHANNELS).scores).value)
    # There is no signal. The standard error of the mean of 30 areas is about 0.03.
    assert np.mean(together) < 0.58
    assert np.mean(apart) > 0.68


def test_scores_do_not_depend_on_offset_and_scale() -> None:
    rng = np.random.default_rng(11)
    present, absent = noise(rng, 40, POWER) + signal_of(1.5), noise(rng, 40, POWER)
    plain = channelized_hotelling_observer(present, absent, CHANNELS).scores
    moved = channelized_hotelling_observer(3 * present + 500, 3 * absent + 500, CHANNELS).scores
    np.testing.assert_allclose(plain.present, moved.present, atol=1e-6)


def test_template_of_white_noise_is_the_signal_through_channels() -> None:
    rng = np.random.default_rng(12)
    present, absent = rng.standard_normal((2, 4000, SIDE, SIDE))
    template = channelized_hotelling_observer(
        present + 0.5 * blob(), absent, CHANNELS, split=Split("none")
    ).template
    expected = CHANNELS.matrix @ (CHANNELS.matrix.T @ blob().ravel())
    assert np.corrcoef(template.ravel(), expected)[0, 1] > 0.98


def internal_detectability(noise_: InternalNoise) -> float:
    u, signal = CHANNELS.matrix, signal_of(2.0).ravel()
    k = u.T @ stationary_covariance(POWER) @ u
    total = k + noise_.covariance(k, u.T @ u)
    return math.sqrt(u.T @ signal @ np.linalg.solve(total, u.T @ signal))


@pytest.mark.parametrize(
    ("internal", "expected"),
    [
        (InternalNoise(1.0, "decision"), 2.0 / math.sqrt(2)),
        (InternalNoise(1.0, "channels"), internal_detectability(InternalNoise(1.0, "channels"))),
        (InternalNoise(level=1.5), internal_detectability(InternalNoise(level=1.5))),
    ],
)
def test_internal_noise_lowers_detection_as_foretold(internal: InternalNoise, expected: float) -> None:
    rng = np.random.default_rng(13)
    present, absent = noise(rng, 400, POWER) + signal_of(2.0), noise(rng, 400, POWER)
    seen = channelized_hotelling_observer(
        present, absent, CHANNELS, split=Split("k-fold"), internal_noise=internal, rng=rng
    )
    assert expected < 1.9
    # The standard error of d' with 400 pairs is about 0.085.
    assert d_prime(seen.scores) == pytest.approx(expected, abs=0.25)


def test_a_filter_that_can_be_undone_is_undone_unless_the_reader_has_noise_of_its_own() -> None:
    """Halving all contrasts: nothing to the ideal reader, half of the signal to one with noise."""
    rng = np.random.default_rng(17)
    present, absent = noise(rng, 200, POWER) + signal_of(2.0), noise(rng, 200, POWER)
    found = {}
    for level in (0.0, 2.0):
        for factor in (1.0, 0.5):
            seen = channelized_hotelling_observer(
                factor * present,
                factor * absent,
                CHANNELS,
                internal_noise=InternalNoise(level=level),
                rng=np.random.default_rng(0),
            )
            found[level, factor] = d_prime(seen.scores)
    assert found[0.0, 0.5] == pytest.approx(found[0.0, 1.0])
    assert found[2.0, 0.5] < 0.75 * found[2.0, 1.0]


def test_internal_noise_needs_a_generator() -> None:
    with pytest.raises(ValueError, match="generator"):
        observed(np.random.default_rng(0), 40, 1.0, internal_noise=InternalNoise(1.0))


@pytest.mark.parametrize(("channels", "least"), [(6, 20), (10, 30), (40, 105)])
def test_too_few_pairs_are_refused_with_how_many_it_takes(channels: int, least: int) -> None:
    assert pairs_needed(channels) == least
    rng = np.random.default_rng(14)
    bank = {6: CHANNELS, 10: dense_difference_of_gaussians((SIDE, SIDE)), 40: gabor((SIDE, SIDE))}[channels]
    present, absent = noise(rng, least - 1, POWER), noise(rng, least - 1, POWER)
    with pytest.raises(QuellError, match=f"needs at least {least} pairs, got {least - 1}"):
        channelized_hotelling_observer(present, absent, bank)


def test_the_rule_for_the_number_of_pairs_bounds_the_inverse() -> None:
    rng = np.random.default_rng(15)
    pairs = pairs_needed(6, Split("none"))
    inverses = []
    for _ in range(400):
        first, second = rng.standard_normal((2, pairs, 6))
        covariance = (np.cov(first.T) + np.cov(second.T)) / 2
        inverses.append(np.trace(np.linalg.inv(covariance)) / 6)
    assert np.mean(inverses) == pytest.approx(1.25, abs=0.04)


def test_bad_ensembles_are_refused() -> None:
    rng = np.random.default_rng(16)
    images = noise(rng, 40, POWER)
    with pytest.raises(QuellError, match="as many images"):
        channelized_hotelling_observer(images, images[:30], CHANNELS)
    with pytest.raises(QuellError, match="not finite"):
        channelized_hotelling_observer(np.where(images > 3, np.nan, images), images, CHANNELS)
    with pytest.raises(QuellError, match="do not vary"):
        channelized_hotelling_observer(np.ones_like(images), np.zeros_like(images), CHANNELS)
    with pytest.raises(QuellError, match="come from one image"):
        channelized_hotelling_observer(images, images, CHANNELS, groups=np.zeros(40, np.int64))
