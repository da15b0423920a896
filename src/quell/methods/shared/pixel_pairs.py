"""Two images of half the size out of one: two pixels of each cell of two by two.

Huang et al., "Neighbor2Neighbor: Self-supervised denoising from single noisy images", CVPR 2021.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

_PAIRS = ((0, 1), (1, 0), (0, 2), (2, 0), (1, 3), (3, 1), (2, 3), (3, 2))
"""Ordered pairs of direct neighbours in a cell, its pixels counted along rows."""


@dataclass(frozen=True, eq=False)
class PixelPairs:
    """Which two pixels of each cell are drawn.

    Attributes
    ----------
    choice : Tensor of int, shape (n, 2, rows, columns)
        Numbers of the first and the second pixel within the cell, 0 to 3.
    """

    choice: Tensor

    @classmethod
    def draw(cls, like: Tensor) -> PixelPairs:
        """Draw a pair of neighbours in each cell of images (n, slices, y, x) with even rows and columns."""
        n, _, rows, columns = like.shape
        pairs = torch.tensor(_PAIRS, device=like.device)
        picked = torch.randint(len(_PAIRS), (n, rows // 2, columns // 2), device=like.device)
        return cls(pairs[picked].movedim(-1, 1))

    def take(self, images: Tensor, which: int) -> Tensor:
        """Return the first (0) or the second (1) pixel of each cell, (n, slices, y / 2, x / 2)."""
        n, slices, rows, columns = images.shape
        cells = images.reshape(n, slices, rows // 2, 2, columns // 2, 2)
        four = cells.permute(0, 1, 2, 4, 3, 5).flatten(4)
        index = self.choice[:, which, None, :, :, None].expand(n, slices, -1, -1, 1)
        return four.gather(4, index)[..., 0]


def on_lattice(images: Tensor, stride: int, multiple: int) -> Tensor:
    """Return every `stride`-th pixel from a random corner, cut to a multiple of `multiple`."""
    oy, ox = (int(torch.randint(stride, (1,)).item()) for _ in range(2)) if stride > 1 else (0, 0)
    coarse = images[..., oy::stride, ox::stride]
    rows, columns = ((images.shape[-2 + i] // stride) // multiple * multiple for i in range(2))
    return coarse[..., :rows, :columns]


def neighbour_loss(network: Callable[[Tensor], Tensor], noisy: Tensor, weight: float) -> Tensor:
    """Return the loss of Neighbor2Neighbor.

    ``|R(g1 y) - g2 y|^2 + weight |R(g1 y) - g2 y - (g1 R(y) - g2 R(y))|^2``, with no gradient through
    R(y); the second term takes away what the two pixels differ in truth. Divided by 1 + weight, so that
    losses of different weights can be compared.

    Parameters
    ----------
    network : callable
        From (n, slices, y, x) to the middle slice (n, 1, y, x).
    noisy : Tensor, shape (n, slices, y, x)
    weight : float
    """
    pairs = PixelPairs.draw(noisy)
    centre = noisy.shape[1] // 2
    with torch.no_grad():
        whole = network(noisy)
        truth = pairs.take(whole, 0) - pairs.take(whole, 1)
    error = network(pairs.take(noisy, 0)) - pairs.take(noisy[:, centre : centre + 1], 1)
    return (error.square().mean() + weight * (error - truth).square().mean()) / (1 + weight)


class OnLattices(nn.Module):
    """Run a network on each of the ``stride ** 2`` sub-images of every `stride`-th pixel.

    Parameters
    ----------
    network : nn.Module
        From (n, slices, y, x) to (n, 1, y, x).
    slices, stride : int
    """

    def __init__(self, network: nn.Module, slices: int, stride: int) -> None:
        super().__init__()
        self.network, self.slices, self.stride = network, slices, stride

    def forward(self, stack: Tensor) -> Tensor:
        """Return the denoised middle slice; rows and columns must be a multiple of the stride."""
        rows, columns = stack.shape[2] // self.stride, stack.shape[3] // self.stride
        parts = functional.pixel_unshuffle(stack, self.stride)
        squared = self.stride**2
        parts = parts.reshape(-1, self.slices, squared, rows, columns).transpose(1, 2)
        done = self.network(parts.reshape(-1, self.slices, rows, columns))
        return functional.pixel_shuffle(done.reshape(-1, squared, rows, columns), self.stride)
