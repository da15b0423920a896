"""Learn from single noisy images whose law of noise is known, by corrupting them once more."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from quell.errors import QuellError
from quell.image import Modality
from quell.methods.base import BaseMethod, middle, plain
from quell.methods.contracts import Batch, DataFacts, Exported, Fidelity, MethodFacts, Need
from quell.methods.shared.backbone import BackboneConfig, export_backbone, make_backbone
from quell.methods.shared.noise_colour import Colour, ColourConfig, OneColour, make_colour
from quell.methods.shared.noise_correlation import coloured, colouring, reach
from quell.methods.shared.noise_law import (
    Law,
    LawConfig,
    Recorruption,
    event_value,
    level_source,
    noise_variance,
)
from quell.methods.shared.unit_noise import Unit, UnitNoise, export_in_unit_noise, with_middle


class GR2RConfig(BackboneConfig, LawConfig, ColourConfig):
    """Settings.

    Attributes
    ----------
    alpha
        The share of the noisy image that is kept back as the target.
    draws
        Corrupted copies that are averaged in use; 0 runs the network once on the image as it is.
    """

    alpha: float = Field(0.15, gt=0, lt=1)
    draws: int = Field(5, ge=0)


class Recorrupted(nn.Module):
    """Corrupt the middle slice with given noise and denoise it: one draw of the average of GR2R.

    Parameters
    ----------
    network : nn.Module
    slices : int
    recorruption : Recorruption
    level, full : float
        In network units.
    each : bool
        Whether the value of an event is measured in each image.
    """

    kernel: Tensor
    level: Tensor
    full: Tensor

    def __init__(
        self,
        network: nn.Module,
        slices: int,
        recorruption: Recorruption,
        level: float,
        full: float,
        each: bool = False,
    ) -> None:
        super().__init__()
        self.network, self.slices, self.each = network, slices, each
        self.law, self.alpha = recorruption.law, recorruption.alpha
        self.register_buffer("kernel", recorruption.kernel.clone(), persistent=False)
        self.register_buffer("level", torch.tensor(level), persistent=False)
        self.register_buffer("full", torch.tensor(full), persistent=False)

    def forward(self, stack: Tensor, noise: Tensor) -> Tensor:
        """Return the denoised middle slice (n, 1, y, x) from a stack and unit white noise (n, 1, y, x)."""
        image = middle(stack)
        level = event_value(image) if self.each else self.level
        if self.law is Law.POISSON:
            first = thinned(image, level, self.alpha, noise)
        else:
            sd = noise_variance(self.law, image, level, self.full).sqrt()
            first = image + math.sqrt(self.alpha / (1 - self.alpha)) * sd * coloured(noise, self.kernel)
        done: Tensor = self.network(with_middle(stack, first))
        return done


def thinned(image: Tensor, level: Tensor, share: float, noise: Tensor) -> Tensor:
    """Return counts from which a share of the events was taken, over what is left of them.

    The events taken are a Gaussian of the mean and the variance of the binomial number, rounded: also where
    there is one event, it is there or not.
    """
    events = (image / level).round().clamp(min=0)
    drawn = (share * events + (share * (1 - share) * events).sqrt() * noise).round()
    drawn = torch.minimum(drawn.clamp(min=0), events)
    return (image - level * drawn) / (1 - share)


class RecorruptedUnit(nn.Module):
    """The same in units of the noise, whose local level and colour are measured.

    Parameters
    ----------
    network : nn.Module
    unit : UnitNoise
    colour : Colour or OneColour
    alpha : float
    """

    def __init__(self, network: nn.Module, unit: UnitNoise, colour: Colour | OneColour, alpha: float) -> None:
        super().__init__()
        self.network, self.unit, self.colour, self.alpha = network, unit, colour, alpha

    def forward(self, stack: Tensor, noise: Tensor) -> Tensor:
        """Return the denoised middle slice (n, 1, y, x) from a stack and unit white noise (n, 1, y, x)."""
        unit: Unit = self.unit(stack)
        extra = math.sqrt(self.alpha / (1 - self.alpha)) * self.colour(noise, unit.descriptor)
        return unit.back(self.network(with_middle(unit.stack, middle(unit.stack) + extra)))


class GR2R(BaseMethod):
    """Predict what is kept back of a noisy image from what is left of it.

    Monroy, Bacca and Tachella, "Generalized recorrupted-to-recorrupted: Self-supervised learning beyond
    Gaussian noise", CVPR 2025, arXiv 2412.04648: y1 and y2 as in `quell.methods.shared.noise_law`, the loss
    ``|R(y1) - y2|^2``, alpha of 0.15, the average of five draws in use. As y1 and y2 are independent given
    the clean x and E[y2] = x, the loss is that of supervised learning of x from y1, but for a constant.

    Ours: the network; Gaussian noise whose level is not given is brought to unit level first and corrupted
    with noise of the colour that was measured in the same image, in training and in use (see
    `quell.methods.shared.unit_noise`); with a level that is given, with noise of the measured
    autocorrelation, taken as the same along rows and columns and as their product. The value of one event
    is measured in each image. Only the middle slice is corrupted, its neighbours, whose noise is their own,
    are seen as they are. In use the corruption is drawn from a Gaussian of the variance of the law: exact
    for Gaussian noise, rounded to whole events for counts; for the others mean and variance agree.
    Correlated noise of the other laws is refused.
    """

    facts: ClassVar[MethodFacts] = MethodFacts(
        name="gr2r",
        title="learns from single noisy images whose law of noise is known: Gaussian, counts, speckle",
        source="Monroy, Bacca, Tachella, Generalized Recorrupted-to-Recorrupted, CVPR 2025, arXiv 2412.04648",
        fidelity=Fidelity.NAMED,
        ours="the network; level and colour of Gaussian noise and the value of an event are measured in each "
        "image; Gaussian draws in use",
        need=Need.NOISY_ONLY,
        modalities=(Modality.CT, Modality.PT, Modality.NM, Modality.US, Modality.MR, Modality.XR),
    )
    Config = GR2RConfig
    config: GR2RConfig

    def __init__(self, config: GR2RConfig, data: DataFacts) -> None:
        super().__init__(config, data)
        self.unit: UnitNoise | None = None
        self.colour: Colour | OneColour
        if _is_local(config):
            self.unit = UnitNoise(data.modality.value)
            self.colour = make_colour(config.colour, data)
        else:
            self.source = level_source(config.law, config.level, config.full, data)
            self.recorruption = Recorruption(config.law, _share(config), _kernel(config.law, data))
        self.networks = {"denoiser": make_backbone(config)}
        self.optimisers = {"denoiser": self.adam("denoiser")}

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """Return settings for a test of seconds."""
        return {"width": 8, "batch": 8, "size": 32, "steps": 30, "rate": 1.5e-2}

    def losses(self, batch: Batch, progress: float) -> Iterator[tuple[str, Tensor]]:
        """Yield the squared error of R(y1) to y2."""
        stack, second = self.parts(batch)
        # The variance of y2 is 1 / alpha times that of y: without this the clip of the gradient rules.
        yield "denoiser", self.config.alpha * (self.networks["denoiser"](stack) - second).square().mean()

    def parts(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the stack with y1 as its middle slice, and y2, in units of the noise where it is local."""
        if self.unit is None:
            first, second = self.recorruption.split(middle(batch.noisy), *self.source.of(batch))
            return with_middle(batch.noisy, first), second
        unit, a = self.unit.of(batch.noisy), self.config.alpha
        image = middle(unit.stack)
        extra = self.colour.to(image.device).quick(torch.randn_like(image), unit.descriptor)
        first = image + math.sqrt(a / (1 - a)) * extra
        return with_middle(unit.stack, first), (image - (1 - a) * first) / a

    def exported(self) -> Exported:
        """Return the network behind one draw of the corruption, or the network alone."""
        network = plain(self.networks["denoiser"])
        told = export_backbone(network, self.config, self.config.draws)
        if self.unit is not None:
            return self._exported_in_unit_noise(told, self.unit)
        if not self.config.draws:
            return told
        full = self.source.full / self.source.scale
        source = self.source
        module = Recorrupted(network, self.config.slices, self.recorruption, source.usual, full, source.each)
        halo = told.halo + self.recorruption.kernel.numel() // 2
        return Exported(module, told.slices, multiple=told.multiple, halo=halo, samples=told.samples)

    def _exported_in_unit_noise(self, told: Exported, unit: UnitNoise) -> Exported:
        around = export_in_unit_noise(told, unit)
        if not self.config.draws:
            return around
        module = RecorruptedUnit(told.module, unit, self.colour, self.config.alpha)
        return replace(around, module=module, samples=self.config.draws)


def _is_local(config: GR2RConfig) -> bool:
    """Whether the level is measured in each place of each image."""
    return config.unit_noise and config.law is Law.GAUSSIAN and config.level == "auto"


def _share(config: GR2RConfig) -> float:
    """Return alpha, for binomial noise as a whole number of trials."""
    if config.law is not Law.BINOMIAL or config.level == "auto":
        return config.alpha
    trials = int(config.level)
    if trials != config.level or trials < 2:
        raise QuellError(f"binomial noise needs a whole number of at least 2 trials, not {config.level:g}")
    return min(max(1, round(config.alpha * trials)), trials - 1) / trials


def _kernel(law: Law, data: DataFacts) -> Tensor:
    if reach(data.correlation) == 1:
        return torch.ones(1)
    if law is not Law.GAUSSIAN:
        raise QuellError(
            f"the noise is correlated ({data.correlation[0]:.2f} from pixel to pixel), which {law.value}"
            " noise is not; use the gaussian law, or the counts before they were filtered"
        )
    return colouring(data.correlation)


METHOD = GR2R
