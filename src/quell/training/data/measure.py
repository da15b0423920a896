"""What a method is told of the training data: residuals, noise level and correlation, sizes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from quell.image import FloatArray, Geometry, Image, Modality
from quell.methods.contracts import DataFacts
from quell.models.scaling import Scaling
from quell.noise.estimation import estimate_noise, patient_level
from quell.noise.measures import correlation
from quell.training.data.contracts import Stack, Variant

LAGS = 8
"""Distances in pixels up to which the correlation of the noise is told."""

_MOST_STACKS = 24
_MOST_VALUES = 20_000
_MOST_SLICES = 5
_TAILS = (0.001, 0.999)

Array = npt.NDArray[np.float64]


def measure_data(stacks: Sequence[Stack], modality: Modality, scaling: Scaling) -> DataFacts:
    """Measure the training images.

    Noise is what differs between two noisy images, over the root of two, which a floor that both have (of
    magnitudes) leaves alone; without a second one, between a noisy image and its clean one; without either,
    what `quell.noise.estimation` finds.

    Parameters
    ----------
    stacks : sequence of Stack
        At least one with a noisy image.
    modality : Modality
    scaling : Scaling
    """
    with_noise = [(s, v) for s in stacks for v in s.variants if v.noisy >= 0]
    chosen = _spread([(s, next(v for v in s.variants if v.noisy >= 0)) for s in stacks if _noisy(s)])
    found = [_noise_of(stack, variant) for stack, variant in chosen]
    curves = [curve for _, curve in found if len(curve)]
    sigmas = [sigma for sigma, _ in found if sigma > 0]
    shapes = np.array([s.shape for s in stacks]).min(axis=0)
    return DataFacts(
        modality,
        stacks[0].units,
        len(stacks),
        scaling,
        float(np.median([v.scale for _, v in with_noise])),
        float(np.median(sigmas)) if sigmas else 0.0,
        _residual(with_noise),
        tuple(float(r) for r in np.mean(curves, axis=0)) if curves else (),
        float(np.mean([_mean(s, v) for s, v in chosen])),
        (int(shapes[0]), int(shapes[1]), int(shapes[2])),
        all(s.prior >= 0 for s in stacks if _noisy(s)),
    )


def _noisy(stack: Stack) -> bool:
    return any(v.noisy >= 0 for v in stack.variants)


def _spread(items: list[tuple[Stack, Variant]]) -> list[tuple[Stack, Variant]]:
    if len(items) <= _MOST_STACKS:
        return items
    return [items[int(i)] for i in np.linspace(0, len(items) - 1, _MOST_STACKS).round()]


def _slices(stack: Stack) -> npt.NDArray[np.int64]:
    depth = stack.shape[0]
    return np.unique(np.linspace(0, depth - 1, min(depth, _MOST_SLICES)).round().astype(np.int64))


def _mean(stack: Stack, variant: Variant) -> float:
    mean = np.mean(stack.voxels[variant.noisy][_slices(stack)], dtype=np.float64)
    return float((mean - variant.offset) / variant.scale)


def _residual(pairs: Sequence[tuple[Stack, Variant]]) -> tuple[float, float] | None:
    """Return quantiles of clean minus noisy, every image with the same number of values."""
    values = []
    for stack, variant in pairs:
        if variant.clean < 0:
            return None
        each = max(1, _MOST_VALUES * _MOST_STACKS // len(pairs))
        clean, noisy = (np.asarray(stack.voxels[n]).reshape(-1) for n in (variant.clean, variant.noisy))
        # A step without a divisor in common with the width of an image meets every column.
        step = max(1, len(clean) // each) | 1
        values.append(clean[::step] - noisy[::step])
    low, high = np.quantile(np.concatenate(values), _TAILS)
    return float(low), float(high)


def _noise_of(stack: Stack, variant: Variant) -> tuple[float, Array]:
    """Return the standard deviation in network units and the autocorrelation of the noise."""
    z = _slices(stack)
    noisy = np.asarray(stack.voxels[variant.noisy][z])
    for other, share in ((variant.second, np.sqrt(0.5)), (variant.clean, 1.0)):
        # A second image that is the clean one has less noise, or none.
        if other >= 0 and (other != variant.clean or share == 1.0):
            difference = (noisy - stack.voxels[other][z]).astype(np.float64)
            inside = _inside(noisy)
            sigma = float(np.std(difference[inside])) * share / variant.scale
            return sigma, autocorrelation(difference)
    return _estimated(stack, noisy, variant.scale)


def _inside(noisy: FloatArray) -> npt.NDArray[np.bool_]:
    low, high = np.quantile(noisy, (0.005, 0.995))
    inside: npt.NDArray[np.bool_] = noisy > low + 0.1 * (high - low)
    return inside if inside.sum() > 1 else np.ones(noisy.shape, bool)


def autocorrelation(noise: Array) -> Array:
    """Return the correlation at distances of 1 to `LAGS` pixels, the larger of rows and columns.

    Parameters
    ----------
    noise : ndarray, shape (z, y, x)
        Nothing else but noise.
    """
    noise = noise - noise.mean(axis=(1, 2), keepdims=True)
    power = float(np.mean(noise**2))
    reach = min(LAGS, *(n - 1 for n in noise.shape[1:]))
    if not power > 0:
        return np.zeros(0)
    down = [np.mean(noise[:, lag:] * noise[:, :-lag]) for lag in range(1, reach + 1)]
    along = [np.mean(noise[:, :, lag:] * noise[:, :, :-lag]) for lag in range(1, reach + 1)]
    return np.maximum(down, along) / power


def _estimated(stack: Stack, noisy: FloatArray, scale: float) -> tuple[float, Array]:
    image = Image(noisy.copy(), stack.modality, stack.units, Geometry(), name=stack.name)
    estimate = estimate_noise(image)
    level = patient_level(image, estimate.level) / scale
    if estimate.spectrum is None:
        return level, np.zeros(0)
    found = correlation(estimate.spectrum)
    row, column = (n // 2 for n in found.shape)
    reach = min(LAGS, row - 1, column - 1)
    lags = np.arange(1, reach + 1)
    return level, np.maximum(found[row + lags, column], found[row, column + lags])
