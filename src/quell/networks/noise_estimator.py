"""A small network that reads the local noise level and the shape of the spectrum off one slice.

A bank of zero-mean filters of unit norm splits the slice into bands; block-wise generalised means of
the responses at three exponents tell noise from edges (for Gaussian noise their ratios are
constants); a few convolutions on the coarse grid of blocks combine them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

FILTERS = 16
BLOCK = 8
"""Pixels of one block, each way."""

_EXPONENTS = (0.5, 1.0, 2.0)
_FLOOR = 1e-4


class NoiseEstimator(nn.Module):
    """Estimate the local noise level and the spectrum of one slice.

    Parameters
    ----------
    width : int
        Channels on the grid of blocks.
    depth : int
        Residual blocks on the grid of blocks.
    spectrum_size : int
        Length of the spectrum descriptor (see `quell.noise.spectrum`).
    kinds : int
        Kinds of image that it is told (see `quell.inference.kinds`): the grains of a PET would be
        structure in a CT.

    Notes
    -----
    Multiplying the slice by a factor adds its logarithm to the level and leaves the spectrum as it
    is, and adding a constant changes nothing, as long as the caller scales the slice to responses
    of order one: all features are logarithms of zero-mean filter responses.
    """

    def __init__(self, width: int = 24, depth: int = 2, spectrum_size: int = 9, kinds: int = 7) -> None:
        super().__init__()
        self.config = {"width": width, "depth": depth, "spectrum_size": spectrum_size, "kinds": kinds}
        self.bank = nn.Parameter(_cosine_filters())
        self.enter = nn.Conv2d(FILTERS * len(_EXPONENTS), width, 3, padding=1, padding_mode="replicate")
        self.first = nn.ModuleList(_convolution(width) for _ in range(depth))
        self.second = nn.ModuleList(_convolution(width) for _ in range(depth))
        self.level = nn.Conv2d(width, 1, 1)
        self.spectrum = nn.Sequential(nn.Linear(2 * width, 32), nn.ReLU(), nn.Linear(32, spectrum_size))
        self.weight = nn.Conv2d(width, 1, 1)
        self.kind = nn.Linear(kinds, 2 * width, bias=False)
        nn.init.zeros_(self.kind.weight)

    def forward(self, scaled: Tensor, kind: Tensor) -> tuple[Tensor, Tensor]:
        """Return the level map and the spectrum descriptor.

        Parameters
        ----------
        scaled : Tensor, shape (n, 1, y, x)
            One slice, in a scale in which the differences of neighbouring pixels are of order one;
            rows and columns are multiples of `BLOCK`.
        kind : Tensor, shape (n, kinds)
            1 at the place of the kind of image; all 0 where it is not known.

        Returns
        -------
        log_level : Tensor, shape (n, 1, y / BLOCK, x / BLOCK)
            Natural logarithm of the local standard deviation of the noise, in the scale of the input.
        spectrum : Tensor, shape (n, spectrum_size)
        """
        features = self._features(scaled)
        centre = features.mean(dim=(1, 2, 3), keepdim=True)
        gain, shift = self.kind(kind)[:, :, None, None].chunk(2, dim=1)
        grid = torch.relu(self.enter(features - centre) * (1 + gain) + shift)
        for first, second in zip(self.first, self.second, strict=True):
            grid = grid + second(torch.relu(first(grid)))
        log_level = self.level(grid) + centre
        attention = torch.softmax(self.weight(grid).flatten(2), dim=2)
        pooled = (grid.flatten(2) * attention).sum(dim=2)
        spectrum: Tensor = self.spectrum(torch.cat((pooled, grid.mean(dim=(2, 3))), dim=1))
        return log_level, spectrum

    def _features(self, scaled: Tensor) -> Tensor:
        bank = self.bank - self.bank.mean(dim=(2, 3), keepdim=True)
        bank = bank / bank.square().sum(dim=(2, 3), keepdim=True).sqrt()
        padded = functional.pad(scaled, (3, 3, 3, 3), mode="replicate")
        response = functional.conv2d(padded, bank, stride=2).abs() + _FLOOR
        side = BLOCK // 2
        means = []
        for exponent in _EXPONENTS:
            powered = (
                response.sqrt() if exponent == 0.5 else response if exponent == 1.0 else response * response
            )
            means.append(functional.avg_pool2d(powered, side).log() / exponent)
        return torch.cat(means, dim=1)


def _convolution(width: int) -> nn.Conv2d:
    return nn.Conv2d(width, width, 3, padding=1, padding_mode="replicate")


def _cosine_filters() -> Tensor:
    """Return 16 products of two cosines of a 7-point DCT-II, none of them constant."""
    n = torch.arange(7, dtype=torch.float32)
    basis = [torch.cos(math.pi * (n + 0.5) * k / 7) for k in range(7)]
    orders = [(0, 2), (2, 0), (2, 2), (0, 3), (3, 0), (3, 3), (0, 4), (4, 0)]
    orders += [(4, 4), (2, 5), (5, 2), (5, 5), (0, 6), (6, 0), (6, 6), (3, 6)]
    return torch.stack([torch.outer(basis[a], basis[b])[None] for a, b in orders])
