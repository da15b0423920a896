"""Which CT images can be given more noise, and what makes the result doubtful."""

from __future__ import annotations

import re

import numpy as np

from quell.errors import InputError
from quell.image import Image, Modality

_LARGE_PIXEL_MM = 1.6
_NO_AIR_HU = -200.0
_FEW_PIXELS = 64
_BYTES = 8
_LARGEST_HU = 1e5
"""Extended scales reach 30,000 HU, which is steel."""

_ITERATIVE = re.compile(
    r"iterat|asir|safire|admire|idose|aidr|veo\b|mbir|\bimr\b|deep|dlir|truefidelity|aice|precise"
    r"|intelligen|statistical|neural|clear-?iq",
    re.IGNORECASE,
)
_ITERATIVE_KERNEL = re.compile(r"^[IJQ]\d\d[a-z]|\\[1-5]$")
"""Siemens: I, J and Q kernels, and the strength after a backslash."""


def refuse_unusable(image: Image) -> None:
    """Raise InputError where the noise of CT would mean nothing."""
    if image.modality is not Modality.CT:
        raise InputError(image.name, f"the noise of CT needs a CT image, this is {image.modality.value}")
    if image.units != "HU":
        raise InputError(image.name, f"the noise of CT needs HU, the values are in {image.units} units")
    if not image.geometry.known:
        raise InputError(image.name, "the size of its pixels is not known, so its rays have no length")
    if image.acquisition.bits is not None and image.acquisition.bits <= _BYTES:
        raise InputError(image.name, f"{image.acquisition.bits}-bit values are a picture of HU, not HU")
    _, row, column = image.geometry.spacing
    if abs(row - column) > 0.01 * column:
        raise InputError(image.name, f"its pixels are not square ({row:g} x {column:g} mm): no axial CT")
    highest = float(np.max(image.voxels))
    # Written so that NaN fails too.
    if not highest < _LARGEST_HU:
        raise InputError(image.name, f"a value of {highest:g} is no HU")


def doubts_about(image: Image) -> list[str]:
    """Say what in header and size makes the result approximate."""
    doubts = []
    made, kernel = image.acquisition.reconstruction, image.acquisition.kernel
    if _ITERATIVE.search(f"{made} {kernel}") or _ITERATIVE_KERNEL.search(kernel):
        doubts.append(
            f"it was reconstructed iteratively or by a network ({made or kernel}); the noise that is added "
            "is that of filtered back-projection"
        )
    if image.geometry.spacing[2] > _LARGE_PIXEL_MM:
        doubts.append("its pixels are large: it was probably resampled, and its noise averaged")
    if float(np.min(image.voxels)) > _NO_AIR_HU:
        doubts.append(f"no value is below {_NO_AIR_HU:g}, so there is no air in it: these may be no HU")
    if min(image.shape[1:]) < _FEW_PIXELS:
        doubts.append("it is only a small part of a slice: most of what attenuates its rays is missing")
    return doubts
