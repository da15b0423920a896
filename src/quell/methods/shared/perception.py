"""A first stage that learns an autoencoder of clean images, which then stands still and compares features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

from lightning_fabric import Fabric
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from quell.methods.base import BaseMethod, middle, plain
from quell.methods.contracts import Batch, DataFacts, Stage
from quell.methods.shared.reference import StackConfig, clean_of
from quell.networks.prior_autoencoder import MULTIPLE, PriorAutoencoder


class PerceptionConfig(StackConfig):
    """Settings of methods that compare features of an autoencoder of their own.

    Attributes
    ----------
    prior_share
        Share of the steps in which the autoencoder is trained.
    prior_rate
        Learning rate of the autoencoder.
    prior_width
        Channels of the autoencoder at full resolution.
    prior_code
        Numbers that it keeps of 4 x 4 pixels.
    """

    prior_share: float = Field(0.1, gt=0, lt=1)
    prior_rate: float = Field(1e-3, gt=0)
    prior_width: int = Field(32, ge=1)
    prior_code: int = Field(4, ge=1)

    @model_validator(mode="after")
    def _whole_cells(self) -> PerceptionConfig:
        if self.size % MULTIPLE:
            raise ValueError(f"size must be a multiple of {MULTIPLE}: the autoencoder halves it twice")
        if self.prior_share * self.steps < 1:
            raise ValueError(
                f"a share of {self.prior_share:g} of {self.steps} steps leaves none for the autoencoder"
            )
        return self


class PerceptionMethod(BaseMethod, ABC):
    """A network ``prior`` that is trained first on clean slices and frozen then.

    A method makes its other networks and optimisers in its constructor and yields their losses from
    `later_losses`; `told` holds figures that are told besides, the first of them first.
    """

    config: PerceptionConfig

    def __init__(self, config: PerceptionConfig, data: DataFacts) -> None:
        super().__init__(config, data)
        self.networks["prior"] = PriorAutoencoder(config.prior_width, config.prior_code)
        self.optimisers["prior"] = self.adam("prior", rate=config.prior_rate)
        self.told: dict[str, Tensor] = {}

    def is_first(self, progress: float) -> bool:
        """Whether the autoencoder is still trained."""
        return progress < self.config.prior_share

    def stage(self, progress: float) -> Stage:
        """Return the stage ``prior`` or ``train``."""
        usual = super().stage(progress)
        return Stage("prior", usual.batch, usual.patch) if self.is_first(progress) else usual

    def rate(self, progress: float) -> float:
        """Return the factor of the learning rate; each stage has its own warm-up and cosine."""
        share = self.config.prior_share
        if self.is_first(progress):
            return super().rate(progress / share)
        return super().rate((progress - share) / (1 - share))

    def losses(self, batch: Batch, progress: float) -> Iterator[tuple[str, Tensor]]:
        """Yield the loss of the autoencoder, or those of the method."""
        if not self.is_first(progress):
            yield from self.later_losses(batch)
            return
        clean = middle(clean_of(batch))
        yield "prior", functional.mse_loss(self.networks["prior"](clean)[0], clean)

    @abstractmethod
    def later_losses(self, batch: Batch) -> Iterator[tuple[str, Tensor]]:
        """Yield names of optimisers and losses once the autoencoder is frozen."""

    def step(self, batch: Batch, progress: float, fabric: Fabric) -> Mapping[str, float]:
        """Learn from one batch; return what was put into `told`, then the losses."""
        plain(self.networks["prior"]).train(self.is_first(progress))
        self.told = {}
        losses = super().step(batch, progress, fabric)
        return {**{name: float(value.detach()) for name, value in self.told.items()}, **losses}

    def look(self, image: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return what the frozen autoencoder keeps of a slice, and its features; see `PriorAutoencoder`.

        Gradients reach the slice and not the autoencoder.
        """
        kept, features = frozen(plain(self.networks["prior"]), image)
        return kept, features

    def perceptual(self, denoised: Tensor, clean: Tensor) -> Tensor:
        """Return the mean squared distance of the deepest features; 2 for two slices that share nothing."""
        encoder = plain(self.networks["prior"]).encoder
        assert isinstance(encoder, nn.Module)
        return functional.mse_loss(frozen(encoder, denoised)[-1], frozen(encoder, clean)[-1])


def frozen(network: nn.Module, image: Tensor) -> Any:
    """Apply a network whose weights get no gradient."""
    weights = {name: value.detach() for name, value in network.named_parameters()}
    return functional_call(network, weights, (image,))
