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

from quell.inference.kinds import KINDS
from quell.noise.ct_wedge import wedge_noise, wedge_power, wedge_variance
from quell.noise.spectrum import colour, describe, normalised
from quell.training.draws import normal, twice, uniform
from quell.training.laws import Law, around, by_law
from quell.training.spectra import ramps, random_power, speckle_power

_FAINT = 3
"""Discs in a crop that has any."""

_FAINT_WEIGHT = 2.0
"""By how much more an error counts where there is a disc."""

_FOCUS_WEIGHT = 3.0
"""The same for a lesion in an object that was scanned beforehand."""


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
    weight : Tensor, shape (n, 1, y, x)
        0 in blanked regions, 1 elsewhere, more where something faint was put in.
    kind : Tensor, shape (n, kinds)
        What the image is said to show, see `quell.inference.kinds`.
    """

    noisy: Tensor
    clean: Tensor
    level: Tensor
    descriptor: Tensor
    weight: Tensor
    kind: Tensor


@dataclass(frozen=True)
class Scanned:
    """Crops that were scanned beforehand: what stands in the place of noise on the fly.

    Attributes
    ----------
    noisy : Tensor, shape (n, slices, y, x)
    level : Tensor, shape (n, 1, y, x)
        0 where there is no noise: there nothing can be learned of it.
    descriptor : Tensor, shape (n, DESCRIPTOR_SIZE)
    focus : Tensor, shape (n, 1, y, x)
        From 0 to 1: where a lesion is.
    """

    noisy: Tensor
    level: Tensor
    descriptor: Tensor
    focus: Tensor


def corrupt(
    clean: Tensor,
    own_noise: Tensor,
    sigma: Tensor,
    alone: Tensor,
    law: Tensor | None = None,
    sectors: Tensor | None = None,
    kind: Tensor | None = None,
    scanned: Scanned | None = None,
) -> Corrupted:
    """Add noise to a batch of clean crops.

    Two and two crops get the same faint discs, spectrum and level, and a noise of their own.

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
    kind : Tensor, shape (n, kinds), optional
        Passed on; all 0 where it is not given.
    scanned : Scanned, optional
        For the crops whose law is ``MADE``; they keep their objects as they are.
    """
    n, middle = clean.shape[0], clean.shape[1] // 2
    law = torch.zeros(n, dtype=torch.long, device=clean.device) if law is None else law
    kind = torch.zeros(n, len(KINDS), device=clean.device) if kind is None else kind
    drawn = (law != int(Law.MADE))[:, None, None, None]
    changed, faint = insert_faint(clean, sigma)
    blanked, valid = _blank(changed)
    clean, valid = torch.where(drawn, blanked, clean), torch.where(drawn, valid, torch.ones_like(valid))
    weight = valid * torch.where(drawn, 1 + _FAINT_WEIGHT * faint, torch.ones_like(faint))
    noisy, mean, level, power = _with_noise(clean, sigma, law, valid, sectors)
    level, descriptor = level[:, middle : middle + 1], describe(power[:, 0])
    if scanned is not None:
        noisy = torch.where(drawn, noisy, scanned.noisy)
        weight = weight * (drawn | (scanned.level > 0)) * (1 + _FOCUS_WEIGHT * scanned.focus)
        level = torch.where(drawn, level, _positive(scanned.level))
        descriptor = torch.where(drawn[:, :, 0, 0], descriptor, scanned.descriptor)
    noisy = _quantise(noisy, level.mean(dim=(1, 2, 3)))
    noisy = torch.where(alone[:, None, None, None], noisy[:, middle : middle + 1], noisy)
    total = (level.square() + own_noise[:, None, None, None].square()).sqrt()
    return Corrupted(noisy, mean[:, middle : middle + 1], total, descriptor, weight, kind)


def _with_noise(
    clean: Tensor, sigma: Tensor, law: Tensor, valid: Tensor, sectors: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Give each crop the noise of its law where it is valid; returns noisy, mean, level and spectrum."""
    n, _, rows, columns = clean.shape
    power = random_power(n, rows, columns, clean.device)
    noisy, mean, level = clean, clean, torch.ones_like(clean)
    for one in Law:
        chosen = torch.nonzero(law == int(one))[:, 0]
        if one is Law.MADE or len(chosen) == 0:
            continue
        own = speckle_power(power) if one is Law.SPECKLE else power
        parts = (clean[chosen], sigma[chosen], own[chosen])
        if one is Law.GENERAL:
            made = _general(*parts)
        elif one is Law.STREAKS:
            assert sectors is not None
            made = _streaks(*parts[:2], sectors[chosen])
        else:
            made = by_law(one, *parts)
        inside = valid[chosen] > 0
        noisy = noisy.index_copy(0, chosen, torch.where(inside, made[0], parts[0]))
        mean = mean.index_copy(0, chosen, torch.where(inside, made[1], parts[0]))
        level, power = level.index_copy(0, chosen, made[2]), power.index_copy(0, chosen, made[3])
    return noisy, mean, level, power


def _positive(level: Tensor) -> Tensor:
    """Return a level that can be divided by: a tenth of the mean one where there is no noise."""
    there = (level > 0).to(level)
    count = there.sum(dim=(1, 2, 3), keepdim=True)
    mean = torch.where(count > 0, level.sum(dim=(1, 2, 3), keepdim=True) / count.clamp(min=1), 1.0)
    return torch.where(level > 0, level, 0.1 * mean)


