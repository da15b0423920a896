"""Random numbers of crops that come two and two: what is drawn for one is drawn for its twin."""

from __future__ import annotations

import torch
from torch import Tensor


def uniform(n: int, device: torch.device) -> Tensor:
    """Draw a number for each crop, from 0 to 1; two and two are the same."""
    return twice(torch.rand((n + 1) // 2, 1, 1, 1, device=device))[:n]


def normal(n: int, device: torch.device) -> Tensor:
    """Draw a normal number for each crop; two and two are the same."""
    return twice(torch.randn((n + 1) // 2, 1, 1, 1, device=device))[:n]


def twice(drawn: Tensor) -> Tensor:
    """Return each of the first axis twice, one after the other."""
    return drawn.repeat_interleave(2, 0)
