"""Read the noise of a whole series off its slices with a noise-estimator network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from quell.image import FloatArray, Image, Modality
from quell.inference.contracts import Network, NoiseMap, Step
from quell.inference.normalise import difference_scale
from quell.inference.slices import Slices
from quell.noise.activity import relative_noise
from quell.noise.grid import block_mean
from quell.noise.spectrum import DESCRIPTOR_SIZE

_Found: TypeAlias = "tuple[FloatArray, npt.NDArray[np.float32]] | None"

SPARSE_FROM = 8
"""Volumes of at least this many slices are looked at in every second slice: noise varies slowly."""

ENOUGH = 60
"""Long volumes are looked at in about this many slices, evenly spread."""


def estimate_noise(
    slices: Slices, network: Network, block: int, streams: int, step: Step, every: bool = False
) -> NoiseMap:
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
    every : bool
        Look at every slice: they were chosen before, see `surveyed`.

    Returns
    -------
    NoiseMap
        Blank slices have level 0.
    """
    image = slices.image
    depth = image.shape[0]
    runs = _runs(image)
    chosen = [z for run in runs for z in (run if every else _looked_at(run))]

    def one(z: int) -> _Found:
        pixels = slices.padded(z)
        scale = difference_scale(pixels)
        if not scale.item() > 0:
            return None
        log_level, descriptor = network((pixels / scale)[None, None])
        return log_level[0, 0] + np.log(scale), descriptor[0]

    with ThreadPoolExecutor(streams + 1) as pool:
        results = dict(zip(chosen, _told(pool.map(one, chosen), step, depth / len(chosen)), strict=True))
    seen = {z: found for z, found in results.items() if found is not None}
    level = np.zeros((depth, *(n // block for n in slices.padded_shape)), np.float32)
    descriptor = np.zeros(DESCRIPTOR_SIZE, np.float32)
    if seen:
        descriptor = np.mean([found[1] for found in seen.values()], axis=0).astype(np.float32)
    for run in runs:
        logs = {z: seen[z][0] for z in run if z in seen}
        if logs:
            level[run.start : run.stop] = np.exp(_along_z(run, logs))
    level[[z for z in range(depth) if z not in seen and _blank(slices, z, z in results)]] = 0
    return NoiseMap(level, block, image.shape, descriptor)


def surveyed(depth: int) -> list[int]:
    """Return the slices that the noise of a volume without gaps is read off."""
    return _looked_at(range(depth))


def filled_in(noise: NoiseMap, known: Sequence[int], depth: int) -> NoiseMap:
    """Return the noise of all slices of a volume from that of some.

    Parameters
    ----------
    noise : NoiseMap
        Of the slices `known` alone.
    known : sequence of int
        Ascending, the first and the last slice among them.
    depth : int
        Of the volume.

    Returns
    -------
    NoiseMap
        Blank slices that are known have level 0.
    """
    seen = {z: np.log(level) for z, level in zip(known, noise.level, strict=True) if level.any()}
    level = np.zeros((depth, *noise.level.shape[1:]), np.float32)
    if seen:
        level[:] = np.exp(_between(range(depth), seen))
        level[[z for z in known if z not in seen]] = 0
    return NoiseMap(level, noise.block, (depth, *noise.shape[1:]), noise.descriptor)


def with_activity(noise: NoiseMap, slices: Slices) -> NoiseMap:
    """Raise the level of reconstructed activity to what the law of its noise says.

    Applies to PET and to volumes of nuclear medicine (`quell.noise.activity`); others are returned
    as they are. The level follows the activity averaged over three by three blocks.
    """
    image = slices.image
    activity = image.modality is Modality.PT or (image.modality is Modality.NM and image.volume)
    share = relative_noise(image) if activity else 0.0
    if share == 0:
        return noise
    level = noise.level.copy()
    for z in range(image.shape[0]):
        means = np.pad(block_mean(slices.padded(z), noise.block), 1, mode="edge")
        rows, columns = level.shape[1:]
        around = sum(means[i : i + rows, j : j + columns] for i in range(3) for j in range(3))
        np.maximum(level[z], np.float32(share / 9) * around, out=level[z])
    return NoiseMap(level, noise.block, noise.shape, noise.descriptor)


def _runs(image: Image) -> list[range]:
    """Return the stretches of slices that are neighbours in space; a frame is one by itself."""
    depth = image.shape[0]
    ends = sorted({i + 1 for i in image.gaps if 0 <= i < depth - 1} if image.volume else range(1, depth))
    return [range(start, stop) for start, stop in pairwise([0, *ends, depth])]


def _looked_at(run: range) -> list[int]:
    stride = max(2, round(len(run) / ENOUGH)) if len(run) >= SPARSE_FROM else 1
    return sorted({*run[::stride], run[-1]})


def _blank(slices: Slices, z: int, looked_at: bool) -> bool:
    """Say whether a slice without an estimate is constant, rather than one that was not looked at."""
    return looked_at or not np.ptp(slices.padded(z)) > 0


def _told(results: Iterable[_Found], step: Step, each: float) -> Iterable[_Found]:
    """Pass results on and tell of the slices they stand for, which may be more than one each."""
    done = 0.0
    for result in results:
        before, done = int(done + 0.5), done + each
        step("estimate", int(done + 0.5) - before)
        yield result


def _along_z(run: range, logs: dict[int, FloatArray]) -> npt.NDArray[np.float64]:
    """Even out the estimates of neighbours and fill in the slices between."""
    known = sorted(logs)
    stack = np.stack([logs[z] for z in known]).astype(np.float64)
    if len(known) > 2:
        padded = np.concatenate([stack[:1], stack, stack[-1:]])
        stack = 0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:]
    return _between(run, dict(zip(known, stack, strict=True)))


def _between(run: range, logs: Mapping[int, npt.NDArray[np.floating]]) -> npt.NDArray[np.float64]:
    """Fill in the slices between those that are known, and repeat the outer ones."""
    known = np.array(sorted(logs))
    stack = np.stack([logs[z] for z in known]).astype(np.float64)
    wanted = np.arange(run.start, run.stop)
    after = np.clip(np.searchsorted(known, wanted), 0, len(known) - 1)
    before = np.clip(after - 1, 0, len(known) - 1)
    span = np.maximum(known[after] - known[before], 1)
    share = np.clip((wanted - known[before]) / span, 0, 1)[:, None, None]
    filled: npt.NDArray[np.float64] = (1 - share) * stack[before] + share * stack[after]
    return filled
