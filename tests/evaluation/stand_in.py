"""A noise model simple enough to know everything about, and denoisers of known faults."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from quell.image import Image
from quell.noise.contracts import Simulated


@dataclass(frozen=True)
class GaussianNoise:
    """White noise whose variance falls with the dose, after a blur."""

    sigma: float
    blur: float = 0.0

    def acquire(self, truth: Image, dose: float, rng: np.random.Generator) -> Simulated:
        shown = (
            ndimage.gaussian_filter(truth.voxels, (0, self.blur, self.blur)) if self.blur else truth.voxels
        )
        return self.simulate(truth.with_voxels(shown), dose, rng)

    def simulate(self, image: Image, dose: float, rng: np.random.Generator) -> Simulated:
        noise = rng.standard_normal(image.shape, np.float32) * np.float32(self.sigma / dose**0.5)
        return Simulated(image.with_voxels(image.voxels + noise), {}, ("a stand-in",))


def median(image: Image) -> Image:
    """Take the median of 5 x 5 pixels: edges of large things stay, what is smaller goes."""
    return image.with_voxels(ndimage.median_filter(image.voxels, (1, 5, 5)))


def smooth(image: Image, sigma: float = 2.0) -> Image:
    return image.with_voxels(ndimage.gaussian_filter(image.voxels, (0, sigma, sigma)))


def psnr(image: Image, truth: Image) -> float:
    """Peak signal-to-noise ratio; the peak is that of the truth."""
    error = float(((image.voxels - truth.voxels) ** 2).mean())
    return 10 * float(np.log10(np.ptp(truth.voxels) ** 2 / error))
