"""The universal denoiser: a small U-Net on half resolution that is told the noise spectrum and the modality.

Plain 3 x 3 convolutions with ReLU run nearest to a CPU's peak; normalisation layers, depthwise and
gated blocks do not, and are left out for that reason. The input is an image divided by its local
noise level, so the network sees unit noise whatever the scanner and the dose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions around an identity path.

    Parameters
    ----------
    width : int
        Number of channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape (n, width, y, x)."""
        residual: Tensor = self.second(torch.relu(self.first(features)))
        return features + residual


class UniversalUNet(nn.Module):
    """Estimate the noise of the middle slice from a few neighbouring slices.

    Parameters
    ----------
    slices : int
        Neighbouring slices in, an odd number; the middle one is denoised.
    condition_size : int
        Length of what it is told: the spectrum descriptor (see `quell.noise.spectrum`) and the kind of
        image (see `quell.inference.kinds`).
    widths : sequence of int
        Channels at 1/2, 1/4, 1/8 ... of the resolution.
    blocks : sequence of int
        Residual blocks at each level of the encoder; the decoder has as many, the last level none.

    Notes
    -----
    Rows and columns must be multiples of ``2 ** len(widths)``. Scale and shift of the feature maps by
    a condition follow Perez et al., "FiLM: Visual reasoning with a general conditioning layer",
    AAAI 2018, equation 1.
    """

    def __init__(
        self,
        slices: int = 3,
        condition_size: int = 16,
        widths: Sequence[int] = (16, 32, 64),
        blocks: Sequence[int] = (1, 1, 3),
    ) -> None:
        super().__init__()
        self.config = {
            "slices": slices,
            "condition_size": condition_size,
            "widths": list(widths),
            "blocks": list(blocks),
        }
        self.widths = tuple(widths)
        # A 6 x 6 convolution with stride 2 is a pixel-unshuffle and a 3 x 3 convolution in one.
        self.stem = nn.Conv2d(slices, widths[0], 6, stride=2, padding=2)
        pairs = list(pairwise(widths))
        self.down = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairs)
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in pairs)
        self.encoder = nn.ModuleList(_blocks(w, n) for w, n in zip(widths, blocks, strict=True))
        self.decoder = nn.ModuleList(_blocks(w, n) for w, n in zip(widths[:-1], blocks[:-1], strict=True))
        self.head = nn.Conv2d(widths[0], 4, 3, padding=1)
        self.shuffle = nn.PixelShuffle(2)
        last = nn.Linear(32, 2 * sum(widths))
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.condition = nn.Sequential(nn.Linear(condition_size, 32), nn.ReLU(), last)

    def forward(self, normalised: Tensor, condition: Tensor) -> Tensor:
        """Return the noise of the middle slice.

        Parameters
        ----------
        normalised : Tensor, shape (n, slices, y, x)
            Slices minus the local mean, divided by the local noise level.
        condition : Tensor, shape (n, condition_size)
            Descriptor of the noise power spectrum, then 1 at the place of the kind of image.

        Returns
        -------
        Tensor, shape (n, 1, y, x)
            In units of the local noise level.
        """
        scales = torch.split(self.condition(condition)[:, :, None, None], [2 * w for w in self.widths], dim=1)
        features = self.stem(normalised)
        skips = []
        for level, block in enumerate(self.encoder):
            if level:
                features = self.down[level - 1](features)
            gain, shift = scales[level].chunk(2, dim=1)
            features = block(features * (1 + gain) + shift)
            skips.append(features)
        for level in reversed(range(len(self.decoder))):
            features = self.decoder[level](self.up[level](features) + skips[level])
        noise: Tensor = self.shuffle(self.head(features))
        return noise


def _blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(width) for _ in range(count)))


def denoiser_widths(weights: Mapping[str, Tensor], prefix: str = "denoiser.") -> tuple[int, ...]:
    """Return the channels of each level of a denoiser from its weights.

    Parameters
    ----------
    weights : mapping of str to Tensor
    prefix : str
        Before the names of the weights of the denoiser.
    """
    found: list[int] = []
    while (name := f"{prefix}encoder.{len(found)}.0.first.weight") in weights:
        found.append(weights[name].shape[0])
    return tuple(found)
