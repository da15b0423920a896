"""Which law of noise a crop gets, and the laws that depend on the signal, whole batches at once."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from quell.noise.on_the_fly import log_speckle, log_speckle_power, proportional, rician, rician_moments
from quell.noise.spectrum import colour


class Law(IntEnum):
    """How the noise of a crop arises."""

    GENERAL = 0
    """Correlated, locally varying, Gaussian: holds a little for everything."""
    STREAKS = 1
    """CT: directional, from the attenuation along every ray."""
    RICIAN = 2
    """Magnitude MR."""
    COUNTS = 3
    """Planar counts: Poisson."""
    ACTIVITY = 4
    """Iterative reconstruction of PET and SPECT: log-normal, proportional to the activity."""
    SPECKLE = 5
    """Ultrasound after log compression."""


_SHARES: dict[str, dict[Law, float]] = {
    "CT": {Law.STREAKS: 0.6},
    "body": {Law.STREAKS: 0.5},
    "MR": {Law.RICIAN: 0.4},
    "brain": {Law.RICIAN: 0.3},
    "counts": {Law.COUNTS: 0.4, Law.ACTIVITY: 0.4},
    "ultrasound": {Law.SPECKLE: 0.6},
}
"""How often a kind of reference gets a law of its own; otherwise it gets the general one."""


def draw_law(rng: np.random.Generator, kind: str, has_sectors: bool) -> Law:
    """Draw the law for a crop of a kind of reference (a modality, or the style of a phantom)."""
    chance = float(rng.random())
    for law, share in _SHARES.get(kind, {}).items():
        chance -= share
        if chance < 0:
            return law if law is not Law.STREAKS or has_sectors else Law.GENERAL
    return Law.GENERAL


def by_law(law: Law, clean: Tensor, sigma: Tensor, power: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Make noisy crops by one of the laws that depend on the signal.

    Parameters
    ----------
    law : Law
        RICIAN, COUNTS, ACTIVITY or SPECKLE.
    clean : Tensor, shape (n, slices, y, x)
    sigma : Tensor, shape (n,)
        About the mean standard deviation.
    power : Tensor, shape (n, 1, y, x)
        Spectrum of the noise where the law leaves it free, mean 1.

    Returns
    -------
    noisy : Tensor, shape (n, slices, y, x)
    mean : Tensor, shape (n, slices, y, x)
        What the noisy image is on the average: with the floor of a magnitude image.
    level : Tensor, shape (n, slices, y, x)
        Standard deviation at every pixel.
    power : Tensor, shape (n, 1, y, x)
        Spectrum of the noise at an even level.
    """
    low = clean.amin(dim=(1, 2, 3), keepdim=True)
    makers = {
        Law.RICIAN: _rician,
        Law.COUNTS: _counts,
        Law.ACTIVITY: _activity,
        Law.SPECKLE: _speckle,
    }
    # The lowest value of a crop stands for no signal.
    noisy, mean, level, power = makers[law](clean - low, sigma[:, None, None, None], power)
    return noisy + low, mean + low, level, power


def _unit(clean: Tensor, power: Tensor) -> Tensor:
    noise: Tensor = colour(torch.randn_like(clean), power)
    return noise


def _rician(signal: Tensor, sigma: Tensor, power: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    noisy = rician(signal, sigma, _unit(signal, power), _unit(signal, power))
    mean, level = rician_moments(signal, sigma.expand_as(signal))
    return noisy, mean, level, power


def _counts(signal: Tensor, sigma: Tensor, power: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    # Counts per unit of the signal, such that the SD of the mean signal is sigma.
    per_unit = (signal.mean(dim=(1, 2, 3), keepdim=True) + 0.01) / sigma.square()
    noisy = torch.poisson(signal * per_unit) / per_unit
    # Where hardly a count is expected the level is that of an expectation of a tenth.
    level = ((signal * per_unit).clamp(min=0.1)).sqrt() / per_unit
    return noisy, signal, level, torch.ones_like(power)


def _activity(signal: Tensor, sigma: Tensor, power: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    base = signal + 0.02 * signal.amax(dim=(1, 2, 3), keepdim=True) + 1e-3
    around = functional.avg_pool2d(functional.pad(base, (3, 3, 3, 3), mode="replicate"), 7, stride=1)
    share = (sigma / around.mean(dim=(1, 2, 3), keepdim=True)).clamp(max=0.6)
    noise = proportional(around, share, _unit(signal, power)) - around
    return signal + noise, signal, share * around, power


def _speckle(signal: Tensor, sigma: Tensor, power: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    noise = log_speckle(_unit(signal, power), _unit(signal, power))
    return signal + sigma * noise, signal, sigma.expand_as(signal), log_speckle_power(power)
