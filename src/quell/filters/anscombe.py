"""Any method under the transform that gives Poisson noise the same variance everywhere."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from quell.errors import QuellError
from quell.filters.contracts import Facts, Filter, Pixels
from quell.filters.level import NoiseLevel
from quell.image import Modality
from quell.noise.detector.anscombe import generalised_anscombe, inverse_anscombe

MOST_BELOW = 0.02
"""Share of pixels below zero beyond which an image is taken to hold no counts."""

_DARK = 3 / 8


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
            source=f"Anscombe 1948; inverse of Mäkitalo and Foi 2013; inside: {inside.source}",
            modalities=(Modality.NM, Modality.PT, Modality.XR),
            limits=(*inside.limits, "Right only where the variance follows the mean."),
        )

    def apply(self, pixels: Pixels, noise: NoiseLevel) -> Pixels:
        gain = self.gain or noise.gain
        if not gain > 0:
            raise QuellError("the Anscombe transform needs to know how many units one count makes")
        # Electronic noise takes a few dark pixels below zero; the transform sees no counts there.
        if np.mean(pixels < -_DARK * gain) > MOST_BELOW:
            raise QuellError("the Anscombe transform needs counts: the image has negative values")
        pixels = np.maximum(pixels, 0.0)
        stable = generalised_anscombe(pixels.astype(np.float32), gain, 0.0).astype(np.float64)
        level = NoiseLevel(1.0, 1 / float(np.median(stable)), 1.0, None)
        filtered = self.inner.apply(stable, level)
        return inverse_anscombe(filtered.astype(np.float32), gain, 0.0).astype(np.float64)
