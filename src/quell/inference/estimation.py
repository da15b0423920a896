"""Read the noise of a whole series off its slices with a noise-estimator network."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from quell.image import FloatArray, Image
from quell.inference.contracts import Network, NoiseMap, Step
from quell.inference.normalise import difference_scale
from quell.inference.slices import Slices
from quell.noise.spectrum import DESCRIPTOR_SIZE

SPARSE_FROM = 8
"""Volumes of at least this many slices are looked at in every second slice: noise varies slowly."""


def estimate_noise(slices: Slices, network: Network, block: int, streams: int, step: Step) -> NoiseMap:
    """Estimate the level and the spectrum of the noise of a series.

    Parameters
    ----------
    slices : Slices
    network : Network
        From a scaled slice (1, 1, y, x) to the log level on the grid of blocks and the descriptor.
    block : int
        Side of a block in pixels.
    streams : int
        Slices looked at side by side.
    step : Step
        Told of the slices that are covered.

    Returns
    -------
    NoiseMap
        Blank slices have level 0.
    """
    image = slices.image
    depth = image.shape[0]
    stride = 2 if image.volume and depth >= SPARSE_FROM else 1
    chosen = sorted({*range(0, depth, stride), depth - 1})

    def one(z: int) -> tuple[FloatArray, npt.NDArray[np.float32]] | None:
        pixels = slices.padded(z)
        scale = difference_scale(pixels)
        if not scale.item() > 0:
            return None
        log_level, descriptor = network((pixels / scale)[None, None])
        return log_level[0, 0] + np.log(scale), descriptor[0]

    with ThreadPoolExecutor(streams) as pool:
        results = dict(zip(chosen, _told(pool.map(one, chosen), step, depth / len(chosen)), strict=True))
    seen = {z: found for z, found in results.items() if found is not None}
    rows, columns = (n // block for n in slices.padded_shape)
    if not seen:
        return NoiseMap(
            np.zeros((depth, rows, columns), np.float32),
            block,
            image.shape,
            np.zeros(DESCRIPTOR_SIZE, np.float32),
        )
    logs = _along_z(image, {z: found[0] for z, found in seen.items()})
    descriptor = np.mean([found[1] for found in seen.values()], axis=0).astype(np.float32)
    level = np.exp(logs)
    level[[z for z, found in results.items() if found is None]] = 0
    return NoiseMap(level.astype(np.float32), block, image.shape, descriptor)


def _told(results: Iterable[object], step: Step, each: float) -> Iterable[object]:
    """Pass results on and tell of the slices they stand for, which may be more than one each."""
    done = 0.0
    for result in results:
        before, done = int(done + 0.5), done + each
        step("estimate", int(done + 0.5) - before)
        yield result


def _along_z(image: Image, logs: dict[int, FloatArray]) -> npt.NDArray[np.float64]:
    """Fill in the slices between and, in a volume, even out the estimates of neighbours."""
    depth = image.shape[0]
    known = np.array(sorted(logs))
    stack = np.stack([logs[z] for z in known]).astype(np.float64)
    if image.volume and len(known) > 2:
        padded = np.concatenate([stack[:1], stack, stack[-1:]])
        stack = 0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:]
    after = np.clip(np.searchsorted(known, np.arange(depth)), 0, len(known) - 1)
    before = np.clip(after - 1, 0, len(known) - 1)
    span = np.maximum(known[after] - known[before], 1)
    share = np.clip((np.arange(depth) - known[before]) / span, 0, 1)[:, None, None]
    filled: npt.NDArray[np.float64] = (1 - share) * stack[before] + share * stack[after]
    return filled
