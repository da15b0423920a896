"""Learn from single noisy images whose level of noise is not known: Stein's estimate with a multiplier."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from quell.errors import QuellError
from quell.image import Modality
from quell.methods.base import BaseMethod, middle, plain
from quell.methods.contracts import Batch, DataFacts, Exported, Fidelity, MethodFacts, Need
from quell.methods.shared.backbone import BackboneConfig, export_backbone, make_backbone
from quell.methods.shared.noise_colour import ColourConfig, make_colour
from quell.methods.shared.noise_correlation import reach_within
from quell.methods.shared.unit_noise import UnitNoise, export_in_unit_noise, with_middle
from quell.models.scaling import ScalingKind

MOST = 4
"""Pixels from which on the noise must not be alike; each lag is a multiplier more."""

_GUESS = 0.1
"""Standard deviation of the noise in network units to begin with where none was measured."""


class Unknown(str, Enum):
    """What is not known of the variance v of the noise of a pixel."""

    GAUSSIAN = "gaussian"
    """v = u: one level everywhere."""
    POISSON = "poisson"
    """v = u y: the gain."""
    POISSON_GAUSSIAN = "poisson-gaussian"
    """v = u0 + u1 y: electronic noise and gain."""
    GAMMA = "gamma"
    """v = u y squared: one over the number of looks."""
    BINOMIAL = "binomial"
    """v = u y (f - y): one over the number of trials."""


class UnsureConfig(BackboneConfig, ColourConfig):
    """Settings.

    Attributes
    ----------
    law
        See `Unknown`.
    full
        Image value where all trials succeed; binomial only.
    multiplier_rate
        Step of the ascent, in units of the first guess of the variance.
    momentum
        Of the ascent; descent and ascent may then swing around the saddle.
    probe
        Length of the finite difference, in units of the first guess of the standard deviation.
    """

    law: Unknown = Unknown.GAUSSIAN
    full: float = Field(1.0, gt=0)
    multiplier_rate: float = Field(1e-2, gt=0)
    momentum: float = Field(0.0, ge=0, lt=1)
    probe: float = Field(0.1, gt=0)


class Multipliers(nn.Module):
    """The multipliers u of the divergences, in units of a first guess of the variance.

    Parameters
    ----------
    first : Tensor, shape (k,)
    """

    def __init__(self, first: Tensor) -> None:
        super().__init__()
        self.value = nn.Parameter(first.clone())

    def forward(self, divergences: Tensor) -> Tensor:
        """Return the sum of multipliers times divergences, a number."""
        return (self.value * divergences).sum()


class Unsure(BaseMethod):
    r"""Stein's unbiased estimate of the risk with the level of the noise found on the way.

    Tachella, Davies and Jacques, "UNSURE: self-supervised learning with unknown noise level and Stein's
    unbiased risk estimate", ICLR 2025: over all R whose divergence is 0 on the average, the error to the
    noisy image is the error to the clean one but for a constant. With n pixels,

        min over R, max over u of   E |R(y) - y|^2 / n + 2 u E div R(y) / n.

    Sign and constant, derived here: for y = x + e, e of variance s^2, Stein's lemma is
    ``E e . R(y) = s^2 E div R``, so ``E|R(y) - y|^2 = E|R(y) - x|^2 - 2 s^2 E div R + n s^2``: at
    u = s^2 the sum is the true risk (SURE) but for a constant. For linear R = W the derivative with respect
    to W is ``2 (W - I) S + 2 u I`` with S the covariance of y, hence ``W = I - u inv(S)``, and the constraint
    tr W = 0 gives ``u = n / tr inv(S)``, the harmonic mean of the power spectrum of y. It lies above s^2, and
    tends to it where the signal fills few of the n dimensions: power p in a share f of them gives
    ``u = s^2 / (1 - f p / (p + s^2))``. A test holds the training against this.

    The other laws multiply by what the variance may be: ``2 sum_k u_k E sum_i b_k(y_i) dR_i/dy_i`` with
    b = 1, y, y^2 or y (f - y) (the paper has Poisson-Gaussian noise). The noisy y stands for the
    mean, and terms with second derivatives, of the order of the noise, are left out: exact for Gaussian
    noise, to first order for the others. Correlated Gaussian noise has one multiplier for each lag t
    (up to sign) at which it may be alike: ``2 sum_t u_t E sum_i dR_(i+t)/dy_i``, from Stein's lemma for a
    covariance matrix, ``E e . R = tr(C E J)``; it is refused where it is alike over more than three pixels.

    Divergences are estimated with one random direction b of signs, ``b_k . (R(y + d b) - R(y)) / d``. Losses
    are in units of a first guess of the variance. Ours: this scaling, the rates, the network; only the
    middle slice counts. Gaussian noise is brought to about unit level first (see
    `quell.methods.shared.unit_noise`) and has one multiplier, of the covariance matrix C with the colour
    that was measured in each image: ``2 u E tr(C J)``; what is found on the way is how far that estimate of
    the level is off. Without (`unit_noise` false) there is one level for all images and a multiplier a lag.
    """

    facts: ClassVar[MethodFacts] = MethodFacts(
        name="unsure",
        title="learns from single noisy images whose level of noise is unknown",
        source="Tachella, Davies, Jacques, UNSURE: self-supervised learning with unknown noise level and "
        "Stein's unbiased risk estimate, ICLR 2025",
        fidelity=Fidelity.NAMED,
        ours="the network, the rates, gamma and binomial noise; terms of second derivatives are left out; "
        "unit noise and its colour by local estimate, one multiplier for both",
        need=Need.NOISY_ONLY,
        modalities=(Modality.CT, Modality.PT, Modality.NM, Modality.MR, Modality.XR),
    )
    Config = UnsureConfig
    config: UnsureConfig

    def __init__(self, config: UnsureConfig, data: DataFacts) -> None:
        super().__init__(config, data)
        _check(config.law, data)
        reason = "there would be a multiplier for each of too many lags; use noise2noise or gr2r"
        local = config.unit_noise and config.law is Unknown.GAUSSIAN
        self.unit = UnitNoise(data.modality.value) if local else None
        self.colour = make_colour(config.colour, data)
        self.lags = lags(0 if local else reach_within(data.correlation, MOST, reason) - 1)
        self.reference = (data.sigma or _GUESS) ** 2
        self.networks = {"denoiser": make_backbone(config), "multiplier": Multipliers(self._first(data))}
        ascent = torch.optim.SGD(
            self.networks["multiplier"].parameters(),
            lr=config.multiplier_rate,
            momentum=config.momentum,
            maximize=True,
        )
        self.optimisers = {"denoiser": self.adam("denoiser"), "multiplier": ascent}

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """Return settings for a test of seconds."""
        return {"width": 8, "batch": 8, "size": 32, "steps": 30, "rate": 1.5e-2}

    def variance(self) -> Tensor:
        """Return the multipliers: of the variance of the noise in network units squared, by law or by lag."""
        return self._multipliers() * self.reference

    def losses(self, batch: Batch, progress: float) -> Iterator[tuple[str, Tensor]]:
        """Yield what the network lowers, then what the multipliers raise."""
        network = self.networks["denoiser"]
        if self.unit is None:
            yield from self.losses_of(network, batch)
            return
        unit = self.unit.of(batch.noisy)
        signs = _signs(middle(unit.stack))
        shared = self.colour.to(signs.device).covariance(signs, unit.descriptor)
        yield from self._losses(network, unit.stack, signs, [shared], 1.0)

    def losses_of(self, network: Callable[[Tensor], Tensor], batch: Batch) -> Iterator[tuple[str, Tensor]]:
        """Yield the same for any network from (n, slices, y, x) to the middle slice."""
        image = middle(batch.noisy)
        signs = _signs(image)
        weights = self._weights(image, signs, batch)
        yield from self._losses(network, batch.noisy, signs, weights, self.reference)

    def _losses(
        self,
        network: Callable[[Tensor], Tensor],
        noisy: Tensor,
        signs: Tensor,
        weights: list[Tensor],
        reference: float,
    ) -> Iterator[tuple[str, Tensor]]:
        n, image = noisy.shape[0], middle(noisy)
        step = self.config.probe * reference**0.5
        beside = with_middle(noisy, image + step * signs)
        # One pass for both: gradients of several processes are joined once.
        both = network(torch.cat((noisy, beside)))
        change = (both[n:] - both[:n]) / step
        divergences = torch.stack([(weight * change).mean() for weight in weights])
        error = (both[:n] - image).square().mean() / reference
        yield "denoiser", error + 2 * (self._multipliers() * divergences).sum()
        yield "multiplier", self.networks["multiplier"](2 * divergences.detach())

    def exported(self) -> Exported:
        """Return the network."""
        told = export_backbone(plain(self.networks["denoiser"]), self.config)
        return told if self.unit is None else export_in_unit_noise(told, self.unit)

    def _multipliers(self) -> Tensor:
        held: Any = plain(self.networks["multiplier"])
        value: Tensor = held.value.detach()
        return value

    def _weights(self, image: Tensor, signs: Tensor, batch: Batch) -> list[Tensor]:
        """Return what each divergence is weighted with: the law's share of the variance, or a shift."""
        if len(self.lags) > 1:
            return [_both_ways(signs, lag) for lag in self.lags]
        if self.config.law is Unknown.GAUSSIAN:
            return [signs]
        if self.config.law is Unknown.GAMMA:
            return [signs * image.square()]
        if self.config.law is Unknown.BINOMIAL:
            full = self.config.full / batch.scale.reshape(-1, 1, 1, 1)
            inside = torch.minimum(image.clamp(min=0), full)
            return [signs * inside * (full - inside)]
        counts = signs * image.clamp(min=0)
        return [counts] if self.config.law is Unknown.POISSON else [signs, counts]

    def _first(self, data: DataFacts) -> Tensor:
        """Return the multipliers to begin with: all of the noise in the first."""
        if self.config.law is Unknown.POISSON_GAUSSIAN:
            return torch.tensor([1.0, 0.0])
        first = torch.zeros(len(self.lags))
        mean = max(data.mean, 1e-3)
        square = self.config.full / data.scale
        shares = {
            Unknown.POISSON: mean,
            Unknown.GAMMA: mean**2,
            Unknown.BINOMIAL: max(mean * (square - mean), 1e-3),
        }
        first[0] = 1 / shares.get(self.config.law, 1.0)
        return first


