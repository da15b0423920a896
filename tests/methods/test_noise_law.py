"""The two parts of a noisy image: unbiased, and independent given the clean one."""

from __future__ import annotations

import math

import pytest

# ruff: noqa: E402 - without torch the rooms below cannot be imported
torch = pytest.importorskip("torch", reason="torch is not installed")

from noise_alone import facts

from quell.errors import QuellError
from quell.methods.contracts import Batch
from quell.methods.gr2r import GR2R, GR2RConfig, thinned
from quell.methods.shared.noise_correlation import coloured, colouring, reach
from quell.methods.shared.noise_law import (
    Law,
    LevelSource,
    Recorruption,
    hypergeometric,
    level_source,
    noise_variance,
)
from quell.models.scaling import Scaling, ScalingKind

SIDE = 400
MEAN = 3.0
LEVEL = {Law.GAUSSIAN: 0.7, Law.POISSON: 0.5, Law.GAMMA: 4.0, Law.BINOMIAL: 20.0}
FULL = 8.0
ALPHA = 0.15
SURE = 5
"""Standard errors that an estimate may be off."""


def draw(law: Law) -> torch.Tensor:
    """Return a constant image with noise of a law."""
    level, clean = LEVEL[law], torch.full((1, 1, SIDE, SIDE), MEAN)
    if law is Law.GAUSSIAN:
        return clean + level * torch.randn_like(clean)
    if law is Law.POISSON:
        return level * torch.poisson(clean / level)
    if law is Law.GAMMA:
        return torch.distributions.Gamma(level, level / clean).sample()
    return FULL * torch.binomial(torch.full_like(clean, level), clean / FULL) / level


def tensors(law: Law) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.full((1, 1, 1, 1), LEVEL[law]), torch.full((1, 1, 1, 1), FULL)


def deviation(values: torch.Tensor, expected: float) -> float:
    """Return how many standard errors the mean of independent values is off."""
    flat = values.double().flatten()
    return float(abs(flat.mean() - expected) / (flat.std() / math.sqrt(flat.numel())))


@pytest.fixture(params=list(Law))
def law(request: pytest.FixtureRequest) -> Law:
    torch.manual_seed(list(Law).index(request.param))
    return request.param


def test_the_variance_is_that_of_the_law(law: Law) -> None:
    level, full = tensors(law)
    noisy = draw(law)
    wanted = float(noise_variance(law, torch.full((1, 1, 1, 1), MEAN), level, full))
    assert deviation((noisy - MEAN).square(), wanted) < SURE


def test_both_parts_have_the_clean_mean_and_nothing_in_common(law: Law) -> None:
    first, second = Recorruption(law, ALPHA).split(draw(law), *tensors(law))
    assert deviation(first, MEAN) < SURE
    assert deviation(second, MEAN) < SURE
    assert deviation((first - MEAN) * (second - MEAN), 0) < SURE
    # Independent, not only uncorrelated: squares have nothing in common either.
    one, other = ((v - MEAN).square().double() for v in (first, second))
    assert deviation((one - one.mean()) * (other - other.mean()), 0) < SURE


def test_the_parts_are_the_noisy_image_again(law: Law) -> None:
    noisy = draw(law)
    first, second = Recorruption(law, ALPHA).split(noisy, *tensors(law))
    torch.testing.assert_close((1 - ALPHA) * first + ALPHA * second, noisy, atol=1e-4, rtol=1e-4)


def test_the_variance_of_the_parts_is_shared_by_alpha(law: Law) -> None:
    noisy = draw(law)
    first, second = Recorruption(law, ALPHA).split(noisy, *tensors(law))
    level, full = tensors(law)
    whole = float(noise_variance(law, torch.full((1, 1, 1, 1), MEAN), level, full))
    if law is Law.GAMMA:
        # y1 is a gamma number of L (1 - alpha) looks, y2 one of L alpha.
        whole = MEAN**2 / LEVEL[law]
    assert deviation((first - MEAN).square(), whole / (1 - ALPHA)) < SURE
    assert deviation((second - MEAN).square(), whole / ALPHA) < SURE


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
def test_the_gradient_is_that_of_supervised_learning(law: Law, weight: float) -> None:
    first, second = Recorruption(law, ALPHA).split(draw(law), *tensors(law))
    # For R(y) = w y: d/dw (w y1 - y2)^2 minus d/dw (w y1 - x)^2 is 2 y1 (x - y2), zero on the average.
    difference = 2 * first * (weight * first - second) - 2 * first * (weight * first - MEAN)
    assert deviation(difference, 0) < SURE


def test_successes_among_chosen_trials_are_hypergeometric() -> None:
    torch.manual_seed(0)
    trials, chosen, successes = 20, 6, 7
    drawn = hypergeometric(torch.full((200_000,), float(successes)), trials, chosen)
    share = successes / trials
    variance = chosen * share * (1 - share) * (trials - chosen) / (trials - 1)
    assert deviation(drawn, chosen * share) < SURE
    assert deviation((drawn - chosen * share).square(), variance) < SURE
    assert drawn.min() >= 0 and drawn.max() <= min(chosen, successes)


CORRELATION = (0.6, 0.25, 0.05)


def test_coloured_noise_has_the_autocorrelation_that_is_asked_for() -> None:
    torch.manual_seed(0)
    noise = coloured(torch.randn(8, 1, 256, 256), colouring(CORRELATION))
    # About a fifth of the 500,000 pixels count as independent at this correlation.
    sure = SURE / math.sqrt(noise.numel() / 5)
    assert float(noise.square().mean()) == pytest.approx(1, abs=2 * sure)
    for distance, wanted in enumerate((*CORRELATION, 0.0), 1):
        across = (noise[..., distance:] * noise[..., :-distance]).mean()
        down = (noise[..., distance:, :] * noise[..., :-distance, :]).mean()
        assert float(across) == pytest.approx(wanted, abs=2 * sure)
        assert float(down) == pytest.approx(wanted, abs=2 * sure)


