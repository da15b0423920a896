"""The U-Net whose untrained shape is the prior of a deep image prior.

After the layout of Cui et al., "PET image denoising using unsupervised deep learning", Eur J Nucl Med Mol
Imaging 46 (2019) 2780: a U-Net in three dimensions. Widths, group normalisation, strided convolutions on
the way down and linear interpolation on the way up are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

_SLOPE = 0.1
_GROUPS = 4


class DeepPriorUNet(nn.Module):
    """A U-Net for planes or volumes of any size.

    Parameters
    ----------
    channels : int
        Of the input.
    widths : sequence of int
        Channels at 1, 1/2, 1/4 ... of the resolution.
    dimensions : int
        2 or 3.
    """

    def __init__(self, channels: int, widths: Sequence[int] = (16, 32, 64, 128), dimensions: int = 3) -> None:
        super().__init__()
        self.mode = "trilinear" if dimensions == 3 else "bilinear"
        pairs = list(pairwise(widths))
        self.stem = _double(channels, widths[0], dimensions)
        self.down = nn.ModuleList(_convolution(a, b, dimensions, stride=2) for a, b in pairs)
        self.encoder = nn.ModuleList(_double(b, b, dimensions) for _, b in pairs)
        self.decoder = nn.ModuleList(_double(a + b, a, dimensions) for a, b in pairs)
        kind = nn.Conv3d if dimensions == 3 else nn.Conv2d
        self.head = kind(widths[0], 1, 1)

    def forward(self, known: Tensor) -> Tensor:
        """Return an image, shape (n, 1, [z,] y, x), of an input (n, channels, [z,] y, x)."""
        features = self.stem(known)
        skips = []
        for down, encode in zip(self.down, self.encoder, strict=True):
            skips.append(features)
            features = encode(down(features))
        for decode, skip in zip(reversed(self.decoder), reversed(skips), strict=True):
            size = skip.shape[2:]
            wide = functional.interpolate(features, size=size, mode=self.mode, align_corners=False)
            features = decode(torch.cat([wide, skip], dim=1))
        image: Tensor = self.head(features)
        return image


def _convolution(channels: int, width: int, dimensions: int, stride: int = 1) -> nn.Sequential:
    kind = nn.Conv3d if dimensions == 3 else nn.Conv2d
    groups = _GROUPS if width % _GROUPS == 0 else 1
    return nn.Sequential(
        kind(channels, width, 3, stride=stride, padding=1, bias=False),
        nn.GroupNorm(groups, width),
        nn.LeakyReLU(_SLOPE),
    )


def _double(channels: int, width: int, dimensions: int) -> nn.Sequential:
    return nn.Sequential(_convolution(channels, width, dimensions), _convolution(width, width, dimensions))
