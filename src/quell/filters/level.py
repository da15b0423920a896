"""The noise of an image as a classical method wants it: one number, and where it was measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quell.errors import InputError
from quell.image import FloatArray, Image, Modality
from quell.noise.contracts import NoiseEstimate, NoiseSpectrum
from quell.noise.estimation import patient_level
from quell.noise.flat import block_statistics, quiet_level

_CT_BODY = -500.0
_SIGNAL = 0.1
_QUIET_SHARE = 0.2
_SLICES = 8
_FEWEST = 20

_QUANTILE_OF_WHITE = 0.924
"""The lower fifth of the standard deviations of 8 x 8 blocks of white noise, around their planes, over the
true one: 1 - 0.84 / sqrt(2 * 61)."""

_MAD = 0.6745


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


def foreground(image: Image) -> tuple[float, float]:
    """Return the values between which the patient lies: above -500 HU in CT, above a tenth of the span of
    values elsewhere."""
    real = image.voxels if image.padding is None else image.voxels[~image.padding]
    if real.size == 0:
        return -np.inf, np.inf
    if image.modality is Modality.CT:
        return _CT_BODY, np.inf
    low, high = np.percentile(real, (0.5, 99.5))
    return float(low + _SIGNAL * (high - low)), np.inf


def noise_sigma(image: Image) -> float:
    """Return the noise level of an image by plain means.

    `quell.noise.flat.quiet_level` over the foreground, put right for the quantile it takes of white noise;
    where there are too few blocks, the median absolute diagonal difference (Donoho and Johnstone 1994).
    Correlated noise comes out too low, since part of it looks like slopes.

    Returns
    -------
    float
        In the units of the image; 0 for a constant one.
    """
    level = quiet_level(_real(image), foreground(image), _QUIET_SHARE)
    return level / _QUANTILE_OF_WHITE if level > 0 else _diagonal_level(image.voxels)


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
        found.append((sd[usable] / _QUANTILE_OF_WHITE) ** power / mean[usable])
    ratios = np.concatenate(found)
    if ratios.size >= _FEWEST:
        return float(np.quantile(ratios, _QUIET_SHARE))
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


def _real(image: Image) -> FloatArray:
    """Return the voxels with padding moved out of every foreground."""
    if image.padding is None or not image.padding.any():
        return image.voxels
    real: FloatArray = np.where(image.padding, np.float32(np.finfo(np.float32).min), image.voxels)
    return real


def _diagonal_level(voxels: FloatArray) -> float:
    if min(voxels.shape[1:]) < 2:
        return 0.0
    a, b = voxels[:, ::2, ::2], voxels[:, 1::2, 1::2]
    c, d = voxels[:, ::2, 1::2], voxels[:, 1::2, ::2]
    rows, columns = b.shape[1:]
    cut = (slice(None), slice(rows), slice(columns))
    diagonal = (a[cut].astype(np.float64) + b[cut] - c[cut] - d[cut]) / 2
    return float(np.median(np.abs(diagonal)) / _MAD)


def _ratio(sigma: float, mean: float) -> float:
    return sigma / mean if mean > 0 else 0.0
