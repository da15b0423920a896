"""What a metric is: a number of one region of an image, and what it needs to be computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from quell.errors import InputError
from quell.image import BoolArray, Modality

Values: TypeAlias = npt.NDArray[np.float64]
Window: TypeAlias = tuple[float, float]

EVERY_MODALITY: tuple[Modality, ...] = tuple(Modality)


class Direction(str, Enum):
    """Which values of a metric are good."""

    HIGHER = "higher is better"
    LOWER = "lower is better"
    ZERO = "nearer to zero is better"
    ONE = "nearer to one is better"


class Need(str, Enum):
    """What a metric cannot be computed without; the value says it to the user."""

    REFERENCE = "a reference image"
    NOISY = "the noisy image that was denoised"
    WINDOW = "a window of values"
    BACKGROUND = "a background region"
    SPACING = "a known voxel spacing"
    VOLUME = "neighbouring slices, not slices one by one"
    SIGMA = "the noise level of the noisy image"
    REGION = "a plain region, not a whole slice"


@dataclass(frozen=True, eq=False)
class Sample:
    """The part of an image that one number is computed of.

    Attributes
    ----------
    test : ndarray of float64, shape (z, y, x)
        The image to judge, in its units.
    mask : ndarray of bool, shape (z, y, x)
        Pixels that count.
    reference, noisy : ndarray of float64, shape (z, y, x), optional
        What it should look like, and what it was made of.
    background : ndarray of bool, shape (z, y, x), optional
        Pixels beside the region, for contrasts.
    window : tuple of float, optional
        Lowest and highest value that is looked at; what lies outside is clipped, and its span is the
        data range.
    spacing : tuple of float, optional
        Distance of voxel centres in mm, (z, y, x).
    volume : bool
        True where the slices are neighbouring anatomy and all there.
    sigma : float, optional
        Noise level of the noisy image, in the units of the image.
    decibel : float, optional
        How many dB one unit of the image stands for, where it is log-compressed (ultrasound).
    region : int, optional
        Label of the region; None for all that is no padding.
    name : str
        How errors call it.
    """

    test: Values
    mask: BoolArray
    reference: Values | None = None
    noisy: Values | None = None
    background: BoolArray | None = None
    window: Window | None = None
    spacing: tuple[float, float, float] | None = None
    volume: bool = False
    sigma: float | None = None
    decibel: float | None = None
    region: int | None = None
    name: str = "image"

    def has(self, need: Need) -> bool:
        """Say whether a need is met."""
        if need is Need.VOLUME:
            return self.volume
        value = getattr(self, need.name.lower())
        return value is not None and (need is not Need.BACKGROUND or bool(np.any(value)))

    def given(self, values: Values | None) -> Values:
        """Return an optional image that the metric named among its needs."""
        if values is None:
            raise InputError(self.name, "a metric uses an image that it did not ask for")
        return values


@dataclass(frozen=True)
class Metric:
    """One number that says something of an image.

    Attributes
    ----------
    name : str
    unit : str
        ``"dB"``, ``"%"``, ``""`` for a plain number, ``"image"`` for the units of the image.
    direction : Direction
    compute : callable
        From a `Sample` to the number; may return infinity, never NaN for finite input.
    needs : frozenset of Need
    modalities : tuple of Modality
        Where it means something.
    source : str
        The paper or standard that defines it.
    """

    name: str
    unit: str
    direction: Direction
    compute: Callable[[Sample], float]
    needs: frozenset[Need] = frozenset()
    modalities: tuple[Modality, ...] = EVERY_MODALITY
    source: str = ""

    def missing(self, sample: Sample) -> tuple[Need, ...]:
        """Return the needs that a sample does not meet."""
        return tuple(need for need in Need if need in self.needs and not sample.has(need))

    def measure(self, sample: Sample) -> float:
        """Compute the number.

        Raises
        ------
        InputError
            If the sample lacks what the metric needs, or has no pixels that count.
        """
        missing = self.missing(sample)
        if missing:
            needed = " and ".join(need.value for need in missing)
            raise InputError(sample.name, f"{self.name} needs {needed}")
        if not sample.mask.any():
            raise InputError(sample.name, f"{self.name}: the region has no pixels")
        return float(self.compute(sample))
