"""Noise of a colour that was measured: in each image, or in all of the data."""

from __future__ import annotations

from enum import Enum

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from quell.image import Modality
from quell.methods.contracts import DataFacts
from quell.methods.shared.noise_correlation import coloured, colouring, reach
from quell.methods.shared.unit_noise import UnitNoiseConfig
from quell.noise.spectrum import RADIAL_BINS, frequency_axes

_GRID, _TAPS = 64, 17


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
