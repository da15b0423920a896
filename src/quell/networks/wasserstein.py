"""Generator and critic of a Wasserstein game.

Yang et al., "Low-dose CT image denoising using a generative adversarial network with Wasserstein distance
and perceptual loss", IEEE Transactions on Medical Imaging 37(6), 2018, and the authors' public code; the
gradient penalty of Gulrajani et al., "Improved training of Wasserstein GANs", NeurIPS 2017, equation 3.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

LAYERS = 8
"""Convolutions of the generator; an output pixel sees as many pixels on each side."""


class WassersteinGenerator(nn.Module):
    """Eight 3 x 3 convolutions with ReLU between them.

    Parameters
    ----------
    slices : int
        Neighbouring slices in, an odd number; the middle one is denoised.
    width : int
        Channels.
    residual : bool
        Whether the result is added to the input.
    """

    def __init__(self, slices: int = 1, width: int = 32, residual: bool = False) -> None:
        super().__init__()
        self.centre, self.residual = slices // 2, residual
        layers: list[nn.Module] = []
        for number in range(LAYERS - 1):
            layers += [nn.Conv2d(width if number else slices, width, 3, padding=1, bias=False), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, 1, 3, padding=1, bias=False))
        _start(self)

    def forward(self, stack: Tensor) -> Tensor:
        """Return the middle slice denoised, shape (n, 1, y, x), of a stack (n, slices, y, x)."""
        out: Tensor = self.layers(stack)
        return out + stack[:, self.centre : self.centre + 1] if self.residual else out


class WassersteinCritic(nn.Module):
    """Six 3 x 3 convolutions, every second with stride 2, and two full layers.

    Parameters
    ----------
    size : int
        Rows and columns of the crops.
    width : int
        Channels of the first two convolutions; twice as many in the next two, four times in the last two.
    """

    def __init__(self, size: int = 64, width: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for number in range(6):
            out, stride = width * 2 ** (number // 2), 1 + number % 2
            layers += [nn.Conv2d(channels, out, 3, stride=stride, padding=1), nn.LeakyReLU(0.2)]
            channels, size = out, (size - 1) // stride + 1
        full = 16 * width
        layers += [nn.Flatten(), nn.Linear(channels * size**2, full), nn.LeakyReLU(0.2), nn.Linear(full, 1)]
        self.layers = nn.Sequential(*layers)
        _start(self)

    def scores(self, images: Tensor) -> Tensor:
        """Return how clean each of some images looks, shape (n,)."""
        scores: Tensor = self.layers(images)
        return scores.flatten()

    def forward(self, fake: Tensor, real: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the mean score of denoised images, and a penalty.

        Parameters
        ----------
        fake, real : Tensor, shape (n, 1, y, x)
            Denoised and clean images. With `real` the score is the difference to that of the clean images
            and the penalty that of the gradient at random points between; without, the penalty is 0.
        """
        if real is None:
            score = self.scores(fake).mean()
            return score, torch.zeros_like(score)
        both = self.scores(torch.cat((fake, real))).chunk(2)
        share = torch.rand(len(real), 1, 1, 1, device=real.device, dtype=real.dtype)
        return both[0].mean() - both[1].mean(), gradient_penalty(self.scores, torch.lerp(fake, real, share))


def gradient_penalty(critic: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Return the mean of the squared distance of the gradient's norm from 1.

    Parameters
    ----------
    critic : callable
        Gives a score to each image, shape (n,).
    images : Tensor, shape (n, 1, y, x)
    """
    images = images.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)
    norm: Tensor = gradient.flatten(1).norm(dim=1)
    return (norm - 1).square().mean()


def _start(network: nn.Module) -> None:
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.xavier_uniform_(layer.weight)
