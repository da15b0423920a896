"""A noise model that a test can see through, in place of the physics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quell.errors import InputError
from quell.image import Image, Modality
from quell.noise.contracts import NoiseEstimate, Simulated


@dataclass(frozen=True)
class FakeNoise:
    """Adds white noise of standard deviation 1 / dose - 1; refuses images of one row."""

    kind: Modality = Modality.CT
    warning: str = ""

    @property
    def modality(self) -> Modality:
        return self.kind

    @property
    def dose_means(self) -> str:
        return "a test"

    def check(self, image: Image) -> tuple[str, ...]:
        if image.shape[1] == 1:
            raise InputError(image.name, "one row")
        return (self.warning,) if self.warning else ()

    def simulate(self, image: Image, dose: float, rng: np.random.Generator) -> Simulated:
        warnings = self.check(image)
        sigma = abs(1 / dose - 1)
        noise = rng.normal(0, sigma, image.shape).astype(np.float32) if sigma else np.float32(0)
        return Simulated(image.with_voxels(image.voxels + noise), {"dose": dose, "sigma": sigma}, warnings)

    def acquire(self, truth: Image, dose: float, rng: np.random.Generator) -> Simulated:
        return self.simulate(truth, dose, rng)

    def estimate(self, image: Image) -> NoiseEstimate:
        raise InputError(image.name, "no estimate")

    def dose_for_snr(self, image: Image, snr: float) -> float:
        return snr / 40


def fake_model(image: Image) -> FakeNoise:
    """Return the fake for an image, as `quell.noise.registry.noise_model` returns the true one."""
    return FakeNoise(image.modality)
