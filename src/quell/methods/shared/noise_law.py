"""The laws of noise as learning without clean data needs them: variance, and splitting in two.

An image y with mean x is split into y1 and y2 with ``y = (1 - a) y1 + a y2``, both of mean x, whose noise has
nothing in common (Monroy, Bacca and Tachella, "Generalized recorrupted-to-recorrupted: self-supervised
learning beyond Gaussian noise", CVPR 2025, arXiv 2412.04648). Why it has nothing in common:

- Gaussian: ``y1 = y + sqrt(a / (1 - a)) w`` with w of the covariance C of the noise. Then Var(y1) is
  C / (1 - a) and Cov(y1, y) = C, so Cov(y1, y2) = (C - (1 - a) C / (1 - a)) / a = 0.
- Poisson, y = g z: w ~ Bin(z, a); w and z - w are independent Poisson numbers (Kingman, *Poisson Processes*,
  1993, section 5.1); ``y1 = (y - g w) / (1 - a)``, ``y2 = g w / a``.
- Gamma of L looks: w ~ Beta(L a, L (1 - a)); y w and y (1 - w) are independent gamma numbers of L a and
  L (1 - a) looks (Lukacs, Ann Math Stat 26 (1955) 319).
- Binomial, y = f z / T of T trials: w, the successes among k of the T trials, is hypergeometric given z, and
  independent of those of the other T - k; a = k / T exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from quell.errors import QuellError
from quell.methods.base import middle
from quell.methods.contracts import Batch, DataFacts, MethodConfig
from quell.methods.shared.noise_correlation import coloured
from quell.models.scaling import ScalingKind

_TINY, _HUGE = 1e-6, 1e9


class Law(str, Enum):
    """How the noise of a pixel depends on its mean x."""

    GAUSSIAN = "gaussian"
    """Variance s squared."""
    POISSON = "poisson"
    """Variance g x: g for one event."""
    GAMMA = "gamma"
    """Variance x squared over L, the number of looks: speckle as intensity."""
    BINOMIAL = "binomial"
    """Variance x (f - x) / T for T trials that may all succeed, which gives f."""


class LawConfig(MethodConfig):
    """Settings of the noise.

    Attributes
    ----------
    law
        See `Law`.
    level
        Gaussian: standard deviation in image units. Poisson: image units of one event. Gamma: looks.
        Binomial: trials. ``"auto"`` takes the measured level of the data; Poisson: of each image.
    full
        Image value where all trials succeed; binomial only.
    """

    law: Law = Law.GAUSSIAN
    level: Literal["auto"] | float = Field("auto")
    full: float = Field(1.0, gt=0)


@dataclass(frozen=True)
class LevelSource:
    """The level of a law, in the units of the network.

    Attributes
    ----------
    law : Law
    value : float
        In image units where `per_scale`, in network units otherwise.
    per_scale : bool
        Whether the value is to be divided by the scale of each image.
    scale : float
        The usual scale, for use after the training.
    full : float
        In image units.
    each : bool
        Whether the level is measured in each image, see `event_value`; the value is then not used.
    """

    law: Law
    value: float
    per_scale: bool
    scale: float
    full: float = 1.0
    each: bool = False

    def of(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return level and full value for each crop in network units, shape (n, 1, 1, 1)."""
        scale = batch.scale.reshape(-1, 1, 1, 1)
        if self.each:
            return event_value(middle(batch.noisy)), self.full / scale
        level = torch.full_like(scale, self.value)
        return (level / scale if self.per_scale else level), self.full / scale

    @property
    def usual(self) -> float:
        """The level in network units for an image of the usual scale."""
        return self.value / self.scale if self.per_scale else self.value


def level_source(law: Law, level: Literal["auto"] | float, full: float, data: DataFacts) -> LevelSource:
    """Return where the level of a law comes from.

    Raises
    ------
    QuellError
        If the law cannot hold for such numbers, or the level is not known.
    """
    if law is not Law.GAUSSIAN:
        _check_offset(law, data)
    scaled = law in (Law.GAUSSIAN, Law.POISSON)
    if level != "auto":
        if not level > 0 or not math.isfinite(level):
            raise QuellError(f"the level of {law.value} noise must be positive, not {level}")
        return LevelSource(law, float(level), scaled, data.scale, full)
    if law is Law.POISSON:
        # Counts are often divided by dose or time: one event then has another value in each image.
        return LevelSource(law, 1.0, True, data.scale, full, each=True)
    return LevelSource(law, _measured(law, data), False, data.scale, full)


def _check_offset(law: Law, data: DataFacts) -> None:
    if data.scaling.kind is ScalingKind.RANGE or data.scaling.offset != 0:
        raise QuellError(f"{law.value} noise needs values that start at 0; those of this data are shifted")
    if law is not Law.BINOMIAL and data.mean < 0:
        raise QuellError(f"{law.value} noise needs values that are not negative; their mean is {data.mean:g}")


