"""The Butterworth low pass of nuclear medicine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from quell.filters.contracts import Choice, Facts, Filter, Pixels, Span
from quell.filters.level import NoiseLevel
from quell.image import Modality

_MARGIN = 32


@dataclass(frozen=True)
class Butterworth(Filter):
    """Weaken frequencies by ``1 / sqrt(1 + (f / cutoff)^(2 order))``.

    Attributes
    ----------
    cutoff : float
        Cycles per pixel at which the amplitude has fallen to 0.71. Some programs leave the root out, and
        have a half there.
    order : int
    """

    cutoff: float = 0.25
    order: int = 5

    facts: ClassVar[Facts] = Facts(
        "butterworth",
        "Cut high frequencies off smoothly.",
        "Butterworth 1930; the customary filter of SPECT",
        {"cutoff": Span(0.08, 0.5), "order": Choice((1, 2, 3, 5, 8, 10))},
        (Modality.NM, Modality.PT),
        limits=("Blurs, and rings around hot spots where the order is high.",),
    )

    def apply(self, pixels: Pixels, noise: NoiseLevel) -> Pixels:
        margin = min(_MARGIN, *pixels.shape)
        padded = np.pad(pixels, margin, mode="symmetric")
        rows, columns = padded.shape
        frequency = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns))
        response = 1 / np.sqrt(1 + (frequency / self.cutoff) ** (2 * self.order))
        filtered = np.fft.irfft2(np.fft.rfft2(padded) * response, s=(rows, columns))
        return np.asarray(filtered[margin:-margin, margin:-margin], np.float64)
