"""The law of the noise from noise whose law is known."""

from __future__ import annotations

import numpy as np
import pytest

from quell.image import Image, Modality
from quell.noise.estimation import estimate_noise
from quell.noise.law import Law, LawKind, noise_law


def plates(shape: tuple[int, int, int] = (2, 256, 256)) -> np.ndarray:
    """Return squares of 32 pixels with values from 10 to 160."""
    _, y, x = np.mgrid[tuple(slice(0, n) for n in shape)]
    return 10.0 + 10.0 * ((7 * (y // 32) + 3 * (x // 32)) % 16)


def law(voxels: np.ndarray, modality: Modality, **fields: object) -> Law:
    image = Image(voxels.astype(np.float32), modality, **fields)  # type: ignore[arg-type]
    return noise_law(image, estimate_noise(image))


@pytest.fixture
def white(rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((2, 256, 256))


def test_counts(rng: np.random.Generator) -> None:
    found = law(rng.poisson(plates()), Modality.NM, units="counts")
    assert found.kind is LawKind.POISSON and found.explained > 0.95
    # 1500 plain blocks of 64 pixels: the slope is known to 1 %, the estimate's bias is up to 5 %.
    assert found.linear == pytest.approx(1, rel=0.08)
    assert found.variance(100) == pytest.approx(100, rel=0.08)


def test_proportional_noise(white: np.ndarray) -> None:
    found = law(plates() * (1 + 0.08 * white), Modality.PT)
    assert found.kind is LawKind.PROPORTIONAL and found.explained > 0.95
    assert np.sqrt(found.quadratic) == pytest.approx(0.08, rel=0.06)


@pytest.mark.parametrize(
    ("modality", "kind"), [(Modality.CT, LawKind.CONSTANT), (Modality.US, LawKind.SPECKLE)]
)
def test_noise_that_is_the_same_everywhere(white: np.ndarray, modality: Modality, kind: LawKind) -> None:
    found = law(plates() + 3 * white, modality)
    assert found.kind is kind and found.linear == 0 and found.quadratic == 0
    assert found.constant == pytest.approx(9, rel=0.1)


def test_electronic_noise_under_quanta(white: np.ndarray, rng: np.random.Generator) -> None:
    found = law(rng.poisson(plates()) + 6 * white, Modality.XR)
    assert found.kind is LawKind.MIXED
    assert found.constant == pytest.approx(36, rel=0.3)
    assert found.linear == pytest.approx(1, rel=0.2)


def test_magnitudes_have_a_floor(rng: np.random.Generator) -> None:
    signal = np.where(plates() < 60, 0.0, plates())
    real, imaginary = (8 * rng.standard_normal(signal.shape) for _ in range(2))
    found = law(np.hypot(signal + real, imaginary), Modality.MR)
    assert found.kind is LawKind.RICIAN and found.explained > 0.9
    assert np.sqrt(found.constant) == pytest.approx(8, rel=0.06)


def test_one_signal_has_no_law(white: np.ndarray) -> None:
    assert law(50 + white[:, :64, :64], Modality.CT).kind in (LawKind.CONSTANT, LawKind.UNKNOWN)
    assert law(50 + white[:1, :16, :16], Modality.CT).kind is LawKind.UNKNOWN
    assert law(np.zeros((1, 64, 64)), Modality.NM).kind is LawKind.UNKNOWN
