"""A stack of convolutions at full resolution that gives the noise.

The layout is that of DnCNN (Zhang et al., "Beyond a Gaussian denoiser: residual learning of deep CNN for
image denoising", IEEE TIP 26 (2017) 3142) without batch normalisation, whose statistics of a batch would
let one pixel see all others: a blind spot and a divergence both need to know what a pixel sees.
"""

from __future__ import annotations

from torch import Tensor, nn

from quell.networks.small_unet import start_as_identity


class PlainCNN(nn.Module):
    """Denoise the middle slice of a few neighbours by convolutions of 3 x 3.

    Parameters
    ----------
    slices : int
        Neighbouring slices in, an odd number.
    width : int
        Channels.
    depth : int
        Convolutions; each reaches one pixel further.
    bias : bool
        Whether convolutions add a constant.
    """

    def __init__(self, slices: int = 1, width: int = 64, depth: int = 17, bias: bool = True) -> None:
        super().__init__()
        self.centre = slices // 2
        layers: list[nn.Module] = [nn.Conv2d(slices, width, 3, padding=1, bias=bias), nn.ReLU()]
        for _ in range(depth - 2):
            layers += [nn.Conv2d(width, width, 3, padding=1, bias=bias), nn.ReLU()]
        last = nn.Conv2d(width, 1, 3, padding=1, bias=bias)
        self.layers = nn.Sequential(*layers, last)
        start_as_identity(self, last)

    def forward(self, stack: Tensor) -> Tensor:
        """Return the denoised middle slice, shape (n, 1, y, x), of a stack (n, slices, y, x)."""
        noise: Tensor = self.layers(stack)
        return stack[:, self.centre : self.centre + 1] - noise
