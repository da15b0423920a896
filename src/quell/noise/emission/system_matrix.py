"""What a ring of PET detectors sees of a slice: a sparse matrix of strip integrals, and its transpose."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from quell.image import FloatArray
from quell.noise.emission.blur import blur_matrix
from quell.noise.extras import need_scipy

_NEGLIGIBLE = 1e-4
_PARALLEL = 1e-3


@dataclass(frozen=True, eq=False)
class RingSystem:
    """Parallel strip integrals of a round slice, in subsets of views. Lengths are in pixels.

    Attributes
    ----------
    size : int
        Side of the square slice; activity lies in the inscribed disc.
    views : int
        Angles, evenly over half a turn.
    subsets : int
        Subset s has the views s, s + subsets, s + 2 subsets ...
    pixels : ndarray of int, shape (P,)
        Places of the pixels of the disc in the flattened slice.
    strips : tuple of scipy.sparse.csr_array
        One for each subset, shape (views of it x `bins`, P).
    blur : ndarray of float32, shape (bins, bins)
        Resolution of the detectors.
    """

    size: int
    views: int
    subsets: int
    pixels: npt.NDArray[np.intp]
    strips: tuple[Any, ...]
    blur: FloatArray

    @property
    def bins(self) -> int:
        """Number of strips of a view, each a pixel wide."""
        return len(self.blur)

    def project(self, activity: FloatArray, subset: int) -> FloatArray:
        """Integrate along strips without blur.

        Parameters
        ----------
        activity : ndarray of float32, shape (P, slices)
        subset : int

        Returns
        -------
        ndarray of float32, shape (views of the subset x bins, slices)
        """
        return np.asarray(self.strips[subset] @ activity, np.float32)

    def forward(self, activity: FloatArray, subset: int) -> FloatArray:
        """Integrate along strips as blurred detectors see them; shapes as in `project`."""
        return self._blurred(self.project(activity, subset))

    def back(self, rays: FloatArray, subset: int) -> FloatArray:
        """Apply the transpose of `forward`: (views of the subset x bins, slices) to (P, slices)."""
        return np.asarray(self.strips[subset].T @ self._blurred(rays), np.float32)

    def _blurred(self, rays: FloatArray) -> FloatArray:
        by_view = rays.reshape(-1, self.bins, rays.shape[-1])
        return np.asarray(np.matmul(self.blur, by_view).reshape(rays.shape), np.float32)


@lru_cache(maxsize=2)
def ring_system(size: int, views: int, subsets: int, sigma: float) -> RingSystem:
    """Build the system of a slice.

    Parameters
    ----------
    size : int
        Side of the square slice in pixels.
    views, subsets : int
        `views` must be a multiple of `subsets`.
    sigma : float
        Standard deviation of the detectors' Gaussian blur in pixels.

    Raises
    ------
    QuellError
        If SciPy is not installed.
    """
    sparse = need_scipy("scipy.sparse", "PET noise")
    if views % subsets:
        raise ValueError(f"{views} views do not divide into {subsets} subsets")
    place = np.arange(size) - (size - 1) / 2
    y, x = np.meshgrid(place, place, indexing="ij")
    inside = np.hypot(y, x) <= size / 2
    pixels, y, x = np.flatnonzero(inside), y[inside], x[inside]
    # A pixel at the rim reaches sqrt(1/2) beyond its centre.
    bins = size + 2
    angles = np.arange(views) * np.pi / views
    rows = [_view(sparse, x, y, angle, bins) for angle in angles]
    strips = tuple(sparse.vstack(rows[s::subsets], format="csr") for s in range(subsets))
    return RingSystem(size, views, subsets, pixels, strips, blur_matrix(bins, sigma))


def _view(
    sparse: Any, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], angle: float, bins: int
) -> Any:
    """Return the strip integrals of one view, a sparse matrix (bins, pixels)."""
    centre = x * np.cos(angle) + y * np.sin(angle) + (bins - 1) / 2
    nearest = np.rint(centre)
    edges = nearest[:, None] + np.array([-1.5, -0.5, 0.5, 1.5]) - centre[:, None]
    area = np.diff(_shadow(edges, angle), axis=1).ravel()
    rows = (nearest[:, None] + np.array([-1, 0, 1])).astype(np.int32).ravel()
    columns = np.repeat(np.arange(x.size, dtype=np.int32), 3)
    keep = area > _NEGLIGIBLE
    entries = area[keep].astype(np.float32), (rows[keep], columns[keep])
    return sparse.csr_array(entries, shape=(bins, x.size))


def _shadow(edge: npt.NDArray[np.float64], angle: float) -> npt.NDArray[np.float64]:
    """Return the area of a unit pixel on one side of a line at distance `edge` from its centre.

    The shadow of a square is a trapezoid: a box as wide as the larger of |cos| and |sin| convolved with
    one as wide as the smaller.
    """
    wide, narrow = sorted((abs(np.cos(angle)), abs(np.sin(angle))), reverse=True)
    if narrow < _PARALLEL:
        return np.asarray(np.clip(edge / wide + 0.5, 0, 1))
    outer, inner = (wide + narrow) / 2, (wide - narrow) / 2
    corners = ((outer, 1), (inner, -1), (-inner, -1), (-outer, 1))
    area: npt.NDArray[np.float64] = np.zeros_like(edge)
    for shift, sign in corners:
        area += sign * np.maximum(edge + shift, 0) ** 2
    return np.asarray(area / (2 * wide * narrow))