def test_correlated_parts_have_nothing_in_common_at_any_distance() -> None:
    torch.manual_seed(0)
    kernel, level = colouring(CORRELATION), torch.full((1, 1, 1, 1), 0.7)
    noise = 0.7 * coloured(torch.randn(8, 1, 256, 256), kernel)
    first, second = Recorruption(Law.GAUSSIAN, ALPHA, kernel).split(noise, level.expand(8, 1, 1, 1), level)
    sure = SURE * float(first.std() * second.std()) / math.sqrt(noise.numel() / 5)
    for distance in range(4):
        stop = 256 - distance
        assert abs(float((first[..., :stop] * second[..., distance:]).mean())) < sure
        assert abs(float((first[..., distance:] * second[..., :stop]).mean())) < sure
    # White noise in its place would not do.
    white, kept = Recorruption(Law.GAUSSIAN, ALPHA).split(noise, level, level)
    assert abs(float((white[..., :-1] * kept[..., 1:]).mean())) > sure


@pytest.mark.parametrize(
    ("correlation", "wanted"),
    [((), 1), ((0.05, 0.0), 1), ((0.5, 0.05), 2), ((0.5, -0.2, 0.05), 3), ((0.05, 0.3, 0.0), 3)],
)
def test_reach_is_the_distance_from_which_on_noise_is_not_alike(
    correlation: tuple[float, ...], wanted: int
) -> None:
    assert reach(correlation) == wanted


def crops(scale: float) -> Batch:
    noisy = torch.zeros(2, 1, 8, 8)
    return Batch(noisy, None, None, None, None, None, torch.ones(2), torch.tensor([scale, 2 * scale]))


def test_a_level_in_image_units_follows_the_scale_of_each_image() -> None:
    source = level_source(Law.GAUSSIAN, 50.0, 1.0, facts())
    level, _ = source.of(crops(1000.0))
    assert level.flatten().tolist() == pytest.approx([0.05, 0.025])
    assert source.usual == pytest.approx(0.05)


@pytest.mark.parametrize("events", [0.3, 3.0, 30.0])
def test_one_event_is_found_in_each_image_by_itself(events: float) -> None:
    torch.manual_seed(0)
    value = torch.tensor([0.1, 4.0]).reshape(2, 1, 1, 1)
    slope = torch.linspace(0.5, 1.5, 64).expand(2, 1, 64, 64)
    noisy = value * torch.poisson(events * slope)
    counts = facts(units="counts", scaling=Scaling(kind=ScalingKind.MEAN), scale=20.0)
    given = Batch(noisy, None, None, None, None, None, torch.ones(2), torch.ones(2))
    level, _ = level_source(Law.POISSON, "auto", 1.0, counts).of(given)
    # Few events: exactly. Many: 4,096 squares of differences of 16 events in three, a standard error of 4 %.
    off = 1e-5 if events < 10 else 0.2
    assert (level / value).flatten().tolist() == pytest.approx([1.0, 1.0], abs=off)


@pytest.mark.parametrize("events", [1.0, 5.0, 40.0])
def test_counts_thinned_by_gaussian_numbers_have_the_mean_and_keep_whole_events(events: float) -> None:
    torch.manual_seed(0)
    clean = torch.full((1, 1, 512, 512), events)
    noisy = 0.25 * torch.poisson(clean)
    level, a = torch.tensor(0.25), 0.15
    first = thinned(noisy, level, a, torch.randn_like(noisy))
    left = first * (1 - a) / 0.25
    assert (left - left.round()).abs().max() < 1e-4 and left.min() >= 0
    # Rounding moves mean and variance by some hundredths.
    assert float(first.mean() / noisy.mean()) == pytest.approx(1, abs=0.025)
    assert float(first.var() / (noisy.var() / (1 - a))) == pytest.approx(1, abs=0.06)


def test_looks_are_mean_squared_over_variance() -> None:
    activity = facts(units="Bq/ml", scaling=Scaling(kind=ScalingKind.MEAN), sigma=0.2, mean=0.8)
    assert level_source(Law.GAMMA, "auto", 1.0, activity).usual == pytest.approx(16)


@pytest.mark.parametrize(
    ("law", "level", "changes", "reason"),
    [
        (Law.GAUSSIAN, "auto", {"sigma": 0.0}, "not known"),
        (Law.GAUSSIAN, -1.0, {}, "positive"),
        (Law.POISSON, 1.0, {"scaling": Scaling(kind=ScalingKind.RANGE)}, "shifted"),
        (Law.GAMMA, 1.0, {"scaling": Scaling(offset=-1024.0)}, "shifted"),
        (Law.GAMMA, "auto", {"mean": 0.0}, "mean"),
        (Law.BINOMIAL, "auto", {}, "trials"),
    ],
)
def test_a_level_that_cannot_be_had_is_refused(
    law: Law, level: float, changes: dict[str, object], reason: str
) -> None:
    with pytest.raises(QuellError, match=reason):
        level_source(law, level, 1.0, facts(**changes))


def test_binomial_noise_takes_a_whole_number_of_trials() -> None:
    method = GR2R(GR2RConfig(law=Law.BINOMIAL, level=10, width=2), facts())
    assert method.recorruption.alpha == pytest.approx(0.2)
    with pytest.raises(QuellError, match="whole"):
        GR2R(GR2RConfig(law=Law.BINOMIAL, level=10.5), facts())


def test_the_source_of_a_level_can_be_made_by_hand() -> None:
    assert LevelSource(Law.GAMMA, 4.0, False, 1000.0).usual == 4.0
