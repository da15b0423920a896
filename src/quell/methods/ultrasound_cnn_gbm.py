"""A network, and boosted trees on what it leaves over; ours."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, ClassVar

import torch
from lightning_fabric import Fabric
from pydantic import Field, model_validator
from torch import Tensor

from quell.image import Modality
from quell.methods.base import BaseMethod, plain
from quell.methods.contracts import (
    Batch,
    DataFacts,
    Exported,
    Fidelity,
    MethodConfig,
    MethodFacts,
    Need,
    Stage,
)
from quell.methods.shared.pixel_boosting import (
    PixelBoosting,
    PixelBoostingConfig,
    bank_for,
    behind,
    kept_back,
)
from quell.methods.ultrasound_cnn import UltrasoundCNNConfig, charbonnier
from quell.networks.boosted_speckle import OUTPUTS, BoostedSpeckle
from quell.networks.speckle_cnn import SpeckleCNN


class UltrasoundCNNGBMConfig(UltrasoundCNNConfig):
    """Settings of `UltrasoundCNNGBM`: those of the network, and of the boosting.

    Attributes
    ----------
    trees
        For the image.
    boosting
        How pixels are collected and trees grown. The steps that boosting does not take train the network.
    share
        Of the time, for the boosting, where a clock ends the training before its steps are done.
    """

    trees: int = Field(60, ge=1, le=1000)
    share: float = Field(0.2, gt=0, lt=1)
    boosting: PixelBoostingConfig = PixelBoostingConfig()

    @property
    def network_steps(self) -> int:
        """Steps of the first stage."""
        return self.steps - self.boosting.gather - self.trees - self.boosting.interval

    @model_validator(mode="after")
    def _leaves_steps(self) -> UltrasoundCNNGBMConfig:
        if self.network_steps < 1:
            raise ValueError(f"boosting takes all {self.steps} steps: none is left for the network")
        return self


class UltrasoundCNNGBM(BaseMethod):
    """Add boosted trees, which see features and network, to what a network gives.

    Source: none. No paper that pairs a network with gradient boosting to take speckle out was found. Ours:
    everything. The first stage is that of `UltrasoundCNN`; then the network as it is at that step is kept
    apart and changes no more (what the training loop does to `networks` later, such as averaging weights,
    no longer reaches it), and `PixelBoosting` grows trees from its output on. Every fourth patient is kept
    from network and trees, and says how many trees are used: none, where they would not help.

    Parameters
    ----------
    config : UltrasoundCNNGBMConfig
    data : DataFacts

    Raises
    ------
    QuellError
        At the first tree, where LightGBM is not installed.
    """

    facts: ClassVar[MethodFacts] = MethodFacts(
        name="ultrasound-cnn-gbm",
        title="small U-Net on log-compressed B-modes, then gradient boosting on what it leaves over",
        source="none",
        fidelity=Fidelity.OURS,
        ours="everything",
        need=Need.PAIRED,
        modalities=(Modality.US,),
        objects=("anatomy-us", "us-cysts"),
        doses=(1.0,),
    )
    Config: ClassVar[type[MethodConfig]] = UltrasoundCNNGBMConfig

    def __init__(self, config: UltrasoundCNNGBMConfig, data: DataFacts) -> None:
        super().__init__(config, data)
        network = SpeckleCNN(config.slices, config.widths, config.blocks)
        self.networks["denoiser"] = network
        self.optimisers["denoiser"] = self.adam("denoiser")
        module = BoostedSpeckle(
            bank_for(data),
            config.trees,
            config.boosting.growth.depth,
            interval=config.boosting.interval,
            network=copy.deepcopy(network),
        )
        self.boosting = PixelBoosting(module, config.boosting)
        self.trained = 0
        self.frozen = False

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """Return settings for a training of seconds."""
        growth = {"depth": 3, "fewest": 5}
        boosting = {"gather": 4, "pixels": 400, "interval": 3, "growth": growth}
        net = {"widths": (8, 12), "blocks": (1, 1), "rate": 0.006}
        return {"steps": 30, "batch": 2, "size": 32, "trees": 8, **net, "boosting": boosting}

    def setup(self, fabric: Fabric) -> None:
        """Put networks and optimisers on the devices."""
        super().setup(fabric)
        self.boosting.module.to(fabric.device)

    def stage(self, progress: float) -> Stage:
        """Return what is drawn; the boosting sees fewer and larger crops, nearer to whole images."""
        settings = self.config
        if progress * settings.steps < settings.network_steps and not self.frozen:
            return Stage("network", settings.batch, (settings.slices, settings.size, settings.size))
        patch = (settings.slices, 2 * settings.size, 2 * settings.size)
        return Stage("boosting", max(1, settings.batch // 4), patch)

    def losses(self, batch: Batch, progress: float) -> Iterator[tuple[str, Tensor]]:
        """Yield the Charbonnier loss of the network."""
        yield "denoiser", charbonnier(self.networks["denoiser"], batch, self.config.epsilon)

    def rate(self, progress: float) -> float:
        """Return the factor of the learning rate, which ends with the first stage."""
        return super().rate(min(progress / self._end(progress), 1.0))

    def step(self, batch: Batch, progress: float, fabric: Fabric) -> Mapping[str, float]:
        """Train the network on the patients that are not kept back, or boost."""
        end, hurried = self._end(progress), self._hurried(progress)
        over = self.trained >= self.config.network_steps or (hurried and progress >= end)
        if not self.frozen and not over:
            self.trained += 1
            return self._train(batch, progress, fabric)
        self._freeze()
        return self.boosting.step(batch, fabric, (progress - end) / (1 - end) if hurried else 0.0)

    def _train(self, batch: Batch, progress: float, fabric: Fabric) -> Mapping[str, float]:
        seen = _of(batch, ~kept_back(batch))
        if len(seen.noisy):
            return super().step(seen, progress, fabric)
        with torch.no_grad():
            return {name: float(loss) for name, loss in self.losses(batch, progress)}

    def _hurried(self, progress: float) -> bool:
        return behind(progress, self.config.steps, self.trained + self.boosting.taken)

    def _end(self, progress: float) -> float:
        """Return the progress at which the network is done: by its steps, or by the clock."""
        settings = self.config
        by_steps: float = settings.network_steps / settings.steps
        by_clock: float = 1 - settings.share
        return by_clock if self._hurried(progress) else by_steps

    def state(self) -> dict[str, Any]:
        """Return network, optimiser, pixels and trees."""
        return super().state() | {
            "trained": self.trained,
            "frozen": self.frozen,
            "boosting": self.boosting.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, to the bit."""
        super().restore(state)
        self.trained, self.frozen = int(state["trained"]), bool(state["frozen"])
        self.boosting.restore(state["boosting"])

    def exported(self) -> Exported:
        """Return network, features and trees; before the boosting, the network as it is without them."""
        network = plain(self.networks["denoiser"])
        assert isinstance(network, SpeckleCNN)
        if self.frozen:
            module = self.boosting.module
        else:
            # A copy: the network goes on learning in place.
            module = copy.deepcopy(self.boosting.module)
            module.network = copy.deepcopy(network)
        return Exported(module.eval(), self.config.slices, 2, network.multiple, module.halo, OUTPUTS)

    def _freeze(self) -> None:
        if self.frozen:
            return
        held = self.boosting.module.network
        assert held is not None
        held.load_state_dict(plain(self.networks["denoiser"]).state_dict())
        held.requires_grad_(False)
        self.frozen = True


def _of(batch: Batch, chosen: Tensor) -> Batch:
    """Return some crops of a batch."""
    held = {one.name: getattr(batch, one.name) for one in fields(batch)}
    parts: dict[str, Any] = {name: v if v is None else v[chosen] for name, v in held.items()}
    return Batch(**parts)


METHOD = UltrasoundCNNGBM
