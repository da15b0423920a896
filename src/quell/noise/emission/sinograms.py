"""Counts of a PET scan, and what is known of how they came about."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from quell.image import FloatArray
from quell.noise.emission.counting import thin_counts


@dataclass(frozen=True, eq=False)
class Sinograms:
    """Prompts of slices by view and strip.

    Attributes
    ----------
    counts : ndarray of float32, shape (slices, views, bins)
        Expected or measured prompts.
    factors : ndarray of float32, same shape
        Counts per unit of the blurred strip integral: attenuation times what the scan collects.
    background : ndarray of float32, same shape
        Expected scatter and randoms.
    """

    counts: FloatArray
    factors: FloatArray
    background: FloatArray

    def draw(self, rng: np.random.Generator) -> Sinograms:
        """Return one measurement of expected counts."""
        return replace(self, counts=rng.poisson(self.counts).astype(np.float32))

    def thin(self, dose: float, rng: np.random.Generator) -> Sinograms:
        """Return measured counts at a lower dose, exactly: each is kept with probability `dose`.

        Raises
        ------
        ValueError
            If the dose is outside (0, 1], or the counts are not measured ones.
        """
        share = np.float32(dose)
        return Sinograms(
            thin_counts(self.counts, dose, rng).astype(np.float32),
            self.factors * share,
            self.background * share,
        )
