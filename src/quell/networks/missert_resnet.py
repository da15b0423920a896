"""A residual network that subtracts the noise of low-dose CT.

Missert, Leng, Yu, McCollough, "Noise subtraction for low-dose CT images using a deep convolutional neural
network", Fifth International Conference on Image Formation in X-Ray Computed Tomography, 2018; layers as
Eulig, Ommer, Kachelriess, Medical Physics 51(12), 2024, built it for their benchmark.
"""

from __future__ import annotations

from torch import Tensor, nn

GROUPS = 8
"""Groups of the second convolution of a block."""


class MissertBlock(nn.Module):
    """3 x 3, grouped 3 x 3 and 1 x 1 convolutions beside an identity path.

    Parameters
    ----------
    width : int
        Channels, a multiple of `GROUPS`.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, groups=GROUPS),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape (n, width, y, x)."""
        changed: Tensor = self.layers(features)
        return features + changed


class MissertResNet(nn.Module):
    """A 9 x 9 convolution, residual blocks, a 3 x 3 convolution; the result is taken off the input.

    Parameters
    ----------
    slices : int
        Neighbouring slices in, an odd number; the middle one is denoised.
    width : int
        Channels, a multiple of `GROUPS`.
    blocks : int
    """

    def __init__(self, slices: int = 1, width: int = 128, blocks: int = 10) -> None:
        super().__init__()
        self.centre = slices // 2
        self.first = nn.Conv2d(slices, width, 9, padding=4)
        self.blocks = nn.Sequential(*(MissertBlock(width) for _ in range(blocks)))
        self.last = nn.Conv2d(width, 1, 3, padding=1)

    @staticmethod
    def halo(blocks: int) -> int:
        """Return how many pixels an output pixel sees on each side."""
        return 4 + 2 * blocks + 1

    def forward(self, stack: Tensor) -> Tensor:
        """Return the middle slice without its noise, shape (n, 1, y, x), of a stack (n, slices, y, x)."""
        noise: Tensor = self.last(self.blocks(self.first(stack)))
        return stack[:, self.centre : self.centre + 1] - noise
