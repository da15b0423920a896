"""Gaussian smoothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from quell.filters.contracts import Facts, Filter, Pixels, Span, library
from quell.filters.level import NoiseLevel


@dataclass(frozen=True)
class Gaussian(Filter):
    """Convolve with a Gaussian.

    Attributes
    ----------
    width : float
        Standard deviation in pixels.
    """

    width: float = 1.0

    facts: ClassVar[Facts] = Facts(
        "gaussian",
        "Average over the neighbourhood with Gaussian weights.",
        "linear smoothing; the usual post-filter of PET and SPECT",
        {"width": Span(0.3, 4.0)},
        limits=("Blurs edges and small structures as much as noise.",),
    )

    def apply(self, pixels: Pixels, noise: NoiseLevel) -> Pixels:
        ndimage = library("scipy.ndimage", "SciPy")
        filtered: Pixels = ndimage.gaussian_filter(pixels, self.width, mode="reflect")
        return filtered
