"""What is known of each pixel of a B-mode, for regression trees: local statistics, slopes, classical filters.

The idea of regressing a denoised pixel on a bank of filters is that of van Ginneken and Mendrik 2006 (ICPR);
the bank is ours. The filters compute what `quell.filters` does, away from the borders of the image, with
settings and a noise level that are fixed when the module is made.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from quell.networks.median_network import median_of

GREYS = 255.0
"""Grey values for one network unit."""

SIDES = (3, 5, 7, 11)
SIGMAS = (1.0, 2.0, 4.0)
_REACH_OF_GAUSSIAN = 3
_LOOKS_SIDES = (7, 11)
_FEWEST = 0.01
"""One over the largest number of looks that is told."""

_TINY = 1e-12
_SMALL_VARIANCE = 0.25
"""Of whole grey values: keeps the kurtosis of flat places finite."""


@dataclass(frozen=True)
class Bank:
    """Settings of the classical filters among the features.

    Attributes
    ----------
    relative : float
        Standard deviation over mean of the grey values of speckle, for Lee, Frost and SRAD.
    sigma : float
        Standard deviation of the speckle in grey values, for the bilateral filter and non-local means.
    lee, frost : int
        Sides of the neighbourhoods, in pixels.
    damping : float
        Of Frost.
    srad : int
        Iterations.
    width, tone : float
        Of the bilateral filter, in pixels and in noise levels.
    patch, search : int
        Of non-local means: side of what is compared, and how far it is looked for.
    h : float
        Of non-local means, in noise levels.
    decibel : float
        dB for a grey value, for the number of looks.
    """

    relative: float = 0.25
    sigma: float = 23.7
    lee: int = 7
    frost: int = 7
    damping: float = 0.5
    srad: int = 10
    width: float = 1.2
    tone: float = 2.5
    patch: int = 5
    search: int = 3
    h: float = 0.8
    decibel: float = 60 / 255


class SpeckleFeatures(nn.Module):
    """Compute the features of every pixel.

    Values are first rounded to whole grey values, which most B-modes hold anyway: sums over neighbourhoods
    are then exact in 32-bit floats, and equal in all engines.

    Parameters
    ----------
    bank : Bank
    """

    def __init__(self, bank: Bank | None = None) -> None:
        super().__init__()
        self.bank = bank or Bank()
        rings, distances = _rings(self.bank.frost // 2)
        self.register_buffer("rings", rings, persistent=False)
        self.register_buffer("distances", distances, persistent=False)
        for number, sigma in enumerate(SIGMAS):
            self.register_buffer(f"gaussian{number}", _gaussian(sigma), persistent=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features, in their order."""
        local = (f"{what} {side}" for side in SIDES for what in ("mean", "sd", "median", "kurtosis"))
        slopes = (
            f"{what} {sigma:g}" for sigma in SIGMAS for what in ("smooth", "dy", "dx", "yy", "xx", "xy")
        )
        looks = (f"looks {side}" for side in _LOOKS_SIDES)
        return ("value", *local, *slopes, *looks, "lee", "frost", "srad", "bilateral", "nlm")

    @property
    def halo(self) -> int:
        """Pixels on each side that a feature depends on."""
        bank = self.bank
        reaches = (
            2 * (max(SIDES) // 2),
            int(_REACH_OF_GAUSSIAN * max(SIGMAS)),
            2 * (bank.frost // 2),
            2 * bank.srad,
            math.ceil(2.5 * bank.width),
            bank.search + bank.patch // 2,
        )
        return max(reaches)

    def forward(self, values: Tensor) -> Tensor:
        """Return the features, shape (n, f, y, x), in grey values where they have units.

        Parameters
        ----------
        values : Tensor, shape (n, 1, y, x)
            In network units, 1 for 255 grey values.
        """
        grey = torch.round(values * GREYS)
        found = [grey]
        for side in SIDES:
            found.extend(self._local(grey, side))
        for number in range(len(SIGMAS)):
            found.append(_slopes(grey, getattr(self, f"gaussian{number}")))
        intensity = torch.exp(torch.clamp(grey, 0.0, 400.0) * (self.bank.decibel * math.log(10) / 10))
        found.extend(looks(intensity, side) for side in _LOOKS_SIDES)
        found.extend(self._filters(grey))
        return torch.cat(found, dim=1)

    def _local(self, grey: Tensor, side: int) -> Iterator[Tensor]:
        mean, variance = mean_and_variance(grey, side)
        yield mean
        yield torch.sqrt(variance)
        yield median(grey, side)
        yield kurtosis(grey, mean, side)

    def _filters(self, grey: Tensor) -> Iterator[Tensor]:
        bank = self.bank
        yield lee(grey, bank.lee, bank.relative)
        yield self._frost(grey)
        yield srad(grey, bank.srad, bank.relative)
        yield bilateral(grey, bank.width, bank.tone * bank.sigma)
        yield nonlocal_means(grey, bank.patch, bank.search, bank.h * bank.sigma, bank.sigma)

    def _frost(self, grey: Tensor) -> Tensor:
        """Average with weights that fall off with distance; all pixels of one distance share theirs."""
        mean, variance = mean_and_variance(grey, self.bank.frost)
        speckle = torch.clamp((self.bank.relative * mean) ** 2, min=_TINY)
        decay = self.bank.damping * variance / speckle
        rings, distances = self.get_buffer("rings"), self.get_buffer("distances")
        sums = functional.conv2d(_padded(grey, self.bank.frost // 2), rings)
        weight = torch.exp(-decay * distances)
        count = rings.sum(dim=(1, 2, 3))[None, :, None, None]
        return (weight * sums).sum(1, keepdim=True) / (weight * count).sum(1, keepdim=True)


def _padded(values: Tensor, reach: int) -> Tensor:
    return functional.pad(values, (reach, reach, reach, reach), mode="replicate")


def box_sum(values: Tensor, side: int) -> Tensor:
    """Return the sum over the square of `side` pixels around each pixel."""
    ones = values.new_ones(1, 1, side, 1)
    down = functional.conv2d(_padded(values, side // 2), ones)
    return functional.conv2d(down, ones.transpose(2, 3))


def mean_and_variance(values: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Return mean and variance over the square of `side` pixels around each pixel."""
    mean = box_sum(values, side) / side**2
    squares = box_sum(values**2, side) / side**2
    return mean, torch.relu(squares - mean**2)


def median(values: Tensor, side: int) -> Tensor:
    """Return the median of a square of 3 pixels, or of the medians of the rows of a larger one.

    The separable median of Narendra 1981 (IEEE PAMI 3:20).
    """
    reach, (rows, columns) = side // 2, (values.shape[2], values.shape[3])
    padded = _padded(values, reach)
    steps = range(side)
    if side == 3:
        return median_of([padded[:, :, i : i + rows, j : j + columns] for i in steps for j in steps])
    along = median_of([padded[:, :, :, j : j + columns] for j in steps])
    return median_of([along[:, :, i : i + rows] for i in steps])


def kurtosis(values: Tensor, mean: Tensor, side: int) -> Tensor:
    """Return the fourth moment over the squared second of values minus their own local means.

    Of deviations from the mean around *each* pixel: sums of positive numbers, which lose no digits.
    """
    squares = (values - mean) ** 2
    second = box_sum(squares, side) / side**2
    fourth = box_sum(squares**2, side) / side**2
    return fourth / (second + _SMALL_VARIANCE) ** 2


def looks(intensity: Tensor, side: int) -> Tensor:
    """Return the local equivalent number of looks, at most 100; see `quell.evaluation.metrics`."""
    mean = box_sum(intensity, side) / side**2
    squares = box_sum(intensity**2, side) / side**2
    return 1 / torch.clamp(squares / mean**2 - 1, min=_FEWEST)


def lee(values: Tensor, side: int, relative: float) -> Tensor:
    """Return what `quell.filters.lee.Lee` does."""
    mean, variance = mean_and_variance(values, side)
    speckle = (relative * mean) ** 2
    weight = 1 - speckle / torch.clamp(torch.maximum(variance, speckle), min=_TINY)
    return mean + weight * (values - mean)


def srad(values: Tensor, iterations: int, relative: float) -> Tensor:
    """Return what `quell.filters.srad.Srad` does to an image with white at 255."""
    floor = 1e-3 * GREYS
    found = torch.clamp(values, min=0) + floor
    for step in range(iterations):
        level = max(relative * math.exp(-step * 0.2 / 6), 1e-9) ** 2
        found = _diffused(found, level)
    return found - floor


def _diffused(image: Tensor, speckle: float) -> Tensor:
    padded = _padded(image, 1)
    down, up = padded[:, :, 2:, 1:-1] - image, padded[:, :, :-2, 1:-1] - image
    right, left = padded[:, :, 1:-1, 2:] - image, padded[:, :, 1:-1, :-2] - image
    slope = (down**2 + up**2 + right**2 + left**2) / image**2
    bend = (down + up + right + left) / image
    variation = (0.5 * slope - bend**2 / 16) / (1 + 0.25 * bend) ** 2
    gate = torch.clamp(1 / (1 + (variation - speckle) / (speckle * (1 + speckle))), 0, 1)
    beside = _padded(gate, 1)
    below, right_of = beside[:, :, 2:, 1:-1], beside[:, :, 1:-1, 2:]
    return image + 0.05 * (below * down + gate * up + right_of * right + gate * left)


def bilateral(values: Tensor, width: float, tone: float) -> Tensor:
    """Return what `quell.filters.bilateral.Bilateral` does; `tone` in grey values."""
    reach = math.ceil(2.5 * width)
    steps = torch.arange(-reach, reach + 1, device=values.device)
    far = (steps[:, None] ** 2 + steps[None] ** 2).reshape(1, -1, 1, 1) / (2 * width**2)
    others = neighbours(values, reach)
    weights = torch.exp((others - values) ** 2 * (-0.5 / tone**2) - far)
    return (weights * others).sum(1, keepdim=True) / weights.sum(1, keepdim=True)


def nonlocal_means(values: Tensor, patch: int, search: int, h: float, sigma: float) -> Tensor:
    """Return non-local means over a small search window (Buades et al. 2005, with 2 sigma^2 taken off).

    Patches that leave the image are compared where they are in it.
    """
    others = neighbours(values, search)
    squares = (others - values) ** 2
    count = (2 * search + 1) ** 2
    ones = torch.ones(count, 1, patch, patch, device=values.device)
    # Reshaped, because the exporter wants to know the number of channels.
    padded = _padded(squares, patch // 2)
    padded = padded.reshape(values.shape[0], count, *padded.shape[2:])
    unlike = functional.conv2d(padded, ones, groups=count) / patch**2
    weights = torch.exp(-torch.relu(unlike - 2 * sigma**2) / h**2)
    return (weights * others).sum(1, keepdim=True) / weights.sum(1, keepdim=True)


def neighbours(values: Tensor, reach: int) -> Tensor:
    """Return the images shifted by up to `reach` pixels each way, as channels, shape (n, side^2, y, x).

    By a convolution with unit impulses: one operation for the engines, and exact.
    """
    side = 2 * reach + 1
    impulses = torch.eye(side**2, device=values.device).reshape(side**2, 1, side, side)
    return functional.conv2d(_padded(values, reach), impulses)


def _rings(reach: int) -> tuple[Tensor, Tensor]:
    """Return masks of the pixels at each distance, shape (d, 1, side, side), and the distances."""
    steps = torch.arange(-reach, reach + 1)
    squares = steps[:, None] ** 2 + steps[None] ** 2
    values = torch.unique(squares)
    masks = (squares[None] == values[:, None, None]).float()[:, None]
    return masks, torch.sqrt(values.float())[None, :, None, None]


def _gaussian(sigma: float) -> Tensor:
    """Return a Gaussian and its first two derivatives, times sigma to the order, shape (3, size)."""
    reach = int(_REACH_OF_GAUSSIAN * sigma)
    x = torch.arange(-reach, reach + 1, dtype=torch.float64) / sigma
    bell = torch.exp(-(x**2) / 2)
    bell = bell / bell.sum()
    second = (x**2 - 1) * bell
    # What is constant must have no second derivative, although the bell is cut off.
    return torch.stack([bell, x * bell, second - second.mean()]).float()


def _slopes(values: Tensor, gaussian: Tensor) -> Tensor:
    """Return the smooth image, its slopes down and right, and its three curvatures."""
    reach = gaussian.shape[1] // 2
    down = functional.conv2d(_padded(values, reach), gaussian[:, None, :, None])
    kernel = gaussian[:, None, None, :]
    # Channels (order down): smooth, first, second; each along the rows with what it lacks.
    smooth = functional.conv2d(down[:, :1], kernel)
    first = functional.conv2d(down[:, 1:2], kernel[:2])
    second = functional.conv2d(down[:, 2:], kernel[:1])
    return torch.cat(
        [smooth[:, :1], first[:, :1], smooth[:, 1:2], second, smooth[:, 2:], first[:, 1:]], dim=1
    )
