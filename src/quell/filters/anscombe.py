"""Any method under the transform that gives Poisson noise the same variance everywhere."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from quell.errors import QuellError
from quell.filters.contracts import Facts, Filter, Pixels
from quell.filters.level import NoiseLevel
from quell.image import Modality

_LOWEST = 2 * np.sqrt(3 / 8)


@dataclass(frozen=True)
class Anscombe(Filter):
    """Transform counts, apply a method for noise of one level, and transform back without bias.

    Attributes
    ----------
    inner : Filter
        Is told that the noise has level 1.
    gain : float
        Units of the image that one count makes; 0 to take it from the noise (1 for images in counts).
    """

    inner: Filter
    gain: float = 0.0

    @property
    def facts(self) -> Facts:
        """Facts of the method inside, under another name and for counts only."""
        inside = self.inner.facts
        return replace(
            inside,
            name=f"anscombe+{inside.name}",
            description=f"Under a variance-stabilising transform: {inside.description}",
            source=f"Anscombe 1948; inverse of Mäkitalo and Foi 2011; inside: {inside.source}",
            modalities=(Modality.NM, Modality.PT, Modality.XR),
            limits=(*inside.limits, "Right only where the variance follows the mean."),
        )

    def apply(self, pixels: Pixels, noise: NoiseLevel) -> Pixels:
        gain = self.gain or noise.gain
        if not gain > 0:
            raise QuellError("the Anscombe transform needs to know how many units one count makes")
        if pixels.min() < 0:
            raise QuellError("the Anscombe transform needs counts: the image has negative values")
        stable = forward(pixels / gain)
        level = NoiseLevel(1.0, 1 / float(np.median(stable)), 1.0, None)
        return inverse(self.inner.apply(stable, level)) * gain


def forward(counts: Pixels) -> Pixels:
    """Return ``2 sqrt(x + 3/8)``, whose noise has a standard deviation of about 1 (Anscombe 1948)."""
    return np.asarray(2 * np.sqrt(counts + 3 / 8), np.float64)


def inverse(stable: Pixels) -> Pixels:
    """Return the mean of the counts whose transform has a given mean.

    Closed form of the exact unbiased inverse, Mäkitalo and Foi 2011 (IEEE TIP 20:2697). The plain inverse
    ``(d / 2)^2 - 3/8`` comes out a quarter of a count too low.
    """
    d = np.maximum(stable, _LOWEST)
    root = np.sqrt(3 / 2)
    counts = d**2 / 4 + root / (4 * d) - 11 / (8 * d**2) + 5 * root / (8 * d**3) - 1 / 8
    return np.asarray(np.maximum(counts, 0), np.float64)
