"""Which noise model belongs to an image; nothing is loaded but the one that is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from quell.errors import InputError
from quell.image import Image, Modality
from quell.noise.contracts import NoiseModel

UNKNOWN_MODALITY = "its modality is unknown, and with it how noise arises: name it with --modality"
PROJECTIONS = "PROJECTIONS"
"""What `Acquisition.reconstruction` says of raw projections of SPECT."""

_HOMES = {
    "CT": "quell.noise.ct.CTNoise",
    "PT": "quell.noise.pet.PETNoise",
    "SPECT": "quell.noise.spect.SPECTNoise",
    "planar": "quell.noise.planar.PlanarNoise",
    "US": "quell.noise.ultrasound.UltrasoundNoise",
    "MR": "quell.noise.mri.MRINoise",
    "XR": "quell.noise.radiography.RadiographyNoise",
}


def noise_model(image: Image) -> NoiseModel:
    """Return the noise model for an image, with the parameters that it has by default.

    Parameters
    ----------
    image : Image
        Its modality decides, and for nuclear medicine whether it is reconstructed.

    Returns
    -------
    NoiseModel
        What depends on the scanner is measured in the image when it simulates.

    Raises
    ------
    InputError
        If the modality is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> noise_model(Image(np.zeros((1, 8, 8), np.float32), modality=Modality.NM)).modality.value
    'NM'
    """
    if image.modality is Modality.UNKNOWN:
        raise InputError(image.name, UNKNOWN_MODALITY)
    module, _, name = _HOMES[_kind(image)].rpartition(".")
    return cast(NoiseModel, getattr(import_module(module), name)())


def _kind(image: Image) -> str:
    if image.modality is not Modality.NM:
        return str(image.modality.value)
    return "SPECT" if image.volume or is_projection(image) else "planar"


def is_projection(image: Image) -> bool:
    """Whether an image holds raw projections of SPECT: counts, of which no slice is anatomy."""
    return image.acquisition.reconstruction.startswith(PROJECTIONS)
