"""The filter of Lee for speckle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from quell.filters.contracts import Choice, Facts, Filter, Pixels, Span
from quell.filters.level import NoiseLevel
from quell.filters.local_statistics import mean_and_variance
from quell.image import Modality

_TINY = 1e-12


@dataclass(frozen=True)
class Lee(Filter):
    """Draw each pixel to the local mean, by what multiplied noise explains of the local variance.

    Attributes
    ----------
    side : int
        Of the neighbourhood, in pixels.
    factor : float
        On the standard deviation over the mean of the speckle.
    """

    side: int = 7
    factor: float = 1.0

    facts: ClassVar[Facts] = Facts(
        "lee",
        "Draw pixels to the local mean where speckle explains the variance.",
        "Lee 1980, IEEE PAMI 2:165 (multiplied noise)",
        {"side": Choice((3, 5, 7, 9, 11)), "factor": Span(0.5, 2.5)},
        (Modality.US,),
        limits=("Takes the noise as multiplied, which log-compressed speckle is not.",),
    )

    def apply(self, pixels: Pixels, noise: NoiseLevel) -> Pixels:
        mean, variance = mean_and_variance(pixels, self.side)
        speckle = (self.factor * noise.relative * mean) ** 2
        weight = 1 - speckle / np.maximum(np.maximum(variance, speckle), _TINY)
        return np.asarray(mean + weight * (pixels - mean), np.float64)
