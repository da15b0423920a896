"""RED-CNN: a residual encoder and decoder of plain convolutions, without pooling.

Chen H et al., "Low-Dose CT with a Residual Encoder-Decoder Convolutional Neural Network", IEEE Transactions
on Medical Imaging 36(12):2524-2535, 2017: five convolutions and five transposed convolutions of 5 x 5 with
stride 1 and no padding, 96 channels, a ReLU behind each; the input and the features behind the second and
the fourth convolution are added in the decoder, before its ReLU.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

LAYERS = 5
KERNEL = 5

REACH = 2 * LAYERS * (KERNEL // 2)
"""Pixels around a pixel of the result that have a part in it."""

SMALLEST = REACH + 1
"""Rows and columns below which the unpadded convolutions leave nothing."""


class REDCNN(nn.Module):
    """Denoise the middle slice.

    Parameters
    ----------
    slices : int
        Neighbouring slices in, an odd number; the published network has one.
    width : int
        Channels.

    Notes
    -----
    The ReLU behind the last addition is left out: it suits images of numbers from 0 to 1, not HU.
    """

    def __init__(self, slices: int = 1, width: int = 96) -> None:
        super().__init__()
        self.config = {"slices": slices, "width": width}
        self.centre = slices // 2
        into = [slices, *([width] * (LAYERS - 1))]
        out = [*([width] * (LAYERS - 1)), 1]
        self.encoder = nn.ModuleList(nn.Conv2d(channels, width, KERNEL) for channels in into)
        self.decoder = nn.ModuleList(nn.ConvTranspose2d(width, channels, KERNEL) for channels in out)

    def forward(self, noisy: Tensor) -> Tensor:
        """Return the denoised middle slice, shape (n, 1, y, x), of slices (n, slices, y, x)."""
        skips: list[Tensor | None] = [noisy[:, self.centre : self.centre + 1]]
        features = noisy
        for number, layer in enumerate(self.encoder, 1):
            features = torch.relu(layer(features))
            if number < LAYERS:
                skips.append(features if number % 2 == 0 else None)
        for layer, skip in zip(self.decoder, reversed(skips), strict=True):
            features = layer(features)
            if skip is not None:
                features = features + skip
            if layer is not self.decoder[-1]:
                features = torch.relu(features)
        return features
