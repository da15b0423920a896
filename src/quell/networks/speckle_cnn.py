"""A small U-Net on half resolution for log-compressed speckle; ours.

Log compression turns the speckle that multiplies the echo amplitude into a term that is added, so that a
plain residual network (Zhang et al. 2017, IEEE TIP 26:3142: predict the noise, not the image) fits as it
stands. The layers are those of `quell.networks.universal_unet`, without its knowledge of the noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from quell.networks.universal_unet import ResidualBlock


class SpeckleCNN(nn.Module):
    """Take the speckle out of the middle of a few neighbouring slices.

    Parameters
    ----------
    slices : int
        Neighbouring slices in, an odd number; the middle one is denoised.
    widths : sequence of int
        Channels at 1/2, 1/4, 1/8 ... of the resolution.
    blocks : sequence of int
        Residual blocks at each level of the encoder; the decoder has as many, the last level none.
    """

    def __init__(
        self,
        slices: int = 1,
        widths: Sequence[int] = (24, 48, 96),
        blocks: Sequence[int] = (1, 1, 2),
    ) -> None:
        super().__init__()
        if slices % 2 == 0:
            raise ValueError(f"slices must be odd, got {slices}")
        if len(widths) != len(blocks) or len(widths) < 2:
            raise ValueError("widths and blocks must have the same length, at least 2")
        self.slices, self.widths, self.blocks = slices, tuple(widths), tuple(blocks)
        # A 6 x 6 convolution with stride 2 is a pixel-unshuffle and a 3 x 3 convolution in one.
        self.stem = nn.Conv2d(slices, widths[0], 6, stride=2, padding=2)
        pairs = list(pairwise(widths))
        self.down = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairs)
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in pairs)
        self.encoder = nn.ModuleList(_blocks(w, n) for w, n in zip(widths, blocks, strict=True))
        self.decoder = nn.ModuleList(_blocks(w, n) for w, n in zip(widths[:-1], blocks[:-1], strict=True))
        self.head = nn.Conv2d(widths[0], 4, 3, padding=1)
        self.shuffle = nn.PixelShuffle(2)
        # At the start the image passes unchanged.
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    @property
    def multiple(self) -> int:
        """Rows and columns must be a multiple of this."""
        return int(2 ** len(self.widths))

    @property
    def halo(self) -> int:
        """Pixels on each side that an output pixel depends on, rounded up to `multiple`."""
        reach = 2 + 2  # stem and head, the latter at 1/2
        for level, count in enumerate(self.blocks):
            passes = 1 if level == len(self.blocks) - 1 else 2
            # Two 3 x 3 convolutions a block, and less than one pixel of the level where it is sampled.
            reach += (2 * count * passes + 1) * 2 ** (level + 1)
        return -(-reach // self.multiple) * self.multiple

    @property
    def kmac_per_pixel(self) -> float:
        """Thousands of multiplications for a pixel of the image."""
        total = (36 * self.slices + 36) * self.widths[0] / 4
        for level, (width, count) in enumerate(zip(self.widths, self.blocks, strict=True)):
            passes = 1 if level == len(self.widths) - 1 else 2
            total += 18 * width**2 * count * passes / 4 ** (level + 1)
        total += sum(4 * a * b * 2 / 4 ** (level + 2) for level, (a, b) in enumerate(pairwise(self.widths)))
        return float(total / 1000)

    def forward(self, noisy: Tensor) -> Tensor:
        """Return the denoised middle slice.

        Parameters
        ----------
        noisy : Tensor, shape (n, slices, y, x)
            Log-compressed values.

        Returns
        -------
        Tensor, shape (n, 1, y, x)
        """
        features = self.stem(noisy)
        skips = []
        for level, block in enumerate(self.encoder):
            if level:
                features = self.down[level - 1](features)
            features = block(features)
            skips.append(features)
        for level in reversed(range(len(self.decoder))):
            features = self.decoder[level](self.up[level](features) + skips[level])
        noise: Tensor = self.shuffle(self.head(features))
        centre = self.slices // 2
        return noisy[:, centre : centre + 1] - noise


def _blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(width) for _ in range(count)), nn.ReLU())
