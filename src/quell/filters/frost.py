"""The filter of Frost for speckle."""

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
class Frost(Filter):
    """Average with weights ``exp(-damping C^2 |t|)`` at distance t, C being SD over mean around the pixel.

    Attributes
    ----------
    side : int
        Of the neighbourhood, in pixels.
    damping : float
        On the squared local variation over that of the speckle, so that 1 suits any number of looks.
    """

    side: int = 7
    damping: float = 0.5

    facts: ClassVar[Facts] = Facts(
        "frost",
        "Average with weights that fall off the faster the more the neighbourhood varies.",
        "Frost et al. 1982, IEEE PAMI 4:157",
        {"side": Choice((3, 5, 7, 9)), "damping": Span(0.05, 3.0)},
        (Modality.US,),
        limits=("Takes the noise as multiplied, which log-compressed speckle is not.",),
    )

    def apply(self, pixels: Pixels, noise: NoiseLevel) -> Pixels:
        mean, variance = mean_and_variance(pixels, self.side)
        speckle = np.maximum((noise.relative * mean) ** 2, _TINY)
        decay = self.damping * variance / speckle
        reach = self.side // 2
        rows, columns = pixels.shape
        padded = np.pad(pixels, reach, mode="symmetric")
        total, weights = np.zeros_like(pixels), np.zeros_like(pixels)
        for dy in range(-reach, reach + 1):
            for dx in range(-reach, reach + 1):
                weight = np.exp(-decay * np.hypot(dy, dx))
                part = padded[reach + dy : reach + dy + rows, reach + dx : reach + dx + columns]
                total += weight * part
                weights += weight
        return np.asarray(total / weights, np.float64)
