"""A plain 3-D U-Net, after Çiçek et al., MICCAI 2016 (doi 10.1007/978-3-319-46723-8_49).

As there: two 3 x 3 x 3 convolutions at each level and skips that are concatenated. Ours: padded
convolutions, down by a convolution with stride 2, up by trilinear interpolation or by a transposed
convolution, leaky ReLU of slope 0.1, no normalisation layers, and on request an output that is added to the
input. Widths of 16, 32, 64 and 128 suit volumes of emission tomography.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from quell.networks.unet2d import Up, reach, start_plain


class UNet3d(nn.Module):
    """A 3-D U-Net.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    widths : sequence of int
        Channels at 1, 1/2, 1/4 ... of the resolution; as many levels as entries.
    residual : bool
        Whether the output is added to the first channel of the input; `outputs` must be 1. The network then
        starts as the identity.
    up : {"linear", "transposed"}
    convolutions : int
        Convolutions at each level, on the way down and on the way up.
    slope : float
        Of the leaky ReLU below zero.

    Raises
    ------
    ValueError
        If there is no level, or a residual of several outputs is asked for.
    """

    def __init__(
        self,
        inputs: int = 1,
        outputs: int = 1,
        widths: Sequence[int] = (16, 32, 64, 128),
        residual: bool = False,
        up: Up = "linear",
        convolutions: int = 2,
        slope: float = 0.1,
    ) -> None:
        super().__init__()
        if not widths or convolutions < 1:
            raise ValueError("a U-Net has at least one level of at least one convolution")
        if residual and outputs != 1:
            raise ValueError("a residual is added to one channel: outputs must be 1")
        self.residual = residual
        self.multiple = 2 ** (len(widths) - 1)
        self.halo = reach(len(widths), convolutions)
        pairs = list(pairwise(widths))
        first = [inputs, *widths[1:]]
        self.encoders = nn.ModuleList(
            _convolutions(a, b, convolutions, slope) for a, b in zip(first, widths, strict=True)
        )
        self.downs = nn.ModuleList(
            nn.Sequential(nn.Conv3d(a, b, 3, stride=2, padding=1), nn.LeakyReLU(slope)) for a, b in pairs
        )
        self.ups = nn.ModuleList(_up(b, a, up) for a, b in pairs)
        self.decoders = nn.ModuleList(_convolutions(2 * a, a, convolutions, slope) for a, _ in pairs)
        self.head = nn.Conv3d(widths[0], outputs, 1)
        start_plain(self, slope)
        if residual:
            nn.init.zeros_(self.head.weight)

    def forward(self, volume: Tensor) -> Tensor:
        """Return the output, shape (n, outputs, z, y, x), of an input of shape (n, inputs, z, y, x).

        Slices, rows and columns must be multiples of `multiple`.
        """
        features, skips = volume, []
        for level, down in enumerate(self.downs):
            features = self.encoders[level](features)
            skips.append(features)
            features = down(features)
        features = self.encoders[-1](features)
        for level in reversed(range(len(self.ups))):
            features = torch.cat((self.ups[level](features), skips[level]), dim=1)
            features = self.decoders[level](features)
        out: Tensor = self.head(features)
        return out + volume[:, :1] if self.residual else out


def _convolutions(inputs: int, width: int, count: int, slope: float) -> nn.Sequential:
    parts: list[nn.Module] = []
    for index in range(count):
        parts += [nn.Conv3d(width if index else inputs, width, 3, padding=1), nn.LeakyReLU(slope)]
    return nn.Sequential(*parts)


def _up(inputs: int, outputs: int, kind: Up) -> nn.Module:
    if kind == "transposed":
        return nn.ConvTranspose3d(inputs, outputs, 2, stride=2)
    # The 1 x 1 x 1 convolution commutes with the interpolation and is cheaper before it.
    return nn.Sequential(
        nn.Conv3d(inputs, outputs, 1), nn.Upsample(scale_factor=2, mode="trilinear", align_corners=False)
    )
