"""Non-local means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from quell.filters.contracts import Choice, Facts, Filter, Pixels, Span, library
from quell.filters.level import NoiseLevel


@dataclass(frozen=True)
class NonLocalMeans(Filter):
    """Average over pixels whose surroundings are alike.

    Attributes
    ----------
    patch : int
        Side of the surroundings that are compared, in pixels.
    distance : int
        How far alike pixels are looked for, in pixels.
    h : float
        How unlike surroundings may be, in noise levels.
    known : int
        1 to take the noise off the differences first, 0 not to.
    """

    patch: int = 5
    distance: int = 6
    h: float = 0.8
    known: int = 1

    facts: ClassVar[Facts] = Facts(
        "nlm",
        "Average over pixels with like surroundings.",
        "Buades, Coll and Morel 2005; fast version of Darbon et al. 2008, computed by scikit-image",
        {
            "h": Span(0.3, 2.0),
            "patch": Choice((3, 5, 7, 9)),
            "distance": Choice((5, 7, 9, 11)),
            "known": Choice((1, 0)),
        },
        limits=("Leaves noise around structures that occur only once.",),
    )

    def apply(self, pixels: Pixels, noise: NoiseLevel) -> Pixels:
        restoration = library("skimage.restoration", "scikit-image")
        filtered: Pixels = restoration.denoise_nl_means(
            pixels / noise.sigma,
            patch_size=self.patch,
            patch_distance=self.distance,
            h=self.h,
            sigma=float(self.known),
            fast_mode=True,
        )
        # It drops axes of length one.
        return filtered.reshape(pixels.shape) * noise.sigma
