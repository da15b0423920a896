"""The noise of a magnitude image, read off the air around the object.

Where there is no signal the magnitude of complex noise follows a Rayleigh distribution, and the root of
the sum of squares over L coils a chi distribution with 2 L degrees of freedom (Constantinides, Atalar and
McVeigh, Magn Reson Med 38 (1997) 852). Its mean over its standard deviation tells L, and with it how much
narrower it is than the noise where there is signal. Holds where the reconstruction treated both alike:
no masking of the air, no filter for homogeneity, little g-factor.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, lgamma, sqrt

import numpy as np
import numpy.typing as npt

from quell.image import Image
from quell.noise.blind.level import BLOCK, block_means, blocks_of, padded_slice
from quell.noise.blind.regions import signal_floor
from quell.noise.blind.robust import left_edge

Array = npt.NDArray[np.float64]

_FEWEST = 30
_SLICES = 24
_COILS = 64
_RATIOS = (1.85, 9.0)


@dataclass(frozen=True)
class AirNoise:
    """The noise that the air tells of.

    Attributes
    ----------
    level : float
        Standard deviation where there is signal, in the units of the image.
    coils : float
        Effective number of coils in a sum of squares; 1 of one coil or an adaptive combination.
    blocks : int
        Number of blocks behind it.
    """

    level: float
    coils: float
    blocks: int


def air_noise(image: Image) -> AirNoise | None:
    """Measure the noise in the air of a magnitude image.

    Returns
    -------
    AirNoise or None
        None where there is too little air, or its values do not follow the distribution of
        magnitudes (masked, filtered, or brought to homogeneity).
    """
    floor, depth = signal_floor(image), image.shape[0]
    means, deviations = [], []
    for z in np.unique(np.linspace(0, depth - 1, min(depth, _SLICES)).astype(int)):
        blocks = blocks_of(padded_slice(image.voxels, z)).astype(np.float64)
        mean, deviation = block_means(image, z), blocks.std(axis=(2, 3), ddof=1)
        air = (blocks.max(axis=(2, 3)) < floor) & (blocks.min(axis=(2, 3)) >= 0) & (deviation > 0)
        means.append(mean[air])
        deviations.append(deviation[air])
    mean, deviation = np.concatenate(means), np.concatenate(deviations)
    if len(mean) < _FEWEST:
        return None
    logs = np.log(deviation)
    width = 1.2 / BLOCK / np.sqrt(2)
    edge = left_edge(logs, width)
    quiet = logs < edge + 1.5 * width
    ratio = float(np.median(mean[quiet] / deviation[quiet]))
    if quiet.sum() < _FEWEST or not _RATIOS[0] <= ratio <= _RATIOS[1]:
        return None
    coils = float(np.interp(ratio, [_chi(n)[0] / _chi(n)[1] for n in range(1, _COILS)], range(1, _COILS)))
    return AirNoise(float(np.exp(edge)) / _chi(coils)[1], coils, int(quiet.sum()))


def _chi(coils: float) -> tuple[float, float]:
    """Return mean and standard deviation of the root sum of squares of unit noise."""
    mean = sqrt(2) * exp(lgamma(coils + 0.5) - lgamma(coils))
    return mean, sqrt(2 * coils - mean**2)
