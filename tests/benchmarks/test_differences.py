"""What the script about difference images calls anatomy."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("scipy", reason="SciPy is not installed")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from differences import AT_EDGES, LIKE_ANATOMY, judged
from scipy.ndimage import gaussian_filter

from quell.image import FloatArray, Image, Modality
from quell.inference.contracts import Denoised
from quell.inference.levels import even_noise

SIGMA = 20.0


@pytest.fixture
def anatomy(rng: np.random.Generator) -> FloatArray:
    """Return a slice of blobs of tissue with edges between them."""
    rough = gaussian_filter(rng.standard_normal((1, 160, 160)), (0, 6, 6))
    return np.where(rough > 0, 60.0, -40.0).astype(np.float32)


def found(image: Image, after: FloatArray) -> dict[str, float]:
    noise = even_noise(image, SIGMA)
    return judged(image, Denoised(image.with_voxels(after.astype(np.float32)), noise, {}), 0)


def test_noise_is_no_anatomy(anatomy: FloatArray, rng: np.random.Generator) -> None:
    noise = SIGMA * rng.standard_normal(anatomy.shape).astype(np.float32)
    told = found(Image(anatomy + noise, Modality.CT, "HU"), anatomy + 0.3 * noise)
    assert abs(told["likeness"]) < LIKE_ANATOMY
    assert told["edges"] == pytest.approx(1, abs=0.1)
    assert told["removed"] == pytest.approx(0.7, abs=0.05)


def test_smeared_edges_are(anatomy: FloatArray, rng: np.random.Generator) -> None:
    noise = SIGMA * rng.standard_normal(anatomy.shape).astype(np.float32)
    told = found(Image(anatomy + noise, Modality.CT, "HU"), gaussian_filter(anatomy, (0, 2, 2)))
    assert told["edges"] > AT_EDGES


def test_contrast_that_is_taken_away_is(anatomy: FloatArray, rng: np.random.Generator) -> None:
    noise = SIGMA * rng.standard_normal(anatomy.shape).astype(np.float32)
    told = found(Image(anatomy + noise, Modality.CT, "HU"), 0.8 * anatomy)
    assert told["likeness"] > 2 * LIKE_ANATOMY
