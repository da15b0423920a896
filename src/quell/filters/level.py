"""The noise of an image as a classical method wants it: one number, and where it was measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quell.errors import InputError
from quell.image import Image
from quell.noise.contracts import NoiseEstimate, NoiseSpectrum
from quell.noise.estimation import patient_level
from quell.noise.flat import block_statistics
from quell.noise.quiet import QUANTILE_OF_WHITE, QUIET_SHARE
from quell.noise.quiet import foreground as foreground
from quell.noise.quiet import noise_sigma as noise_sigma

_SLICES = 8
_FEWEST = 20


@dataclass(frozen=True, eq=False)
class NoiseLevel:
    """What a classical method is told of the noise.

    Attributes
    ----------
    sigma : float
        Standard deviation in the units of the image.
    relative : float
        Standard deviation over the mean, for methods that take noise as multiplied (speckle).
    gain : float
        Variance over the mean, for methods that take noise as counted: units of the image that one
        count makes.
    spectrum : NoiseSpectrum or None
    """

    sigma: float
    relative: float
    gain: float
    spectrum: NoiseSpectrum | None = None


def over_mean(image: Image, power: int) -> float:
    """Return the standard deviation, to a power, over the mean of the quiet parts of an image.

    The lower fifth over the blocks of the foreground whose mean is positive; 0 where there is none. The
    first power suits noise that is multiplied (speckle), the second noise that is counted.
    """
    low, high = foreground(image)
    found = []
    for z in np.unique(np.linspace(0, image.shape[0] - 1, min(image.shape[0], _SLICES)).astype(int)):
        mean, sd = block_statistics(image, int(z))
        usable = (mean > max(low, 0)) & (mean < high) & (sd > 0)
        found.append((sd[usable] / QUANTILE_OF_WHITE) ** power / mean[usable])
    ratios = np.concatenate(found)
    if ratios.size >= _FEWEST:
        return float(np.quantile(ratios, QUIET_SHARE))
    return _ratio(noise_sigma(image) ** power, typical(image))


def typical(image: Image) -> float:
    """Return the median value of the foreground."""
    low, high = foreground(image)
    inside = (image.voxels >= low) & (image.voxels < high)
    if image.padding is not None:
        inside &= ~image.padding
    return float(np.median(image.voxels[inside])) if inside.any() else 0.0


def level_of(image: Image, estimate: NoiseEstimate | None, sigma: float | None) -> NoiseLevel:
    """Put together what is known of the noise of an image.

    Parameters
    ----------
    image : Image
    estimate : NoiseEstimate or None
        Measured by whoever calls, as by `quell.noise.estimation.estimate_noise`; its median over the
        patient is taken, and its spectrum.
    sigma : float or None
        The level where it is known; comes before the estimate.

    Raises
    ------
    InputError
        If the image holds values that are not finite, or the given level is negative or not finite.
    """
    if not np.isfinite(image.voxels).all():
        raise InputError(image.name, "has values that are not finite (NaN or infinity)")
    if sigma is not None and not (np.isfinite(sigma) and sigma >= 0):
        raise InputError(image.name, f"a noise level is a positive number, got {sigma:g}")
    spectrum = estimate.spectrum if estimate is not None else None
    if sigma is None and estimate is not None and (estimate.level > 0).any():
        sigma = patient_level(image, estimate.level)
    counted = image.units == "counts"
    if sigma is not None:
        mean = typical(image)
        gain = 1.0 if counted else _ratio(sigma**2, mean)
        return NoiseLevel(sigma, _ratio(sigma, mean), gain, spectrum)
    gain = 1.0 if counted else over_mean(image, 2)
    return NoiseLevel(noise_sigma(image), over_mean(image, 1), gain, spectrum)


def _ratio(sigma: float, mean: float) -> float:
    return sigma / mean if mean > 0 else 0.0
