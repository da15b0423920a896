"""A small U-Net for speckle, trained on log-compressed values; ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor

from quell.errors import QuellError
from quell.image import Modality
from quell.methods.base import BaseMethod, middle, plain
from quell.methods.contracts import (
    Batch,
    DataFacts,
    Exported,
    Fidelity,
    MethodConfig,
    MethodFacts,
    Need,
)
from quell.networks.speckle_cnn import SpeckleCNN


class UltrasoundCNNConfig(MethodConfig):
    """Settings of `UltrasoundCNN`.

    Attributes
    ----------
    widths
        Channels at 1/2, 1/4, ... of the resolution.
    blocks
        Residual blocks at each level.
    epsilon
        Where the loss turns from squared to absolute, in network units (0.02 is 5 grey values).
    """

    widths: tuple[int, ...] = (24, 48, 96)
    blocks: tuple[int, ...] = (1, 1, 2)
    epsilon: float = Field(0.02, gt=0)

    @model_validator(mode="after")
    def _fits(self) -> UltrasoundCNNConfig:
        if len(self.widths) != len(self.blocks) or len(self.widths) < 2:
            raise ValueError("widths and blocks must have the same length, at least 2")
        if min(self.widths) < 1 or min(self.blocks) < 1:
            raise ValueError("widths and blocks must be positive")
        if self.slices % 2 == 0:
            raise ValueError("slices must be odd")
        if self.size % 2 ** len(self.widths):
            raise ValueError(f"size must be a multiple of {2 ** len(self.widths)}, got {self.size}")
        return self


class UltrasoundCNN(BaseMethod):
    """Predict the clean log intensity with a small residual U-Net.

    Source: none of its own. Residual learning of noise is Zhang et al. 2017 (IEEE TIP 26:3142). Ours: that
    it is used on log-compressed values as they are displayed, where speckle is added and has nearly the
    same distribution everywhere; the network; the Charbonnier loss. What it learns to give is the mean of
    the log intensity of the clean images, not the logarithm of the mean: its target must be as bright as
    its input.

    Parameters
    ----------
    config : UltrasoundCNNConfig
    data : DataFacts
    """

    facts: ClassVar[MethodFacts] = MethodFacts(
        name="ultrasound-cnn",
        title="small residual U-Net on log-compressed B-modes",
        source="none; residual learning of noise: Zhang et al. 2017, IEEE TIP 26:3142",
        fidelity=Fidelity.OURS,
        ours="network, loss, training on displayed values",
        need=Need.PAIRED,
        modalities=(Modality.US,),
        objects=("anatomy-us", "us-cysts"),
        doses=(1.0,),
    )
    Config: ClassVar[type[MethodConfig]] = UltrasoundCNNConfig

    def __init__(self, config: UltrasoundCNNConfig, data: DataFacts) -> None:
        super().__init__(config, data)
        self.networks["denoiser"] = SpeckleCNN(config.slices, config.widths, config.blocks)
        self.optimisers["denoiser"] = self.adam("denoiser")

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """Return settings for a training of seconds."""
        return {"steps": 60, "batch": 2, "size": 32, "rate": 0.015, "widths": (8, 12), "blocks": (1, 1)}

    def losses(self, batch: Batch, progress: float) -> Iterator[tuple[str, Tensor]]:
        """Yield the Charbonnier loss."""
        yield "denoiser", charbonnier(self.networks["denoiser"], batch, self.config.epsilon)

    def exported(self) -> Exported:
        """Return the network."""
        network = plain(self.networks["denoiser"])
        assert isinstance(network, SpeckleCNN)
        return Exported(network, self.config.slices, multiple=network.multiple, halo=network.halo)


def charbonnier(network: torch.nn.Module, batch: Batch, epsilon: float) -> Tensor:
    """Return the mean of ``sqrt(error^2 + epsilon^2) - epsilon`` (Charbonnier et al. 1994, ICIP)."""
    if batch.clean is None:
        raise QuellError("this method needs clean images beside the noisy ones")
    error = network(batch.noisy) - middle(batch.clean)
    return (torch.sqrt(error**2 + epsilon**2) - epsilon).mean()


METHOD = UltrasoundCNN
