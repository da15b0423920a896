"""Which weights of a trained network are tuned, and networks in other units."""

from __future__ import annotations

import inspect
from enum import Enum
from typing import Any

import torch
from torch import Tensor, nn

from quell.methods.contracts import Exported
from quell.methods.shared.transfer_base import Units
from quell.networks.low_rank import adapt, merge


class Mode(str, Enum):
    """What is tuned."""

    FROZEN = "frozen"
    """The last layers; the rest stays as it is."""
    ADAPTER = "adapter"
    """Low-rank changes of all convolutions and linear layers; the weights stay as they are."""
    FULL = "full"
    """Everything, at a tenth of the rate."""


def open_for_tuning(exported: Exported, mode: Mode, layers: int, rank: int) -> None:
    """Freeze what is not tuned, and add adapters, in place.

    Parameters
    ----------
    exported : Exported
    mode : Mode
    layers : int
        Last layers that are tuned in mode frozen.
    rank : int
        Of adapters.
    """
    module = merge(exported.module)
    if mode is Mode.FULL:
        return
    last = layers_in_order(exported)[-layers:]
    module.requires_grad_(False)
    if mode is Mode.FROZEN:
        for layer in last:
            layer.requires_grad_(True)
    else:
        adapt(module, rank)


def layers_in_order(exported: Exported) -> list[nn.Module]:
    """Return the modules with trainable weights of their own in the order in which they are run last."""
    ran: dict[nn.Module, None] = {}

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        ran.pop(module, None)
        ran[module] = None

    def own(module: nn.Module) -> bool:
        return any(p.requires_grad for p in module.parameters(recurse=False))

    hooks = [m.register_forward_hook(note) for m in exported.module.modules() if own(m)]
    try:
        with torch.no_grad():
            exported.module(*example(exported))
    finally:
        for hook in hooks:
            hook.remove()
    return list(ran)


def example(exported: Exported) -> tuple[Tensor, ...]:
    """Return inputs of the smallest size that suits a model."""
    side = exported.multiple * -(-32 // exported.multiple)
    flat = exported.dimensions == 2
    stack = torch.zeros(1, exported.slices, side, side) if flat else torch.zeros(1, 1, side, side, side)
    given = [stack] + [stack] * exported.prior
    return (*given, stack[:, :1]) if exported.samples else tuple(given)


def tuned_optimiser(
    optimiser: torch.optim.Optimizer | None, parameters: list[nn.Parameter], rate: float
) -> torch.optim.Optimizer:
    """Return an optimiser of the kind and the settings of another for other parameters; Adam where none."""
    if optimiser is None:
        return torch.optim.Adam(parameters, lr=rate)
    taken = inspect.signature(type(optimiser)).parameters
    options = {key: value for key, value in optimiser.defaults.items() if key in taken}
    made: torch.optim.Optimizer = type(optimiser)(parameters, **{**options, "lr": rate})
    return made


class InOtherUnits(nn.Module):
    """A model behind a change of units and back.

    Parameters
    ----------
    module : nn.Module
    units : Units
    outputs : tuple of str
        What the model gives; a spread has no offset.
    """

    def __init__(self, module: nn.Module, units: Units, outputs: tuple[str, ...]) -> None:
        super().__init__()
        self.module_inside, self.units, self.outputs = module, units, outputs

    def forward(self, stack: Tensor, *others: Tensor) -> Any:
        """Return what the model gives, in the units of the input."""
        gain, offset = self.units.gain, self.units.offset
        given = self.module_inside(stack * gain + offset, *others)
        if len(self.outputs) == 1:
            return (given - offset) / gain
        return tuple(
            (value - (0.0 if name == "spread" else offset)) / gain
            for name, value in zip(self.outputs, given, strict=True)
        )
