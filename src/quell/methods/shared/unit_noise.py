"""Bring images to noise of unit level everywhere.

Learning without clean data stands or falls with the noise: one level for all patients, doses and places
leaves it where it is stronger and takes anatomy for it where it is weaker, and a squared error is ruled by
the noisiest image. The estimator is the one that ships with the universal denoiser: it was trained on noise
that was drawn, and is not trained any more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from quell.inference.kinds import one_hot
from quell.inference.normalise import MEAN_BLOCK, difference_scale, level_from_log, local_mean
from quell.methods.base import middle
from quell.methods.contracts import Exported, MethodConfig
from quell.methods.shared.universal_module import load_universal
from quell.networks.noise_estimator import BLOCK

SOURCE = "universal.fast"
"""The model whose estimator is taken."""

MULTIPLE = MEAN_BLOCK
"""Rows and columns must be a multiple of this."""

HALO = 64
"""Context of the local mean; the estimate also sees means over the whole tile, whose effect is small."""

LEAST = 1e-4
"""Lowest level in network units: images are constant outside of the field of view."""

LEAST_SHARE = 0.05
"""Lowest level as a share of the mean one of the image."""

BOX = 7
"""Side of the square in which the doubt about a guess is measured."""


class UnitNoiseConfig(MethodConfig):
    """Settings of methods that may learn on images of unit noise.

    Attributes
    ----------
    unit_noise
        Whether images are brought to unit noise first; without, as in the paper.
    """

    unit_noise: bool = True


@dataclass(frozen=True, eq=False)
class Unit:
    """Images of unit noise, and the way back.

    Attributes
    ----------
    stack : Tensor, shape (n, slices, y, x)
        Less the local mean, over the level, both of the middle slice.
    mean, level : Tensor, shape (n, 1, y, x)
    descriptor : Tensor, shape (n, 9)
        Of the spectrum of the noise, see `quell.noise.spectrum.describe`.
    """

    stack: Tensor
    mean: Tensor
    level: Tensor
    descriptor: Tensor

    def back(self, image: Tensor) -> Tensor:
        """Return an image (n, 1, y, x) of unit noise in the units that it came in."""
        return image * self.level + self.mean


class UnitNoise(nn.Module):
    """Estimate the local level of the noise and divide by it.

    Parameters
    ----------
    kind : str
        What the images show, one of `quell.inference.kinds.KINDS`; nothing if that is open.
    """

    kind: Tensor

    def __init__(self, kind: str = "") -> None:
        super().__init__()
        self.estimator = load_universal(SOURCE).estimator.eval()
        self.register_buffer("kind", torch.from_numpy(one_hot(kind))[None], persistent=False)

    def forward(self, stack: Tensor) -> Unit:
        """Return a stack (n, slices, y, x), rows and columns a multiple of `MULTIPLE`, with unit noise."""
        image = middle(stack)
        with torch.no_grad():
            scale = difference_scale(image) + 1e-8
            log_level, descriptor = self.estimator(image / scale, self.kind.expand(len(image), -1))
            level = level_from_log(log_level + scale.log(), BLOCK)
            least = LEAST_SHARE * level.mean(dim=(1, 2, 3), keepdim=True) + LEAST
            level = torch.maximum(level, least)
            mean = local_mean(image)
        return Unit((stack - mean) / level, mean, level, descriptor)

    def of(self, stack: Tensor) -> Unit:
        """Return the same for a stack of any size."""
        rows, columns = stack.shape[-2:]
        pad = (0, -columns % MULTIPLE, 0, -rows % MULTIPLE)
        unit = self.to(stack.device)(functional.pad(stack, pad, mode="replicate"))
        stack, mean, level = (part[..., :rows, :columns] for part in (unit.stack, unit.mean, unit.level))
        return Unit(stack, mean, level, unit.descriptor)


class Denoised(nn.Module):
    """A network that was trained on unit noise, for images as they are.

    Parameters
    ----------
    network : nn.Module
        From (n, slices, y, x) to (n, 1, y, x).
    unit : UnitNoise
    """

    def __init__(self, network: nn.Module, unit: UnitNoise) -> None:
        super().__init__()
        self.network, self.unit = network, unit

    def forward(self, stack: Tensor) -> Tensor:
        """Return the denoised middle slice."""
        given: Unit = self.unit(stack)
        return given.back(self.network(given.stack))


def export_in_unit_noise(told: Exported, unit: UnitNoise) -> Exported:
    """Return what is told of a network behind the way to unit noise and back."""
    multiple = math.lcm(MULTIPLE, told.multiple)
    halo = -(-(HALO + told.halo) // multiple) * multiple
    return Exported(Denoised(told.module, unit), told.slices, multiple=multiple, halo=halo)


def with_middle(stack: Tensor, image: Tensor) -> Tensor:
    """Return a stack with another middle slice."""
    centre = stack.shape[1] // 2
    return torch.cat((stack[:, :centre], image, stack[:, centre + 1 :]), dim=1)


class PutBack(nn.Module):
    """Put back what a guess from other pixels could not know: the posterior mean of a pixel.

    A guess m that does not know the noise of its own pixel z = x + n differs from it by ``E (z - m)^2 =
    1 + v`` with ``v = E (x - m)^2``, for unit noise. With the guess as prior the posterior mean is
    ``m + v / (1 + v) (z - m)`` (Laine et al., "High-quality self-supervised deep image denoising", NeurIPS
    2019, eq. 4). There v is learned; here it is what the difference has, around each pixel, more than noise.

    Parameters
    ----------
    network : nn.Module
        From (n, slices, y, x) to (n, 1, y, x), in units of the noise.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, stack: Tensor) -> Tensor:
        """Return the posterior mean of the middle slice (n, 1, y, x)."""
        centre = stack.shape[1] // 2
        guess: Tensor = self.network(stack)
        return posterior(guess, stack[:, centre : centre + 1])


def posterior(guess: Tensor, noisy: Tensor) -> Tensor:
    """Return the posterior mean of pixels of unit noise with a guess as prior, see `PutBack`."""
    difference = noisy - guess
    power = functional.avg_pool2d(difference.square(), BOX, 1, BOX // 2, count_include_pad=False)
    doubt = (power - 1).clamp(min=0)
    return guess + doubt / (1 + doubt) * difference
