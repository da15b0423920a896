"""A gamma camera that turns around the body: projection with attenuation and blur, and its transpose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from quell.image import FloatArray
from quell.noise.emission.blur import blur_matrix
from quell.noise.extras import need_scipy

_TURNING_VARIANCE = 1 / 6
"""Variance in pixels^2 that sharing a point among neighbours adds, averaged over its place: E[f (1 - f)]."""

_KEPT_BYTES = 2**28


@dataclass(frozen=True, eq=False)
class RotatingCamera:
    """Views of a volume whose slices are square. Arrays are ordered (y, x, z) inside.

    Attributes
    ----------
    angles : ndarray of float64, shape (views,)
        Where the camera stands, in radians: 0 in front (towards -y), pi/2 at the patient's left (+x).
    subsets : int
        Subset s has the views s, s + subsets, ...
    turns : tuple of scipy.sparse.csr_array
        For each view the matrix that lays a slice on the grid (depth, across) of the camera. Activity is
        shared among neighbours and none is lost inside the inscribed disc.
    survival : callable or None
        From the number of a view to the share of photons that reach the camera, shape (depth, across, z).
    blur_across : ndarray of float32, shape (depth, across, across)
    blur_along : ndarray of float32, shape (depth, z, z)
        Gaussian blur at each depth.
    """

    angles: npt.NDArray[np.float64]
    subsets: int
    turns: tuple[Any, ...]
    survival: Callable[[int], FloatArray] | None
    blur_across: FloatArray
    blur_along: FloatArray

    def project(self, activity: FloatArray, view: int) -> FloatArray:
        """Return one view.

        Parameters
        ----------
        activity : ndarray of float32, shape (y, x, z)
        view : int

        Returns
        -------
        ndarray of float32, shape (across, z)
        """
        size, _, depth = activity.shape
        turned = (self.turns[view] @ activity.reshape(-1, depth)).reshape(activity.shape)
        if self.survival is not None:
            turned *= self.survival(view)
        across = np.matmul(self.blur_across, turned)
        # One product for all depths at a time: blurred along z and added up.
        flat = np.ascontiguousarray(across.transpose(1, 0, 2)).reshape(size, -1)
        return np.asarray(flat @ self.blur_along.reshape(-1, depth), np.float32)

    def spread(self, view_image: FloatArray, view: int) -> FloatArray:
        """Apply the transpose of `project`: (across, z) to (y, x, z)."""
        size, depth = view_image.shape
        along = view_image @ self.blur_along.reshape(-1, depth).T
        turned = np.matmul(self.blur_across, along.reshape(size, size, depth).transpose(1, 0, 2))
        if self.survival is not None:
            turned *= self.survival(view)
        back = self.turns[view].T @ turned.reshape(-1, depth)
        return np.asarray(back.reshape(size, size, depth), np.float32)

    def forward(self, activity: FloatArray, subset: int) -> FloatArray:
        """Return the views of a subset, shape (views of it, across, z)."""
        return np.stack([self.project(activity, view) for view in self._views(subset)])

    def back(self, views: FloatArray, subset: int) -> FloatArray:
        """Apply the transpose of `forward`."""
        parts = (self.spread(one, view) for one, view in zip(views, self._views(subset), strict=True))
        total = next(parts)
        for part in parts:
            total += part
        return total

    def _views(self, subset: int) -> range:
        return range(subset, len(self.angles), self.subsets)


def rotating_camera(
    shape: tuple[int, int, int],
    angles: npt.NDArray[np.float64],
    subsets: int,
    sigmas: npt.NDArray[np.float64],
    spacing_ratio: float = 1.0,
    attenuation: FloatArray | None = None,
) -> RotatingCamera:
    """Build a camera.

    Parameters
    ----------
    shape : tuple of int
        Rows, columns and slices of the volume; rows and columns are equal in number.
    angles : ndarray of float64, shape (views,)
        As in `RotatingCamera`.
    subsets : int
        Not more than there are views.
    sigmas : ndarray of float64, shape (rows,)
        Standard deviation of the blur in pixels at each depth, the farthest from the camera first.
    spacing_ratio : float
        Pixel side over distance of slices.
    attenuation : ndarray of float32, shape (y, x, z), optional
        Per pixel width.

    Raises
    ------
    QuellError
        If SciPy is not installed.
    """
    sparse = need_scipy("scipy.sparse", "SPECT noise")
    rows, columns, slices = shape
    if rows != columns or not 1 <= subsets <= len(angles):
        raise ValueError("slices are square, and there are no more subsets than views")
    turns = tuple(_turn(sparse, rows, float(angle)) for angle in angles)
    left = np.sqrt(np.maximum(sigmas**2 - _TURNING_VARIANCE, 0))
    return RotatingCamera(
        angles,
        subsets,
        turns,
        None if attenuation is None else _survival(turns, attenuation),
        np.stack([blur_matrix(rows, sigma) for sigma in left]),
        np.stack([blur_matrix(slices, sigma * spacing_ratio) for sigma in sigmas]),
    )


def _turn(sparse: Any, size: int, angle: float) -> Any:
    """Return the matrix that shares each pixel among the four nearest points of the camera's grid.

    Its transpose reads a slice off at the points of that grid: the way there is its own inverse.
    """
    place = np.arange(size) - (size - 1) / 2
    y, x = np.meshgrid(place, place, indexing="ij")
    # In front (angle 0) the camera looks along +y, so that small y are near.
    near = x * np.sin(angle) - y * np.cos(angle)
    across = x * np.cos(angle) + y * np.sin(angle)
    places = np.stack([near.ravel(), across.ravel()]) + (size - 1) / 2
    low = np.floor(places).astype(np.int32)
    share = places - low
    corners = [(dy, dx) for dy in (0, 1) for dx in (0, 1)]
    to = np.stack([low + np.array([[dy], [dx]]) for dy, dx in corners], axis=1)
    weight = np.stack([np.abs(1 - dy - share[0]) * np.abs(1 - dx - share[1]) for dy, dx in corners])
    inside = ((to >= 0) & (to < size)).all(axis=0) & (weight > 0)
    pixels = np.broadcast_to(np.arange(size**2, dtype=np.int32), inside.shape)
    entries = weight[inside].astype(np.float32), ((to[0] * size + to[1])[inside], pixels[inside])
    return sparse.csr_array(entries, shape=(size**2, size**2))


def _survival(turns: tuple[Any, ...], attenuation: FloatArray) -> Callable[[int], FloatArray]:
    """Return the share of photons that reach the camera, exp(-integral from the voxel on), view by view."""
    size, _, depth = attenuation.shape
    flat = attenuation.reshape(-1, depth)

    def of(view: int) -> FloatArray:
        along = np.asarray(turns[view].T @ flat).reshape(size, size, depth)
        ahead = np.cumsum(along[::-1], axis=0)[::-1] - along / 2
        return np.exp(-ahead).astype(np.float32)

    # Kept where there is room; worked out again each time where there is not.
    if attenuation.nbytes * len(turns) > _KEPT_BYTES:
        return of
    return [of(view) for view in range(len(turns))].__getitem__
