"""What a trained network is given of an image: slices with their neighbours, or volumes without gaps."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from quell.image import FloatArray, Image
from quell.inference.sampling import Outputs
from quell.inference.slices import Slices
from quell.models.card import ModelCard
from quell.models.scaling import Scaling, usual_scaling


class Piece(NamedTuple):
    """Slices that a network gives at once: one, or all between two gaps.

    Attributes
    ----------
    start, stop : int
    """

    start: int
    stop: int


class Pieces:
    """Cut an image, and the prior where there is one, into what a network takes.

    Parameters
    ----------
    image : Image
    prior : Image or None
        Another image of the patient on the same grid.
    card : ModelCard
        Its dimensions, slices and multiple count.
    scaling : Scaling
        Of the image; the prior is scaled as is usual for its modality.
    """

    def __init__(self, image: Image, prior: Image | None, card: ModelCard, scaling: Scaling) -> None:
        self._card, self._image = card, image
        self._scale = scaling.of(image)
        self._sources = [(Slices(image, card.multiple), self._scale)]
        if prior is not None:
            other = usual_scaling(prior.modality).of(prior)
            self._sources.append((Slices(prior, card.multiple), other))

    def all(self) -> Iterator[Piece]:
        """Yield the pieces from first to last."""
        depth = self._image.shape[0]
        inner = {gap + 1 for gap in self._image.gaps if 0 <= gap < depth - 1}
        ends = range(depth + 1) if self._card.dimensions == 2 else sorted({0, *inner, depth})
        yield from (Piece(start, stop) for start, stop in pairwise(ends))

    def inputs(self, piece: Piece) -> list[FloatArray]:
        """Return the arrays of a piece in the numbers of the network.

        Shapes (1, slices, y, x), or (1, 1, z, y, x) in three dimensions, padded to the multiple.
        """
        return [self._scaled(self._stack(slices, piece), scale) for slices, scale in self._sources]

    def in_units(self, piece: Piece, found: Outputs) -> Outputs:
        """Return outputs of the network for a piece in the units of the image, shape (z, y, x)."""
        offset, scale = self._scale
        _, rows, columns = self._image.shape
        depth = piece.stop - piece.start
        told = {}
        for name, values in found.items():
            cut = values.reshape(-1, *values.shape[-2:])[:depth, :rows, :columns]
            told[name] = cut * np.float32(scale) + np.float32(0 if name == "spread" else offset)
        return told

    def _stack(self, slices: Slices, piece: Piece) -> FloatArray:
        if self._card.dimensions == 2:
            # Of the image, which knows where slices are missing.
            near = self._sources[0][0].neighbours(piece.start, self._card.slices)
            return np.stack([slices.padded(z) for z in near])[None]
        volume = np.stack([slices.padded(z) for z in range(piece.start, piece.stop)])
        extra = -len(volume) % self._card.multiple
        return np.pad(volume, ((0, extra), (0, 0), (0, 0)), mode="symmetric")[None, None]

    @staticmethod
    def _scaled(stack: FloatArray, scale: tuple[float, float]) -> FloatArray:
        stack -= np.float32(scale[0])
        stack /= np.float32(scale[1])
        return stack
