"""Sampling of a diffusion model in a few steps that are laid out one after the other.

Schedule: Nichol and Dhariwal, "Improved denoising diffusion probabilistic models", ICML 2021, equation 17.
Sampler: Song, Meng and Ermon, "Denoising diffusion implicit models", ICLR 2021, equation 12 with no noise
added on the way. Velocity: Salimans and Ho, "Progressive distillation", ICLR 2022.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

_OFFSET = 0.008
_LARGEST_BETA = 0.999
_LEAST_SIGNAL = 1e-3


def cosine_schedule(steps: int) -> Tensor:
    """Return the share of the variance that is signal after 0, 1, ... `steps` steps, shape (steps + 1,).

    The first is 1; no step takes more than 99.9 % away.
    """
    time = torch.arange(steps + 1, dtype=torch.float64) / steps
    wanted = torch.cos((time + _OFFSET) / (1 + _OFFSET) * math.pi / 2) ** 2
    kept = (wanted[1:] / wanted[:-1]).clamp(min=1 - _LARGEST_BETA)
    return torch.cat([torch.ones(1, dtype=torch.float64), torch.cumprod(kept, dim=0)])


def add_noise(clean: Tensor, noise: Tensor, signal: Tensor) -> Tensor:
    """Return the diffused image, ``sqrt(signal) * clean + sqrt(1 - signal) * noise``."""
    return signal.sqrt() * clean + (1 - signal).sqrt() * noise


def velocity(clean: Tensor, noise: Tensor, signal: Tensor) -> Tensor:
    """Return ``sqrt(signal) * noise - sqrt(1 - signal) * clean``."""
    return signal.sqrt() * noise - (1 - signal).sqrt() * clean


def chosen_steps(steps: int, few: int, prediction: str) -> Tensor:
    """Return the steps that a short way takes, the noisiest first, shape (few,).

    To find the image from predicted noise, an error is divided by the root of the signal; such a way begins
    where there is a thousandth of it.
    """
    signal = cosine_schedule(steps)
    first = steps if prediction == "v" else int((signal >= _LEAST_SIGNAL).sum()) - 1
    return torch.linspace(max(first, 1), 1, few, dtype=torch.float64).round().to(torch.int64)


class DDIMSampler(nn.Module):
    """From unit noise to an image, with a predictor called once a step.

    Parameters
    ----------
    predictor : nn.Module
        Takes the noised image, what is known, and the step, shape (1,).
    steps : int
        Of the training.
    few : int
        Of the sampling.
    prediction : str
        ``"epsilon"`` or ``"v"``: what the predictor gives.
    """

    def __init__(self, predictor: nn.Module, steps: int, few: int, prediction: str) -> None:
        super().__init__()
        self.predictor, self.prediction, self.few = predictor, prediction, few
        self.times: Tensor
        times = chosen_steps(steps, few, prediction)
        signal = cosine_schedule(steps)
        self.register_buffer("times", times.to(torch.float32), persistent=False)
        now = [float(signal[t]) for t in times]
        self._signal = list(zip(now, [*now[1:], 1.0], strict=True))

    def forward(self, noise: Tensor, known: Tensor) -> Tensor:
        """Return the sample that belongs to `noise`, shape (n, 1, y, x)."""
        image = noise
        for index, (now, then) in enumerate(self._signal):
            told = self.predictor(image, known, self.times[index : index + 1])
            clean, epsilon = self.split(image, told, now)
            image = math.sqrt(then) * clean + math.sqrt(1 - then) * epsilon
        return image

    def split(self, noised: Tensor, told: Tensor, signal: float) -> tuple[Tensor, Tensor]:
        """Return the clean image and the noise that a prediction stands for."""
        root, rest = math.sqrt(signal), math.sqrt(1 - signal)
        if self.prediction == "v":
            return root * noised - rest * told, rest * noised + root * told
        return (noised - rest * told) / root, told
