"""The bilateral filter, written out: that of scikit-image 0.26 weights the neighbourhood one-sidedly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from quell.filters.contracts import Facts, Filter, Pixels, Span
from quell.filters.level import NoiseLevel

_REACH = 2.5


@dataclass(frozen=True)
class Bilateral(Filter):
    """Average over pixels that are near and alike.

    Attributes
    ----------
    width : float
        Standard deviation of the weights by distance, in pixels.
    tone : float
        Standard deviation of the weights by difference, in noise levels.
    """

    width: float = 1.5
    tone: float = 2.5

    facts: ClassVar[Facts] = Facts(
        "bilateral",
        "Average over neighbours, those with like values more.",
        "Tomasi and Manduchi 1998, ICCV",
        {"width": Span(0.6, 4.0), "tone": Span(0.7, 6.0)},
        limits=("Averages details fainter than about two noise levels away.",),
    )

    def apply(self, pixels: Pixels, noise: NoiseLevel) -> Pixels:
        reach = int(np.ceil(_REACH * self.width))
        rows, columns = pixels.shape
        # Values start at 0, so that squares of differences keep their digits.
        lowest = pixels.min()
        scaled = (pixels - lowest) / noise.sigma
        padded = np.pad(scaled, reach, mode="symmetric")
        total, weights = np.zeros_like(scaled), np.zeros_like(scaled)
        for dy in range(-reach, reach + 1):
            for dx in range(-reach, reach + 1):
                other = padded[reach + dy : reach + dy + rows, reach + dx : reach + dx + columns]
                far = (dy * dy + dx * dx) / (2 * self.width**2)
                weight = np.exp((other - scaled) ** 2 * (-0.5 / self.tone**2) - far)
                weights += weight
                weight *= other
                total += weight
        return np.asarray(total / weights * noise.sigma + lowest, np.float64)
