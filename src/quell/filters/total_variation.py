"""Total variation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from quell.filters.contracts import Facts, Filter, Pixels, Span, library
from quell.filters.level import NoiseLevel

_ITERATIONS = 200


@dataclass(frozen=True)
class TotalVariation(Filter):
    """Find the image of least total variation near the given one.

    Attributes
    ----------
    weight : float
        Of the total variation against the squared difference, in noise levels.
    """

    weight: float = 0.8

    facts: ClassVar[Facts] = Facts(
        "total variation",
        "Find the nearest image whose gradients are few.",
        "Rudin, Osher and Fatemi 1992; algorithm of Chambolle 2004, computed by scikit-image",
        {"weight": Span(0.1, 5.0)},
        limits=("Turns slopes into steps and lowers the contrast of small structures.",),
    )

    def apply(self, pixels: Pixels, noise: NoiseLevel) -> Pixels:
        restoration = library("skimage.restoration", "scikit-image")
        filtered: Pixels = restoration.denoise_tv_chambolle(
            pixels / noise.sigma, weight=self.weight, max_num_iter=_ITERATIONS
        )
        return filtered * noise.sigma
