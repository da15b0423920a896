"""The median of the neighbourhood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from quell.filters.contracts import Choice, Facts, Filter, Pixels, library
from quell.filters.level import NoiseLevel


@dataclass(frozen=True)
class Median(Filter):
    """Replace each pixel by the median around it.

    Attributes
    ----------
    side : int
        Width of the neighbourhood in pixels.
    shape : str
        ``"square"`` or ``"disc"``.
    passes : int
        How often it is done.
    """

    side: int = 3
    shape: str = "square"
    passes: int = 1

    facts: ClassVar[Facts] = Facts(
        "median",
        "Replace each pixel by the median of its neighbourhood.",
        "Tukey 1977, Exploratory Data Analysis",
        {"side": Choice((3, 5, 7, 9)), "shape": Choice(("square", "disc")), "passes": Choice((1, 2, 3))},
        limits=("Removes whatever is smaller than half of its neighbourhood.",),
    )

    def apply(self, pixels: Pixels, noise: NoiseLevel) -> Pixels:
        ndimage = library("scipy.ndimage", "SciPy")
        at = np.arange(self.side) - self.side // 2
        whole = np.ones((self.side, self.side), bool)
        near = whole if self.shape == "square" else np.hypot(at[:, None], at) <= self.side / 2
        for _ in range(self.passes):
            pixels = ndimage.median_filter(pixels, footprint=near, mode="reflect")
        return pixels
