"""How many quanta made a radiograph: told by how its noise grows with its signal."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from quell.image import FloatArray, Image
from quell.noise.detector.response import Transfer, block_response
from quell.noise.flat import block_statistics

_SLICES = 8
_BINS = 12
_BLOCKS_A_BIN = 20
_QUIET = 0.2
_QUIET_SIGMA = -0.8416
"""The normal quantile of `_QUIET`."""
_FEWEST_BINS = 2
_VISIBLE = 0.5
"""Least noise variance over that of rounding that can be told from it."""


class Scale(Protocol):
    """The law between pixel values and exposure."""

    def to_exposure(self, values: FloatArray) -> FloatArray: ...

    def to_values(self, exposure: FloatArray) -> FloatArray: ...

    def rounding(self, exposure: float) -> float: ...


def found_quanta(
    image: Image,
    scale: Scale,
    power: Transfer,
    spacing: tuple[float, float],
    electronic_noise: float,
    structure: float,
) -> float | None:
    """Return the noise-equivalent quanta that one unit of exposure stands for.

    Blocks of 8 x 8 pixels are sorted by their mean into bins; in each bin the quiet fifth of the
    blocks tells the noise, because anatomy only adds to it. Of the quanta that the bins ask for,
    the median counts.

    Parameters
    ----------
    image : Image
    scale : Scale
        How exposure follows from pixel values.
    power : callable
        Spectrum of the quantum noise over its value at frequency 0.
    spacing : tuple of float
        Pixel height and width, mm.
    electronic_noise : float
        Standard deviation in quanta.
    structure : float
        Relative standard deviation of the fixed pattern.

    Returns
    -------
    float or None
        None where too few blocks can be judged, or the noise is lost in the rounding.
    """
    mean, sd = _blocks_of(image, scale)
    share, freedom = block_response(power, spacing)
    quiet = _quiet_part(freedom)
    found = []
    for some in np.array_split(np.argsort(mean), _BINS):
        if some.size < _BLOCKS_A_BIN:
            continue
        level = float(np.median(mean[some]))
        rounding = scale.rounding(level)
        noise = float(np.quantile(sd[some], _QUIET)) ** 2 / quiet - rounding
        noise -= (structure * level) ** 2
        if noise > _VISIBLE * rounding and noise > 0:
            # noise = share * level / q + electronic_noise^2 / q^2, solved for q.
            signal = share * level
            found.append((signal + np.sqrt(signal**2 + 4 * noise * electronic_noise**2)) / (2 * noise))
    return float(np.median(found)) if len(found) >= _FEWEST_BINS else None


def smoothed(plane: FloatArray) -> FloatArray:
    """Average over the binomial weights (1, 4, 6, 4, 1) / 16 along both axes, edges repeated."""
    out = np.pad(plane, 2, mode="edge")
    for axis in (0, 1):
        size = out.shape[axis] - 4
        parts = [out.take(range(k, k + size), axis) for k in range(5)]
        out = (parts[0] + parts[4] + 4 * (parts[1] + parts[3]) + 6 * parts[2]) * np.float32(1 / 16)
    return np.asarray(out, np.float32)


def _blocks_of(image: Image, scale: Scale) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return mean and deviation, in exposure, of the blocks that hold signal and are not clipped."""
    depth = image.shape[0]
    chosen = np.unique(np.linspace(0, depth - 1, min(depth, _SLICES)).astype(int))
    exposure = image.voxels[chosen]
    padding = None if image.padding is None else image.padding[chosen]
    linear = Image(np.ascontiguousarray(scale.to_exposure(exposure)), padding=padding)
    parts = [block_statistics(linear, z) for z in range(len(chosen))]
    mean, sd = (np.concatenate(found) for found in zip(*parts, strict=True))
    usable = (mean > 0) & (sd > 1e-6 * mean)
    return mean[usable], sd[usable]


def _quiet_part(freedom: float) -> float:
    """Return the `_QUIET` quantile of a variance over its expectation (Wilson and Hilferty, 1931)."""
    spread = 2 / (9 * freedom)
    return float((1 - spread + _QUIET_SIGMA * np.sqrt(spread)) ** 3)
