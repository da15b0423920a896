"""UNSURE for linear denoisers, of which all that is to be expected can be computed."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

import pytest

# ruff: noqa: E402 - without torch the rooms below cannot be imported
torch = pytest.importorskip("torch", reason="torch is not installed")

from lightning_fabric import Fabric
from noise_alone import SIGMA, facts

from quell.errors import QuellError
from quell.methods.contracts import Batch
from quell.methods.unsure import Unknown, Unsure, UnsureConfig, lags
from quell.models.scaling import Scaling, ScalingKind

POWER = SIGMA**2
"""Variance of the brightness of the constant images."""

SIDE = 5
CHUNKS = 24
SURE = 5
"""Standard errors that an estimate may be off."""


class Linear(torch.nn.Module):
    """A convolution of 5 x 5 on a torus, so that no pixel is at a border."""

    def __init__(self, weights: torch.Tensor | None = None) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 1, SIDE, padding=2, padding_mode="circular", bias=False)
        start = torch.zeros(25) if weights is None else weights.float()
        self.conv.weight.data = start.reshape(1, 1, SIDE, SIDE).clone()

    def forward(self, stack: torch.Tensor) -> torch.Tensor:
        done: torch.Tensor = self.conv(stack)
        return done


def as_batch(noisy: torch.Tensor) -> Batch:
    ones = torch.ones(noisy.shape[0])
    return Batch(noisy, None, None, None, None, None, ones, ones)


def off(values: list[torch.Tensor]) -> float:
    """Return how many standard errors the mean of equal chunks is off zero, at its worst element."""
    stack = torch.stack(values).double()
    return float((stack.mean(dim=0).abs() / (stack.std(dim=0) / math.sqrt(len(values)))).max())


def set_multipliers(method: Unsure, variance: list[float]) -> None:
    method.networks["multiplier"].value.data = torch.tensor(variance) / method.reference


def torus_noise_pair(n: int) -> torch.Tensor:
    """Return unit noise on a torus of which neighbours along rows and columns share half."""
    white = torch.randn(n, 1, 32, 32)
    rows = white + white.roll(1, 2)
    return (rows + rows.roll(1, 3)) / 2


def gaussian(clean: torch.Tensor) -> torch.Tensor:
    return clean + SIGMA * torch.randn_like(clean)


def poisson(clean: torch.Tensor) -> torch.Tensor:
    return 0.01 * torch.poisson(clean / 0.01)


def both(clean: torch.Tensor) -> torch.Tensor:
    return gaussian(poisson(clean))


def gamma(clean: torch.Tensor) -> torch.Tensor:
    return torch.distributions.Gamma(torch.tensor(100.0), 100 / clean).sample()


def binomial(clean: torch.Tensor) -> torch.Tensor:
    return 2 * torch.binomial(torch.full_like(clean, 100.0), clean / 2) / 100


LAWS = [
    (Unknown.GAUSSIAN, gaussian, [SIGMA**2]),
    (Unknown.POISSON, poisson, [0.01]),
    (Unknown.POISSON_GAUSSIAN, both, [SIGMA**2, 0.01]),
    # The mean of y^2 is x^2 (1 + 1 / 100), that of y (f - y) is x (f - x) (1 - 1 / 100).
    (Unknown.GAMMA, gamma, [0.01 / 1.01]),
    (Unknown.BINOMIAL, binomial, [0.01 / 0.99]),
]


def solution(
    autocorrelation: torch.Tensor, shifts: list[tuple[int, int]]
) -> tuple[list[float], torch.Tensor]:
    """Return multipliers and weights by linear algebra, for constant images with noise.

    The minimum over the weights w of ``w A w - 2 a w + 2 sum u w`` where those of the shifts must be 0:
    w = inv(A) a on the others, and u = a - A w on the shifts.
    """
    places = list(product(range(-2, 3), repeat=2))
    hidden = {place for lag in shifts for place in (lag, (-lag[0], -lag[1]))}
    cov = torch.empty(25, 25, dtype=torch.float64)
    for (i, p), (j, q) in product(enumerate(places), repeat=2):
        dy, dx = abs(p[0] - q[0]), abs(p[1] - q[1])
        cov[i, j] = POWER + SIGMA**2 * float(autocorrelation[dy] * autocorrelation[dx])
    centre = cov[:, places.index((0, 0))]
    free = torch.tensor([place not in hidden for place in places])
    weights = torch.zeros(25, dtype=torch.float64)
    weights[free] = torch.linalg.solve(cov[free][:, free], centre[free])
    left = centre - cov @ weights
    return [float(left[places.index(lag)]) for lag in shifts], weights


@pytest.mark.parametrize(("law", "draw", "variance"), LAWS, ids=[law.value for law, _, _ in LAWS])
def test_at_the_true_variance_the_loss_is_the_true_risk(
    law: Unknown, draw: Callable[[torch.Tensor], torch.Tensor], variance: list[float]
) -> None:
    torch.manual_seed(0)
    config = UnsureConfig(width=2, law=law, full=2.0, unit_noise=False)
    method = Unsure(config, facts(scaling=Scaling(kind=ScalingKind.MEAN), scale=1.0, mean=1.0))
    set_multipliers(method, variance)
    net, wrong = Linear(0.1 * torch.randn(25)), []
    for _ in range(CHUNKS):
        clean = (0.5 + torch.rand(32, 1, 1, 1)).expand(-1, 1, 32, 32).contiguous()
        noisy = draw(clean)
        with torch.no_grad():
            loss = next(method.losses_of(net, as_batch(noisy)))[1] * method.reference
            risk = (net(noisy) - clean).square().mean() + (noisy - clean).square().mean()
        wrong.append(loss - risk)
    assert off(wrong) < SURE


def test_at_the_true_covariance_the_loss_is_the_true_risk_of_correlated_noise() -> None:
    torch.manual_seed(0)
    method = made(correlation=(0.5, 0.02))
    covariance = [SIGMA**2 * 0.5 ** (abs(y) + abs(x)) for y, x in method.lags]
    set_multipliers(method, covariance)
    net, wrong = Linear(0.1 * torch.randn(25)), []
    for _ in range(CHUNKS):
        noise = SIGMA * torus_noise_pair(32)
        clean = torch.randn(32, 1, 1, 1).expand_as(noise)
        with torch.no_grad():
            loss = next(method.losses_of(net, as_batch(clean + noise)))[1] * method.reference
            risk = (net(clean + noise) - clean).square().mean() + noise.square().mean()
        wrong.append(loss - risk)
    # The divergence of shifted pixels ends at the border, a few hundredths of its part.
    assert off(wrong) < SURE or abs(float(torch.stack(wrong).mean())) < 0.02 * SIGMA**2


@pytest.mark.parametrize("correlation", [(), (0.5, 0.02)], ids=["white", "correlated"])
def test_the_minimum_under_the_constraint_is_a_saddle_of_the_loss(correlation: tuple[float, ...]) -> None:
    torch.manual_seed(0)
    method = made(correlation=correlation)
    alike = torch.tensor([1.0, 0.5 if correlation else 0.0, 0, 0, 0])
    multipliers, weights = solution(alike, method.lags)
    set_multipliers(method, multipliers)
    net, slopes, divergences = Linear(weights), [], []
    for _ in range(CHUNKS):
        noise = torus_noise_pair(32) if correlation else torch.randn(32, 1, 32, 32)
        noisy = POWER**0.5 * torch.randn(32, 1, 1, 1) + SIGMA * noise
        loss = next(method.losses_of(net, as_batch(noisy)))[1]
        (slope,) = torch.autograd.grad(loss, net.conv.weight)
        slopes.append(slope.flatten())
        list_of = dict(method.losses_of(net, as_batch(noisy)))
        (rise,) = torch.autograd.grad(list_of["multiplier"], method.networks["multiplier"].value)
        divergences.append(rise.flatten())
    mean = torch.stack(slopes).mean(dim=0)
    # In units of the slope that a wrong sign or a missing factor of two would leave: 2 u or u.
    assert off(slopes) < SURE + 1 or float(mean.abs().max()) < 0.1 * multipliers[0] / method.reference
    assert float(torch.stack(divergences).mean(dim=0).abs().max()) < 0.02
    assert multipliers[0] == pytest.approx(SIGMA**2, rel=0.05 if not correlation else 0.3)


def test_training_finds_the_variance() -> None:
    steps = 400
    config = UnsureConfig(width=2, steps=steps, rate=0.1, multiplier_rate=0.01, probe=0.5, unit_noise=False)
    method = Unsure(config, facts(sigma=1.5 * SIGMA))
    method.networks["denoiser"] = Linear()
    method.optimisers["denoiser"] = method.adam("denoiser")
    fabric, held = Fabric(accelerator="cpu", devices=1), []
    method.setup(fabric)
    for step in range(steps):
        torch.manual_seed(step)
        noisy = POWER**0.5 * torch.randn(32, 1, 1, 1) + SIGMA * torch.randn(32, 1, 16, 16)
        method.step(as_batch(noisy), step / steps, fabric)
        held.append(float(method.variance()))
    (wanted,), _ = solution(torch.tensor([1.0, 0, 0, 0, 0]), method.lags)
    # 24 pixels average to a 24th of the variance: that much the multiplier is above it.
    assert wanted == pytest.approx(SIGMA**2 * (1 + POWER / (24 * POWER + SIGMA**2)), rel=1e-6)
    assert held[0] > 2 * SIGMA**2
    assert sum(held[-100:]) / 100 == pytest.approx(wanted, rel=0.03)


def made(**changes: object) -> Unsure:
    """Return a method that takes the noise to be half as strong again as it is."""
    config = UnsureConfig(width=2, multiplier_rate=0.01, probe=0.5, unit_noise=False)
    return Unsure(config, facts(sigma=1.5 * SIGMA, **changes))


def test_half_of_all_lags_and_the_middle() -> None:
    for radius in range(4):
        half = lags(radius)
        both = {*half, *((-y, -x) for y, x in half)}
        assert len(half) == ((2 * radius + 1) ** 2 + 1) // 2
        assert both == set(product(range(-radius, radius + 1), repeat=2))


def test_what_is_not_known_of_too_many_lags_is_refused() -> None:
    with pytest.raises(QuellError, match="multiplier for each"):
        made(correlation=(0.8, 0.6, 0.5, 0.3, 0.0))
    with pytest.raises(QuellError, match="correlated"):
        config = UnsureConfig(width=2, law=Unknown.POISSON)
        Unsure(config, facts(scaling=Scaling(kind=ScalingKind.MEAN), correlation=(0.5, 0.0)))
    with pytest.raises(QuellError, match="shifted"):
        Unsure(UnsureConfig(width=2, law=Unknown.GAMMA), facts(scaling=Scaling(kind=ScalingKind.RANGE)))
