"""DnCNN: a plain stack of convolutions that predicts the noise.

Zhang, Zuo, Chen, Meng, Zhang, "Beyond a Gaussian denoiser: residual learning of deep CNN for image
denoising", IEEE Transactions on Image Processing 26(7), 2017, section III; how the weights start after the
authors' code.
"""

from __future__ import annotations

import math

from torch import Tensor, nn


class DnCNN(nn.Module):
    """Convolution and ReLU, then convolution, batch normalisation and ReLU again and again, then convolution.

    Parameters
    ----------
    slices : int
        Neighbouring slices in, an odd number; the middle one is denoised.
    width : int
        Channels.
    depth : int
        Convolutions, at least 2; an output pixel sees as many pixels on each side.
    """

    def __init__(self, slices: int = 1, width: int = 64, depth: int = 17) -> None:
        super().__init__()
        self.centre = slices // 2
        layers: list[nn.Module] = [nn.Conv2d(slices, width, 3, padding=1), nn.ReLU()]
        for _ in range(depth - 2):
            # The normalisation has a bias of its own.
            layers += [nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.last = nn.Conv2d(width, 1, 3, padding=1)
        for layer in self.modules():
            if isinstance(layer, (nn.Conv2d, nn.BatchNorm2d)):
                # Drawn scales of the normalisation, as the authors have them, make the start near identity.
                nn.init.normal_(layer.weight, std=math.sqrt(2 / (9 * width)))

    def forward(self, stack: Tensor) -> Tensor:
        """Return the middle slice without its noise, shape (n, 1, y, x), of a stack (n, slices, y, x)."""
        noise: Tensor = self.last(self.body(stack))
        return stack[:, self.centre : self.centre + 1] - noise
