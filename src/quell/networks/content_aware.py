"""A generator that is told what the content is and where the noise is, and a critic of patches.

A reconstruction after the name "content-aware prior and attention-driven" (Lin et al. 2023), whose text was
not available to us; the parts are known: scale and shift by a condition (Perez et al., "FiLM", AAAI 2018,
equation 1), kernels of each pixel's own (Jia et al., "Dynamic filter networks", NeurIPS 2016, section 3.2),
a critic of patches (Isola et al., "Image-to-image translation with conditional adversarial networks", CVPR
2017, section 3.2.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from quell.networks.prior_autoencoder import PriorAutoencoder

KERNEL = 5
CONTENTS = 3
"""Kinds of content that may be told apart: edge, texture and flat are meant, learning decides."""

HALO = 64
"""Pixels that an output pixel sees on each side, at most: 28 for the attention, 32 for the generator."""


class Modulation(nn.Module):
    """Scale and shift features by what the prior knows of the place.

    Parameters
    ----------
    condition, width : int
        Channels of the condition and of the features.
    """

    def __init__(self, condition: int, width: int) -> None:
        super().__init__()
        self.scales = nn.Conv2d(condition, 2 * width, 1)

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """Return features of the same shape (n, width, y, x)."""
        gain, shift = self.scales(condition).chunk(2, dim=1)
        modulated: Tensor = features * (1 + gain) + shift
        return modulated


class ContentAwareGenerator(nn.Module):
    """A U-Net of three resolutions that the features of a prior and a map of attention steer.

    Parameters
    ----------
    width : int
        Channels at full resolution.
    prior : sequence of int
        Channels of the features of the prior at full, half and quarter resolution.
    attention : int
        Channels of the part that predicts the attention.
    """

    def __init__(self, width: int = 32, prior: Sequence[int] = (32, 64, 128), attention: int = 16) -> None:
        super().__init__()
        widths = tuple(width * 2**level for level in range(len(prior)))
        self.content = nn.Conv2d(prior[0], CONTENTS, 3, padding=1)
        self.attention = nn.Sequential(
            *(nn.Conv2d(1, attention, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(attention, attention, 3, padding=1), nn.ReLU()),
            nn.Conv2d(attention, 1, 3, padding=1),
        )
        self.encoder = nn.ModuleList(_pair(a, b) for a, b in zip((1, *widths), widths, strict=False))
        self.modulation = nn.ModuleList(
            Modulation(told + CONTENTS, w) for told, w in zip(prior, widths, strict=True)
        )
        self.kernels = nn.Conv2d(prior[-1], KERNEL**2, 1)
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in pairwise(widths))
        self.decoder = nn.ModuleList(_pair(2 * w, w) for w in widths[:-1])
        self.last = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, noisy: Tensor, prior: Tensor, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the denoised slice and the attention.

        Parameters
        ----------
        noisy, prior : Tensor, shape (n, 1, y, x)
            A slice, and what the autoencoder makes of it.
        features : sequence of Tensor
            Of the encoder of the prior, at full, half and quarter resolution.

        Returns
        -------
        denoised : Tensor, shape (n, 1, y, x)
        attention : Tensor, shape (n, 1, y, x)
            Between 0 and 1; high where much noise is expected.
        """
        attention = torch.sigmoid(self.attention((noisy - prior).abs()))
        content, seen = torch.sigmoid(self.content(features[0])), attention
        current, kept = noisy, []
        for level, block in enumerate(self.encoder):
            if level:
                content, seen = functional.avg_pool2d(content, 2), functional.avg_pool2d(seen, 2)
                current = functional.max_pool2d(current, 2)
            condition = torch.cat((features[level], content), dim=1)
            current = self.modulation[level](block(current), condition) * (1 + seen)
            kept.append(current)
        current = filter_by_place(current, torch.softmax(self.kernels(features[-1]), dim=1))
        for level in reversed(range(len(self.decoder))):
            current = self.decoder[level](torch.cat((kept[level], self.up[level](current)), dim=1))
        return noisy + self.last(current), attention


class ContentAwareDenoiser(nn.Module):
    """The prior and the generator as one network.

    Parameters
    ----------
    prior : PriorAutoencoder
    generator : ContentAwareGenerator
    """

    def __init__(self, prior: PriorAutoencoder, generator: ContentAwareGenerator) -> None:
        super().__init__()
        self.prior, self.generator = prior, generator

    def forward(self, noisy: Tensor) -> Tensor:
        """Return a slice denoised, shape (n, 1, y, x)."""
        denoised: Tensor = self.generator(noisy, *self.prior(noisy))[0]
        return denoised


class PatchCritic(nn.Module):
    """Say of each patch of an image whether it looks clean.

    Parameters
    ----------
    width : int
        Channels of the first convolution; twice as many in each next.
    inputs : int
        Channels in: the image and the attention.
    """

    def __init__(self, width: int = 64, inputs: int = 2) -> None:
        super().__init__()
        widths = (inputs, width, 2 * width, 4 * width)
        layers: list[nn.Module] = []
        for a, b in pairwise(widths):
            layers += [nn.Conv2d(a, b, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 3, padding=1))

    def forward(self, image: Tensor) -> Tensor:
        """Return a score for each patch, shape (n, 1, y / 8, x / 8), of shape (n, inputs, y, x)."""
        scores: Tensor = self.layers(image)
        return scores


def filter_by_place(features: Tensor, kernels: Tensor) -> Tensor:
    """Filter each pixel with a kernel of its own, all channels alike.

    Parameters
    ----------
    features : Tensor, shape (n, c, y, x)
    kernels : Tensor, shape (n, 25, y, x)
        Weights of the 5 x 5 neighbours of each pixel, in rows.

    Returns
    -------
    Tensor, shape (n, c, y, x)
    """
    reach = KERNEL // 2
    padded = functional.pad(features, (reach, reach, reach, reach), mode="replicate")
    total = torch.zeros_like(features)
    for number in range(KERNEL**2):
        row, column = divmod(number, KERNEL)
        # Counting from the end keeps the sizes out of the exported graph.
        rows = slice(row, (row - KERNEL + 1) or None)
        columns = slice(column, (column - KERNEL + 1) or None)
        total = total + kernels[:, number : number + 1] * padded[:, :, rows, columns]
    return total


def _pair(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(width, width, 3, padding=1), nn.ReLU()),
    )
