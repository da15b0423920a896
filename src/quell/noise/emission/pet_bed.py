"""A PET image laid under a ring of detectors, on a grid that the system matrix can bear."""

from __future__ import annotations

import numpy as np

from quell.image import FloatArray, Image
from quell.noise.emission.checks import UNIFORM_WATER, activity_of, is_uncorrected
from quell.noise.emission.coarse import coarsen, refine
from quell.noise.emission.outline import body_outline, round_field
from quell.noise.emission.pet_calibration import filter_axially
from quell.noise.emission.ring_bed import RingBed

WATER_511 = 0.0096
"""Attenuation of water at 511 keV, 1/mm."""

_LARGEST_FIELD = 320
_COARSE = "The image is fine for its size: its noise was made on larger pixels and interpolated."
_CUT_OUT = "The image is a cut-out: its mirror image stands in for the body around it."


def make_bed(
    image: Image,
    attenuation: FloatArray | None,
    resolution_mm: float,
    fractions: tuple[float, float],
    steps: tuple[int, int],
) -> RingBed:
    """Lay an image under a ring.

    Parameters
    ----------
    image : Image
        Activity.
    attenuation : ndarray of float32, shape of the image, or None
        In 1/mm. None: water within the outline of the activity, or nothing in an image that was not
        corrected for attenuation.
    resolution_mm : float
        Full width at half maximum of the detectors.
    fractions : tuple of float
        Scatter over scatter and trues; randoms over prompts.
    steps : tuple of int
        Iterations and subsets.
    """
    activity = activity_of(image)
    factor = _coarseness(activity)
    activity = coarsen(activity, factor)
    body = body_outline(activity)
    if attenuation is not None:
        attenuation = coarsen(attenuation.astype(np.float32), factor)
    elif is_uncorrected(image):
        attenuation = np.zeros_like(activity)
    else:
        attenuation = body * np.float32(WATER_511)
    pixel = image.geometry.spacing[1] * factor
    return RingBed(activity, attenuation, round_field(body), pixel, resolution_mm, fractions, *steps)


def on_grid(image: Image, bed: RingBed, slices: FloatArray, axial_filter: float) -> FloatArray:
    """Return reconstructed slices on the grid of the image, neighbours mixed if it is a volume."""
    fine = refine(slices, image.shape[1:], round(bed.pixel / image.geometry.spacing[1]))
    return filter_axially(fine, axial_filter, image.gaps) if image.volume else fine


def assumptions(image: Image, bed: RingBed, attenuation: FloatArray | None) -> tuple[str, ...]:
    """Say what was assumed of the body, and how coarsely."""
    told = {
        _COARSE: bed.activity.shape != image.shape,
        _CUT_OUT: bed.field.cut,
        UNIFORM_WATER: attenuation is None and bool(bed.attenuation.any()),
    }
    return tuple(text for text, so in told.items() if so)


def _coarseness(activity: FloatArray) -> int:
    """Return how many pixels are taken for one, 1 or an even number: the system matrix must stay small."""
    if np.hypot(*activity.shape[1:]) <= _LARGEST_FIELD:
        return 1
    size = round_field(body_outline(activity)).size
    return 1 if size <= _LARGEST_FIELD else 2 * int(np.ceil(size / _LARGEST_FIELD / 2))
