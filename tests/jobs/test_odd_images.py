"""Images that nobody expects: each noise model and the survey answer, or refuse them in one line."""

from __future__ import annotations

import numpy as np
import pytest

from quell.errors import InputError
from quell.image import Geometry, Image, Modality
from quell.jobs.simulation import SimulationSettings, simulate_image
from quell.noise.estimation import estimate_noise

UNITS = {Modality.CT: "HU", Modality.PT: "Bq/ml", Modality.NM: "counts"}
MODALITIES = [kind for kind in Modality if kind is not Modality.UNKNOWN]


def odd(name: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    return {
        "one pixel": np.full((1, 1, 1), 5.0),
        "one row": rng.poisson(20.0, (1, 1, 64)),
        "tiny": rng.poisson(20.0, (2, 5, 7)),
        "zeros": np.zeros((3, 40, 40)),
        "constant": np.full((3, 40, 40), 100.0),
        "two values": rng.integers(0, 2, (2, 48, 48)),
        "negative": rng.normal(-500, 10, (2, 48, 48)).round(),
        "huge": rng.poisson(20.0, (2, 48, 48)) * 1e30,
        "faint": rng.poisson(20.0, (2, 48, 48)) * 1e-30,
        "narrow": rng.poisson(50.0, (2, 90, 9)),
        "one hot pixel": np.pad(np.full((1, 1, 1), 1e6), ((1, 1), (30, 30), (30, 30))),
        "not a number": np.full((2, 48, 48), np.nan),
    }[name].astype(np.float32)


NAMES = [
    *("one pixel", "one row", "tiny", "zeros", "constant", "two values"),
    *("negative", "huge", "faint", "narrow", "one hot pixel", "not a number"),
]


def image(name: str, modality: Modality, volume: bool) -> Image:
    voxels = odd(name)
    geometry = Geometry((3.0, 2.0, 2.0), known=True)
    several = volume and len(voxels) > 1
    return Image(voxels, modality, UNITS.get(modality, "arbitrary"), geometry, volume=several, name=name)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("name", NAMES)
def test_simulating_gives_an_image_or_one_line(name: str, modality: Modality) -> None:
    settings = SimulationSettings(dose=0.25, looks=1, seed=1)
    for volume in (True, False):
        given = image(name, modality, volume)
        try:
            result, _ = simulate_image(given, settings)
        except InputError as error:
            assert "\n" not in str(error)
            assert str(error).startswith(name)
        else:
            assert result.image.shape == given.shape
            assert np.isfinite(result.image.voxels).all()


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("name", NAMES[:-1])
def test_estimating_gives_levels_that_are_numbers(name: str, modality: Modality) -> None:
    found = estimate_noise(image(name, modality, True))
    assert np.isfinite(found.level).all()
    assert (found.level >= 0).all()
    if found.spectrum is not None:
        assert np.isfinite(found.spectrum.power).all()
