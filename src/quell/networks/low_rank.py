"""Low-rank changes of the weights of a trained network.

Hu et al., "LoRA: Low-rank adaptation of large language models", ICLR 2022, equation 3: the weight W becomes
W + B A with B zero at first. Here for convolutions, whose weight is read as a matrix of output channels
by everything else.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

KINDS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.Linear)
"""Layers that are adapted."""


class LowRank(nn.Module):
    """Add a matrix of low rank to a weight; nothing at first.

    Parameters
    ----------
    weight : Tensor
    rank : int
        Bounded by the rank that the weight can have.
    """

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        rows, columns = weight.shape[0], weight[0].numel()
        rank = min(rank, rows, columns)
        self.down = nn.Parameter(weight.new_empty(rank, columns).normal_(std=1 / math.sqrt(columns)))
        self.up = nn.Parameter(weight.new_zeros(rows, rank))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the changed weight, of the same shape."""
        # Sums of products rather than a matrix product: the exporter folds them into one constant.
        change = self.up[:, :1] * self.down[:1]
        for r in range(1, self.down.shape[0]):
            change = change + self.up[:, r : r + 1] * self.down[r : r + 1]
        return weight + change.reshape(weight.shape)


def adapt(network: nn.Module, rank: int) -> list[nn.Parameter]:
    """Put adapters on all convolutions and linear layers of a network, in place.

    Returns
    -------
    list of nn.Parameter
        Those of the adapters.
    """
    layers = [m for m in network.modules() if isinstance(m, KINDS)]
    added: list[nn.Parameter] = []
    for layer in layers:
        change = LowRank(layer.weight.detach(), rank)
        parametrize.register_parametrization(layer, "weight", change)
        added += list(change.parameters())
    return added


def merge(network: nn.Module) -> nn.Module:
    """Turn adapted weights into plain ones, in place; the network computes the same as before."""
    for module in list(network.modules()):
        if parametrize.is_parametrized(module, "weight"):
            with torch.no_grad():
                parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
    return network
