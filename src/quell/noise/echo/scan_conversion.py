"""From pixels to ultrasound beams and back: parallel lines, or lines that fan out from an apex."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from quell.image import BoolArray, FloatArray

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LinearGrid:
    """Parallel beams, one a column of the picture; row 0 lies at the face of the transducer.

    Attributes
    ----------
    shape : tuple of int
        Rows and columns of the picture.
    spacing : tuple of float
        Height and width of a pixel, mm.
    """

    shape: tuple[int, int]
    spacing: tuple[float, float]

    @property
    def step(self) -> float:
        """Distance of samples along a beam, mm."""
        return self.spacing[0]

    @cached_property
    def depth(self) -> _Floats:
        """Depth under the face of each sample, mm."""
        return self.step * np.arange(self.shape[0], dtype=np.float64)

    @cached_property
    def pitch(self) -> _Floats:
        """Distance of neighbouring beams at each depth, mm."""
        return np.full(self.shape[0], self.spacing[1])

    @cached_property
    def inside(self) -> BoolArray:
        """Where in the picture there are echoes."""
        return np.ones(self.shape, bool)

    def to_beams(self, picture: FloatArray) -> FloatArray:
        """Return a picture as samples along beams, shape (samples, beams)."""
        return picture

    def to_pixels(self, beams: FloatArray) -> FloatArray:
        """Return samples along beams as a picture."""
        return beams


@dataclass(frozen=True)
class SectorGrid:
    """Beams that fan out from an apex above the middle of the picture.

    The middle of the face is as deep as the lower end of the picture allows; the ends of a curved
    face touch its first row.

    Attributes
    ----------
    shape : tuple of int
        Rows and columns of the picture.
    spacing : tuple of float
        Height and width of a pixel, mm.
    radius : float
        From the apex to the face, mm; 0 for a phased array.
    angle : float
        Between the outermost beams, degrees.
    lines : int
    """

    shape: tuple[int, int]
    spacing: tuple[float, float]
    radius: float
    angle: float
    lines: int

    @property
    def step(self) -> float:
        """Distance of samples along a beam, mm."""
        return self.spacing[0]

    @property
    def _half(self) -> float:
        return math.radians(self.angle) / 2

    @property
    def _turn(self) -> float:
        """Angle between neighbouring beams."""
        return 2 * self._half / (self.lines - 1)

    @property
    def _top(self) -> float:
        """Distance of the first row of the picture from the apex."""
        return self.radius * math.cos(self._half)

    @cached_property
    def depth(self) -> _Floats:
        """Depth under the face of each sample, mm."""
        deepest = self._top + (self.shape[0] - 1) * self.spacing[0] - self.radius
        return self.step * np.arange(max(2, math.floor(deepest / self.step) + 1), dtype=np.float64)

    @cached_property
    def pitch(self) -> _Floats:
        """Distance of neighbouring beams at each depth, mm; at an apex that of the first sample."""
        pitch: _Floats = self._turn * np.maximum(self.radius + self.depth, self.step)
        return pitch

    @cached_property
    def _polar(self) -> tuple[_Floats, _Floats]:
        """Return sample and beam at which each pixel lies."""
        y = self._top + self.spacing[0] * np.arange(self.shape[0])[:, None]
        x = self.spacing[1] * (np.arange(self.shape[1]) - (self.shape[1] - 1) / 2)
        sample = (np.hypot(y, x) - self.radius) / self.step
        beam = (np.arctan2(x, y) + self._half) / self._turn
        return sample, beam

    @cached_property
    def inside(self) -> BoolArray:
        """Where in the picture there are echoes."""
        sample, beam = self._polar
        within: BoolArray = (sample >= 0) & (sample <= len(self.depth) - 1)
        within &= (beam >= 0) & (beam <= self.lines - 1)
        return within

    def to_beams(self, picture: FloatArray) -> FloatArray:
        """Return a picture as samples along beams, shape (samples, beams)."""
        angle = self._turn * np.arange(self.lines) - self._half
        far = (self.radius + self.depth)[:, None]
        row = (far * np.cos(angle) - self._top) / self.spacing[0]
        column = far * np.sin(angle) / self.spacing[1] + (self.shape[1] - 1) / 2
        return sample_linearly(picture, row, column)

    def to_pixels(self, beams: FloatArray) -> FloatArray:
        """Return samples along beams as a picture, 0 outside the sector."""
        return np.where(self.inside, sample_linearly(beams, *self._polar), np.float32(0))


def sample_linearly(
    field: FloatArray, row: npt.NDArray[np.floating[Any]], column: npt.NDArray[np.floating[Any]]
) -> FloatArray:
    """Interpolate `field` linearly at broadcastable places; beyond its edges the edge goes on."""
    y, x = np.clip(row, 0, field.shape[0] - 1), np.clip(column, 0, field.shape[1] - 1)
    top = np.minimum(y.astype(np.intp), field.shape[0] - 2)
    left = np.minimum(x.astype(np.intp), field.shape[1] - 2)
    dy, dx = (y - top).astype(np.float32), (x - left).astype(np.float32)
    upper = field[top, left] * (1 - dx) + field[top, left + 1] * dx
    lower = field[top + 1, left] * (1 - dx) + field[top + 1, left + 1] * dx
    sampled: FloatArray = upper * (1 - dy) + lower * dy
    return sampled
