"""A plain 2-D U-Net of any depth and width, after Ronneberger et al., MICCAI 2015.

Source: doi 10.1007/978-3-319-24574-4_28. As there: two 3 x 3 convolutions at each level, skips that are
concatenated, channels that double from level to level. Ours: padded convolutions (the output is as large as
the input), down by a convolution with stride 2 or by the maximum, up by linear interpolation or by a
transposed convolution, leaky ReLU, no normalisation layers, and on request an output that is added to the
input.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

Down = Literal["strided", "maximum"]
Up = Literal["linear", "transposed"]


def doubled(width: int, depth: int) -> tuple[int, ...]:
    """Return the channels of `depth` levels, twice as many at each."""
    return tuple(width * 2**level for level in range(depth))


def reach(depth: int, convolutions: int = 2) -> int:
    """Return how many pixels away an input pixel can change the output of a U-Net of this file or `unet3d`.

    Parameters
    ----------
    depth : int
        Levels, the full resolution counted.
    convolutions : int
        Convolutions of 3 pixels at a level, on the way down and on the way up.
    """
    down = sum((convolutions + 1) * 2**level for level in range(depth - 1))
    bottom = convolutions * 2 ** (depth - 1)
    # A linear interpolation reads one coarse pixel on each side.
    up = sum(convolutions * 2**level + 2 ** (level + 1) for level in range(depth - 1))
    total: int = down + bottom + up
    return total


def start_plain(network: nn.Module, slope: float) -> None:
    """Start convolutions so that the variance of features neither grows nor fades (He et al., ICCV 2015)."""
    for part in network.modules():
        if isinstance(part, (nn.Conv2d, nn.Conv3d)):
            nn.init.kaiming_normal_(part.weight, a=slope, nonlinearity="leaky_relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)


class UNet2d(nn.Module):
    """A 2-D U-Net.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    widths : sequence of int
        Channels at 1, 1/2, 1/4 ... of the resolution; as many levels as entries (see `doubled`).
    residual : bool
        Whether the output is added to the middle channel of the input; `outputs` must be 1. The network then
        starts as the identity.
    down : {"strided", "maximum"}
    up : {"linear", "transposed"}
    convolutions : int
        Convolutions at each level, on the way down and on the way up.
    slope : float
        Of the leaky ReLU below zero.
    bias : bool
        Whether convolutions add constants. Without them the network is homogeneous: twice the input gives
        twice the output.

    Raises
    ------
    ValueError
        If there is no level, or a residual of several outputs is asked for.
    """

    def __init__(
        self,
        inputs: int = 1,
        outputs: int = 1,
        widths: Sequence[int] = (32, 64, 128, 256, 512),
        residual: bool = False,
        down: Down = "strided",
        up: Up = "linear",
        convolutions: int = 2,
        slope: float = 0.1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if not widths or convolutions < 1:
            raise ValueError("a U-Net has at least one level of at least one convolution")
        if residual and outputs != 1:
            raise ValueError("a residual is added to one channel: outputs must be 1")
        self.inputs, self.residual = inputs, residual
        self.multiple = 2 ** (len(widths) - 1)
        self.halo = reach(len(widths), convolutions)
        pairs = list(pairwise(widths))
        first = [inputs, *widths[1:]]
        self.encoders = nn.ModuleList(
            _convolutions(a, b, convolutions, slope, bias) for a, b in zip(first, widths, strict=True)
        )
        self.downs = nn.ModuleList(_down(a, b, down, slope, bias) for a, b in pairs)
        self.ups = nn.ModuleList(_up(b, a, up, bias) for a, b in pairs)
        self.decoders = nn.ModuleList(_convolutions(2 * a, a, convolutions, slope, bias) for a, _ in pairs)
        self.head = nn.Conv2d(widths[0], outputs, 1, bias=bias)
        start_plain(self, slope)
        if residual:
            nn.init.zeros_(self.head.weight)

    def forward(self, image: Tensor) -> Tensor:
        """Return the output, shape (n, outputs, y, x), of an input of shape (n, inputs, y, x).

        Rows and columns must be multiples of `multiple`.
        """
        features, skips = image, []
        for level, down in enumerate(self.downs):
            features = self.encoders[level](features)
            skips.append(features)
            features = down(features)
        features = self.encoders[-1](features)
        for level in reversed(range(len(self.ups))):
            features = torch.cat((self.ups[level](features), skips[level]), dim=1)
            features = self.decoders[level](features)
        out: Tensor = self.head(features)
        if not self.residual:
            return out
        centre = self.inputs // 2
        return out + image[:, centre : centre + 1]


def _convolutions(inputs: int, width: int, count: int, slope: float, bias: bool) -> nn.Sequential:
    parts: list[nn.Module] = []
    for index in range(count):
        convolution = nn.Conv2d(width if index else inputs, width, 3, padding=1, bias=bias)
        parts += [convolution, nn.LeakyReLU(slope)]
    return nn.Sequential(*parts)


def _down(inputs: int, outputs: int, kind: Down, slope: float, bias: bool) -> nn.Module:
    if kind == "maximum":
        mix = nn.Conv2d(inputs, outputs, 1, bias=bias)
        return nn.Sequential(nn.MaxPool2d(2), mix, nn.LeakyReLU(slope))
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=bias), nn.LeakyReLU(slope))


def _up(inputs: int, outputs: int, kind: Up, bias: bool) -> nn.Module:
    if kind == "transposed":
        return nn.ConvTranspose2d(inputs, outputs, 2, stride=2, bias=bias)
    # The 1 x 1 convolution commutes with the interpolation and is cheaper before it.
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 1, bias=bias),
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
    )
