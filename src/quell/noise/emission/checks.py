"""What the models of PET and SPECT share: the checks of a volume of activity, and what they say of it."""

from __future__ import annotations

import numpy as np

from quell.errors import InputError
from quell.image import FloatArray, Image, Modality

UNIFORM_WATER = "The attenuation map is unknown: water was assumed within the outline of the activity."
FILTERED = ("FBP", "FILTERED", "BACKPROJ")
"""Words by which a header tells of filtered back-projection."""

_SQUARE = 0.01


def check_volume(image: Image, modality: Modality, attenuation: FloatArray | None) -> tuple[str, ...]:
    """Say what stands against scanning a volume of activity.

    Returns
    -------
    tuple of str
        Warnings.

    Raises
    ------
    InputError
        If the modality is another, the spacing is unknown, the pixels are not square, a value is no number,
        there is no activity, or the attenuation map does not fit.
    """
    if image.modality is not modality:
        raise InputError(image.name, f"this model is for {modality.value} images, not {image.modality.value}")
    if not image.geometry.known:
        raise InputError(image.name, "the spacing is unknown, and without it nothing can be projected")
    if abs(image.geometry.spacing[1] / image.geometry.spacing[2] - 1) > _SQUARE:
        raise InputError(image.name, "the pixels are not square")
    measured = image.voxels if image.padding is None else image.voxels[~image.padding]
    if not np.isfinite(measured).all():
        raise InputError(image.name, "some values are no numbers")
    if measured.max(initial=0) <= 0:
        raise InputError(image.name, "there is no activity in the image")
    if attenuation is not None and attenuation.shape != image.shape:
        raise InputError(
            image.name, f"the attenuation map has shape {attenuation.shape}, the image {image.shape}"
        )
    if "LEARN" in image.acquisition.reconstruction.upper():
        return ("The image was reconstructed by a network, whose noise this model does not make.",)
    return ()


def activity_of(image: Image) -> FloatArray:
    """Return the voxels without negative values, 0 where there is no measurement."""
    activity = np.maximum(image.voxels, 0)
    if image.padding is not None:
        activity[image.padding] = 0
    return activity


def changed(image: Image, change: FloatArray) -> Image:
    """Return an image with a change added.

    No activity becomes negative; what was, as filters leave it, is bounded by itself. Padding stays.
    """
    return keep_padding(image, np.maximum(image.voxels + change, np.minimum(image.voxels, 0)))


def keep_padding(image: Image, voxels: FloatArray) -> Image:
    """Return an image with other voxels, its padding as it was."""
    if image.padding is not None:
        voxels = np.where(image.padding, image.voxels, voxels)
    return image.with_voxels(voxels.astype(np.float32))


def is_uncorrected(image: Image) -> bool:
    """Whether the source says that attenuation was not corrected."""
    return bool(image.acquisition.corrections) and "ATTN" not in image.acquisition.corrections
