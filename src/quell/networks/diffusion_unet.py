"""A small U-Net that tells the noise of a diffusion from what is known of the image.

Plain convolutions after Ho, Jain and Abbeel, "Denoising diffusion probabilistic models", NeurIPS 2020, with
the step told by scale and shift of the features (Perez et al., "FiLM", AAAI 2018). There is neither attention
nor normalisation over the image, so that a tile is computed as the whole is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

_EMBEDDED = 32
_LONGEST = 10_000.0


def embed_steps(steps: Tensor) -> Tensor:
    """Return sines and cosines, shape (n, 32), of steps of the diffusion, shape (n,)."""
    half = _EMBEDDED // 2
    exponents = torch.arange(half, device=steps.device, dtype=torch.float32) / half
    angles = steps.to(torch.float32)[:, None] * torch.exp(-math.log(_LONGEST) * exponents)[None]
    return torch.cat([torch.sin(angles), torch.cos(angles)], dim=1)


class StepBlock(nn.Module):
    """Two 3 x 3 convolutions around an identity path, told of the step.

    Parameters
    ----------
    width : int
    told : int
        Length of what tells the step.
    """

    def __init__(self, width: int, told: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.film = nn.Linear(told, 2 * width)

    def forward(self, features: Tensor, step: Tensor) -> Tensor:
        """Return features of the same shape."""
        gain, shift = self.film(step)[:, :, None, None].chunk(2, dim=1)
        inner = functional.silu(self.first(functional.silu(features)) * (1 + gain) + shift)
        residual: Tensor = self.second(inner)
        return features + residual


class DiffusionUNet(nn.Module):
    """Predict noise (or velocity) of a noised image, given other images of the same place.

    Parameters
    ----------
    known : int
        Channels of what is known: the noisy slices, and those of a prior.
    widths : sequence of int
        Channels at 1, 1/2, 1/4 ... of the resolution; rows and columns must be multiples of
        ``2 ** (len(widths) - 1)``.
    """

    def __init__(self, known: int, widths: Sequence[int] = (32, 64, 96)) -> None:
        super().__init__()
        self.widths = tuple(widths)
        told = 4 * _EMBEDDED
        pairs = list(pairwise(widths))
        self.tell = nn.Sequential(nn.Linear(_EMBEDDED, told), nn.SiLU(), nn.Linear(told, told), nn.SiLU())
        self.stem = nn.Conv2d(1 + known, widths[0], 3, padding=1)
        self.encoder = nn.ModuleList(StepBlock(width, told) for width in widths)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairs)
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in pairs)
        self.join = nn.ModuleList(nn.Conv2d(2 * a, a, 1) for a, _ in pairs)
        self.decoder = nn.ModuleList(StepBlock(a, told) for a, _ in pairs)
        self.head = nn.Conv2d(widths[0], 1, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.constant_(self.head.get_parameter("bias"), 0.0)

    @property
    def multiple(self) -> int:
        """Rows and columns are multiples of this."""
        return int(2 ** (len(self.widths) - 1))

    @property
    def reach(self) -> int:
        """Pixels, on each side, that a pixel of the result depends on; a multiple of `multiple`."""
        # A block reaches two pixels of its own level on each side; those of the way up and down add up.
        deepest = self.multiple
        blocks = sum(4 * 2**level for level in range(len(self.widths) - 1)) + 2 * deepest
        reach: int = deepest * math.ceil((blocks + 2 + 2 * deepest) / deepest)
        return reach

    def forward(self, noised: Tensor, known: Tensor, steps: Tensor) -> Tensor:
        """Return the prediction, shape (n, 1, y, x).

        Parameters
        ----------
        noised : Tensor, shape (n, 1, y, x)
        known : Tensor, shape (n, known, y, x)
        steps : Tensor, shape (n,) or (1,)
        """
        step = self.tell(embed_steps(steps))
        features = self.encoder[0](self.stem(torch.cat([noised, known], dim=1)), step)
        skips = []
        for down, block in zip(self.down, self.encoder[1:], strict=True):
            skips.append(features)
            features = block(down(features), step)
        ways = zip(
            reversed(self.up), reversed(self.join), reversed(self.decoder), reversed(skips), strict=True
        )
        for up, join, block, skip in ways:
            features = block(join(torch.cat([up(features), skip], dim=1)), step)
        predicted: Tensor = self.head(functional.silu(features))
        return predicted
