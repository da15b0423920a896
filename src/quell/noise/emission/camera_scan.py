"""A SPECT scan: expected counts of the views, measured counts, and the volume reconstructed from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from quell.image import FloatArray
from quell.noise.emission.blur import blur_slices
from quell.noise.emission.fbp import emission_fbp
from quell.noise.emission.osem import osem
from quell.noise.emission.rotating_camera import RotatingCamera

_TINY = 1e-30

Views = tuple[FloatArray, ...]
"""One array for each subset, shape (views of it, across, z)."""


@dataclass(frozen=True, eq=False)
class CameraScan:
    """What a camera expects to count, and how the counts are reconstructed.

    Attributes
    ----------
    believed : RotatingCamera
        The camera as the reconstruction takes it to be: with or without attenuation and blur.
    gain : float
        Counts per unit of activity.
    primary, scatter : tuple of ndarray
        Expected counts that come straight from where they were emitted, and those that do not.
    """

    believed: RotatingCamera
    gain: float
    primary: Views
    scatter: Views

    @property
    def expected(self) -> Views:
        """Expected counts."""
        return tuple(p + s for p, s in zip(self.primary, self.scatter, strict=True))

    @property
    def counts(self) -> float:
        """Expected counts of all views together."""
        return sum(float(part.sum(dtype=np.float64)) for part in self.expected)

    def at(self, dose: float) -> CameraScan:
        """Return the scan of `dose` times the duration."""
        share = np.float32(dose)
        primary, scatter = (tuple(part * share for part in parts) for parts in (self.primary, self.scatter))
        return replace(self, gain=self.gain * dose, primary=primary, scatter=scatter)

    def measure(self, rng: np.random.Generator) -> Views:
        """Draw the counts of one scan."""
        return tuple(rng.poisson(part).astype(np.float32) for part in self.expected)

    def osem(self, counts: Sequence[FloatArray], iterations: int, sensitivity: Views) -> FloatArray:
        """Reconstruct by ordered subsets; the volume has axes (y, x, z)."""
        # In units of counts, so that one sensitivity serves all doses.
        start = np.full_like(sensitivity[0], max(self._level(counts, sensitivity), _TINY))
        camera = self.believed
        found = osem(counts, self.scatter, camera.forward, camera.back, start, iterations, sensitivity)
        found /= np.float32(self.gain)
        return found

    def fbp(self, counts: Sequence[FloatArray]) -> FloatArray:
        """Reconstruct by filtered back-projection, scatter taken off; axes (y, x, z)."""
        subsets = len(counts)
        views = np.empty((len(self.believed.angles), *counts[0].shape[1:]), np.float32)
        for s in range(subsets):
            views[s::subsets] = (counts[s] - self.scatter[s]) / np.float32(self.gain)
        return emission_fbp(views, self.believed.angles)

    def _level(self, counts: Sequence[FloatArray], sensitivity: Views) -> float:
        """Return the even activity that gives as many counts as there are."""
        seen = sum(float(part.sum(dtype=np.float64)) for part in sensitivity)
        return sum(float(part.sum(dtype=np.float64)) for part in counts) / max(seen, _TINY)


def camera_scan(
    camera: RotatingCamera,
    believed: RotatingCamera,
    activity: FloatArray,
    scatter_fraction: float,
    scatter_sigma: tuple[float, float],
) -> CameraScan:
    """Describe the scan that counts one primary photon per unit of activity and view.

    Parameters
    ----------
    camera : RotatingCamera
        As it is.
    believed : RotatingCamera
        As the reconstruction takes it to be.
    activity : ndarray of float32, shape (y, x, z)
    scatter_fraction : float
        Scatter over all counts; in each view a wide blur of the primary counts.
    scatter_sigma : tuple of float
        Standard deviations of that blur across and along z, in pixels.
    """
    primary = tuple(camera.forward(activity, s) for s in range(camera.subsets))
    share = np.float32(scatter_fraction / (1 - scatter_fraction))
    scatter = tuple(share * blur_slices(part, scatter_sigma) for part in primary)
    return CameraScan(believed, 1.0, primary, scatter)
