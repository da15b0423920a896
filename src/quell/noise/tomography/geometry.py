"""Parallel-beam geometry of one slice: views over half a turn, bins of one width.

Scanners with a fan beam rebin to it before reconstruction; two opposite samples of a full turn become one
view, so that the quanta of both count for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class ParallelGeometry:
    """Which line integrals of which slice.

    The ray of view ``v`` and bin ``b`` is the line ``x cos t + y sin t = u`` with ``t = pi v / views``
    and ``u = (b - (bins - 1) / 2) * pitch``; x grows with the column, y with the row, both are 0 in the
    middle of the slice. Noise of view ``v`` has its frequencies along the direction ``t``.

    Attributes
    ----------
    views : int
        Number of directions over 180 degrees.
    bins : int
        Number of rays of a view.
    pitch : float
        Distance of the rays at the centre of rotation, mm.
    rows, columns : int
        Pixels of the slice.
    spacing : float
        Side of a pixel, mm.
    """

    views: int
    bins: int
    pitch: float
    rows: int
    columns: int
    spacing: float

    def __post_init__(self) -> None:
        if min(self.views, self.bins, self.rows, self.columns) < 1:
            raise ValueError("views, bins, rows and columns must be positive")
        if not (0 < self.pitch < math.inf and 0 < self.spacing < math.inf):
            raise ValueError(f"pitch and spacing must be positive, got {self.pitch:g} and {self.spacing:g}")

    @property
    def angles(self) -> npt.NDArray[np.float64]:
        """Directions of the detector, radians, shape (views,)."""
        return np.asarray(np.arange(self.views) * (math.pi / self.views), np.float64)

    @property
    def positions(self) -> npt.NDArray[np.float64]:
        """Distances of the rays from the centre, mm, shape (bins,)."""
        return np.asarray((np.arange(self.bins) - (self.bins - 1) / 2) * self.pitch, np.float64)

    @property
    def covers(self) -> bool:
        """Whether every pixel is seen in every view."""
        return self.bins >= bins_to_cover((self.rows, self.columns), self.spacing, self.pitch)


def covering(shape: tuple[int, int], spacing: float, pitch: float, views: int) -> ParallelGeometry:
    """Return the geometry that sees the whole of a slice, corners and all.

    Parameters
    ----------
    shape : (rows, columns)
    spacing : float
        Side of a pixel, mm.
    pitch : float
        Distance of the rays, mm.
    views : int
        Over 180 degrees.
    """
    return ParallelGeometry(views, bins_to_cover(shape, spacing, pitch), pitch, *shape, spacing)


def bins_to_cover(shape: tuple[int, int], spacing: float, pitch: float) -> int:
    """Return how many bins reach over the diagonal of a slice, with one to spare on each side."""
    # The same for every rounding of the last digit.
    return 2 * math.ceil(math.hypot(*shape) * spacing / pitch / 2 - 1e-9) + 2
