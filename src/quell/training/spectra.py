"""Random spectra of noise: of all modalities, of filtered back-projection, of ultrasonic echoes."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from quell.noise.spectrum import frequency_axes, normalised, ramp_spectrum
from quell.training.draws import normal, uniform


def random_power(n: int, rows: int, columns: int, device: torch.device) -> Tensor:
    """Draw power spectra of mean 1, shape (n, 1, rows, columns), in the order of an FFT.

    Ramps under an apodisation (filtered back-projection), low-pass (iterative reconstruction,
    smoothing, interpolation), rectangles (zero-filled k-space) and white, some stretched along one
    axis, all over a small white floor.
    """
    fy, fx = (torch.from_numpy(a).to(device) for a in frequency_axes(rows, columns))
    stretch = torch.exp(normal(n, device) * 0.35 * (uniform(n, device) < 0.3))
    radius = torch.sqrt((fy * stretch).square() + (fx / stretch).square())
    f50 = 0.06 * (7.5 ** uniform(n, device))
    exponent = 1.5 + 2.0 * uniform(n, device)
    kind = uniform(n, device)
    offset = torch.where(kind < 0.2, torch.full_like(kind, 20.0), 0.3 * uniform(n, device).square())
    power = ramp_spectrum(radius, offset, f50, exponent)
    window = 0.25 + 0.25 * uniform(n, device)
    other = 0.25 + 0.3 * uniform(n, device)
    rectangle = ((fy.abs() < window) & (fx.abs() < other)).to(power.dtype)
    power = torch.where((kind > 0.2) & (kind < 0.28), rectangle, normalised(power))
    power = torch.where(kind > 0.88, torch.ones_like(power), normalised(power))
    mixed: Tensor = normalised(power + 0.03 * uniform(n, device).square())
    return mixed


def speckle_power(power: Tensor) -> Tensor:
    """Give most crops the spectrum of an ultrasonic echo, shape (n, 1, rows, columns), mean 1.

    Gaussian around frequency 0, mostly wider along the beam than across it: a pulse is shorter than the beam
    is wide. Pictures have many pixels to a speckle, so that half the power often lies below 0.05 cycles per
    pixel, where the spectra of other modalities hardly go.

    Parameters
    ----------
    power : Tensor, shape (n, 1, rows, columns)
        Other spectra, which three crops of ten keep.
    """
    n, _, rows, columns = power.shape
    fy, fx = (torch.from_numpy(a).to(power) for a in frequency_axes(rows, columns))
    f50 = 0.015 * (14.0 ** uniform(n, power.device))
    stretch = torch.exp(0.3 + 0.35 * normal(n, power.device))
    square = (fy / (f50 * stretch)).square() + (fx / (f50 / stretch)).square()
    gaussian = normalised(torch.exp(-math.log(2) * square))
    return torch.where(uniform(n, power.device) < 0.7, gaussian, power)


def ramps(n: int, rows: int, columns: int, device: torch.device) -> Tensor:
    """Draw spectra of filtered back-projection, the same in all directions, mean 1."""
    fy, fx = (torch.from_numpy(a).to(device) for a in frequency_axes(rows, columns))
    f50 = 0.1 * (4.0 ** uniform(n, device))
    exponent = 1.8 + 1.5 * uniform(n, device)
    # Interpolation between views and slices leaves some power at the lowest frequencies.
    power: Tensor = normalised(ramp_spectrum(torch.hypot(fy, fx), 0.02 * uniform(n, device), f50, exponent))
    return power
