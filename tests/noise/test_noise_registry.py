"""Every modality has its noise model, and only that one is loaded."""

from __future__ import annotations

import numpy as np
import pytest

from quell.errors import InputError
from quell.image import Acquisition, Image, Modality
from quell.noise.registry import noise_model

VIEWS = Acquisition(reconstruction="PROJECTIONS")


def image(modality: Modality, volume: bool = False, acquisition: Acquisition | None = None) -> Image:
    return Image(
        np.ones((3, 8, 8), np.float32), modality, volume=volume, acquisition=acquisition or Acquisition()
    )


@pytest.mark.parametrize(
    ("given", "module", "name"),
    [
        (image(Modality.CT), "ct", "CTNoise"),
        (image(Modality.PT, volume=True), "pet", "PETNoise"),
        (image(Modality.NM, volume=True), "spect", "SPECTNoise"),
        (image(Modality.NM, acquisition=VIEWS), "spect", "SPECTNoise"),
        (image(Modality.NM), "planar", "PlanarNoise"),
        (image(Modality.US), "ultrasound", "UltrasoundNoise"),
        (image(Modality.MR), "mri", "MRINoise"),
        (image(Modality.XR), "radiography", "RadiographyNoise"),
    ],
)
def test_the_model_is_that_of_the_modality(given: Image, module: str, name: str) -> None:
    pytest.importorskip(f"quell.noise.{module}", reason=f"without the noise model {module}")
    model = noise_model(given)
    assert type(model).__name__ == name
    assert model.modality is given.modality and model.dose_means


def test_an_unknown_modality_is_asked_for() -> None:
    with pytest.raises(InputError, match="--modality"):
        noise_model(image(Modality.UNKNOWN))
