"""An autoencoder of clean images: features that know what clean images look like. Ours.

The features of the encoder have unit variance in each channel, so that a distance between them means the
same whatever the scale of the images. What passes to the decoder is narrow: a quarter of the numbers of the
image by default, so that the noise of an image does not all come through.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

LEVELS = 3
"""Resolutions: full, a half, a quarter."""

MULTIPLE = 2 ** (LEVELS - 1)


class FeatureEncoder(nn.Module):
    """Two convolutions at each of three resolutions.

    Parameters
    ----------
    width : int
        Channels at full resolution; twice as many at each next.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.widths = tuple(width * 2**level for level in range(LEVELS))
        self.first = nn.Conv2d(1, width, 3, padding=1)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(self.widths))
        self.second = nn.ModuleList(nn.Conv2d(w, w, 3, padding=1) for w in self.widths)
        self.third = nn.ModuleList(nn.Conv2d(w, w, 3, padding=1) for w in self.widths[1:])
        self.unit = nn.ModuleList(_unit_variance(w) for w in self.widths)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return features at full, half and quarter resolution of a slice, shape (n, 1, y, x)."""
        features: list[Tensor] = []
        current = torch.relu(self.first(image))
        for level in range(LEVELS):
            if level:
                current = torch.relu(self.down[level - 1](torch.relu(features[-1])))
                current = torch.relu(self.third[level - 1](current))
            features.append(self.unit[level](self.second[level](current)))
        return tuple(features)


class PriorAutoencoder(nn.Module):
    """An encoder, a narrow code at a quarter of the resolution, a decoder.

    Parameters
    ----------
    width : int
        Channels at full resolution.
    code : int
        Numbers for each 4 x 4 pixels that the decoder is given.
    """

    def __init__(self, width: int = 32, code: int = 4) -> None:
        super().__init__()
        self.encoder = FeatureEncoder(width)
        a, b, c = self.encoder.widths
        self.narrow = nn.Conv2d(c, code, 1)
        self.decoder = nn.Sequential(
            *(nn.Conv2d(code, c, 1), nn.ReLU()),
            *(nn.Conv2d(c, c, 3, padding=1), nn.ReLU(), nn.ConvTranspose2d(c, b, 2, stride=2), nn.ReLU()),
            *(nn.Conv2d(b, b, 3, padding=1), nn.ReLU(), nn.ConvTranspose2d(b, a, 2, stride=2), nn.ReLU()),
            *(nn.Conv2d(a, a, 3, padding=1), nn.ReLU(), nn.Conv2d(a, 1, 3, padding=1)),
        )

    def forward(self, image: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return what the code keeps of a slice, shape (n, 1, y, x), and the features of the encoder."""
        features = self.encoder(image)
        kept: Tensor = self.decoder(self.narrow(torch.relu(features[-1])))
        return kept, features


def _unit_variance(width: int) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(width, eps=1e-6, affine=False)
    assert layer.running_var is not None
    # From 1, where PyTorch starts, it takes a hundred steps to reach the small variances that there are.
    nn.init.constant_(layer.running_var, 0.01)
    return layer
