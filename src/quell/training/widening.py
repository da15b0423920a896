"""Begin a network with the weights of a smaller one that does the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from quell.errors import ModelError
from quell.networks.universal_unet import denoiser_widths


def widened(old: Mapping[str, Tensor], new: Mapping[str, Tensor], noise: float = 0.02) -> dict[str, Tensor]:
    """Return weights of a wider network that computes what a narrower one does.

    Channels that are too few are repeated, and what reads them is divided among the copies (Chen, Goodfellow
    and Shlens, "Net2Net: Accelerating learning via knowledge transfer", ICLR 2016, section 2.2); a little
    noise keeps the copies from learning the same. Inputs that the narrow network was not told of start with
    weights of zero, as do layers that it lacks.

    Parameters
    ----------
    old : mapping of str to Tensor
        Of the narrow network: `quell.training.universal.Pair` of any tier.
    new : mapping of str to Tensor
        Of the wide one, for the shapes.
    noise : float
        Standard deviation of the noise over that of the weights; layers that do not grow get none.

    Raises
    ------
    ModelError
        If these are no weights of such a network, or those of a wider one.
    """
    plan = _Plan(denoiser_widths(old), denoiser_widths(new))
    if len(plan.old) != len(plan.new) or any(a > b for a, b in zip(plan.old, plan.new, strict=True)):
        raise ModelError(f"weights of widths {plan.old} cannot begin a network of widths {plan.new}")
    return {
        name: _padded(plan.widen(name, old[name], noise), like) if name in old else torch.zeros_like(like)
        for name, like in new.items()
    }


@dataclass(frozen=True)
class _Plan:
    """Which channels of the narrow network the channels of the wide one are copies of, by level."""

    old: tuple[int, ...]
    new: tuple[int, ...]

    def widen(self, name: str, weights: Tensor, noise: float) -> Tensor:
        """Repeat the outputs of a layer of the denoiser and divide its inputs."""
        out, into = _levels(name)
        if name.startswith("denoiser.condition.2."):
            return weights[self._condition()]
        # A transposed convolution has its inputs first.
        at_input = 0 if name.startswith("denoiser.up.") else 1
        if out is not None:
            weights = weights.index_select(1 - at_input if weights.ndim > 1 else 0, self._copies(out))
        if into is not None and weights.ndim > 1:
            copies = self._copies(into)
            share = torch.bincount(copies)[copies].to(weights)
            shape = [-1 if axis == at_input else 1 for axis in range(weights.ndim)]
            weights = weights.index_select(at_input, copies) / share.reshape(shape)
        grown = any(level is not None and self.old[level] != self.new[level] for level in (out, into))
        if weights.ndim > 1 and grown:
            weights = weights + noise * weights.std() * torch.randn_like(weights)
        return weights

    def _copies(self, level: int) -> Tensor:
        return torch.arange(self.new[level]) % self.old[level]

    def _condition(self) -> Tensor:
        """Return the rows of the last layer of the condition: gain and shift, level by level."""
        rows, start = [], 0
        for level, width in enumerate(self.old):
            for _ in range(2):
                rows.append(start + self._copies(level))
                start += width
        return torch.cat(rows)


def _levels(name: str) -> tuple[int | None, int | None]:
    """Return the levels of the outputs and of the inputs of a layer; None for what does not grow."""
    parts = name.split(".")
    if parts[0] != "denoiser":
        return None, None
    if parts[1] == "stem":
        return 0, None
    if parts[1] == "head":
        return None, 0
    level = int(parts[2]) if parts[2].isdigit() else 0
    return {
        "encoder": (level, level),
        "decoder": (level, level),
        "down": (level + 1, level),
        "up": (level, level + 1),
    }.get(parts[1], (None, None))


def _padded(weights: Tensor, like: Tensor) -> Tensor:
    """Add inputs with weights of zero, up to the shape of another."""
    if weights.shape == like.shape:
        return weights
    padded = torch.zeros_like(like)
    padded[tuple(slice(n) for n in weights.shape)] = weights
    return padded
