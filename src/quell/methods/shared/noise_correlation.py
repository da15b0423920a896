"""How far the noise of neighbouring pixels is alike, from its autocorrelation at distances of 1, 2, ..."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from quell.errors import QuellError

LITTLE = 0.1
"""A correlation below this is none."""

TOLERATED = 0.2
"""A correlation below this does less harm than to guess a pixel from further away: its square, a share of
0.04 of the power of the noise, is what one pixel tells of the noise of another."""

_TAPS = 33


def reach(correlation: Sequence[float], little: float = LITTLE) -> int:
    """Return the smallest distance in pixels from which on the noise is not alike.

    Parameters
    ----------
    correlation : sequence of float
        At distances of 1, 2, ... pixels; empty where it is not known, which counts as none.
    little : float
        What counts as none.

    Returns
    -------
    int
        1 for white noise.
    """
    alike = [distance for distance, value in enumerate(correlation, 1) if abs(value) >= little]
    return max(alike, default=0) + 1


def reach_within(correlation: Sequence[float], most: int, reason: str) -> int:
    """Return `reach`, but for correlations that are tolerated, where it is at most `most`.

    Raises
    ------
    QuellError
        Otherwise, with the reason.
    """
    found = reach(correlation, TOLERATED)
    if found > most:
        share = correlation[found - 2]
        raise QuellError(
            f"the noise is correlated over {found - 1} pixels ({share:.2f} at the last of them): {reason}"
        )
    return found


def colouring(correlation: Sequence[float]) -> Tensor:
    """Return a symmetric kernel that gives white noise an autocorrelation along one axis.

    The square root of the power spectrum, whose negative parts (of an autocorrelation that is an
    estimate) are cut, and of unit energy.

    Parameters
    ----------
    correlation : sequence of float
        At distances of 1, 2, ...; zero beyond.

    Returns
    -------
    Tensor, shape (taps,)
    """
    known = torch.tensor([1.0, *correlation], dtype=torch.float64)[: _TAPS // 2 + 1]
    wave = torch.zeros(4 * _TAPS, dtype=torch.float64)
    wave[: len(known)] = known
    wave[len(wave) - len(known) + 1 :] = known[1:].flip(0)
    root = torch.fft.fft(wave).real.clamp(min=0).sqrt()
    kernel = torch.fft.ifft(root).real.roll(_TAPS // 2)[:_TAPS]
    unit: Tensor = kernel / kernel.square().sum().sqrt()
    return unit.float()


def coloured(white: Tensor, kernel: Tensor) -> Tensor:
    """Return noise (n, 1, y, x) whose autocorrelation is that of the kernel along rows, and along columns.

    Unit variance everywhere: at the borders, where the kernel is cut, it is scaled up.
    """
    if kernel.numel() == 1:
        return white
    line = kernel.to(white)
    noise, energy = white, torch.ones_like(white)
    for shape in ((1, 1, -1, 1), (1, 1, 1, -1)):
        pad = tuple(s // 2 for s in line.reshape(shape).shape[2:])
        noise = functional.conv2d(noise, line.reshape(shape), padding=pad)
        energy = functional.conv2d(energy, line.square().reshape(shape), padding=pad)
    return noise / energy.sqrt()
