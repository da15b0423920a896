"""What runs a network, and what a denoiser gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from quell.image import FloatArray, Image
from quell.models.card import ModelCard
from quell.noise.grid import upsample

Network: TypeAlias = Callable[..., tuple[FloatArray, ...]]
"""A compiled network: arrays in, arrays out; safe to call from several threads at once."""

Step: TypeAlias = Callable[[str, int], None]
"""Told of progress: the step (``"estimate"`` or ``"network"``) and how many slices it did."""

Sigma: TypeAlias = float | Literal["auto"]

HALF_INTERVAL = 1.645
"""Half of the width of a 90 % interval of a Gaussian, in standard deviations."""


class Runtime(Protocol):
    """An engine that runs ONNX files."""

    @property
    def description(self) -> str:
        """Engine, device and precision, such as ``"OpenVINO CPU bf16"``."""

    def load(self, file: Path, shapes: Mapping[str, tuple[int, ...]], streams: int, exact: bool) -> Network:
        """Compile a network for one set of input shapes.

        Parameters
        ----------
        file : Path
            ONNX file.
        shapes : mapping of str to tuple of int
            Shape of every input by name, in the order of the network's inputs.
        streams : int
            Calls that will run side by side; the threads are shared out among them.
        exact : bool
            Compute in 32-bit floats even where a shorter type would be faster.
        """


@dataclass(frozen=True, eq=False)
class NoiseMap:
    """The noise of a series: a level for every block of pixels, and one spectrum.

    Attributes
    ----------
    level : ndarray of float32, shape (z, rows, columns)
        Local standard deviation in the units of the image, on a grid of blocks.
    block : int
        Side of a block in pixels.
    shape : tuple of int
        Shape (z, y, x) of the image that the map belongs to.
    descriptor : ndarray of float32
        Shape of the power spectrum, see `quell.noise.spectrum.describe`.
    """

    level: FloatArray
    block: int
    shape: tuple[int, int, int]
    descriptor: npt.NDArray[np.float32]

    def pixels(self, z: int) -> FloatArray:
        """Return the level of slice `z` for each pixel, shape (y, x)."""
        full: FloatArray = upsample(self.level[z], self.block)[: self.shape[1], : self.shape[2]]
        return full

    def scaled(self, factor: float) -> NoiseMap:
        """Return the same map with every level multiplied by `factor`."""
        level = self.level * np.float32(factor)
        return NoiseMap(level, self.block, self.shape, self.descriptor)


@dataclass(frozen=True, eq=False)
class Denoised:
    """What a denoiser gives.

    Attributes
    ----------
    image : Image
        Same shape, geometry and units as the input.
    noise : NoiseMap
        The noise that was found in the input.
    seconds : dict of str to float
        Wall time of ``estimate`` and ``network``.
    spread : ndarray of float32, shape (z, y, x), optional
        Standard deviation of each voxel of the result at full strength, in the units of the image, as the
        denoiser tells it; 0 where nothing was measured (padding).
    lower, upper : ndarray of float32, shape (z, y, x), optional
        Between these the voxel lies in 90 % of the cases, as the denoiser tells it.
    facts : mapping
        What is told of the work: iterations, why it stopped.
    """

    image: Image
    noise: NoiseMap
    seconds: dict[str, float]
    spread: FloatArray | None = None
    lower: FloatArray | None = None
    upper: FloatArray | None = None
    facts: Mapping[str, float | int | str] = field(default_factory=dict)

    @property
    def deviation(self) -> FloatArray | None:
        """The spread, or what a Gaussian with this 90 % interval would have; None where neither is told."""
        if self.spread is not None or self.lower is None or self.upper is None:
            return self.spread
        half: FloatArray = (self.upper - self.lower) / np.float32(2 * HALF_INTERVAL)
        return half


class Denoiser(Protocol):
    """Anything that takes noise out of an image: a network, a filter, a method fitted to one study."""

    @property
    def card(self) -> ModelCard: ...

    def denoise(self, image: Image, strength: float = 1.0, sigma: Sigma = "auto") -> Denoised:
        """Denoise an image.

        Parameters
        ----------
        image : Image
        strength : float
            Share of the estimated noise to take away, 0 to 1.
        sigma : float or "auto"
            Median noise level in the units of the image, where it is known.
        """
