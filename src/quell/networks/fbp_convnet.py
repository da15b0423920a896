"""A U-Net with batch normalisation that corrects an image: FBPConvNet.

Ronneberger, Fischer, Brox, "U-Net: convolutional networks for biomedical image segmentation", MICCAI 2015;
Jin, McCann, Froustey, Unser, "Deep convolutional neural network for inverse problems in imaging", IEEE
Transactions on Image Processing 26(9), 2017; layers after the public code of the latter, which pads with
zeros, normalises batches and adds the input to the output.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn


class Doubling(nn.Module):
    """A transposed 3 x 3 convolution that doubles rows and columns, batch normalisation and ReLU.

    Parameters
    ----------
    inputs, width : int
        Channels in and out.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.convolution = nn.ConvTranspose2d(inputs, width, 3, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, features: Tensor) -> Tensor:
        """Return features of shape (n, width, 2 y, 2 x)."""
        # Of 2 n + 1 rows and columns the authors cut off the last.
        return torch.relu(self.norm(self.convolution(features)[:, :, :-1, :-1]))


class FBPConvNet(nn.Module):
    """U-Net with two convolutions a level, three at the first, and a path from the input to the output.

    Parameters
    ----------
    slices : int
        Neighbouring slices in, an odd number; the middle one is denoised.
    width : int
        Channels at full resolution; twice as many a level further down.
    depth : int
        Times that the resolution is halved; rows and columns must be multiples of ``2 ** depth``.
    """

    def __init__(self, slices: int = 1, width: int = 64, depth: int = 4) -> None:
        super().__init__()
        self.centre = slices // 2
        widths = [width * 2**level for level in range(depth + 1)]
        self.encoder = nn.ModuleList([_convolutions(slices, width, 3)])
        self.encoder.extend(_convolutions(a, b, 2) for a, b in pairwise(widths))
        self.pool = nn.MaxPool2d(2)
        self.up = nn.ModuleList(Doubling(2 * w, w) for w in widths[:-1])
        self.decoder = nn.ModuleList(_convolutions(2 * w, w, 2) for w in widths[:-1])
        self.last = nn.Conv2d(width, 1, 1)
        # As the authors draw them; otherwise training starts a hundred times worse than the input.
        nn.init.normal_(self.last.weight, std=0.01)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    @staticmethod
    def halo(depth: int) -> int:
        """Return how many pixels an output pixel sees on each side, at most.

        The convolutions make ``6 * 2 ** depth - 3``, the doublings ``2 * 2 ** depth - 2``, the grid of the
        lowest level one cell more; rounded up to a multiple of a cell.
        """
        return int(9 * 2**depth)

    def forward(self, stack: Tensor) -> Tensor:
        """Return the middle slice denoised, shape (n, 1, y, x), of a stack (n, slices, y, x)."""
        features, kept = stack, []
        for level, block in enumerate(self.encoder):
            features = block(self.pool(features) if level else features)
            kept.append(features)
        for level in reversed(range(len(self.decoder))):
            features = self.decoder[level](torch.cat((kept[level], self.up[level](features)), dim=1))
        correction: Tensor = self.last(features)
        return stack[:, self.centre : self.centre + 1] + correction


def _convolutions(inputs: int, width: int, count: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inputs, *[width] * (count - 1)):
        convolution = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*layers)
