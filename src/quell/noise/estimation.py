"""Find the noise in an image that is all there is: its level everywhere, and its power spectrum.

Classical, without a network. The method and where it fails are described in
docs/noise/estimation.md.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from quell.image import FloatArray, Image
from quell.noise.blind.level import BLOCK, block_means, level_map
from quell.noise.blind.periodogram import autocovariance
from quell.noise.blind.regions import difference_patches, patches, signal_floor
from quell.noise.blind.shape import ENOUGH, Shape, shape_of
from quell.noise.contracts import NoiseEstimate, NoiseSpectrum
from quell.noise.measures import first_moment

_INDEPENDENT = 0.5
_BETTER = 1.02


def estimate_noise(image: Image) -> NoiseEstimate:
    """Measure the noise in an image, from the image alone and without a network.

    Parameters
    ----------
    image : Image
        A slice, frames or a volume. In a volume the difference of neighbouring slices is looked at
        as well, since most of the anatomy cancels in it.

    Returns
    -------
    NoiseEstimate
        Level 0 where nothing varies or all is padding. The spectrum is scaled to the median level
        of the patient; it is None where no eight regions of 16 x 16 pixels can be judged.

    Examples
    --------
    >>> import numpy as np
    >>> noise = np.random.default_rng(0).normal(40, 10, (1, 128, 128)).astype(np.float32)
    >>> found = estimate_noise(Image(noise))
    >>> bool(9.5 < np.median(found.level) < 10.5)
    True
    """
    shape = _shape(image)
    level = level_map(image, white() if shape is None else autocovariance(shape.power))
    spectrum = None if shape is None else in_units(image, shape, patient_level(image, level))
    return NoiseEstimate(level, BLOCK, spectrum)


def patient_level(image: Image, level: FloatArray) -> float:
    """Return the median of a level map over the patient, in the units of the image; 0 where all is 0.

    Parameters
    ----------
    image : Image
    level : ndarray of float32, shape (z, rows, columns)
        On blocks of side `BLOCK`.
    """
    return level_percentiles(image, level, (50,))[0]


def level_percentiles(image: Image, level: FloatArray, percentiles: tuple[float, ...]) -> tuple[float, ...]:
    """Return percentiles of a level map over the patient; zeros where there is no noise."""
    floor = signal_floor(image)
    means = np.stack([block_means(image, z) for z in range(image.shape[0])])
    inside = level[(level > 0) & (means > floor)]
    chosen = inside if len(inside) else level[level > 0]
    if len(chosen) == 0:
        return tuple(0.0 for _ in percentiles)
    return tuple(float(value) for value in np.percentile(chosen, percentiles))


def in_units(image: Image, shape: Shape, level: float) -> NoiseSpectrum:
    """Return a spectrum as a density over mm (pixels where their size is unknown).

    Parameters
    ----------
    image : Image
    shape : Shape
    level : float
        Standard deviation that the spectrum is scaled to, in the units of the image.
    """
    _, dy, dx = image.geometry.spacing if image.geometry.known else (1.0, 1.0, 1.0)
    power = shape.power / shape.power.mean() * level**2
    return NoiseSpectrum(np.fft.fftshift(power) * dy * dx, (dy, dx), shape.regions)


def _shape(image: Image) -> Shape | None:
    """Return the spectrum of the slices or of their differences, whichever has less structure.

    What is left of structure adds low frequencies; the higher first moment has less of it.
    Differences of slices that share most of their noise say little and are left out.
    """
    floor = signal_floor(image)
    alone = shape_of(patches(image), floor)
    if alone is None or not image.volume or image.shape[0] < 2:
        return alone
    between = shape_of(difference_patches(image), floor)
    if between is None or between.regions < ENOUGH or between.level < _INDEPENDENT * alone.level:
        return alone
    return between if _moment(between) > _BETTER * _moment(alone) else alone


def _moment(shape: Shape) -> float:
    return first_moment(NoiseSpectrum(np.fft.fftshift(shape.power), (1.0, 1.0), shape.regions))


def white() -> npt.NDArray[np.float64]:
    """Return the autocovariance of white noise, for images too small to have a spectrum."""
    correlation = np.zeros((2 * BLOCK, 2 * BLOCK))
    correlation[0, 0] = 1.0
    return correlation
