"""The local level of the noise: measured in plain blocks, carried over to the others.

The logarithm of the level is taken to be a function of the local mean (the law of the noise) plus a
smooth function of the position. Blocks with edges take no part; of the rest the lower ones count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from quell.image import BoolArray, FloatArray, Image, Modality
from quell.noise.blind.cosine import coefficients, variances
from quell.noise.blind.plain import band_weights
from quell.noise.blind.regions import signal_floor
from quell.noise.blind.robust import (
    EDGE_LOG_RATIO,
    MEAN_LOG_LEVEL,
    SPREAD_OF_LEVEL,
    SPREAD_OF_RATIO,
    left_edge,
    power_mean,
)

Array = npt.NDArray[np.float64]

BLOCK = 8
"""Side of a block in pixels, as in the noise map of the denoiser."""

LOOKED_AT = 48
"""Long volumes are looked at in about this many slices, evenly spread."""

_RECONSTRUCTED, _COUNTED = 0.87, 0.5
_LIMIT = 1.5
_NEAR, _FAR, _STRIDE = 2, 5, 4
_LOWER, _LOWER_TO_MEAN = 0.35, 0.385
_CUT_BIAS = 0.139
"""Mean of a standard normal of which everything above 1.5 is cut off, with the sign changed."""

_PRIOR_NEAR, _PRIOR_FAR = 3.0, 6.0
_BINS, _IN_A_BIN = 24, 40
_ENOUGH = 40
_SLOPE_WEIGHT = 20.0


@dataclass(frozen=True, eq=False)
class Blocks:
    """What was measured in the blocks of some slices.

    Attributes
    ----------
    mean : ndarray, shape (z, rows, columns)
    log_level : ndarray, shape (z, rows, columns)
        Natural logarithm of the standard deviation.
    usable : ndarray of bool, shape (z, rows, columns)
        Blocks that vary and hold no padding.
    plain : ndarray of bool, shape (z, rows, columns)
        Blocks in which nothing but noise was found.
    least_spread : float
        Standard deviation that `log_level` has by chance at the very least.
    offset : float
        What has to be added to averages of `log_level`: part of it is known, part comes from noise
        whose distribution has longer tails than a Gaussian (speckle).
    """

    mean: Array
    log_level: Array
    usable: BoolArray
    plain: BoolArray
    least_spread: float
    offset: float


def level_map(image: Image, autocovariance: Array, pixels: FloatArray | None = None) -> FloatArray:
    """Return the local level of the noise on the grid of blocks, shape (z, rows, columns).

    Parameters
    ----------
    image : Image
    autocovariance : ndarray, shape (n, n)
        Of the noise, in any scale.
    pixels : ndarray of float32, shape (z, y, x), optional
        What the noise is measured in, where it is not the image itself (a difference of repeats).
    """
    depth = image.shape[0]
    chosen = np.unique(np.linspace(0, depth - 1, min(depth, LOOKED_AT)).round().astype(np.intp))
    blocks = measure_blocks(image, chosen, autocovariance, pixels)
    level = smooth_level(blocks, neighbours=image.volume, power=_expected_power(image))
    if len(chosen) < depth:
        after = np.clip(np.searchsorted(chosen, np.arange(depth)), 1, len(chosen) - 1)
        before = after - 1
        share = (np.arange(depth) - chosen[before]) / (chosen[after] - chosen[before])
        level = (1 - share)[:, None, None] * level[before] + share[:, None, None] * level[after]
    return level.astype(np.float32)


def _expected_power(image: Image) -> float | None:
    """Return the power of the mean that the level goes with where counts are behind it."""
    if image.modality is Modality.PT or (image.modality is Modality.NM and image.volume):
        return _RECONSTRUCTED
    return _COUNTED if image.modality is Modality.NM else None


def measure_blocks(
    image: Image,
    slices: npt.NDArray[np.intp],
    autocovariance: Array,
    pixels: FloatArray | None = None,
) -> Blocks:
    """Measure the level in every block of some slices.

    Parameters
    ----------
    image : Image
    slices : ndarray of int
    autocovariance : ndarray, shape (n, n)
        Of the noise, in any scale; see `quell.noise.blind.cosine.variances`.
    pixels : ndarray of float32, shape (z, y, x), optional
        See `level_map`.
    """
    expected = variances(autocovariance / autocovariance[0, 0], BLOCK)
    weights = band_weights(expected, np.add.outer(np.arange(BLOCK), np.arange(BLOCK)) >= 2)
    source = image.voxels if pixels is None else pixels
    measured = [_measure(padded_slice(source, z), expected, weights) for z in slices]
    level, rms = (np.stack(parts) for parts in zip(*measured, strict=True))
    mean = np.stack([block_means(image, z) for z in slices])
    usable = (level > 0) & (rms > 0)
    if image.padding is not None:
        blank = np.stack([blocks_of(padded_slice(image.padding, z)).any((2, 3)) for z in slices])
        usable &= ~blank
    log_level = np.log(np.maximum(level, 1e-30))
    ratio = np.log(np.maximum(rms, 1e-30)) - log_level
    share = float((weights**2).sum())
    width = SPREAD_OF_RATIO * np.sqrt(share)
    patient = usable & (mean > signal_floor(image))
    judged = patient if patient.sum() >= _ENOUGH else usable
    edge = left_edge(ratio[judged], width) if judged.any() else 0.0
    plain = usable & (ratio < edge + _LIMIT * width)
    offset = edge - (EDGE_LOG_RATIO + MEAN_LOG_LEVEL) * share
    return Blocks(mean, log_level, usable, plain, 0.5 * SPREAD_OF_LEVEL * np.sqrt(share), offset)


def smooth_level(blocks: Blocks, neighbours: bool, power: float | None = None) -> Array:
    """Return the level of every block, also of those that are not plain; 0 where none is.

    Parameters
    ----------
    blocks : Blocks
    neighbours : bool
        Whether slices that follow each other may share in the average.
    power : float, optional
        The level is expected to go with this power of the mean (0.5 for counts).
    """
    if not blocks.plain.any():
        return np.zeros(blocks.mean.shape)
    trend = np.zeros(blocks.mean.shape) if power is None else power_trend(blocks, power)
    by_mean = trend + law_curve(blocks.mean, blocks.log_level - trend, blocks.plain)
    rest = np.where(blocks.plain, blocks.log_level - by_mean, np.nan)
    overall, reach = float(np.nanmedian(rest)), int(neighbours)
    spread = max(_scatter(rest), blocks.least_spread)
    # Slice by slice: the neighbourhoods of a whole volume would fill the memory.
    windows = zip(_windows(rest, _NEAR, reach), _windows(rest, _FAR, reach), strict=True)
    smooth = np.stack([_smooth_slice(near, far, spread, overall) for near, far in windows])
    return np.where(blocks.usable, np.exp(by_mean + smooth + blocks.offset), 0.0)


def _smooth_slice(near: Array, far: Array, spread: float, overall: float) -> Array:
    """Return the smooth part of one slice: near neighbours, backed by far ones, backed by all."""
    rows, columns = (_coarse(length) for length in far.shape[:2])
    wide, count = _lower_average(far[np.ix_(rows, columns)], spread)
    wide = (count * wide + _PRIOR_FAR * overall) / (count + _PRIOR_FAR)
    close, count = _lower_average(near, spread)
    return (count * close + _PRIOR_NEAR * _stretched(wide, far.shape[:2])) / (count + _PRIOR_NEAR)


def power_trend(blocks: Blocks, expected: float) -> Array:
    """Return the log level that a power of the mean gives for each block, up to a constant.

    The power is fitted to the plain blocks and drawn towards the expected one, so that blocks of
    means at which nothing is plain (bones, hot spots) are not left to chance.
    """
    means = blocks.mean[blocks.plain]
    least = max(float(np.quantile(means, 0.05)), 0.02 * float(np.quantile(means, 0.99)), 1e-12)
    logs = np.log(np.maximum(blocks.mean, least))
    x, y = logs[blocks.plain], blocks.log_level[blocks.plain]
    x, y = x - np.median(x), y - np.median(y)
    spread = float((x**2).sum())
    slope = (float((x * y).sum()) + _SLOPE_WEIGHT * expected) / (spread + _SLOPE_WEIGHT)
    return np.asarray(float(np.clip(slope, 0.0, 1.2)) * logs, np.float64)


def law_curve(mean: Array, log_level: Array, plain: BoolArray) -> Array:
    """Return what the mean of a block says of its level: medians over classes of the mean."""
    means, levels = mean[plain], log_level[plain]
    bins = int(np.clip(len(means) // _IN_A_BIN, 1, _BINS))
    edges = np.quantile(means, np.linspace(0, 1, bins + 1))
    index = np.clip(np.searchsorted(edges, means, side="right") - 1, 0, bins - 1)
    filled = [i for i in range(bins) if (index == i).any()]
    centre = np.array([np.median(means[index == i]) for i in filled])
    middle = np.array([np.median(levels[index == i]) for i in filled])
    padded = np.concatenate([middle[:1], middle, middle[-1:]])
    even = 0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:]
    return np.asarray(np.interp(mean, centre, even), np.float64)


def blocks_of(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Cut a slice into blocks, shape (rows, columns, BLOCK, BLOCK)."""
    rows, columns = (length // BLOCK for length in pixels.shape)
    return pixels.reshape(rows, BLOCK, columns, BLOCK).swapaxes(1, 2)


def padded_slice(voxels: npt.NDArray[Any], z: int) -> npt.NDArray[Any]:
    """Return a slice extended by reflection to whole blocks."""
    extra = [(0, -length % BLOCK) for length in voxels.shape[1:]]
    return np.pad(voxels[z], extra, mode="symmetric")


def block_means(image: Image, z: int) -> Array:
    """Return the mean of every block of a slice."""
    return np.asarray(blocks_of(padded_slice(image.voxels, z)).mean(axis=(2, 3), dtype=np.float64))


def _measure(pixels: FloatArray, expected: Array, weights: Array) -> tuple[Array, Array]:
    """Return robust level and root mean square of the blocks of one slice."""
    blocks = blocks_of(pixels).astype(np.float64)
    blocks -= blocks.mean(axis=(2, 3), keepdims=True)
    scaled = np.abs(coefficients(blocks)) / np.sqrt(expected)
    rms = np.sqrt((scaled**2 * weights).sum(axis=(2, 3)))
    # Blocks that stick to one value have nothing to tell.
    constant = np.ptp(blocks, axis=(2, 3)) == 0
    return np.where(constant, 0.0, power_mean(scaled, weights)), rms


def _scatter(log_level: Array) -> float:
    """Return the standard deviation of the log level by chance, from neighbouring blocks."""
    steps = [np.diff(log_level, axis=1).ravel(), np.diff(log_level, axis=2).ravel()]
    found = np.concatenate(steps)
    found = found[np.isfinite(found)]
    return float(1.4826 * np.median(np.abs(found)) / np.sqrt(2)) if len(found) > 20 else 0.0


def _windows(grid: Array, reach: int, depth: int) -> Array:
    """Return the neighbourhoods of every block in one axis, NaN beyond the edges."""
    padded = np.pad(grid, ((depth, depth), (reach, reach), (reach, reach)), constant_values=np.nan)
    side = 2 * reach + 1
    return sliding_window_view(padded, (2 * depth + 1, side, side))


def _lower_average(windows: Array, spread: float) -> tuple[Array, Array]:
    """Return the centre of the lower blocks of each neighbourhood, and how many there were.

    Texture that looks like noise raises a block, nothing but chance lowers it.
    """
    flat = np.sort(windows.reshape(*windows.shape[:2], -1), axis=-1)
    count = np.isfinite(flat).sum(axis=-1)
    low = np.minimum((_LOWER * count).astype(int), flat.shape[-1] - 1)
    centre = np.take_along_axis(flat, low[..., None], -1)[..., 0] + _LOWER_TO_MEAN * spread
    for _ in range(2):
        kept = flat < (centre + _LIMIT * spread)[..., None]
        total = np.where(kept, flat, 0.0).sum(axis=-1)
        used = kept.sum(axis=-1)
        centre = np.where(used > 0, total / np.maximum(used, 1) + _CUT_BIAS * spread, centre)
    return np.where(count > 0, centre, 0.0), np.where(count > 0, used, 0)


def _coarse(length: int) -> npt.NDArray[np.intp]:
    """Return every `_STRIDE`-th block along an axis, at least one."""
    return np.arange(min(_STRIDE // 2, length - 1), length, _STRIDE)


def _stretched(coarse: Array, shape: tuple[int, ...]) -> Array:
    """Interpolate a map of every `_STRIDE`-th block linearly to all of them."""
    rows, columns = (_coarse(length) for length in shape)
    wide = np.stack([np.interp(np.arange(shape[1]), columns, line) for line in coarse])
    return np.stack([np.interp(np.arange(shape[0]), rows, line) for line in wide.T], axis=1)
