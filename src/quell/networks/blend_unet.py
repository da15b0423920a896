"""A U-Net that says, for each pixel, how much of which blur of a count image to take; ours.

That a network predicts the weights of a filter, not the image, is from rendering (Bako et al., ACM Trans.
Graph. 36:97, 2017). Here the filters are Gaussians of fixed widths, so that all that one Gaussian can do is
within reach from the first step, and what a network learns is where to use which. What no Gaussian gives is
added, in units of the standard deviation of the counts.

The weights depend on how many counts a pixel has, which the image alone must tell, since its unit is
arbitrary. The variance of counts is their mean; what one count is worth follows from the noise: second
differences in both directions (Immerkaer, Comput. Vis. Image Underst. 64:300, 1996) take away what is smooth,
and their mean square over the mean of the image is 36 times the worth of a count. With f, all that follows
keeps f(a x) = a f(x) for every a > 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from quell.networks.unet2d import UNet2d

SIGMAS = (0.5, 0.8, 1.2, 1.8, 2.7, 4.0)
"""Widths of the Gaussians in pixels; the image itself is one more."""

_NEAR, _FAR = 3, 6
"""Which blurs, the image being the first, tell the U-Net how many counts there are around a pixel."""

CELL = 16
"""Pixels of a cell; rows and columns of an image must be a multiple."""

_CELLS = 5
"""The worth of a count is that over squares of so many cells."""

_GAIN_OF_DIFFERENCES = 36.0
"""Sum of the squares of the weights of the second differences."""

_LEAST = 1e-4
"""Least worth of a count, as a share of the mean around it: an image without noise has no end of counts."""

_SMALLEST = 1e-20


class BlendUNet(nn.Module):
    """Estimate expected counts from counts, both in one arbitrary unit.

    Parameters
    ----------
    widths : sequence of int
        See `UNet2d`.
    """

    differences: Tensor

    def __init__(self, widths: Sequence[int] = (32, 64, 128, 256, 512)) -> None:
        super().__init__()
        self.unet = UNet2d(3, len(SIGMAS) + 2, widths)
        # At the start all blurs count alike, and nothing is added.
        nn.init.zeros_(self.unet.head.weight)
        for number, sigma in enumerate(SIGMAS):
            self.register_buffer(f"kernel{number}", _gaussian(sigma), persistent=False)
        second = torch.tensor([1.0, -2.0, 1.0])
        self.register_buffer("differences", (second[:, None] * second)[None, None], persistent=False)
        self.multiple = max(self.unet.multiple, CELL)
        self.halo = self.unet.halo + CELL * (_CELLS // 2 + 2)

    def forward(self, counts: Tensor) -> Tensor:
        """Return expected counts, shape (n, 1, y, x), of counts of the same shape.

        Rows and columns must be multiples of `multiple`. The output can be a little below zero.
        """
        # In 32 bits, even where the U-Net has less: what is blended becomes the image.
        with torch.autocast(counts.device.type, enabled=False):
            counts = torch.relu(counts.float())
            worth = self.worth(counts)
            blurs = torch.cat([counts, *(self._blur(counts, n) for n in range(len(SIGMAS)))], dim=1)
            # After Anscombe (Biometrika 35:246, 1948), a standard deviation of a half.
            known = torch.sqrt(blurs[:, [0, _NEAR, _FAR]] / worth + 0.375) - math.sqrt(0.375)
        told = self.unet(known).float()
        blend = (torch.softmax(told[:, :-1], dim=1) * blurs).sum(1, keepdim=True)
        deviation = torch.sqrt(blurs[:, _NEAR : _NEAR + 1] * worth + _SMALLEST)
        image: Tensor = blend + deviation * told[:, -1:]
        return image

    def worth(self, counts: Tensor) -> Tensor:
        """Return what one count adds to the image around each pixel, shape (n, 1, y, x)."""
        edged = functional.pad(counts, (1, 1, 1, 1), mode="replicate")
        noise = functional.conv2d(edged, self.differences).square()
        mean = _around(counts)
        found = _around(noise) / (_GAIN_OF_DIFFERENCES * mean + _SMALLEST)
        return torch.maximum(found, _LEAST * mean) + _SMALLEST

    def _blur(self, counts: Tensor, number: int) -> Tensor:
        kernel = getattr(self, f"kernel{number}")
        reach = kernel.shape[-1] // 2
        edged = functional.pad(counts, (reach, reach, reach, reach), mode="replicate")
        lines = functional.conv2d(edged, kernel[None, None, None])
        return functional.conv2d(lines, kernel[None, None, :, None])


def _gaussian(sigma: float) -> Tensor:
    reach = math.ceil(3 * sigma)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    return kernel / kernel.sum()


def _around(values: Tensor) -> Tensor:
    """Return the mean around each pixel, which changes smoothly."""
    cells = functional.avg_pool2d(values, CELL)
    cells = functional.avg_pool2d(cells, _CELLS, 1, _CELLS // 2, count_include_pad=False)
    return functional.interpolate(cells, scale_factor=float(CELL), mode="bilinear", align_corners=False)
