"""Bring images to noise of unit level everywhere, and tell the colour of it.

Learning without clean data stands or falls with the noise: one level for all patients, doses and places
leaves it where it is stronger and takes anatomy for it where it is weaker, and a squared error is ruled by
the noisiest image. The estimator is the one that ships with the universal denoiser: it was trained on noise
that was drawn, and is not trained any more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from quell.image import Modality
from quell.inference.normalise import MEAN_BLOCK, difference_scale, level_from_log, local_mean
from quell.methods.base import middle
from quell.methods.contracts import DataFacts, Exported, MethodConfig
from quell.methods.shared.noise_correlation import coloured, colouring, reach
from quell.methods.shared.universal_module import load_universal
from quell.networks.noise_estimator import BLOCK
from quell.noise.spectrum import RADIAL_BINS, frequency_axes

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

_GRID, _TAPS = 64, 17


class UnitNoiseConfig(MethodConfig):
    """Settings of methods that may learn on images of unit noise.

    Attributes
    ----------
    unit_noise
        Whether images are brought to unit noise first; without, as in the paper.
    """

    unit_noise: bool = True


class ColourOf(str, Enum):
    """Where the colour of Gaussian noise is taken from."""

    AUTO = "auto"
    """The data in MR, each image elsewhere."""
    IMAGE = "image"
    """Each image: patients and kernels of reconstruction differ."""
    DATA = "data"
    """The autocorrelation of all training images, along rows and columns."""


class ColourConfig(UnitNoiseConfig):
    """Settings of methods that need to know the colour of the noise.

    Attributes
    ----------
    colour
        See `ColourOf`; only with unit noise.
    """

    colour: ColourOf = ColourOf.AUTO


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
    """Estimate the local level of the noise and divide by it."""

    def __init__(self) -> None:
        super().__init__()
        self.estimator = load_universal(SOURCE).estimator.eval()

    def forward(self, stack: Tensor) -> Unit:
        """Return a stack (n, slices, y, x), rows and columns a multiple of `MULTIPLE`, with unit noise."""
        image = middle(stack)
        with torch.no_grad():
            scale = difference_scale(image) + 1e-8
            log_level, descriptor = self.estimator(image / scale)
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


class Colour(nn.Module):
    """Give white noise the spectrum that a descriptor tells, of each image its own.

    The amplitude is constant in each ring of frequencies and to either side of the diagonals. A kernel is
    the sum of those of the parts, weighted with the amplitudes, and of unit energy.
    """

    parts: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("parts", torch.from_numpy(_parts()), persistent=False)

    def forward(self, white: Tensor, descriptor: Tensor) -> Tensor:
        """Return noise (n, 1, y, x) of unit variance; borders are joined, so that they are no exception."""
        amplitude = self._amplitudes(descriptor)
        each = functional.conv2d(_joined(white), self.parts[:, None])
        return (each * amplitude[:, :, None, None]).sum(dim=1, keepdim=True)

    def quick(self, white: Tensor, descriptor: Tensor) -> Tensor:
        """Return the same with one kernel an image: a tenth of the work, but no engine knows such weights."""
        kernels = torch.matmul(self._amplitudes(descriptor), self.parts.flatten(1))
        kernels = kernels.reshape(-1, 1, _TAPS, _TAPS)
        side_by_side = _joined(white).transpose(0, 1)
        return functional.conv2d(side_by_side, kernels, groups=len(white)).transpose(0, 1)

    def covariance(self, image: Tensor, descriptor: Tensor) -> Tensor:
        """Return an image times the covariance matrix of the noise, whose diagonal is 1."""
        # The kernel is symmetric: twice the root is the whole.
        return self.quick(self.quick(image, descriptor), descriptor)

    def _amplitudes(self, descriptor: Tensor) -> Tensor:
        rings = (descriptor[:, :RADIAL_BINS] / 2).exp()
        side = descriptor[:, RADIAL_BINS:] / 4
        amplitude = torch.cat((rings * side.exp(), rings * (-side).exp()), dim=1)
        kernel = torch.matmul(amplitude, self.parts.flatten(1))
        return amplitude / kernel.square().sum(dim=1, keepdim=True).sqrt()


class OneColour(nn.Module):
    """The same colour for all images: a kernel along rows and along columns.

    Noise of a square of the k-space has it, which rings of frequencies cannot tell.

    Parameters
    ----------
    kernel : Tensor
        Of `quell.methods.shared.noise_correlation.colouring`.
    """

    kernel: Tensor

    def __init__(self, kernel: Tensor) -> None:
        super().__init__()
        self.register_buffer("kernel", kernel.clone(), persistent=False)

    def forward(self, white: Tensor, descriptor: Tensor) -> Tensor:
        """Return noise (n, 1, y, x) of unit variance."""
        return coloured(white, self.kernel)

    def quick(self, white: Tensor, descriptor: Tensor) -> Tensor:
        """Return the same."""
        return self.forward(white, descriptor)

    def covariance(self, image: Tensor, descriptor: Tensor) -> Tensor:
        """Return an image times the covariance matrix of the noise."""
        return self.forward(self.forward(image, descriptor), descriptor)


def make_colour(of: ColourOf, data: DataFacts) -> Colour | OneColour:
    """Return what colours noise as the settings say.

    MR is of one colour, that of a part of the k-space which was measured, and its edges are straight.
    """
    if of is ColourOf.IMAGE or (of is ColourOf.AUTO and data.modality is not Modality.MR):
        return Colour()
    return OneColour(torch.ones(1) if reach(data.correlation) == 1 else colouring(data.correlation))


def _joined(image: Tensor) -> Tensor:
    """Return an image with what lies beyond its borders if opposite ones are joined."""
    half = _TAPS // 2
    image = torch.cat((image[:, :, -half:], image, image[:, :, :half]), dim=2)
    return torch.cat((image[..., -half:], image, image[..., :half]), dim=3)


def _parts() -> npt.NDArray[np.float32]:
    """Return the kernels of the rings where ``|fx| > |fy|``, then where not, shape (parts, taps, taps)."""
    fy, fx = frequency_axes(_GRID, _GRID)
    ring = np.minimum((np.hypot(fy, fx) * 2 * RADIAL_BINS).astype(int), RADIAL_BINS - 1)
    across = (1 + np.sign(np.abs(fx) - np.abs(fy))) / 2
    masks = [(ring == k) * side for side in (across, 1 - across) for k in range(RADIAL_BINS)]
    whole = np.fft.ifft2(np.stack(masks)).real
    first = (_GRID - _TAPS) // 2 + 1
    cut = np.fft.fftshift(whole, axes=(1, 2))[:, first : first + _TAPS, first : first + _TAPS]
    # Softly to the end: a kernel that is cut rings.
    line = np.hanning(_TAPS + 2)[1:-1]
    return (cut * np.outer(line, line) * _GRID).astype(np.float32)


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
