"""The bilateral filter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from quell.filters.contracts import Facts, Filter, Pixels, Span, library
from quell.filters.level import NoiseLevel


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
        "Tomasi and Manduchi 1998, ICCV; computed by scikit-image",
        {"width": Span(0.6, 4.0), "tone": Span(0.7, 6.0)},
        limits=("Averages details fainter than about two noise levels away.",),
    )

    def apply(self, pixels: Pixels, noise: NoiseLevel) -> Pixels:
        restoration = library("skimage.restoration", "scikit-image")
        # Its look-up table of differences is as fine as the span of values divided by its size.
        bins = int(min(max(1000.0, 20 * (pixels.max() - pixels.min()) / (noise.sigma * self.tone)), 1e6))
        filtered: Pixels = restoration.denoise_bilateral(
            pixels / noise.sigma, sigma_color=self.tone, sigma_spatial=self.width, bins=bins, mode="symmetric"
        )
        return filtered * noise.sigma
