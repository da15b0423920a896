"""Several draws of a generative model, put together: their mean and how far they lie apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from quell.image import FloatArray
from quell.inference.contracts import HALF_INTERVAL

Outputs: TypeAlias = dict[str, FloatArray]
"""What a network gives, by name: ``image``, and ``spread`` or ``lower`` and ``upper``."""


@dataclass(frozen=True)
class Sampling:
    """Run a network once, or several times with other noise.

    Attributes
    ----------
    outputs : tuple of str
        Of the network, in their order.
    samples : int
        Draws that are averaged; 0 for a network that takes no noise.
    seed : int
    """

    outputs: tuple[str, ...]
    samples: int = 0
    seed: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """What `run` returns."""
        return ("image", "spread") if self.samples > 1 else self.outputs

    def run(
        self,
        network: Callable[..., tuple[FloatArray, ...]],
        inputs: Sequence[FloatArray],
        stream: int,
    ) -> Outputs:
        """Return what the network says of some inputs.

        The spread of several draws is their standard deviation, and that which the network tells of each
        added to it in quadrature.

        Parameters
        ----------
        network : callable
            From the inputs, and the noise as the last of them, to arrays of the shape of the image.
        inputs : sequence of ndarray, shape (1, c, ...)
        stream : int
            The same stream gets the same noise, whatever else is run.
        """
        if not self.samples:
            return dict(zip(self.outputs, network(*inputs), strict=True))
        rng = np.random.default_rng([self.seed, stream])
        shape = (1, 1, *inputs[0].shape[2:])
        draws = (
            dict(zip(self.outputs, network(*inputs, _noise(rng, shape)), strict=True))
            for _ in range(self.samples)
        )
        return next(draws) if self.samples == 1 else _together(draws, self.samples)


def _noise(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    return rng.standard_normal(shape, np.float32)


def _together(draws: Iterator[Outputs], count: int) -> Outputs:
    first = next(draws)
    origin = first["image"]
    total, squares, own = (np.zeros(origin.shape) for _ in range(3))
    for draw in chain((first,), draws):
        # Around the first draw: the squares of large values would drown what lies between the draws.
        apart = draw["image"].astype(np.float64) - origin
        total += apart
        squares += apart**2
        own += _variance(draw)
    between = np.maximum(squares - total**2 / count, 0) / (count - 1)
    image = (origin + total / count).astype(np.float32)
    return {"image": image, "spread": np.sqrt(between + own / count).astype(np.float32)}


def _variance(draw: Outputs) -> npt.NDArray[np.float64]:
    """Return the variance that the network tells of one draw."""
    if "spread" in draw:
        return draw["spread"].astype(np.float64) ** 2
    if "lower" in draw:
        return ((draw["upper"].astype(np.float64) - draw["lower"]) / (2 * HALF_INTERVAL)) ** 2
    return np.zeros(draw["image"].shape)
