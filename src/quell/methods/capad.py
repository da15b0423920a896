"""CAPAD, a reconstruction: content-aware prior and attention-driven denoising."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from pydantic import Field, field_validator
from torch import Tensor
from torch.nn import functional

from quell.image import Modality
from quell.methods.base import plain
from quell.methods.contracts import Batch, DataFacts, Exported, Fidelity, MethodFacts, Need
from quell.methods.shared.perception import PerceptionConfig, PerceptionMethod
from quell.methods.shared.reference import clean_of
from quell.networks.content_aware import HALO, ContentAwareDenoiser, ContentAwareGenerator, PatchCritic
from quell.networks.prior_autoencoder import MULTIPLE, PriorAutoencoder

CEILING = 3.0
"""Multiple of the root mean square of the noise of a crop at which the attention should be 1."""


class CapadConfig(PerceptionConfig):
    """Settings; none of them is from the paper.

    Attributes
    ----------
    critic_width
        Channels of the first convolution of the critic.
    attention_width
        Channels of the part that predicts the attention.
    perceptual
        Weight of the squared distance of the features.
    adversarial
        Weight of the critic's opinion.
    attention
        Weight of the error of the attention.
    """

    batch: int = Field(16, ge=1)
    size: int = Field(64, ge=16)
    rate: float = Field(1e-4, gt=0)
    width: int = Field(32, ge=1)
    critic_width: int = Field(64, ge=1)
    attention_width: int = Field(16, ge=1)
    perceptual: float = Field(0.1, ge=0)
    adversarial: float = Field(0.005, ge=0)
    attention: float = Field(0.1, ge=0)

    @field_validator("slices")
    @classmethod
    def _one(cls, value: int) -> int:
        if value != 1:
            raise ValueError("this method takes one slice: the prior knows single slices")
        return value


class CapadMethod(PerceptionMethod):
    """RECONSTRUCTION of CAPAD: the text of Lin et al. 2023 was not available to us.

    Known is the name, "content-aware prior and attention-driven", and that it denoises low-dose CT.
    Everything else is ours, after what the name can mean. *Content-aware prior*: an autoencoder learns
    clean CT in the first stage; frozen, its features give a map of content, scale and shift the features of
    the generator at each resolution and choose a 5 x 5 kernel for each pixel at the lowest.
    *Attention-driven*: a map A between 0 and 1, predicted from the distance of the image to what the
    autoencoder keeps of it, multiplies the features of the generator; the critic of patches is given image
    and A, and its patches are weighted by A. The loss, with y the clean image, x the noisy and ŷ the
    denoised one and phi the deepest features of the frozen encoder::

        mean |(1 + A) (ŷ - y)|  +  0.1 mean (phi(ŷ) - phi(y))^2
            -  0.005 critic([ŷ, A])  +  0.1 mean (A - |x - y|_norm)^2

    The critic is trained with the hinge loss. Nothing that is measured of this method says anything of the
    original.
    """

    facts = MethodFacts(
        name="capad",
        title="Content-aware prior and attention-driven (RECONSTRUCTION)",
        source="the name alone of Lin et al. 2023; the text was not available to us",
        fidelity=Fidelity.RECONSTRUCTION,
        ours="everything but the name: networks, attention, loss and all settings",
        need=Need.PAIRED,
        modalities=(Modality.CT,),
        objects=("anatomy-ct",),
    )
    Config = CapadConfig
    config: CapadConfig

    def __init__(self, config: CapadConfig, data: DataFacts) -> None:
        super().__init__(config, data)
        prior = self.networks["prior"]
        assert isinstance(prior, PriorAutoencoder)
        self.networks["denoiser"] = ContentAwareGenerator(
            config.width, prior.encoder.widths, config.attention_width
        )
        self.networks["critic"] = PatchCritic(config.critic_width)
        self.optimisers["denoiser"] = self.adam("denoiser")
        self.optimisers["critic"] = self.adam("critic", betas=(0.5, 0.999))

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """Return settings for a trial of seconds."""
        return {
            **{"steps": 30, "batch": 4, "size": 32, "width": 8, "rate": 1e-2, "critic_width": 4},
            **{"prior_width": 4, "prior_share": 0.5, "prior_rate": 5e-2},
        }

    def later_losses(self, batch: Batch) -> Iterator[tuple[str, Tensor]]:
        """Yield the loss of the critic, then that of the generator."""
        noisy, clean = batch.noisy, clean_of(batch)
        with torch.no_grad():
            prior, features = self.look(noisy)
        denoised, attention = self.networks["denoiser"](noisy, prior, features)
        weight = attention.detach()
        yield "critic", self._critic_loss(denoised.detach(), clean, weight)
        scores = self.networks["critic"](torch.cat((denoised, weight), dim=1))
        opinion = -weighted_mean(scores, weight)
        self.told = {
            "content": ((1 + weight) * (denoised - clean)).abs().mean(),
            "perceptual": self.perceptual(denoised, clean),
            "attention": functional.mse_loss(attention, attention_target(noisy, clean)),
        }
        yield (
            "denoiser",
            (
                self.told["content"]
                + self.config.perceptual * self.told["perceptual"]
                + self.config.adversarial * opinion
                + self.config.attention * self.told["attention"]
            ),
        )

    def _critic_loss(self, denoised: Tensor, clean: Tensor, weight: Tensor) -> Tensor:
        seen = torch.cat((torch.cat((clean, weight), dim=1), torch.cat((denoised, weight), dim=1)))
        real, fake = self.networks["critic"](seen).chunk(2)
        return weighted_mean(torch.relu(1 - real), weight) + weighted_mean(torch.relu(1 + fake), weight)

    def exported(self) -> Exported:
        """Return the prior and the generator as one network, normalisation fixed."""
        prior, generator = plain(self.networks["prior"]), plain(self.networks["denoiser"])
        assert isinstance(prior, PriorAutoencoder)
        assert isinstance(generator, ContentAwareGenerator)
        return Exported(ContentAwareDenoiser(prior, generator).eval(), multiple=MULTIPLE, halo=HALO)


def attention_target(noisy: Tensor, clean: Tensor) -> Tensor:
    """Return the amount of noise between 0 and 1, shape (n, 1, y, x).

    It is divided by `CEILING` times its root mean square over the crop; a crop without noise gives 0.
    """
    amount = (noisy - clean).abs()
    ceiling = CEILING * amount.square().mean(dim=(2, 3), keepdim=True).sqrt()
    return (amount / ceiling.clamp(min=torch.finfo(amount.dtype).tiny)).clamp(max=1.0)


def weighted_mean(scores: Tensor, attention: Tensor) -> Tensor:
    """Return the mean of the scores of patches, weighted by 1 plus their attention."""
    height, width = scores.shape[2:]
    weight = 1 + functional.adaptive_avg_pool2d(attention, (height, width))
    return (weight * scores).sum() / weight.sum()


METHOD = CapadMethod
