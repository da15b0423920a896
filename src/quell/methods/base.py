"""What most methods do alike: Adam, a cosine of the learning rate, one step for each optimiser in turn."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from quell.image import Modality
from quell.methods.contracts import Batch, DataFacts, Exported, MethodConfig, MethodFacts, Stage
from quell.models.scaling import Scaling, usual_scaling

WARM_UP = 100
"""Steps in which the learning rate rises, a third of all steps at most."""

CLIP = 1.0
"""Largest norm of the gradient."""


class BaseMethod:
    """The usual training of networks; a method overrides what it does in its own way.

    A method makes `networks` and `optimisers` (by the same or other names) in its constructor and yields
    losses from `losses`.

    Parameters
    ----------
    config : MethodConfig
    data : DataFacts
    """

    facts: ClassVar[MethodFacts]
    Config: ClassVar[type[MethodConfig]] = MethodConfig

    def __init__(self, config: Any, data: DataFacts) -> None:
        self.config, self.data = config, data
        self.networks: dict[str, nn.Module] = {}
        self.optimisers: dict[str, Any] = {}

    @classmethod
    def scaling(cls, modality: Modality) -> Scaling:
        """Return how images of a modality become numbers for the network."""
        return usual_scaling(modality)

    def adam(self, *names: str, rate: float | None = None, **options: Any) -> torch.optim.Adam:
        """Return Adam over the parameters of networks, with the rate of the settings."""
        parameters = [p for name in names for p in self.networks[name].parameters() if p.requires_grad]
        return torch.optim.Adam(parameters, lr=rate or self.config.rate, **options)

    def setup(self, fabric: Fabric) -> None:
        """Put networks and optimisers on the devices."""
        self.networks = {
            name: fabric.setup_module(_channels_last(net)) for name, net in self.networks.items()
        }
        self.optimisers = {name: fabric.setup_optimizers(o) for name, o in self.optimisers.items()}
        self._rates = {name: [g["lr"] for g in o.param_groups] for name, o in self.optimisers.items()}

    def stage(self, progress: float) -> Stage:
        """Return the one stage of the settings."""
        return Stage("train", self.config.batch, (self.config.slices, self.config.size, self.config.size))

    def rate(self, progress: float) -> float:
        """Return the factor of the learning rate: a warm-up, then a cosine."""
        warm: float = min(1.0, (progress * self.config.steps + 1) / min(WARM_UP, 1 + self.config.steps / 3))
        return warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))

    def losses(self, batch: Batch, progress: float) -> Iterator[tuple[str, Tensor]]:
        """Yield the name of an optimiser and the loss that it lowers, one after the other.

        The loop steps the optimiser between two yields, so that what comes later sees the new weights.
        """
        raise NotImplementedError(f"{type(self).__name__} says nothing of its losses")

    def step(self, batch: Batch, progress: float, fabric: Fabric) -> Mapping[str, float]:
        """Learn from one batch; return losses by name of the optimiser."""
        told: dict[str, Tensor] = {}
        factor = self.rate(progress)
        for name, loss in self.losses(batch, progress):
            optimiser = self.optimisers[name]
            for group, rate in zip(optimiser.param_groups, self._rates[name], strict=True):
                group["lr"] = rate * factor
            optimiser.zero_grad(set_to_none=True)
            fabric.backward(loss)
            parameters = [p for group in optimiser.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(parameters, CLIP)
            optimiser.step()
            told[name] = loss.detach()
        return {name: float(value) for name, value in told.items()}

    def state(self) -> dict[str, Any]:
        """Return weights and optimisers."""
        return {
            "networks": {name: plain(net).state_dict() for name, net in self.networks.items()},
            "optimisers": {name: o.state_dict() for name, o in self.optimisers.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        for name, weights in state["networks"].items():
            plain(self.networks[name]).load_state_dict(weights)
        for name, told in state["optimisers"].items():
            self.optimisers[name].load_state_dict(told)

    def exported(self) -> Exported:
        """Return the network ``denoiser``."""
        return Exported(plain(self.networks["denoiser"]), slices=self.config.slices)


def _channels_last(network: nn.Module) -> nn.Module:
    """Lay out the weights of two dimensions as a CPU likes them best; those of three have no such layout."""
    for part in network.modules():
        if isinstance(part, (nn.Conv2d, nn.ConvTranspose2d)):
            part.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def plain(network: nn.Module) -> nn.Module:
    """Return a network without what Fabric wrapped around it."""
    inner = getattr(network, "module", None)
    return plain(inner) if isinstance(inner, nn.Module) and hasattr(network, "_forward_module") else network


def middle(stack: Tensor) -> Tensor:
    """Return the slice that counts, shape (n, 1, y, x), of a stack (n, slices, y, x)."""
    centre = stack.shape[1] // 2
    return stack[:, centre : centre + 1]
