"""From pixel values of a radiograph to the exposure of the detector and back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from quell.image import FloatArray, Image
from quell.noise.flat import block_statistics

_SLICES = 4
_BINS = 10
_BLOCKS_A_BIN = 20
_QUIET = 0.2
_VISIBLE = 0.5
_CLEAR_DECADES = 0.3
_DECADES = (0.5, 3.0)
_MAPPED_BITS = 8


@dataclass(frozen=True)
class LinearScale:
    """Values that are proportional to the exposure."""

    step: float = 0.0
    """Distance of neighbouring grey levels; 0 where values are not rounded."""

    def to_exposure(self, values: FloatArray) -> FloatArray:
        """Return the values themselves: exposure is measured in them."""
        return values

    def to_values(self, exposure: FloatArray) -> FloatArray:
        """Return the exposure itself."""
        return exposure

    def rounding(self, exposure: float) -> float:
        """Return the variance that rounding to grey levels gives an exposure."""
        return self.step**2 / 12


@dataclass(frozen=True)
class LogScale:
    """Values that follow the logarithm of the exposure; the largest exposure is 1.

    Attributes
    ----------
    zero : float
        Value of the largest exposure.
    slope : float
        Change of value for each unit of the natural logarithm of the exposure; negative where more
        exposure is darker.
    least : float
        Least exposure that is displayed.
    step : float
        Distance of neighbouring grey levels; 0 where values are not rounded.
    """

    zero: float
    slope: float
    least: float
    step: float = 0.0

    def to_exposure(self, values: FloatArray) -> FloatArray:
        """Invert the law."""
        return np.asarray(np.exp((values - np.float32(self.zero)) / np.float32(self.slope)), np.float32)

    def to_values(self, exposure: FloatArray) -> FloatArray:
        """Apply the law; what leaves the displayed range of exposures saturates."""
        shown = np.log(np.clip(exposure, self.least, 1))
        return np.asarray(self.zero + self.slope * shown, np.float32)

    def rounding(self, exposure: float) -> float:
        """Return the variance that rounding to grey levels gives an exposure."""
        return (exposure * self.step / self.slope) ** 2 / 12


def log_scale(image: Image, latitude: float | None, darker: bool | None) -> LogScale:
    """Guess the logarithmic law of an image from the span of its values and from its noise.

    Parameters
    ----------
    image : Image
    latitude : float or None
        Decades of exposure between the lowest and the highest value; None for those that the noise of
        the image follows, from 0.5 to 3.
    darker : bool or None
        Whether more exposure is darker; None to let the noise tell.
    """
    values = image.voxels if image.padding is None else image.voxels[~image.padding]
    low, high = float(values.min()), float(values.max())
    decades = decades_by_noise(image) if darker is None or latitude is None else 0.0
    if darker is None:
        darker = decades > -_CLEAR_DECADES
    if latitude is None:
        latitude = float(np.clip(decades if darker else -decades, *_DECADES))
    slope = max(high - low, 1e-6) / (latitude * math.log(10))
    least, step = 10.0**-latitude, grey_step(image)
    return LogScale(low, -slope, least, step) if darker else LogScale(high, slope, least, step)


def grey_step(image: Image) -> float:
    """Return 1 where all values are whole numbers, else 0."""
    sample = image.voxels[0]
    return float(np.array_equal(sample, np.rint(sample)))


def decades_by_noise(image: Image) -> float:
    """Tell from the noise how many decades of exposure the values of a logarithmic image span.

    The variance of the logarithm of the exposure is the inverse of the quanta, so that over the values it
    is itself exponential, with the slope of the law.

    Returns
    -------
    float
        Positive where more exposure is darker; 0 where there is too little to judge.
    """
    depth = image.shape[0]
    chosen = np.unique(np.linspace(0, depth - 1, min(depth, _SLICES)).astype(int))
    parts = [block_statistics(image, int(z)) for z in chosen]
    mean, sd = (np.concatenate(found) for found in zip(*parts, strict=True))
    mean, sd = mean[sd > 0], sd[sd > 0]
    if mean.size < _BINS * _BLOCKS_A_BIN:
        return 0.0
    order = np.array_split(np.argsort(mean), _BINS)
    level = np.array([np.median(mean[some]) for some in order])
    rounding = grey_step(image) ** 2 / 12
    noise = np.array([np.quantile(sd[some], _QUIET) for some in order]) ** 2 - rounding
    seen = noise > max(_VISIBLE * rounding, 0)
    if seen.sum() < _BINS // 2 or np.ptp(level[seen]) == 0:
        return 0.0
    rise = float(np.polyfit(level[seen], np.log(noise[seen]), 1)[0])
    return rise * float(np.ptp(image.voxels)) / math.log(10)


def stated_linear(image: Image) -> bool:
    """Whether the source says that values are proportional to the exposure."""
    said = image.acquisition
    return said.intensity == "LIN" or (said.presentation is False and not said.intensity)


def mapped_for_viewing(image: Image) -> bool:
    """Whether the values are meant for a screen, by what the source says or by their 8 bits."""
    said = image.acquisition
    if said.presentation or said.intensity == "DISP":
        return True
    if said.intensity == "LOG" or stated_linear(image):
        return False
    return (said.bits or np.inf) <= _MAPPED_BITS or _fits_a_byte(image)


def why_not_linear(image: Image) -> tuple[str, ...]:
    """Return why the values are not proportional to the exposure; empty where nothing says so."""
    law = "a logarithmic law of the exposure is assumed"
    if mapped_for_viewing(image):
        return (f"approximate: values mapped for viewing; {law}",)
    if image.acquisition.intensity == "LOG":
        return ("approximate: logarithmic values; the range of exposures that they span is assumed",)
    if image.acquisition.bits is not None and not stated_linear(image):
        return (f"approximate: the file does not say how values follow the exposure; {law}",)
    return ()


def _fits_a_byte(image: Image) -> bool:
    low, high = float(image.voxels.min()), float(image.voxels.max())
    return low >= 0 and high <= 255 and grey_step(image) > 0
