"""Correlated, locally varying Gaussian noise for training on the fly, whole batches at once.

A start that holds for every modality: the spectrum, the map of the level and the correlation of
neighbouring slices are drawn anew for every crop. What it leaves out (streaks, counts, speckle,
Rician floors) is the business of the noise models of each modality.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from quell.noise.spectrum import colour, describe, frequency_axes, normalised, ramp_spectrum


@dataclass(frozen=True)
class Corrupted:
    """A batch with noise and everything that is known of the noise.

    Attributes
    ----------
    noisy : Tensor, shape (n, slices, y, x)
    clean : Tensor, shape (n, 1, y, x)
        The middle slice without the added noise.
    level : Tensor, shape (n, 1, y, x)
        Standard deviation of all noise, the reference's own included.
    descriptor : Tensor, shape (n, DESCRIPTOR_SIZE)
        Of the added noise.
    valid : Tensor, shape (n, 1, y, x)
        1 where there is an image, 0 in blanked regions.
    """

    noisy: Tensor
    clean: Tensor
    level: Tensor
    descriptor: Tensor
    valid: Tensor


def corrupt(clean: Tensor, own_noise: Tensor, sigma: Tensor, alone: Tensor) -> Corrupted:
    """Add noise to a batch of clean crops.

    Parameters
    ----------
    clean : Tensor, shape (n, slices, y, x)
    own_noise : Tensor, shape (n,)
        Standard deviation that the references already have.
    sigma : Tensor, shape (n,)
        Mean standard deviation to add.
    alone : Tensor of bool, shape (n,)
        True where the crop is to look like a single slice: its neighbours are copies of it.
    """
    n, _, rows, columns = clean.shape
    middle = clean.shape[1] // 2
    clean, valid = _blank(clean)
    power = random_power(n, rows, columns, clean.device)
    level = sigma[:, None, None, None] * _level_shape(clean[:, middle : middle + 1])
    noisy = clean + level * valid * _stack_noise(clean, power)
    noisy = _quantise(noisy, sigma)
    noisy = torch.where(alone[:, None, None, None], noisy[:, middle : middle + 1], noisy)
    total = (level.square() + own_noise[:, None, None, None].square()).sqrt()
    return Corrupted(noisy, clean[:, middle : middle + 1], total, describe(power[:, 0]), valid)


def random_power(n: int, rows: int, columns: int, device: torch.device) -> Tensor:
    """Draw power spectra of mean 1, shape (n, 1, rows, columns), in the order of an FFT.

    Ramps under an apodisation (filtered back-projection), low-pass (iterative reconstruction,
    smoothing, interpolation), rectangles (zero-filled k-space) and white, some stretched along one
    axis, all over a small white floor.
    """
    fy, fx = (torch.from_numpy(a).to(device) for a in frequency_axes(rows, columns))
    stretch = torch.exp(_normal(n, device) * 0.35 * (_uniform(n, device) < 0.3))
    radius = torch.sqrt((fy * stretch).square() + (fx / stretch).square())
    f50 = 0.06 * (7.5 ** _uniform(n, device))
    exponent = 1.5 + 2.0 * _uniform(n, device)
    kind = _uniform(n, device)
    offset = torch.where(kind < 0.2, torch.full_like(kind, 20.0), 0.3 * _uniform(n, device).square())
    power = ramp_spectrum(radius, offset, f50, exponent)
    window = 0.25 + 0.25 * _uniform(n, device)
    other = 0.25 + 0.3 * _uniform(n, device)
    rectangle = ((fy.abs() < window) & (fx.abs() < other)).to(power.dtype)
    power = torch.where((kind > 0.2) & (kind < 0.28), rectangle, normalised(power))
    power = torch.where(kind > 0.88, torch.ones_like(power), normalised(power))
    mixed: Tensor = normalised(power + 0.03 * _uniform(n, device).square())
    return mixed


def _stack_noise(clean: Tensor, power: Tensor) -> Tensor:
    """Return unit noise for each slice; some neighbours share part of it, as overlapping slices do."""
    n = clean.shape[0]
    noise = colour(torch.randn_like(clean), power)
    middle = clean.shape[1] // 2
    shared = 0.6 * _uniform(n, clean.device) * (_uniform(n, clean.device) < 0.4)
    mixed: Tensor = shared * noise[:, middle : middle + 1] + (1 - shared.square()).sqrt() * noise
    mixed[:, middle] = noise[:, middle]
    return mixed


def _level_shape(clean: Tensor) -> Tensor:
    """Return maps of the relative level with mean 1, shape (n, 1, y, x)."""
    n, _, rows, columns = clean.shape
    device = clean.device
    field = functional.interpolate(
        torch.randn(n, 1, 4, 4, device=device), size=(rows, columns), mode="bicubic", align_corners=False
    )
    smooth = torch.exp(field * 0.5 * _uniform(n, device))
    low = functional.avg_pool2d(functional.pad(clean, (3, 3, 3, 3), mode="replicate"), 7, stride=1)
    floor = low.amin(dim=(2, 3), keepdim=True)
    signal = (low - floor) / (low.amax(dim=(2, 3), keepdim=True) - floor + 1e-6)
    base = 0.05 + 0.5 * _uniform(n, device)
    kind = _uniform(n, device)
    shape = torch.where(kind < 0.35, torch.ones_like(smooth), smooth)
    shape = torch.where((kind > 0.65) & (kind < 0.82), (base + signal).sqrt() * smooth.sqrt(), shape)
    shape = torch.where(kind > 0.82, base + signal, shape)
    return shape / shape.mean(dim=(2, 3), keepdim=True)


def _blank(clean: Tensor) -> tuple[Tensor, Tensor]:
    """Set one side of a random line to a constant in some crops, as the edge of a field of view does."""
    n, _, rows, columns = clean.shape
    y = torch.linspace(-1, 1, rows, device=clean.device)[:, None]
    x = torch.linspace(-1, 1, columns, device=clean.device)[None, :]
    angle = 2 * math.pi * _uniform(n, clean.device)
    distance = 0.2 + 1.2 * _uniform(n, clean.device)
    outside = (y * torch.sin(angle) + x * torch.cos(angle)) > distance
    outside = outside & (_uniform(n, clean.device) < 0.12)
    lowest = clean.amin(dim=(1, 2, 3), keepdim=True)
    return torch.where(outside, lowest, clean), (~outside).to(clean.dtype)


def _quantise(noisy: Tensor, sigma: Tensor) -> Tensor:
    """Round to steps of up to 0.6 of the noise in some crops, as stored integers do."""
    n = noisy.shape[0]
    step = sigma[:, None, None, None] * (0.05 + 0.55 * _uniform(n, noisy.device))
    rounded = torch.round(noisy / step) * step
    return torch.where(_uniform(n, noisy.device) < 0.3, rounded, noisy)


def _uniform(n: int, device: torch.device) -> Tensor:
    return torch.rand(n, 1, 1, 1, device=device)


def _normal(n: int, device: torch.device) -> Tensor:
    return torch.randn(n, 1, 1, 1, device=device)
