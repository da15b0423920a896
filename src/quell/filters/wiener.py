"""The pixel-wise adaptive Wiener filter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from quell.filters.contracts import Choice, Facts, Filter, Pixels, Span
from quell.filters.level import NoiseLevel
from quell.filters.local_statistics import mean_and_variance


@dataclass(frozen=True)
class Wiener(Filter):
    """Draw each pixel to the local mean, by the share of noise in the local variance.

    Attributes
    ----------
    side : int
        Of the neighbourhood, in pixels.
    factor : float
        On the noise level.
    """

    side: int = 5
    factor: float = 1.0

    facts: ClassVar[Facts] = Facts(
        "wiener",
        "Draw pixels to the local mean where the variance is that of the noise.",
        "Lee 1980, IEEE PAMI 2:165 (additive noise); Lim 1990",
        {"side": Choice((3, 5, 7, 9, 11)), "factor": Span(0.6, 2.5)},
        limits=("Leaves noise beside edges.",),
    )

    def apply(self, pixels: Pixels, noise: NoiseLevel) -> Pixels:
        mean, variance = mean_and_variance(pixels, self.side)
        expected = (self.factor * noise.sigma) ** 2
        return np.asarray(
            mean + (pixels - mean) * (1 - expected / np.maximum(variance, expected)), np.float64
        )
