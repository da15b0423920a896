"""Images stored in colour: those that are grey in fact, and ultrasound, which is grey for the most part."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from quell.formats.dicom import tags
from quell.formats.dicom.classify import modality_of
from quell.image import BoolArray, Modality

IntArray = npt.NDArray[np.integer[Any]]

_LOSSY_TOLERANCE = 6
_VISIBLE = 1 / 16
_PALETTE = "PALETTE COLOR"


@dataclass(frozen=True, eq=False)
class Stored:
    """One frame as it is stored.

    Attributes
    ----------
    values : ndarray of int, shape (rows, columns)
        Stored values; of a frame in colour its luminance (Rec. 601), which equals the grey value
        where the three colours are equal.
    rgb : ndarray of int, shape (rows, columns, 3), optional
        The colours of a frame that is stored in colour.
    coloured : ndarray of bool, shape (rows, columns), optional
        True where the three colours differ; None where they do nowhere.
    """

    values: IntArray
    rgb: IntArray | None = None
    coloured: BoolArray | None = None

    @property
    def shown(self) -> IntArray:
        """The grey values, or the colours where there are any."""
        return self.values if self.rgb is None or self.coloured is None else self.rgb


def separate(rgb: IntArray, lossy: bool) -> Stored:
    """Tell the grey pixels of a frame in colour from the coloured ones.

    Parameters
    ----------
    rgb : ndarray of unsigned int, shape (rows, columns, 3)
    lossy : bool
        Take for grey also what the few levels that lossy compression adds set apart.
    """
    red, green, blue = (rgb[..., i] for i in range(3))
    if np.array_equal(red, green) and np.array_equal(red, blue):
        return Stored(red, rgb)
    coloured = rgb.max(axis=-1) - rgb.min(axis=-1) > (_LOSSY_TOLERANCE if lossy else 0)
    grey: IntArray = np.rint(0.299 * red + 0.587 * green + 0.114 * blue).astype(rgb.dtype)
    return Stored(grey, rgb, coloured if coloured.any() else None)


def coloured_share(frames: Iterable[Stored], outside: BoolArray | None) -> float | None:
    """Return the share of coloured pixels, or None if most of what shows something is coloured.

    Parameters
    ----------
    frames : iterable of Stored
    outside : ndarray of bool, shape (rows, columns), optional
        True where pixels do not count: outside the regions of an ultrasound image.

    Notes
    -----
    The black around a scan would make grey out of a photograph, or of a scan in shades of one
    colour. So only pixels brighter than a sixteenth of the brightest decide.
    """
    counts = np.zeros(4, int)
    for frame in frames:
        inside = np.ones(frame.values.shape, bool) if outside is None else ~outside
        visible = inside & (frame.values > frame.values.max() * _VISIBLE)
        coloured = np.zeros_like(inside) if frame.coloured is None else frame.coloured
        counts += [np.count_nonzero(one) for one in (inside, inside & coloured, visible, visible & coloured)]
    pixels, all_coloured, shown, shown_coloured = (int(count) for count in counts)
    return None if 2 * shown_coloured > shown else all_coloured / max(pixels, 1)


def keeps_colours(header: Dataset) -> bool:
    """Whether coloured pixels of an image are kept as they are, and the grey ones denoised.

    Ultrasound systems store whole screens in colour for the sake of a logo, a trace, a Doppler box.
    """
    return modality_of(header) is Modality.US and written_in_rgb(header)


def written_in_rgb(header: Dataset) -> bool:
    """Whether an object derived from that of `header` is RGB.

    Every one with three samples per pixel is. So is ultrasound with coloured entries in its
    palette, which has no room for new values, if its colours can be told in the 8 bits of
    ultrasound in RGB (PS3.3 C.8.5.6.1).
    """
    if tags.integer(header, "SamplesPerPixel") == 3:
        return True
    if tags.word(header, "PhotometricInterpretation") != _PALETTE or modality_of(header) is not Modality.US:
        return False
    try:
        colours = _entries(header)
    except Exception:
        # A palette may be damaged in every way; reading the pixels says so.
        return False
    high, low = colours >> 8, colours & 255
    in_8_bits = colours.dtype == np.uint8 or not low.any() or np.array_equal(low, high)
    return in_8_bits and bool((colours != colours[:, :1]).any())


def through_palette(indices: IntArray, header: Dataset) -> IntArray:
    """Return the colours that a palette gives, shape (..., 3), in the bits in which they are written."""
    # Brings in the decoders' libraries, which most images do not need.
    from pydicom.pixels.processing import apply_color_lut

    colours: IntArray = apply_color_lut(indices, header)
    if colours.dtype.itemsize > 1 and written_in_rgb(header):
        return (colours >> 8).astype(np.uint8)
    return colours


def _entries(header: Dataset) -> IntArray:
    """Return all entries of a palette, shape (entries, 3)."""
    from pydicom.pixels.processing import apply_color_lut

    descriptor = tags.numbers(header, "RedPaletteColorLookupTableDescriptor", 3) or (0, 0, 0)
    # PS3.3 C.7.6.3.1.5: 0 means 65536 entries.
    first, count = int(descriptor[1]), int(descriptor[0]) or 1 << 16
    colours: IntArray = apply_color_lut(np.arange(first, first + count), header)
    return colours
