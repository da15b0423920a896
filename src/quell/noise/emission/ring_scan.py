"""A PET scan of slices: expected counts, measured counts, and the activity reconstructed from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quell.image import FloatArray
from quell.noise.emission.blur import blur_matrix
from quell.noise.emission.counting import thin_counts
from quell.noise.emission.osem import osem
from quell.noise.emission.system_matrix import RingSystem

BySubset = tuple[FloatArray, ...]
"""One array for each subset of views, shape (views of it x bins, slices)."""

_TINY = np.float32(1e-30)


@dataclass(frozen=True, eq=False)
class RingScan:
    """What a ring expects to count of some slices: ``y ~ Poisson(factors * H x + background)``.

    Attributes
    ----------
    system : RingSystem
    factors : tuple of ndarray
        Counts per unit of the blurred strip integral: attenuation times what the scan collects.
    background : tuple of ndarray
        Expected scatter and randoms.
    expected : tuple of ndarray
        Expected prompts, the background among them.
    """

    system: RingSystem
    factors: BySubset
    background: BySubset
    expected: BySubset

    @property
    def prompts(self) -> npt.NDArray[np.float64]:
        """Expected prompts of each slice."""
        return _totals(self.expected)

    def at(self, dose: float) -> RingScan:
        """Return the scan of `dose` times the duration."""
        return RingScan(
            self.system,
            _scaled(self.factors, dose),
            _scaled(self.background, dose),
            _scaled(self.expected, dose),
        )

    def measure(self, rng: np.random.Generator) -> BySubset:
        """Draw the counts of one scan."""
        return tuple(rng.poisson(part).astype(np.float32) for part in self.expected)

    def reconstruct(self, counts: Sequence[FloatArray], iterations: int) -> FloatArray:
        """Return the activity (P, slices) that ordered-subsets expectation maximisation finds."""
        factors, system = self.factors, self.system

        def forward(activity: FloatArray, subset: int) -> FloatArray:
            rays = system.forward(activity, subset)
            rays *= factors[subset]
            return rays

        def back(rays: FloatArray, subset: int) -> FloatArray:
            return system.back(rays * factors[subset], subset)

        return osem(counts, self.background, forward, back, self._even_activity(), iterations)

    def thinned_difference(self, dose: float, iterations: int, rng: np.random.Generator) -> FloatArray:
        """Return the reconstruction of thinned counts less that of all counts, (P, slices)."""
        full = self.measure(rng)
        low = tuple(thin_counts(part, dose, rng).astype(np.float32) for part in full)
        # Both in one pass: the sparse products gain by every slice beside another.
        both = _together(self, self.at(dose)).reconstruct(_stacked(full, low), iterations)
        slices = both.shape[1] // 2
        return both[:, slices:] - both[:, :slices]

    def _even_activity(self) -> FloatArray:
        """Return the even activity that gives as many trues as there are, to start from."""
        ones = np.ones((len(self.system.pixels), 1), np.float32)
        seen = tuple(self.system.forward(ones, s) * part for s, part in enumerate(self.factors))
        trues = _totals(self.expected) - _totals(self.background)
        level = trues / np.maximum(_totals(seen), _TINY)
        return ones * np.maximum(level, _TINY).astype(np.float32)


def ring_scan(
    system: RingSystem,
    activity: FloatArray,
    attenuation: FloatArray,
    fractions: tuple[float, float],
    scatter_sigma: float,
) -> RingScan:
    """Describe the scan of some slices that counts one true event per unit of strip integral.

    Parameters
    ----------
    system : RingSystem
    activity : ndarray of float32, shape (P, slices)
    attenuation : ndarray of float32, shape (P, slices)
        Per pixel width.
    fractions : tuple of float
        Scatter over scatter and trues; randoms over prompts. Randoms are spread evenly over the strips.
    scatter_sigma : float
        Standard deviation in pixels by which scatter is wider than the trues.
    """
    scatter_fraction, randoms_fraction = fractions
    factors = tuple(np.exp(-system.project(attenuation, s)) for s in range(system.subsets))
    trues = tuple(system.forward(activity, s) * part for s, part in enumerate(factors))
    smear = blur_matrix(system.bins, scatter_sigma)
    wide = tuple(np.matmul(smear, p.reshape(-1, system.bins, p.shape[1])).reshape(p.shape) for p in trues)
    scattered = _totals(trues) * scatter_fraction / (1 - scatter_fraction)
    randoms = (_totals(trues) + scattered) * randoms_fraction / (1 - randoms_fraction)
    gain = (scattered / np.maximum(_totals(wide), _TINY)).astype(np.float32)
    even = (randoms / (system.views * system.bins)).astype(np.float32)
    background = tuple(part * gain + even for part in wide)
    expected = tuple(t + b for t, b in zip(trues, background, strict=True))
    return RingScan(system, factors, background, expected)


def _together(*scans: RingScan) -> RingScan:
    """Put the slices of several scans of one system side by side."""
    parts = zip(*((s.factors, s.background, s.expected) for s in scans), strict=True)
    factors, background, expected = (_stacked(*part) for part in parts)
    return RingScan(scans[0].system, factors, background, expected)


def _stacked(*parts: BySubset) -> BySubset:
    """Put slices side by side, subset by subset."""
    return tuple(np.concatenate(subset, axis=1) for subset in zip(*parts, strict=True))


def _totals(parts: BySubset) -> npt.NDArray[np.float64]:
    """Sum over all rays, shape (slices,)."""
    return np.asarray(sum(part.sum(axis=0, dtype=np.float64) for part in parts))


def _scaled(parts: BySubset, factor: float) -> BySubset:
    return tuple(part * np.float32(factor) for part in parts)
