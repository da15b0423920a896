"""WGAN with a perceptual loss (WGAN-VGG with features of our own)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from quell.image import Modality
from quell.methods.base import middle, plain
from quell.methods.contracts import Batch, DataFacts, Exported, Fidelity, MethodFacts, Need, Stage
from quell.methods.shared.perception import PerceptionConfig, PerceptionMethod
from quell.methods.shared.reference import clean_of
from quell.networks.wasserstein import LAYERS, WassersteinCritic, WassersteinGenerator


class WganPerceptualConfig(PerceptionConfig):
    """Settings of the Wasserstein game; those of the paper and its code by default.

    Attributes
    ----------
    critic_width
        Channels of the first convolutions of the critic.
    critic_steps
        Steps of the critic for one of the generator, each on crops of its own.
    penalty
        Weight of the gradient penalty.
    perceptual
        Weight of the distance of the features.
    residual
        Whether the generator adds to its input; the paper's does not.
    """

    steps: int = Field(80_000, ge=1)
    batch: int = Field(128, ge=1)
    size: int = Field(64, ge=8)
    rate: float = Field(1e-4, gt=0)
    width: int = Field(32, ge=1)
    critic_width: int = Field(64, ge=1)
    critic_steps: int = Field(4, ge=1)
    penalty: float = Field(10.0, ge=0)
    perceptual: float = Field(0.1, ge=0)
    residual: bool = False


class WganPerceptualMethod(PerceptionMethod):
    """A generator that plays against a Wasserstein critic and is held by a perceptual loss.

    Source: Yang, Yan, Zhang, Yu, Shi, Mou, Kalra, Zhang, Sun, Wang, IEEE Transactions on Medical Imaging
    37(6), 2018 (WGAN-VGG), and the authors' public code. Faithful: eight convolutions of 32 channels,
    critic of six convolutions and two full layers, start of the weights, gradient penalty with weight 10
    (the code has 1), four steps of the critic for one of the generator, each on crops of its own,
    perceptual loss with weight 0.1, Adam at 0.0001 with betas of 0.5 and 0.9, 128 crops of 64 x 64. Ours:
    **the perceptual features**. The weights of VGG cannot be had here, so an autoencoder is trained on the
    clean crops in the first stage of the run and frozen afterwards; its deepest features, of unit variance,
    take the place of VGG's. Also ours: no ReLU at the end of the generator, since Hounsfield units are
    negative as well, and zero padding in it; a cosine for the learning rate; gradients cut off at a norm of
    1; neighbouring slices and `residual` where asked for.
    """

    facts = MethodFacts(
        name="wgan-perceptual",
        title="Wasserstein GAN with a perceptual loss, features from our own encoder",
        source="Yang et al., IEEE Trans. Medical Imaging 37(6), 2018 (WGAN-VGG), and the authors' code",
        fidelity=Fidelity.NAMED,
        ours="the perceptual features: an autoencoder trained on clean crops in place of VGG",
        need=Need.PAIRED,
        modalities=(Modality.CT,),
        objects=("anatomy-ct",),
    )
    Config = WganPerceptualConfig
    config: WganPerceptualConfig

    def __init__(self, config: WganPerceptualConfig, data: DataFacts) -> None:
        super().__init__(config, data)
        self.networks["denoiser"] = WassersteinGenerator(config.slices, config.width, config.residual)
        self.networks["critic"] = WassersteinCritic(config.size, config.critic_width)
        for name in ("denoiser", "critic"):
            self.optimisers[name] = self.adam(name, betas=(0.5, 0.9))

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """Return settings for a trial of seconds."""
        return {
            **{"steps": 30, "batch": 4, "size": 32, "width": 16, "rate": 4e-3, "residual": True},
            **{"critic_width": 4, "critic_steps": 1, "perceptual": 10.0},
            **{"prior_width": 4, "prior_share": 0.5, "prior_rate": 5e-2},
        }

    def stage(self, progress: float) -> Stage:
        """Return a stage that draws crops for each step of the critic and one of the generator."""
        usual = super().stage(progress)
        if self.is_first(progress):
            return usual
        return replace(usual, batch=usual.batch * (self.config.critic_steps + 1))

    def later_losses(self, batch: Batch) -> Iterator[tuple[str, Tensor]]:
        """Yield the loss of the critic a few times, then that of the generator, each on its own crops."""
        parts = self.config.critic_steps + 1
        noisy, clean = batch.noisy.chunk(parts), middle(clean_of(batch)).chunk(parts)
        denoiser, critic = self.networks["denoiser"], self.networks["critic"]
        # A batch smaller than its share of a step gives fewer parts.
        for seen, real in zip(noisy[:-1], clean[:-1], strict=True):
            with torch.no_grad():
                fake = denoiser(seen)
            score, penalty = critic(fake, real)
            yield "critic", score + self.config.penalty * penalty
        denoised = denoiser(noisy[-1])
        self.told["content"] = self.perceptual(denoised, clean[-1])
        yield "denoiser", self.config.perceptual * self.told["content"] - critic(denoised)[0]

    def exported(self) -> Exported:
        """Return the generator."""
        return Exported(plain(self.networks["denoiser"]), slices=self.config.slices, halo=LAYERS)


METHOD = WganPerceptualMethod
