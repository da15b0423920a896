"""A plain U-Net of three resolutions, for methods whose point is the loss and not the network.

After Ronneberger, Fischer and Brox, "U-Net: Convolutional networks for biomedical image segmentation",
MICCAI 2015, with fewer levels, one convolution on the way up, and the noise as its output instead of the
image (Zhang et al., "Beyond a Gaussian denoiser", IEEE TIP 26 (2017) 3142). Without biases the network
commutes with a gain of the image (Mohan et al., "Robust and interpretable blind image denoising via
bias-free convolutional neural networks", ICLR 2020).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

MULTIPLE = 4
"""Rows and columns must be a multiple of this."""

HALO = 24
"""Above the reach of the convolutions, a multiple of `MULTIPLE`."""


class SmallUNet(nn.Module):
    """Denoise the middle slice of a few neighbours.

    Parameters
    ----------
    slices : int
        Neighbouring slices in, an odd number.
    width : int
        Channels at full resolution; twice and four times as many below. 16 costs 20 thousand
        multiplications a pixel.
    bias : bool
        Whether convolutions add a constant.
    """

    def __init__(self, slices: int = 1, width: int = 16, bias: bool = True) -> None:
        super().__init__()
        self.centre = slices // 2
        wide, deep = 2 * width, 4 * width
        self.first = _pair(slices, width, bias)
        self.second = _pair(width, wide, bias)
        self.third = _pair(wide, deep, bias)
        self.pool = nn.AvgPool2d(2)
        self.up_half = nn.ConvTranspose2d(deep, wide, 2, stride=2, bias=bias)
        self.join_half = nn.Conv2d(2 * wide, wide, 3, padding=1, bias=bias)
        self.up_full = nn.ConvTranspose2d(wide, width, 2, stride=2, bias=bias)
        self.join_full = nn.Conv2d(2 * width, width, 3, padding=1, bias=bias)
        self.leave = nn.Conv2d(width, 1, 3, padding=1, bias=bias)
        start_as_identity(self, self.leave)

    def forward(self, stack: Tensor) -> Tensor:
        """Return the denoised middle slice, shape (n, 1, y, x), of a stack (n, slices, y, x)."""
        full = self.first(stack)
        half = self.second(self.pool(full))
        deep = self.third(self.pool(half))
        up = torch.relu(self.join_half(torch.cat((half, self.up_half(deep)), dim=1)))
        up = torch.relu(self.join_full(torch.cat((full, self.up_full(up)), dim=1)))
        noise: Tensor = self.leave(up)
        return stack[:, self.centre : self.centre + 1] - noise


def start_as_identity(network: nn.Module, last: nn.Conv2d) -> None:
    """Draw weights that keep the variance through ReLUs, small ones for the noise.

    He et al., "Delving deep into rectifiers", ICCV 2015. Almost the image itself comes out at first.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    with torch.no_grad():
        last.weight.mul_(0.1)


def _pair(inside: int, outside: int, bias: bool) -> nn.Sequential:
    """Return two convolutions of 3 x 3, each with its ReLU."""
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, padding=1, bias=bias),
        nn.ReLU(),
        nn.Conv2d(outside, outside, 3, padding=1, bias=bias),
        nn.ReLU(),
    )