def insert_faint(clean: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Put faint discs into half of the crops: what a reader looks for, and a network may take for noise.

    Parameters
    ----------
    clean : Tensor, shape (n, slices, y, x)
    sigma : Tensor, shape (n,)
        Level of the noise to come: the contrast of a disc is 0.2 to 3 times this, on either side.

    Returns
    -------
    clean : Tensor, shape (n, slices, y, x)
    faint : Tensor, shape (n, 1, y, x)
        From 0 to 1: how much of a pixel a disc fills.
    """
    n, slices, rows, columns = clean.shape
    device = clean.device
    y = torch.arange(rows, device=device, dtype=clean.dtype)[:, None]
    x = torch.arange(columns, device=device, dtype=clean.dtype)[None, :]
    added, faint = torch.zeros_like(clean), torch.zeros_like(clean[:, :1])
    has = uniform(n, device) < 0.5
    depth = torch.arange(slices, device=device, dtype=clean.dtype)[None, :, None, None] - slices // 2
    for _ in range(_FAINT):
        radius = 1.2 * 6.0 ** uniform(n, device)
        stretch = torch.exp(0.3 * normal(n, device))
        away = torch.hypot(
            (y - rows * uniform(n, device)) * stretch, (x - columns * uniform(n, device)) / stretch
        )
        # A soft edge: no scanner shows a sharper one.
        disc = torch.sigmoid((radius - away) / (0.3 + 0.5 * uniform(n, device))) * has
        contrast = 0.2 * 15.0 ** uniform(n, device) * torch.sign(normal(n, device))
        along = torch.exp(-0.5 * (depth / (0.5 + 3 * uniform(n, device))).square())
        added = added + contrast * sigma[:, None, None, None] * disc * along
        faint = torch.maximum(faint, disc)
    return clean + added, faint


def _general(clean: Tensor, sigma: Tensor, power: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Add correlated Gaussian noise; returns noisy, mean, level and spectrum as `by_law` does."""
    middle = clean.shape[1] // 2
    shape = _level_shape(clean[:, middle : middle + 1])
    level = (sigma[:, None, None, None] * shape).expand_as(clean)
    return clean + level * colour(_stack_white(clean), power), clean, level, power


def _streaks(clean: Tensor, sigma: Tensor, sectors: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Add the directional noise of CT; returns noisy, mean, level and spectrum as `by_law` does."""
    n, _, rows, columns = clean.shape
    maps = functional.interpolate(sectors, size=(rows, columns), mode="bilinear", align_corners=False)
    power = ramps(n, rows, columns, clean.device)
    relative = wedge_variance(maps).sqrt()[:, None]
    scale = sigma[:, None, None, None] / relative.mean(dim=(2, 3), keepdim=True)
    noise = scale * wedge_noise(_stack_white(clean), maps[:, None], power)
    directed = wedge_power(sectors, power[:, 0])[:, None]
    return clean + noise, clean, (scale * relative).expand_as(clean), normalised(directed)


def _stack_white(clean: Tensor) -> Tensor:
    """Return white unit noise for each slice; some neighbours share part of it, as overlapping slices do."""
    n = clean.shape[0]
    noise = torch.randn_like(clean)
    middle = clean.shape[1] // 2
    shared = 0.6 * uniform(n, clean.device) * (uniform(n, clean.device) < 0.4)
    mixed: Tensor = shared * noise[:, middle : middle + 1] + (1 - shared.square()).sqrt() * noise
    mixed[:, middle] = noise[:, middle]
    return mixed


def _level_shape(clean: Tensor) -> Tensor:
    """Return maps of the relative level with mean 1, shape (n, 1, y, x)."""
    n, _, rows, columns = clean.shape
    device = clean.device
    coarse = twice(torch.randn((n + 1) // 2, 1, 4, 4, device=device))[:n]
    field = functional.interpolate(coarse, size=(rows, columns), mode="bicubic", align_corners=False)
    smooth = torch.exp(field * 0.5 * uniform(n, device))
    low = around(clean)
    floor = low.amin(dim=(2, 3), keepdim=True)
    signal = (low - floor) / (low.amax(dim=(2, 3), keepdim=True) - floor + 1e-6)
    base = 0.05 + 0.5 * uniform(n, device)
    kind = uniform(n, device)
    shape = torch.where(kind < 0.35, torch.ones_like(smooth), smooth)
    shape = torch.where((kind > 0.65) & (kind < 0.82), (base + signal).sqrt() * smooth.sqrt(), shape)
    shape = torch.where(kind > 0.82, base + signal, shape)
    return shape / shape.mean(dim=(2, 3), keepdim=True)


def _blank(clean: Tensor) -> tuple[Tensor, Tensor]:
    """Set one side of a random line to a constant in some crops, as the edge of a field of view does."""
    n, _, rows, columns = clean.shape
    y = torch.linspace(-1, 1, rows, device=clean.device)[:, None]
    x = torch.linspace(-1, 1, columns, device=clean.device)[None, :]
    angle = 2 * math.pi * uniform(n, clean.device)
    distance = 0.2 + 1.2 * uniform(n, clean.device)
    outside = (y * torch.sin(angle) + x * torch.cos(angle)) > distance
    outside = outside & (uniform(n, clean.device) < 0.12)
    lowest = clean.amin(dim=(1, 2, 3), keepdim=True)
    return torch.where(outside, lowest, clean), (~outside).to(clean.dtype)


def _quantise(noisy: Tensor, sigma: Tensor) -> Tensor:
    """Round to steps of up to 0.6 of the noise in some crops, as stored integers do."""
    n = noisy.shape[0]
    step = sigma[:, None, None, None] * (0.05 + 0.55 * uniform(n, noisy.device))
    rounded = torch.round(noisy / step) * step
    return torch.where(uniform(n, noisy.device) < 0.3, rounded, noisy)
