"""The body in an image of activity, and the round field that a slice is reconstructed in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quell.image import BoolArray, FloatArray
from quell.noise.extras import need_scipy

_LEAST = 0.05
_MARGIN = 2
_CUT_SHARE = 0.25
_STEP = 8


def body_outline(activity: FloatArray) -> BoolArray:
    """Find the body in activity: what is well above the air, with its holes filled.

    Parameters
    ----------
    activity : ndarray of float32, shape (z, y, x)

    Returns
    -------
    ndarray of bool, shape (z, y, x)

    Raises
    ------
    QuellError
        If SciPy is not installed.
    """
    ndimage = need_scipy("scipy.ndimage", "Finding the body")
    smooth = ndimage.uniform_filter(activity, (1, 3, 3))
    found = smooth > _LEAST * np.percentile(activity, 99.5)
    cross = ndimage.generate_binary_structure(2, 1)[None]
    # Lungs and limbs with little activity are open to the outside by a few pixels.
    closed = ndimage.binary_closing(found, cross, iterations=3) | found
    return np.stack([ndimage.binary_fill_holes(pixels) for pixels in closed])


@dataclass(frozen=True)
class Field:
    """A square field around the body, and the way of slices into it and back.

    Attributes
    ----------
    shape : tuple of int
        Rows and columns of the image.
    size : int
        Side of the field in pixels.
    corner : tuple of int
        Row and column of the image at which the field begins; may be negative.
    cut : bool
        True where the image is a cut-out from a larger body.
    """

    shape: tuple[int, int]
    size: int
    corner: tuple[int, int]
    cut: bool

    def embed(self, stack: FloatArray) -> FloatArray:
        """Return slices in the field, shape (z, size, size).

        Around a cut-out the image goes on as its mirror image: there was activity, and its counts
        make noise inside.
        """
        before = [max(0, -start) for start in self.corner]
        after = [
            max(0, start + self.size - length) for start, length in zip(self.corner, self.shape, strict=True)
        ]
        pad = ((0, 0), (before[0], after[0]), (before[1], after[1]))
        padded = np.pad(stack, pad, mode="symmetric") if self.cut else np.pad(stack, pad)
        top, left = (max(0, start) for start in self.corner)
        return padded[:, top : top + self.size, left : left + self.size]

    def extract(self, stack: FloatArray) -> FloatArray:
        """Return slices of the field in the frame of the image, 0 outside the field."""
        image = np.zeros((len(stack), *self.shape), np.float32)
        places = [
            (max(0, start), min(length, start + self.size))
            for start, length in zip(self.corner, self.shape, strict=True)
        ]
        (top, bottom), (left, right) = places
        rows = slice(top - self.corner[0], bottom - self.corner[0])
        columns = slice(left - self.corner[1], right - self.corner[1])
        image[:, top:bottom, left:right] = stack[:, rows, columns]
        return image


def round_field(body: BoolArray) -> Field:
    """Return the smallest field whose disc holds the body in all slices.

    Parameters
    ----------
    body : ndarray of bool, shape (z, y, x)

    Returns
    -------
    Field
        Around the whole image if the body is cut by its border.
    """
    rows, columns = body.shape[1:]
    border = np.concatenate([body[:, [0, -1]].ravel(), body[:, :, [0, -1]].ravel()])
    cut = bool(border.mean() > _CUT_SHARE)
    seen = np.ones((rows, columns), bool) if cut or not body.any() else body.any(axis=0)
    y, x = np.nonzero(seen)
    centre = (y.min() + y.max()) / 2, (x.min() + x.max()) / 2
    radius = float(np.hypot(y - centre[0], x - centre[1]).max()) + _MARGIN
    # Few sizes, so that one system matrix serves many images.
    size = _STEP * int(np.ceil(2 * radius / _STEP))
    corner = tuple(int(np.floor(middle - (size - 1) / 2 + 0.5)) for middle in centre)
    return Field((rows, columns), size, (corner[0], corner[1]), cut)
