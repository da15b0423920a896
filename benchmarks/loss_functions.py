"""Losses of the image that compete with that of `quell.training.universal`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from quell.training.corruption import Corrupted
from quell.training.universal import Loss, lasting, lasting_weight, losses

Image: TypeAlias = Callable[[Corrupted, Tensor], Tensor]
"""From a batch and the noise that was found in it, shape (n, 1, y, x), to one number."""

STRONGER = 3.0
"""By how much more ``lasting-strong`` counts what lasts."""

WINDOW = 8
"""Side in pixels of the squares in which ``texture`` compares standard deviations."""


def errors(batch: Corrupted, noise: Tensor) -> Tensor:
    """Return what is wrong with the noise that was found, in units of the level."""
    return (noise - true_noise(batch)) / batch.level


def true_noise(batch: Corrupted) -> Tensor:
    """Return the noise of the middle slices, shape (n, 1, y, x)."""
    middle = batch.noisy.shape[1] // 2
    return batch.noisy[:, middle : middle + 1] - batch.clean


def absolute(batch: Corrupted, noise: Tensor) -> Tensor:
    """Return the mean absolute error: its least is the median, not the mean."""
    return (batch.weight * errors(batch, noise).abs()).mean()


def tempered(batch: Corrupted, noise: Tensor) -> Tensor:
    """Return the pseudo-Huber error of the released loss, without what lasts."""
    return (batch.weight * ((errors(batch, noise).square() + 0.25).sqrt() - 0.5)).mean()


def with_lasting(batch: Corrupted, noise: Tensor, times: float = 1.0) -> Tensor:
    """Return the released loss, with a factor to the part of it that lasts."""
    weight = lasting_weight(batch.kind) * batch.weight[::2]
    return tempered(batch, noise) + times * (weight * lasting(errors(batch, noise))).mean()


def frequency_weight(rows: int, columns: int) -> Tensor:
    """Return a weight that rises with the spatial frequency, in the order of an FFT.

    Returns
    -------
    Tensor, shape (rows, columns)
        Proportional to the frequency: 0 at zero, mean 1.
    """
    radius = torch.hypot(torch.fft.fftfreq(rows)[:, None], torch.fft.fftfreq(columns)[None])
    return radius / radius.mean()


def with_frequency(batch: Corrupted, noise: Tensor) -> Tensor:
    """Return the tempered error and the mean square of the error, weighted by `frequency_weight`.

    Large errors count by their size, as in `quell.training.universal.lasting`. By Parseval's theorem a
    white error costs what its mean square does.
    """
    error = errors(batch, noise)
    error = batch.weight.sqrt() * error / (1 + 4 * error.square()) ** 0.25
    power = torch.fft.fft2(error, norm="ortho").abs().square()
    weight = frequency_weight(*error.shape[-2:]).to(error)
    return tempered(batch, noise) + (weight * power).mean()


def local_deviation(field: Tensor) -> Tensor:
    """Return the standard deviation within squares of `WINDOW` pixels, shape (n, 1, y', x')."""
    mean = functional.avg_pool2d(field, WINDOW)
    # The root has no slope at 0.
    return (functional.avg_pool2d(field.square(), WINDOW) - mean.square()).clamp(min=1e-6).sqrt()


def with_texture(batch: Corrupted, noise: Tensor) -> Tensor:
    """Return the tempered error and how much the local deviation of what is removed is off.

    What is removed should vary from place to place as much as the noise that was put in: less, and noise
    is left; more, and structure is taken. Squares that are not all valid do not count.
    """
    found, true = (local_deviation(one / batch.level) for one in (noise, true_noise(batch)))
    valid = functional.avg_pool2d((batch.weight > 0).to(noise), WINDOW) > 0.99
    return tempered(batch, noise) + ((found - true).abs() * valid).sum() / valid.sum().clamp(min=1)


IMAGE: dict[str, Image] = {
    "absolute": absolute,
    "tempered": tempered,
    "lasting": with_lasting,
    "lasting-strong": partial(with_lasting, times=STRONGER),
    "frequency": with_frequency,
    "texture": with_texture,
}
"""By name; ``lasting`` is the one that models are released with."""


def loss_named(name: str) -> Loss:
    """Return a loss for `quell.training.universal.Run`: of the image its own, of the noise the released."""
    image = IMAGE[name]

    def loss(
        batch: Corrupted, noise: Tensor, log_level: Tensor, descriptor: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        _, level, spectrum = losses(batch, noise, log_level, descriptor)
        return image(batch, noise), level, spectrum

    return loss
