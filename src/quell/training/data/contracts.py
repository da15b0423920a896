"""What the preparation of training data hands on: images with their roles, cases to validate on."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from quell.errors import InputError
from quell.image import FloatArray, Modality

NONE = -1
"""Stands for an image that is not there."""


class UnsuitableError(InputError):
    """An image that is left out, with a note; the others serve without it."""


@dataclass(frozen=True)
class Variant:
    """Which images of a stack belong together, by their place in it; `NONE` where there is none.

    Attributes
    ----------
    noisy, clean, second : int
    dose : float
        Of the noisy image, as a fraction of that of the clean one (ultrasound: looks).
    offset, scale : float
        Network number = (value - offset) / scale, for all but the prior.
    """

    noisy: int
    clean: int = NONE
    second: int = NONE
    dose: float = 1.0
    offset: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True, eq=False)
class Stack:
    """Images of one object on one grid.

    Attributes
    ----------
    name : str
    patient : str
        What images of one patient share.
    voxels : ndarray of float32, shape (images, z, y, x)
        In the units of the image; may be mapped from a file.
    variants : tuple of Variant
        Never empty.
    modality : Modality
    units : str
    prior : int
        Number of the prior image.
    prior_offset, prior_scale : float
    points : ndarray of float64, shape (p, 3)
        Positions (z, y, x) in voxels of what an observer looks for.
    volume : bool
        True when slices are neighbours.
    gaps : tuple of int
        Indices i such that slice i + 1 is not the neighbour of slice i.
    square : bool
        Whether pixels are as high as wide.
    """

    name: str
    patient: str
    voxels: FloatArray
    variants: tuple[Variant, ...]
    modality: Modality = Modality.UNKNOWN
    units: str = "arbitrary"
    prior: int = NONE
    prior_offset: float = 0.0
    prior_scale: float = 1.0
    points: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 3)))
    volume: bool = False
    gaps: tuple[int, ...] = ()
    square: bool = True

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of slices, rows and columns."""
        _, z, y, x = self.voxels.shape
        return z, y, x

    def runs(self) -> npt.NDArray[np.int64]:
        """Return first and last index of the neighbours of each slice, shape (z, 2)."""
        depth = self.shape[0]
        if not self.volume:
            return np.repeat(np.arange(depth), 2).reshape(depth, 2)
        cuts = np.array([g for g in sorted(self.gaps) if 0 <= g < depth - 1], np.int64)
        first, last = np.append(0, cuts + 1), np.append(cuts, depth - 1)
        return np.repeat(np.stack([first, last], axis=1), last - first + 1, axis=0)


@dataclass(frozen=True, eq=False)
class ValidationCase:
    """An image to validate on, in network units; what is not there is None.

    Attributes
    ----------
    name : str
    noisy : ndarray of float32, shape (z, y, x)
    clean, second, prior : ndarray of float32, shape (z, y, x), or None
    points : ndarray of float64, shape (p, 3), or None
        Positions (z, y, x) in voxels of these arrays.
    dose : float
    scale, offset : float
        Value in the units of the image = number * scale + offset.
    """

    name: str
    noisy: FloatArray
    clean: FloatArray | None
    second: FloatArray | None
    prior: FloatArray | None
    points: npt.NDArray[np.float64] | None
    dose: float
    scale: float
    offset: float
