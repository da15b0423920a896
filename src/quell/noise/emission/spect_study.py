"""A SPECT study: a volume, the camera around it and the recipe by which it is reconstructed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from quell.image import FloatArray
from quell.noise.emission.blur import SIGMA_OF_FWHM
from quell.noise.emission.butterworth import filter_volume
from quell.noise.emission.camera_scan import CameraScan, Views, camera_scan
from quell.noise.emission.counting import thin_counts
from quell.noise.emission.rotating_camera import RotatingCamera, rotating_camera

_SCATTER_SIGMA = 40.0
"""Standard deviation in mm by which scatter is wider than the primary counts; its shape matters little."""


@dataclass(frozen=True)
class Orbit:
    """The way of the camera and its collimator; the fields are those of `SPECTNoise`."""

    angles: tuple[float, ...]
    radius_mm: float
    fwhm_mm: float
    slope: float

    def sigmas(self, size: int, pixel: float) -> npt.NDArray[np.float64]:
        """Return the blur in pixels at each depth, the farthest first."""
        near = (np.arange(size) - (size - 1) / 2) * pixel
        distance = np.maximum(self.radius_mm - near, 0)
        blur: npt.NDArray[np.float64] = (self.fwhm_mm + self.slope * distance) * SIGMA_OF_FWHM / pixel
        return blur


@dataclass(frozen=True)
class Recipe:
    """How counts become a volume; the fields are those of `SPECTNoise`."""

    filtered: bool
    iterations: int
    subsets: int
    cutoff: float
    order: float
    corrects_attenuation: bool
    recovers_resolution: bool


@dataclass(frozen=True, eq=False)
class SpectStudy:
    """What is scanned, with what, and what becomes of it.

    Attributes
    ----------
    activity : ndarray of float32, shape (z, y, x)
        In any units, not negative.
    attenuation : ndarray of float32, shape (z, y, x), or None
        In 1/mm; None where nothing is attenuated.
    spacing : tuple of float
        Distance of slices and side of a pixel in mm.
    orbit : Orbit
    recipe : Recipe
    scatter_fraction : float
        Scatter over all counts.
    """

    activity: FloatArray
    attenuation: FloatArray | None
    spacing: tuple[float, float]
    orbit: Orbit
    recipe: Recipe
    scatter_fraction: float

    @cached_property
    def camera(self) -> RotatingCamera:
        """The camera as it is."""
        return self._camera(self.attenuation, self.orbit.sigmas(self._size, self.spacing[1]))

    @cached_property
    def believed(self) -> RotatingCamera:
        """The camera as the reconstruction takes it to be."""
        recipe = self.recipe
        if recipe.recovers_resolution and (recipe.corrects_attenuation or self.attenuation is None):
            return self.camera
        sigmas = self.orbit.sigmas(self._size, self.spacing[1])
        return self._camera(
            self.attenuation if recipe.corrects_attenuation else None,
            sigmas if recipe.recovers_resolution else np.zeros_like(sigmas),
        )

    def scan(self, total_counts: float) -> CameraScan:
        """Return the scan with so many counts in all views together."""
        pixel = self.spacing[1]
        wide = (_SCATTER_SIGMA / pixel, _SCATTER_SIGMA / self.spacing[0])
        unit = camera_scan(
            self.camera, self.believed, self._inwards(self.activity), self.scatter_fraction, wide
        )
        return unit.at(total_counts / max(unit.counts, 1e-30))

    def reconstruct(self, scan: CameraScan, counts: Views) -> FloatArray:
        """Return the volume (z, y, x) that is made of counts."""
        if self.recipe.filtered:
            found = scan.fbp(counts)
        else:
            found = scan.osem(counts, self.recipe.iterations, self._sensitivity)
        return filter_volume(self._outwards(found), self.recipe.cutoff, self.recipe.order)

    def thinned_difference(self, scan: CameraScan, dose: float, rng: np.random.Generator) -> FloatArray:
        """Return the reconstruction of thinned counts less that of all counts, (z, y, x)."""
        full = scan.measure(rng)
        low = tuple(thin_counts(part, dose, rng).astype(np.float32) for part in full)
        return self.reconstruct(scan.at(dose), low) - self.reconstruct(scan, full)

    def frames(self, views: Views) -> FloatArray:
        """Return views as frames (view, z, across)."""
        frames = np.empty((len(self.orbit.angles), len(self.activity), self._size), np.float32)
        for s, part in enumerate(views):
            frames[s :: len(views)] = part.swapaxes(1, 2)
        return frames

    def scan_of(self, frames: FloatArray, dose: float) -> tuple[CameraScan, Views]:
        """Return measured frames (view, z, across) as counts, and the scan they come from."""
        subsets = self.recipe.subsets
        counts = tuple(np.ascontiguousarray(frames[s::subsets].swapaxes(1, 2)) for s in range(subsets))
        nothing = tuple(np.zeros_like(part) for part in counts)
        return CameraScan(self.believed, dose, counts, nothing), counts

    def middle(self, slices: int) -> SpectStudy:
        """Return a study of the slices around the centre of the activity, at most so many."""
        profile = self.activity.sum(axis=(1, 2), dtype=np.float64)
        centre = (profile * np.arange(len(profile))).sum() / max(profile.sum(), 1e-30)
        start = int(np.clip(round(centre - slices / 2), 0, max(len(profile) - slices, 0)))
        part = slice(start, start + slices)
        attenuation = None if self.attenuation is None else self.attenuation[part]
        return replace(self, activity=self.activity[part], attenuation=attenuation)

    @cached_property
    def _sensitivity(self) -> Views:
        subsets, views = self.recipe.subsets, len(self.orbit.angles)
        shapes = [(len(range(s, views, subsets)), self._size, len(self.activity)) for s in range(subsets)]
        return tuple(self.believed.back(np.ones(shape, np.float32), s) for s, shape in enumerate(shapes))

    @property
    def _size(self) -> int:
        return int(max(self.activity.shape[1:]))

    def _camera(self, attenuation: FloatArray | None, sigmas: npt.NDArray[np.float64]) -> RotatingCamera:
        return rotating_camera(
            (self._size, self._size, len(self.activity)),
            np.array(self.orbit.angles),
            self.recipe.subsets,
            sigmas,
            self.spacing[1] / self.spacing[0],
            None if attenuation is None else self._inwards(attenuation) * np.float32(self.spacing[1]),
        )

    def _inwards(self, stack: FloatArray) -> FloatArray:
        """Return (z, y, x) as (y, x, z) with square slices."""
        pad = [(0, 0), *(((self._size - n) // 2, (self._size - n + 1) // 2) for n in stack.shape[1:])]
        return np.ascontiguousarray(np.moveaxis(np.pad(stack, pad), 0, -1))

    def _outwards(self, volume: FloatArray) -> FloatArray:
        """Return (y, x, z) as (z, y, x), cut to the shape of the volume."""
        rows, columns = self.activity.shape[1:]
        top, left = (self._size - rows) // 2, (self._size - columns) // 2
        return np.ascontiguousarray(np.moveaxis(volume, -1, 0)[:, top : top + rows, left : left + columns])
