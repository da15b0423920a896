"""Anisotropic diffusion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from quell.filters.contracts import Choice, Facts, Filter, Pixels, Span
from quell.filters.level import NoiseLevel

_STEP = 0.2


@dataclass(frozen=True)
class AnisotropicDiffusion(Filter):
    """Let values flow to neighbours, the less the steeper it is.

    Attributes
    ----------
    iterations : int
    kappa : float
        Difference of neighbours, in noise levels, above which the flow is held back.
    conduction : str
        ``"exponential"`` (their equation 1, favours strong edges) or ``"rational"`` (their equation 2,
        favours wide regions).
    """

    iterations: int = 10
    kappa: float = 2.0
    conduction: str = "exponential"

    facts: ClassVar[Facts] = Facts(
        "anisotropic diffusion",
        "Diffuse values except across steep edges.",
        "Perona and Malik 1990, IEEE PAMI 12:629, four neighbours",
        {
            "iterations": Span(2, 60, whole=True),
            "kappa": Span(0.7, 6.0),
            "conduction": Choice(("exponential", "rational")),
        },
        limits=("Keeps strong single pixels of noise.",),
    )

    def apply(self, pixels: Pixels, noise: NoiseLevel) -> Pixels:
        scale = self.kappa * noise.sigma
        found = pixels.copy()
        for _ in range(self.iterations):
            down, right = (self._flow(np.diff(found, axis=axis), scale) for axis in (0, 1))
            # What leaves one pixel enters its neighbour, so that the mean stays.
            found[:-1] += down
            found[1:] -= down
            found[:, :-1] += right
            found[:, 1:] -= right
        return found

    def _flow(self, difference: Pixels, scale: float) -> Pixels:
        squared = (difference / scale) ** 2
        conductance = np.exp(-squared) if self.conduction == "exponential" else 1 / (1 + squared)
        return np.asarray(_STEP * conductance * difference, np.float64)
