"""A volume of slices under a ring of PET detectors, a few slices at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from quell.image import FloatArray
from quell.noise.emission.blur import SIGMA_OF_FWHM, blur_slices
from quell.noise.emission.outline import Field
from quell.noise.emission.ring_scan import BySubset, RingScan, ring_scan
from quell.noise.emission.sinograms import Sinograms
from quell.noise.emission.system_matrix import RingSystem, ring_system

_SLICES_AT_ONCE = 16
_SCATTER_SIGMA = 60.0
"""Standard deviation in mm by which single scatter is wider than the trues; its shape matters little."""


@dataclass(frozen=True, eq=False)
class RingBed:
    """Activity and attenuation of slices, and the scanner around them.

    Attributes
    ----------
    activity : ndarray of float32, shape (z, y, x)
        In any units, not negative.
    attenuation : ndarray of float32, shape (z, y, x)
        In 1/mm.
    field : Field
    pixel : float
        Side of a pixel in mm.
    resolution : float
        Full width at half maximum of the detectors in mm.
    fractions : tuple of float
        Scatter over scatter and trues; randoms over prompts.
    iterations, subsets : int
    """

    activity: FloatArray
    attenuation: FloatArray
    field: Field
    pixel: float
    resolution: float
    fractions: tuple[float, float]
    iterations: int
    subsets: int

    @cached_property
    def system(self) -> RingSystem:
        """Views about as many as pixels across: what the blur of the detectors leaves needs no more."""
        size = self.field.size
        views = self.subsets * max(1, round(1.1 * size / self.subsets))
        return ring_system(size, views, self.subsets, self.resolution * SIGMA_OF_FWHM / self.pixel)

    def scan(self, slices: slice) -> RingScan:
        """Return the scan of some slices that counts one true event per unit of strip integral."""
        return ring_scan(
            self.system,
            self._columns(self.activity[slices]),
            self._columns(self.attenuation[slices]) * np.float32(self.pixel),
            self.fractions,
            _SCATTER_SIGMA / self.pixel,
        )

    def gain(self, prompts: float) -> float:
        """Return the dose at which a slice has so many prompts in the mean."""
        total = sum(float(self.scan(part).prompts.sum()) for part in self.parts())
        return prompts * len(self.activity) / max(total, 1e-30)

    def parts(self) -> Iterator[slice]:
        """Yield the slices in parts that fit the cache."""
        for start in range(0, len(self.activity), _SLICES_AT_ONCE):
            yield slice(start, start + _SLICES_AT_ONCE)

    def through(self, work: Callable[[RingScan], FloatArray], gain: float, post_filter: float) -> FloatArray:
        """Do some work on all slices, part after part.

        Parameters
        ----------
        work : callable
            From a scan to a reconstruction (P, slices).
        gain : float
            Dose of the scans.
        post_filter : float
            Full width at half maximum in mm of the Gaussian that reconstructions are filtered with.

        Returns
        -------
        ndarray of float32, shape (z, y, x)
        """
        done = [self.image_of(work(self.scan(part).at(gain)), post_filter) for part in self.parts()]
        return np.concatenate(done)

    def sinograms(self, gain: float) -> Sinograms:
        """Return the expected counts of all slices at a dose of `gain`."""
        parts = [self.scan(part).at(gain) for part in self.parts()]
        kinds = ("expected", "factors", "background")
        return Sinograms(*(np.concatenate([self._views(getattr(p, kind)) for p in parts]) for kind in kinds))

    def reconstruct(self, sinograms: Sinograms, post_filter: float) -> FloatArray:
        """Return slices (z, y, x) that are made of measured counts."""
        done = []
        for part in self.parts():
            counts, factors, background = (
                self._subsets(stack[part])
                for stack in (sinograms.counts, sinograms.factors, sinograms.background)
            )
            scan = RingScan(self.system, factors, background, counts)
            done.append(self.image_of(scan.reconstruct(counts, self.iterations), post_filter))
        return np.concatenate(done)

    def image_of(self, columns: FloatArray, post_filter: float) -> FloatArray:
        """Return a reconstruction (P, slices) as filtered slices (z, y, x) in the frame of the image."""
        size = self.field.size
        square = np.zeros((size * size, columns.shape[1]), np.float32)
        square[self.system.pixels] = columns
        stack = np.ascontiguousarray(square.T).reshape(-1, size, size)
        sigma = post_filter * SIGMA_OF_FWHM / self.pixel
        return self.field.extract(blur_slices(stack, (sigma, sigma)))

    def _views(self, parts: BySubset) -> FloatArray:
        """Return counts by subset as (slices, views, bins)."""
        system = self.system
        stack = np.empty((parts[0].shape[1], system.views, system.bins), np.float32)
        for s, part in enumerate(parts):
            stack[:, s :: self.subsets] = part.T.reshape(len(stack), -1, system.bins)
        return stack

    def _subsets(self, stack: FloatArray) -> BySubset:
        """Return counts (slices, views, bins) by subset."""
        parts = (stack[:, s :: self.subsets] for s in range(self.subsets))
        return tuple(np.ascontiguousarray(part.reshape(len(stack), -1).T) for part in parts)

    def _columns(self, stack: FloatArray) -> FloatArray:
        flat = self.field.embed(stack).reshape(len(stack), -1)
        return np.ascontiguousarray(flat[:, self.system.pixels].T)
