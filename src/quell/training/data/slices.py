"""Which slices of an image are kept where it has more than are wanted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from quell.image import Geometry, Image

_RUN = 9
"""Slices that stay together where some are left out."""

Integers = npt.NDArray[np.int64]


def kept_slices(image: Image, most: int | None, together: bool) -> Integers:
    """Return which slices of an image are kept, in ascending order.

    Parameters
    ----------
    image : Image
    most : int or None
    together : bool
        Keep the middle ones; else runs of neighbours spread over the depth.
    """
    depth = image.shape[0]
    if most is None or depth <= most:
        return np.arange(depth)
    if together:
        return (depth - most) // 2 + np.arange(most)
    length = min(_RUN, most) if image.volume else 1
    count = max(1, most // length)
    starts = (np.arange(count) + 0.5) * depth / count - length / 2
    return np.unique((np.rint(starts).astype(np.int64)[:, None] + np.arange(length)).ravel())


def taken(image: Image, kept: Integers) -> Image:
    """Return an image of some of its slices, in ascending order; gaps where neighbours are missing."""
    if len(kept) == image.shape[0]:
        return image
    gaps = tuple(i for i in range(len(kept) - 1) if kept[i + 1] != kept[i] + 1 or int(kept[i]) in image.gaps)
    padding = None if image.padding is None else np.ascontiguousarray(image.padding[kept])
    return replace(
        image,
        voxels=np.ascontiguousarray(image.voxels[kept]),
        padding=padding,
        gaps=gaps if image.volume else (),
        geometry=_unplaced(image.geometry),
    )


def _unplaced(geometry: Geometry) -> Geometry:
    return Geometry(geometry.spacing, known=geometry.known)
