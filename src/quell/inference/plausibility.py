"""Is what was found in an image noise at all? Drawings, patterns and clean images have none to lose."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from quell.image import Image, Modality
from quell.inference.contracts import NoiseMap
from quell.inference.levels import foreground_level, median_level
from quell.noise.flat import SIDE, blocks, detrended_sd, share_in_a_block

_SLICES = 4

_LIKE_NOISE = (0.5, 1.3)
"""Standard deviation of a block over the level there, where the block shows little but noise."""

_ENOUGH = 20

_QUIETEST = (0.25, 0.6)
"""Of the fifth of the blocks that are quietest: noise is nowhere absent, and 0.8 is usual."""

_KURTOSIS = (2.0, 2.25)
"""Of blocks that look like noise: 3 for a Gaussian, less in small blocks, more for counts and speckle; 1 for
two values, 1.5 for a sine wave."""

_VISIBLE = (0.001, 0.002)
"""Level over the contrast of the image: below it there is nothing to be seen in 12 bits."""

_SHARE_UNKNOWN = (0.05, 0.2)
"""Share of the blocks that look like noise, for an image of no known modality, which may be a drawing."""


@dataclass(frozen=True)
class _Seen:
    """What the blocks of the foreground tell.

    Attributes
    ----------
    ratio : ndarray, shape (n,)
        Standard deviation over what noise of that level and spectrum shows in a block.
    kurtosis : ndarray, shape (n,)
    """

    ratio: npt.NDArray[np.float64]
    kurtosis: npt.NDArray[np.float64]


def plausibility(image: Image, noise: NoiseMap) -> float:
    """Return how far a noise map may be believed, from 0 (there is no noise) to 1 (there is).

    Four signs, of which the least counts: blocks that are much quieter than the map says; blocks that look
    like noise but have the few values of a pattern; a level too low to be seen; and, in images of no known
    modality, that hardly a block looks like noise. Each goes from 0 to 1 over a span, so that a small change
    of the image changes the result by little. Neither a gain nor an offset of the image changes it.

    Parameters
    ----------
    image : Image
    noise : NoiseMap
        Of this image; blocks of side `quell.noise.flat.SIDE`.
    """
    image, noise = _few(image, noise)
    seen = _look(image, noise)
    if len(seen.ratio) == 0:
        return 0.0
    like_noise = (seen.ratio > _LIKE_NOISE[0]) & (seen.ratio < _LIKE_NOISE[1])
    signs = [_between(float(np.quantile(seen.ratio, 0.2)), _QUIETEST), _visible(image, noise)]
    if like_noise.sum() >= _ENOUGH:
        signs.append(_between(float(np.median(seen.kurtosis[like_noise])), _KURTOSIS))
    if image.modality is Modality.UNKNOWN:
        signs.append(_between(float(like_noise.mean()), _SHARE_UNKNOWN))
    return min(signs)


def _few(image: Image, noise: NoiseMap) -> tuple[Image, NoiseMap]:
    """Return a few slices, evenly spread."""
    depth, rows, columns = image.shape
    chosen = np.unique(np.linspace(0, depth - 1, min(depth, _SLICES)).astype(int))
    padding = None if image.padding is None else image.padding[chosen]
    shape = (len(chosen), rows, columns)
    few = replace(image, voxels=image.voxels[chosen], padding=padding, gaps=())
    return few, NoiseMap(noise.level[chosen], noise.block, shape, noise.descriptor)


def _look(image: Image, noise: NoiseMap) -> _Seen:
    """Measure the blocks of the foreground."""
    level = foreground_level(noise, image) * np.float32(share_in_a_block(noise.descriptor))
    _, rows, columns = image.shape
    ratios, kurtoses = [np.empty(0)], [np.empty(0)]
    for z, pixels in enumerate(image.voxels):
        cut = blocks(pixels).astype(np.float64)
        expected = level[z, : rows // SIDE, : columns // SIDE].ravel()
        # Black or white all over: cut off at the end of the range, or masked.
        ends = (cut[:, 0] == pixels.min()) | (cut[:, 0] == pixels.max())
        usable = (expected > 0) & ~(ends & (np.ptp(cut, axis=1) == 0))
        if image.padding is not None:
            usable &= ~blocks(image.padding[z]).any(axis=1)
        ratios.append(detrended_sd(cut[usable]) / expected[usable])
        kurtoses.append(_kurtosis(cut[usable]))
    return _Seen(np.concatenate(ratios), np.concatenate(kurtoses))


def _kurtosis(cut: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the kurtosis of each block; 0 for a constant one."""
    apart = cut - cut.mean(axis=1, keepdims=True)
    square = (apart**2).mean(axis=1)
    fourth = (apart**4).mean(axis=1)
    found: npt.NDArray[np.float64] = np.divide(
        fourth, square**2, out=np.zeros_like(square), where=square**2 > 0
    )
    return found


def _visible(image: Image, noise: NoiseMap) -> float:
    """Judge the median level by the contrast of the image."""
    real = image.voxels if image.padding is None else image.voxels[~image.padding]
    # A hundred thousand values are enough for percentiles.
    low, high = np.percentile(real.ravel()[:: max(1, real.size // 100_000)], (1, 99))
    level = median_level(noise, image)
    return _between(level / float(high - low), _VISIBLE) if high > low else 1.0


def _between(value: float, span: tuple[float, float]) -> float:
    """Return 0 below a span, 1 above it, and a straight line within."""
    low, high = span
    return float(np.clip((value - low) / (high - low), 0, 1))
