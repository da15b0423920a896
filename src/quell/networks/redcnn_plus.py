"""RED-CNN+ and the layer that regresses a distribution: the network of UNAD.

Gu, Deng, Wang, "UNAD: Universal Anatomy-initialized Noise Distribution Learning Framework Towards Low-dose
CT Denoising", ICASSP 2024; the order of the layers after the authors' public code. The distribution layer
follows Li et al., "Generalized Focal Loss", NeurIPS 2020.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

HALO = 21
"""Pixels that an output pixel sees on each side: five convolutions, five transposed ones, the output."""

SMALLEST = 21
"""Rows and columns that an image must have: five convolutions without padding take twenty away."""


MARGIN = 1e-5
"""How far labels stay from the first and the last bin, in bins."""


class RedCNNPlus(nn.Module):
    """Five 5 x 5 convolutions without padding, five transposed ones, a 3 x 3 convolution.

    Parameters
    ----------
    width : int
        Channels.
    outputs : int
        Channels out.
    bias : float, optional
        Where the bias of the last convolution starts; drawn as usual if None.
    """

    def __init__(self, width: int = 96, outputs: int = 19, bias: float | None = None) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(nn.Conv2d(width if n else 1, width, 5) for n in range(5))
        self.decoder = nn.ModuleList(nn.ConvTranspose2d(width, width, 5) for _ in range(5))
        self.activation = nn.LeakyReLU(0.1)
        self.output = nn.Conv2d(width, outputs, 3, padding=1)
        if bias is not None:
            nn.init.constant_(self.output.bias, bias)  # type: ignore[arg-type]

    def forward(self, noisy: Tensor) -> Tensor:
        """Return `outputs` channels, shape (n, outputs, y, x), of one slice, shape (n, 1, y, x)."""
        features, kept = noisy, {}
        for number, convolution in enumerate(self.encoder):
            features = kept[number] = self.activation(convolution(features))
        first, second, third, fourth, fifth = self.decoder
        features = first(features) + kept[3]
        features = third(self.activation(second(self.activation(features)))) + kept[1]
        features = fifth(self.activation(fourth(self.activation(features))))
        out: Tensor = self.output(features)
        return out


class DistributionRegression(nn.Module):
    """Tell of each pixel how probable each difference to the clean image is; add the expectation.

    Parameters
    ----------
    backbone : nn.Module
        Gives as many channels as there are bins.
    bins : Tensor, shape (b,)
        Differences to the clean image, evenly spaced, in the numbers of the network.
    gain, centre : float
        The backbone sees ``gain * (noisy - centre)``.
    """

    bins: Tensor

    def __init__(self, backbone: nn.Module, bins: Tensor, gain: float = 1.0, centre: float = 0.0) -> None:
        super().__init__()
        self.backbone, self.gain, self.centre = backbone, gain, centre
        self.register_buffer("bins", bins.reshape(1, -1, 1, 1).clone())

    def forward(self, noisy: Tensor) -> tuple[Tensor, Tensor]:
        """Return the denoised slice, shape (n, 1, y, x), and the logits of the bins, shape (n, b, y, x)."""
        logits = self.backbone(self.gain * (noisy - self.centre))
        return noisy + expectation(logits, self.bins), logits


class WithSpread(nn.Module):
    """The same, with the standard deviation of the distribution of each pixel instead of its logits.

    Parameters
    ----------
    network : DistributionRegression
    """

    def __init__(self, network: DistributionRegression) -> None:
        super().__init__()
        self.network = network

    def forward(self, noisy: Tensor) -> tuple[Tensor, Tensor]:
        """Return the denoised slice and its spread, each of shape (n, 1, y, x)."""
        denoised, logits = self.network(noisy)
        return denoised, spread(logits, self.network.bins)


def expectation(logits: Tensor, bins: Tensor) -> Tensor:
    """Return the mean, shape (n, 1, y, x), of distributions over `bins`, shape (1, b, 1, 1)."""
    return (torch.softmax(logits, dim=1) * bins).sum(dim=1, keepdim=True)


def spread(logits: Tensor, bins: Tensor) -> Tensor:
    """Return the standard deviation, shape (n, 1, y, x), of distributions over `bins`, shape (1, b, 1, 1)."""
    chance = torch.softmax(logits, dim=1)
    mean = (chance * bins).sum(dim=1, keepdim=True)
    return (chance * (bins - mean).square()).sum(dim=1, keepdim=True).sqrt()


def distribution_focal_loss(logits: Tensor, residual: Tensor, bins: Tensor) -> Tensor:
    """Return the cross entropy against the two bins next to the true difference (Li et al. 2020, equation 6).

    Parameters
    ----------
    logits : Tensor, shape (n, b, y, x)
    residual : Tensor, shape (n, 1, y, x)
        Clean minus noisy.
    bins : Tensor, shape (b,)
        Evenly spaced.
    """
    last = len(bins) - 1
    place = (residual[:, 0] - bins[0]) / (bins[1] - bins[0])
    place = place.clamp(MARGIN, last - MARGIN)
    left = place.floor().clamp(max=last - 1).long()
    share = place - left
    below = functional.cross_entropy(logits, left, reduction="none")
    above = functional.cross_entropy(logits, left + 1, reduction="none")
    return ((1 - share) * below + share * above).mean()
