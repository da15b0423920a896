"""Noise for training on the fly, whole batches at once: spectrum, level and law drawn anew for every crop.

The general law is correlated, locally varying and Gaussian, which holds a little for every modality.
CT gets the streaks of its own rays; magnitudes, counts, activity and speckle get the laws of
`quell.training.laws`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from quell.noise.ct_wedge import wedge_noise, wedge_power, wedge_variance
from quell.noise.spectrum import colour, describe, frequency_axes, normalised, ramp_spectrum
from quell.training.laws import Law, by_law


@dataclass(frozen=True)
class Corrupted:
    """A batch with noise and everything that is known of the noise.

    Attributes
    ----------
    noisy : Tensor, shape (n, slices, y, x)
    clean : Tensor, shape (n, 1, y, x)
        The middle slice as it is on the average over the noise: without what was added, but with
        the floor that a magnitude has where there is no signal.
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


def corrupt(
    clean: Tensor,
    own_noise: Tensor,
    sigma: Tensor,
    alone: Tensor,
    law: Tensor | None = None,
    sectors: Tensor | None = None,
) -> Corrupted:
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
    law : Tensor of int, shape (n,), optional
        See `quell.training.laws.Law`; the general one for all where it is not given.
    sectors : Tensor, shape (n, sectors, rows, columns), optional
        Variance maps for the crops with streaks, on a coarse grid.
    """
    n, _, rows, columns = clean.shape
    middle = clean.shape[1] // 2
    clean, valid = _blank(clean)
    power = random_power(n, rows, columns, clean.device)
    law = torch.zeros(n, dtype=torch.long, device=clean.device) if law is None else law
    shape = _level_shape(clean[:, middle : middle + 1])
    level = (sigma[:, None, None, None] * shape).expand_as(clean)
    added = level * colour(_stack_white(clean), power)
    noisy, mean = clean + valid * added, clean
    for kind in Law:
        chosen = torch.nonzero(law == int(kind))[:, 0]
        if kind is Law.GENERAL or len(chosen) == 0:
            continue
        if kind is Law.STREAKS:
            assert sectors is not None
            made = _streaks(clean[chosen], sigma[chosen], sectors[chosen])
        else:
            made = by_law(kind, clean[chosen], sigma[chosen], power[chosen])
        inside = valid[chosen] > 0
        kept = clean[chosen]
        noisy = noisy.index_copy(0, chosen, torch.where(inside, made[0], kept))
        mean = mean.index_copy(0, chosen, torch.where(inside, made[1], kept))
        level, power = level.index_copy(0, chosen, made[2]), power.index_copy(0, chosen, made[3])
    noisy = _quantise(noisy, sigma)
    noisy = torch.where(alone[:, None, None, None], noisy[:, middle : middle + 1], noisy)
    total = (level[:, middle : middle + 1].square() + own_noise[:, None, None, None].square()).sqrt()
    return Corrupted(noisy, mean[:, middle : middle + 1], total, describe(power[:, 0]), valid)


def _streaks(clean: Tensor, sigma: Tensor, sectors: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Add the directional noise of CT; returns noisy, mean, level and spectrum as `by_law` does."""
    n, _, rows, columns = clean.shape
    maps = functional.interpolate(sectors, size=(rows, columns), mode="bilinear", align_corners=False)
    power = _ramps(n, rows, columns, clean.device)
    relative = wedge_variance(maps).sqrt()[:, None]
    scale = sigma[:, None, None, None] / relative.mean(dim=(2, 3), keepdim=True)
    noise = scale * wedge_noise(_stack_white(clean), maps[:, None], power)
    directed = wedge_power(sectors, power[:, 0])[:, None]
    return clean + noise, clean, (scale * relative).expand_as(clean), normalised(directed)


def _ramps(n: int, rows: int, columns: int, device: torch.device) -> Tensor:
    """Draw spectra of filtered back-projection, the same in all directions, mean 1."""
    fy, fx = (torch.from_numpy(a).to(device) for a in frequency_axes(rows, columns))
    f50 = 0.1 * (4.0 ** _uniform(n, device))
    exponent = 1.8 + 1.5 * _uniform(n, device)
    # Interpolation between views and slices leaves some power at the lowest frequencies.
    power: Tensor = normalised(ramp_spectrum(torch.hypot(fy, fx), 0.02 * _uniform(n, device), f50, exponent))
    return power


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


def _stack_white(clean: Tensor) -> Tensor:
    """Return white unit noise for each slice; some neighbours share part of it, as overlapping slices do."""
    n = clean.shape[0]
    noise = torch.randn_like(clean)
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