def _measured(law: Law, data: DataFacts) -> float:
    """Return the level from the standard deviation of the noise and the mean, in network units."""
    if law is Law.BINOMIAL:
        raise QuellError("the number of trials of binomial noise cannot be measured: set `level`")
    if not data.sigma > 0:
        raise QuellError("the level of the noise is not known: set `level`")
    if law is Law.GAUSSIAN:
        return data.sigma
    if not data.mean > 0:
        raise QuellError(f"{law.value} noise needs a positive mean to find its level: set `level`")
    return data.mean**2 / data.sigma**2


def event_value(image: Tensor) -> Tensor:
    """Return what one event adds to a pixel, shape (n, 1, 1, 1), from the image (n, 1, y, x) alone.

    Variance over mean: a Poisson number has both alike. The variance is that of mixed second differences,
    ``(y00 - y01 - y10 + y11) / 2``, which keep that of white noise and have little of the object. Where few
    events fall on a pixel the estimate is exact: it is then the smallest value above zero, if the two agree
    within a factor of two.
    """
    row = image[:, :, 1:] - image[:, :, :-1]
    mixed = (row[..., 1:] - row[..., :-1]) / 2
    mean = image.clamp(min=0).mean(dim=(1, 2, 3), keepdim=True)
    rough = mixed.square().mean(dim=(1, 2, 3), keepdim=True) / mean.clamp(min=_TINY)
    positive = torch.where(image > _TINY, image, torch.full_like(image, _HUGE))
    least = positive.amin(dim=(1, 2, 3), keepdim=True)
    near = (least > 0.5 * rough) & (least < 2 * rough)
    return torch.where(near, least, rough).clamp(min=_TINY)


def noise_variance(law: Law, values: Tensor, level: Tensor, full: Tensor) -> Tensor:
    """Return the variance of the noise of pixels with given means.

    Parameters
    ----------
    values : Tensor, shape (n, 1, y, x)
        Means, or noisy values in their place.
    level, full : Tensor
        See `LevelSource`; broadcastable.
    """
    if law is Law.GAUSSIAN:
        return (level * level).expand_as(values)
    if law is Law.POISSON:
        return level * values.clamp(min=0)
    if law is Law.GAMMA:
        return values * values / level
    inside = torch.minimum(values.clamp(min=0), full)
    return inside * (full - inside) / level


@dataclass(frozen=True, eq=False)
class Recorruption:
    """Split noisy images into two whose noise has nothing in common.

    Parameters
    ----------
    law : Law
    alpha : float
        The share of the second; for binomial noise the nearest that a whole number of trials gives.
    kernel : Tensor
        Of `quell.methods.shared.noise_correlation.colouring`; one number for white noise. Gaussian only.
    """

    law: Law
    alpha: float
    kernel: Tensor = field(default_factory=lambda: torch.ones(1))

    def split(self, noisy: Tensor, level: Tensor, full: Tensor) -> tuple[Tensor, Tensor]:
        """Return y1 and y2.

        Parameters
        ----------
        noisy : Tensor, shape (n, 1, y, x)
        level, full : Tensor, shape (n, 1, 1, 1)
            See `LevelSource.of`.
        """
        a = self.alpha
        if self.law is Law.GAUSSIAN:
            w = level * coloured(torch.randn_like(noisy), self.kernel)
            first = noisy + math.sqrt(a / (1 - a)) * w
        elif self.law is Law.POISSON:
            events = (noisy / level).round().clamp(min=0)
            first = (noisy - level * torch.binomial(events, torch.full_like(events, a))) / (1 - a)
        elif self.law is Law.GAMMA:
            share = torch.distributions.Beta(level * a, level * (1 - a)).sample(noisy.shape[1:])
            share = share.reshape(noisy.shape[1:] + noisy.shape[:1]).movedim(-1, 0)
            first = noisy * (1 - share) / (1 - a)
        else:
            return self._split_trials(noisy, level, full)
        return first, (noisy - (1 - a) * first) / a

    def _split_trials(self, noisy: Tensor, level: Tensor, full: Tensor) -> tuple[Tensor, Tensor]:
        trials = int(level.flatten()[0].item())
        chosen = min(max(1, round(self.alpha * trials)), trials - 1)
        successes = (noisy / full * trials).round().clamp(0, trials)
        drawn = hypergeometric(successes, trials, chosen)
        return full * (successes - drawn) / (trials - chosen), full * drawn / chosen


def hypergeometric(successes: Tensor, trials: int, chosen: int) -> Tensor:
    """Return how many of the successes are among `chosen` of the trials: one trial drawn after another."""
    left, drawn = successes.clone(), torch.zeros_like(successes)
    for gone in range(chosen):
        hit = (torch.rand_like(left) * (trials - gone) < left).to(left)
        left, drawn = left - hit, drawn + hit
    return drawn