def _signs(image: Tensor) -> Tensor:
    """Return a random direction of signs of the shape of an image."""
    return torch.randint(0, 2, image.shape, device=image.device).to(image) * 2 - 1


def lags(radius: int) -> list[tuple[int, int]]:
    """Return all shifts within a square, one of each pair of opposite ones; (0, 0) first."""
    half = [(0, x) for x in range(radius + 1)]
    return half + [(y, x) for y in range(1, radius + 1) for x in range(-radius, radius + 1)]


def _both_ways(signs: Tensor, lag: tuple[int, int]) -> Tensor:
    """Return the sum of an image shifted by a lag and by its opposite, zero where nothing comes from."""
    if lag == (0, 0):
        return signs
    return _shifted(signs, *lag) + _shifted(signs, -lag[0], -lag[1])


def _shifted(image: Tensor, dy: int, dx: int) -> Tensor:
    rows, columns = image.shape[-2:]
    padded = functional.pad(image, (abs(dx),) * 2 + (abs(dy),) * 2)
    top, left = abs(dy) + dy, abs(dx) + dx
    return padded[..., top : top + rows, left : left + columns]


def _check(law: Unknown, data: DataFacts) -> None:
    """Refuse data in which the law cannot hold."""
    if law is Unknown.GAUSSIAN:
        return
    if data.scaling.kind is ScalingKind.RANGE or data.scaling.offset != 0:
        raise QuellError(f"{law.value} noise needs values that start at 0; those of this data are shifted")
    if any(abs(value) >= 0.1 for value in data.correlation[:1]):
        raise QuellError(
            f"the noise is correlated ({data.correlation[0]:.2f} from pixel to pixel); {law.value} noise"
            " is not: use the gaussian law"
        )


METHOD = Unsure
