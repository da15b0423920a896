"""A U-Net for counts that sees their square root and does not care for their unit.

The square root makes the standard deviation of Poisson counts the same at all levels (Bartlett, J. R. Stat.
Soc. Suppl. 3:68, 1936). Convolutions without biases make a network homogeneous, so that it treats all
levels of noise alike (Mohan, Kadkhodaie, Simoncelli and Fernandez-Granda, ICLR 2020). Both together give a
network f with ``f(a x) = a f(x)`` for every a > 0, exactly.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from quell.networks.unet2d import UNet2d


class RootUNet(nn.Module):
    """Estimate expected counts from counts, both in one arbitrary unit.

    Parameters
    ----------
    slices : int
        Neighbouring slices in.
    widths : sequence of int
        See `UNet2d`.
    """

    def __init__(self, slices: int = 1, widths: Sequence[int] = (32, 64, 128, 256, 512)) -> None:
        super().__init__()
        self.unet = UNet2d(slices, 1, widths, bias=False)
        self.multiple, self.halo = self.unet.multiple, self.unet.halo

    def forward(self, counts: Tensor) -> Tensor:
        """Return expected counts, shape (n, 1, y, x), of counts, shape (n, slices, y, x).

        The output is squared with its sign, so that it is unique where the root of the counts is near 0; it
        can be a little below zero, which `Counts` ends.
        """
        root: Tensor = self.unet(torch.sqrt(torch.relu(counts)))
        return root * root.abs()


class Counts(nn.Module):
    """A network whose output is never negative; for use, since nothing is learned below zero.

    Parameters
    ----------
    network : nn.Module
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, counts: Tensor) -> Tensor:
        """Return the output of the network, zero where it is negative."""
        return torch.relu(self.network(counts))
