"""Voxels without a measurement: padding around the field of view, text around an ultrasound scan."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from quell.formats.dicom import tags
from quell.formats.dicom.rescale import Rescale
from quell.image import BoolArray, Modality

_CT_NOTHING_HU = -2000.0


@dataclass(frozen=True)
class PaddingRule:
    """Stored values that stand for no measurement.

    Attributes
    ----------
    low, high : int, optional
        The range of Pixel Padding Value and Pixel Padding Range Limit, both included.
    below : int, optional
        Every stored value up to this one.
    """

    low: int | None = None
    high: int | None = None
    below: int | None = None

    def mask(self, stored: npt.NDArray[np.integer], out: BoolArray) -> None:
        """Set `out` True where `stored`, of the same shape, is padding."""
        if self.below is not None and self.below >= np.iinfo(stored.dtype).min:
            np.less_equal(stored, self.below, out=out)
        if self.low is None or self.high is None or (self.below is not None and self.high <= self.below):
            return
        if self.low == self.high:
            out |= stored == self.low
        else:
            out |= (stored >= self.low) & (stored <= self.high)


def padding_rule(header: Dataset, modality: Modality, rescale: Rescale) -> PaddingRule:
    """Return which stored values are padding (PS3.3 C.7.5.1.1.2).

    In CT also everything at or below -2000 HU, far below air: makers fill the corners outside the
    circular field of view with such a constant without always declaring it.
    """
    below = None
    if modality is Modality.CT and rescale.slope > 0 and not tags.has(header, "ModalityLUTSequence"):
        below = math.floor((_CT_NOTHING_HU - rescale.intercept) / rescale.slope)
    low = _stored(header, "PixelPaddingValue")
    high = _stored(header, "PixelPaddingRangeLimit")
    # Where there is a palette it means an index, which is replaced by what it stands for.
    if low is None or tags.word(header, "PhotometricInterpretation") == "PALETTE COLOR":
        return PaddingRule(below=below)
    high = low if high is None else high
    return PaddingRule(min(low, high), max(low, high), below)


def outside_regions(header: Dataset, rows: int, columns: int) -> BoolArray | None:
    """Return True outside the two-dimensional regions of an ultrasound image, shape (rows, columns).

    Around them lie text, scales and marks; Doppler and M-mode regions hold curves. None where the
    header names no two-dimensional region (PS3.3 C.8.5.5).
    """
    outside = np.ones((rows, columns), bool)
    for region in tags.items(header, "SequenceOfUltrasoundRegions"):
        corners = [
            tags.integer(region, f"RegionLocation{corner}") for corner in ("MinX0", "MinY0", "MaxX1", "MaxY1")
        ]
        if tags.integer(region, "RegionSpatialFormat") != 1 or None in corners:
            continue
        left, top, right, bottom = (max(corner or 0, 0) for corner in corners)
        outside[top : bottom + 1, left : right + 1] = False
    return None if outside.all() else outside


def _stored(header: Dataset, keyword: str) -> int | None:
    """Return a padding value as a stored value.

    Its VR follows Pixel Representation, which not every writer heeds: 63536 in a signed image of
    16 bits is -2000.
    """
    found = tags.integer(header, keyword)
    bits = tags.integer(header, "BitsAllocated")
    if found is None or bits not in (8, 16, 32):
        return None
    signed = tags.integer(header, "PixelRepresentation") == 1
    wrapped = found % (1 << bits)
    return wrapped - (1 << bits) if signed and wrapped >= 1 << (bits - 1) else wrapped
