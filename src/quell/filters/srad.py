"""Speckle-reducing anisotropic diffusion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from quell.errors import QuellError
from quell.filters.contracts import Facts, Filter, Pixels, Span
from quell.filters.level import NoiseLevel
from quell.image import Modality

_STEP = 0.2
_DECAY = 1 / 6
_FLOOR = 1e-3
_TINY = 1e-9


@dataclass(frozen=True)
class Srad(Filter):
    """Diffuse where the local variation is that of speckle.

    Attributes
    ----------
    iterations : int
    factor : float
        On the standard deviation over the mean of the speckle at the start.
    """

    iterations: int = 20
    factor: float = 1.0

    facts: ClassVar[Facts] = Facts(
        "srad",
        "Diffuse values except where they vary more than speckle does.",
        "Yu and Acton 2002, IEEE TIP 11:1260",
        {"iterations": Span(3, 120, whole=True), "factor": Span(0.4, 3.0)},
        (Modality.US,),
        limits=("Takes the noise as multiplied, which log-compressed speckle is not.",),
    )

    def apply(self, pixels: Pixels, noise: NoiseLevel) -> Pixels:
        if pixels.min() < 0:
            raise QuellError("SRAD divides by the image: it needs values that are not negative")
        floor = _FLOOR * pixels.max()
        found = pixels + floor
        for step in range(self.iterations):
            level = max(self.factor * noise.relative * np.exp(-_DECAY * step * _STEP), _TINY)
            found = _diffused(found, level**2)
        return np.asarray(found - floor, np.float64)


def _diffused(image: Pixels, speckle: float) -> Pixels:
    """Return the image after one step; `speckle` is the squared variation of speckle alone."""
    padded = np.pad(image, 1, mode="edge")
    centre = padded[1:-1, 1:-1]
    down, up = padded[2:, 1:-1] - centre, padded[:-2, 1:-1] - centre
    right, left = padded[1:-1, 2:] - centre, padded[1:-1, :-2] - centre
    slope = (down**2 + up**2 + right**2 + left**2) / centre**2
    bend = (down + up + right + left) / centre
    variation = (0.5 * slope - bend**2 / 16) / (1 + 0.25 * bend) ** 2
    open_ = np.clip(1 / (1 + (variation - speckle) / (speckle * (1 + speckle))), 0, 1)
    beside = np.pad(open_, ((0, 1), (0, 1)), mode="edge")
    below, right_of = beside[1:, :-1], beside[:-1, 1:]
    flow = below * down + open_ * up + right_of * right + open_ * left
    return np.asarray(image + _STEP / 4 * flow, np.float64)
