"""Which law of noise a crop gets, and the laws that depend on the signal, whole batches at once."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from quell.inference.kinds import KINDS
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
    MADE = 6
    """Scanned beforehand, see `quell.training.made`."""


_SHARES: dict[str, dict[Law, float]] = {
    "CT": {Law.STREAKS: 0.6},
    "body": {Law.STREAKS: 0.5},
    "MR": {Law.RICIAN: 0.4},
    "brain": {Law.RICIAN: 0.3},
    "counts": {Law.COUNTS: 0.4, Law.ACTIVITY: 0.4},
    "ultrasound": {Law.SPECKLE: 0.8},
}
"""How often a kind of reference gets a law of its own; otherwise it gets the general one."""

_STYLES = {
    "body": "CT",
    "brain": "MR",
    "ultrasound": "US",
    "radiograph": "XR",
}
"""What phantoms of one style pass for, where the law leaves it open."""

_BY_LAW = {
    Law.STREAKS: ("CT",),
    Law.RICIAN: ("MR",),
    Law.COUNTS: ("NM",),
    Law.ACTIVITY: ("PT", "SPECT"),
    Law.SPECKLE: ("US",),
}


def draw_kind(rng: np.random.Generator, reference: str, law: Law, only: str = "") -> str:
    """Draw what a crop is said to show, one of `quell.inference.kinds.KINDS`, or nothing.

    In one crop of eight nothing is said, as with a file that does not name its modality.

    Parameters
    ----------
    rng : Generator
    reference : str
        Modality, or the style of a phantom.
    law : Law
    only : str
        The one kind that is trained for; any if empty.
    """
    if rng.random() < 0.125:
        return ""
    return only or str(rng.choice(_shown(reference, law)))


def draw_law(rng: np.random.Generator, reference: str, has_sectors: bool, only: str = "") -> Law:
    """Draw the law for a crop of a kind of reference (a modality, or the style of a phantom).

    Parameters
    ----------
    rng : Generator
    reference : str
    has_sectors : bool
        Whether there are maps of the directional noise of CT.
    only : str
        The one kind that is trained for: a law never names another. Any if empty.
    """
    chance = float(rng.random())
    shares = _SHARES.get(reference, {})
    if only:
        shares = _passing(reference, only)
        chance *= sum(shares.values())
    for law, share in shares.items():
        chance -= share
        if chance < 0:
            return law if law is not Law.STREAKS or has_sectors else Law.GENERAL
    return Law.GENERAL


def passing(reference: str, kind: str) -> float:
    """Return how often crops of a reference pass for a kind, of those that are said to show anything.

    Parameters
    ----------
    reference : str
        Modality, or the style of a phantom.
    kind : str
        One of `quell.inference.kinds.KINDS`.
    """
    return sum(_passing(reference, kind).values())


def _passing(reference: str, kind: str) -> dict[Law, float]:
    """Return how often crops of a reference have a law and pass for a kind; the general law comes last."""
    own = _SHARES.get(reference, {})
    laws = {**own, Law.GENERAL: 1 - sum(own.values())}
    shown = {law: _shown(reference, law) for law in laws}
    return {law: share * shown[law].count(kind) / len(shown[law]) for law, share in laws.items()}


def _shown(reference: str, law: Law) -> tuple[str, ...]:
    """Return what a crop may pass for, one as often as the other."""
    if law in _BY_LAW:
        return _BY_LAW[law]
    if reference == "counts":
        return ("PT", "SPECT", "NM")
    one = reference if reference in KINDS else _STYLES.get(reference)
    return KINDS if one is None else (one,)


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


def around(image: Tensor) -> Tensor:
    """Return the mean over seven by seven pixels, shape (n, c, y, x)."""
    padded = functional.pad(image, (3, 3, 3, 3), mode="replicate")
    # One direction after the other costs a quarter of both at once.
    return functional.avg_pool2d(functional.avg_pool2d(padded, (7, 1), stride=1), (1, 7), stride=1)


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
    activity = around(base)
    share = (sigma / activity.mean(dim=(1, 2, 3), keepdim=True)).clamp(max=0.6)
    noise = proportional(activity, share, _unit(signal, power)) - activity
    return signal + noise, signal, share * activity, power


def _speckle(signal: Tensor, sigma: Tensor, power: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    noise = log_speckle(_unit(signal, power), _unit(signal, power))
    return signal + sigma * noise, signal, sigma.expand_as(signal), log_speckle_power(power)
