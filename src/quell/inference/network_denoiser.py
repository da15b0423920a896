"""A trained network as a denoiser: estimate the noise, normalise, run, undo."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from quell.image import FloatArray, Image
from quell.inference.contracts import Denoised, Network, NoiseMap, Runtime, Sigma, Step
from quell.inference.estimation import estimate_noise, with_activity
from quell.inference.grain import without_grain
from quell.inference.kinds import kind_of, one_hot, usual_grain, usual_strength
from quell.inference.levels import value_range, with_median
from quell.inference.normalise import MEAN_BLOCK, local_mean
from quell.inference.plausibility import plausibility
from quell.inference.slices import Slices
from quell.inference.streams import cores
from quell.inference.tiling import tiles
from quell.models.card import ModelCard
from quell.noise.grid import upsample

Told: TypeAlias = Callable[[FloatArray], "tuple[FloatArray, ...]"]
"""A network that has been told the noise and the kind of image: from slices to its outputs."""

LARGEST_WHOLE = 2048
"""Longest side in pixels that is run in one piece; larger images are run in tiles of this side."""

KEPT = 4
"""Compiled networks that are kept for the next series of the same shape."""

BLOCK = 8
"""Side in pixels of the blocks of the noise map."""


@dataclass(frozen=True)
class _Dose:
    """How much of the estimated noise goes.

    Attributes
    ----------
    strength, grain : float
        Share of all that goes, and of its fine part that stays nevertheless.
    """

    strength: float
    grain: float


class NetworkDenoiser:
    """Apply a model that ships, or one trained alike, to images of any size.

    Parameters
    ----------
    card : ModelCard
    files : dict of str to Path
        ONNX files by role: ``denoiser`` and ``estimator``.
    runtime : Runtime
    tile : int
        Longest side that is run in one piece.
    streams : int, optional
        Slices of a series run side by side; by default one for each core that the process may use.
    """

    def __init__(
        self,
        card: ModelCard,
        files: dict[str, Path],
        runtime: Runtime,
        tile: int = LARGEST_WHOLE,
        streams: int | None = None,
    ) -> None:
        self._card, self._files, self._runtime, self._tile = card, files, runtime, tile
        self._streams = streams or cores()
        self._compiled: dict[object, Network] = {}
        self._local = threading.local()

    @property
    def card(self) -> ModelCard:
        """What the model is."""
        return self._card

    @property
    def engine(self) -> str:
        """Engine, device and precision."""
        return self._runtime.description

    @property
    def tells_spread(self) -> bool:
        """Whether it says how sure it is of each voxel."""
        return False

    def denoise(
        self,
        image: Image,
        strength: float | None = None,
        sigma: Sigma = "auto",
        step: Step = lambda name, count: None,
        grain: float | None = None,
    ) -> Denoised:
        """Denoise an image; see `quell.inference.contracts.Denoiser.denoise`.

        Parameters
        ----------
        image : Image
        strength : float, optional
            That of the card for this kind of image where it is not given.
        sigma : float or "auto"
        step : Step
            Told of progress.
        grain : float, optional
            Share of the fine noise that stays, see `quell.inference.grain`. Where it is not given, that of
            the card with the strength of the card, and none with any other.

        Raises
        ------
        ValueError
            If strength or grain do not lie between 0 and 1.
        """
        if grain is None:
            grain = usual_grain(self._card, image) if strength is None else 0.0
        if strength is None:
            strength = usual_strength(self._card, image)
        for name, value in (("strength", strength), ("grain", grain)):
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {value}")
        started = time.perf_counter()
        slices = Slices(image, MEAN_BLOCK)
        streams = min(self._streams, image.shape[0])
        noise = self._estimate(slices, streams, step)
        noise = _believed(noise, image) if sigma == "auto" else with_median(noise, image, float(sigma))
        estimated = time.perf_counter()
        voxels = self._run(slices, noise, _Dose(strength, grain), streams, step)
        seconds = {"estimate": estimated - started, "network": time.perf_counter() - estimated}
        return Denoised(image.with_voxels(voxels), noise, seconds)

    def estimate(self, image: Image, step: Step = lambda name, count: None) -> NoiseMap:
        """Estimate the noise of an image as `denoise` does, and leave it at that.

        Parameters
        ----------
        image : Image
        step : Step
            Told of progress.
        """
        slices = Slices(image, MEAN_BLOCK)
        return _believed(self._estimate(slices, min(self._streams, image.shape[0]), step), image)

    def _estimate(self, slices: Slices, streams: int, step: Step) -> NoiseMap:
        shapes: dict[str, tuple[int, ...]] = {"scaled": (1, 1, *slices.padded_shape)}
        kind = self._kind(slices.image)
        if kind:
            shapes["kind"] = kind[0].shape
        network = self._network("estimator", shapes, streams, exact=True)
        found = estimate_noise(slices, lambda scaled: network(scaled, *kind), BLOCK, streams, step)
        return with_activity(found, slices)

    def _kind(self, image: Image) -> tuple[FloatArray, ...]:
        """Return what the networks are told of the kind of image, shape (1, kinds), or nothing."""
        kinds = self._card.kinds
        return (one_hot(kind_of(image), kinds)[None],) if kinds else ()

    def _network(
        self, role: str, shapes: Mapping[str, tuple[int, ...]], streams: int, exact: bool
    ) -> Network:
        """Return a compiled network; the last few are kept, since many series have one shape."""
        key = (role, tuple(shapes.items()), streams)
        if key not in self._compiled:
            while len(self._compiled) >= KEPT:
                self._compiled.pop(next(iter(self._compiled)))
            self._compiled[key] = self._runtime.load(self._files[role], shapes, streams, exact)
        return self._compiled[key]

    def _run(self, slices: Slices, noise: NoiseMap, dose: _Dose, streams: int, step: Step) -> FloatArray:
        image = slices.image
        tile = self._tile // self._card.multiple * self._card.multiple
        shape = [min(length, tile) for length in slices.padded_shape]
        told = np.concatenate([noise.descriptor[None], *self._kind(image)], axis=1)
        shapes = {
            "normalised": (1, self._card.slices, *shape),
            # Networks that are not told the kind of image know the spectrum alone.
            "condition" if self._card.kinds else "spectrum": told.shape,
        }
        network = self._network("denoiser", shapes, streams, exact=False)
        bounds = value_range(image)
        result = np.empty_like(image.voxels)

        def one(z: int) -> None:
            result[z] = self._one_slice(slices, z, noise, dose, lambda stack: network(stack, told), bounds)

        # One more than run at a time: it prepares its slice while the others compute.
        with ThreadPoolExecutor(streams + 1) as pool:
            for _ in pool.map(one, range(image.shape[0])):
                step("network", 1)
        return result

    def _one_slice(
        self,
        slices: Slices,
        z: int,
        noise: NoiseMap,
        dose: _Dose,
        network: Told,
        bounds: tuple[float, float],
    ) -> FloatArray:
        image = slices.image
        _, rows, columns = image.shape
        if dose.strength == 0 or not noise.level[z].any():
            untouched: FloatArray = image.voxels[z]
            return untouched
        centre = slices.padded(z)
        level = upsample(noise.level[z], noise.block)
        mean = local_mean(centre)
        stack = self._buffer((1, self._card.slices, *slices.padded_shape))
        for channel, index in enumerate(slices.neighbours(z, self._card.slices)):
            pixels = centre if index == z else slices.padded(index)
            np.subtract(pixels, mean, out=stack[0, channel])
            stack[0, channel] /= level
        removed = without_grain(self._tiled(network, stack), dose.grain)
        removed *= level
        removed *= np.float32(dose.strength)
        np.subtract(centre, removed, out=removed)
        denoised: FloatArray = np.clip(removed, *bounds, out=removed)[:rows, :columns]
        if image.padding is not None:
            denoised = np.where(image.padding[z], image.voxels[z], denoised)
        return denoised

    def _buffer(self, shape: tuple[int, ...]) -> FloatArray:
        """Return an array of this thread's own: fresh memory for every slice costs as much as its use."""
        if getattr(self._local, "shape", None) != shape:
            self._local.shape, self._local.array = shape, np.empty(shape, np.float32)
        array: FloatArray = self._local.array
        return array

    def _tiled(self, network: Told, stack: FloatArray) -> FloatArray:
        rows, columns = stack.shape[2:]
        if max(rows, columns) <= self._tile:
            whole: FloatArray = network(stack)[0][0, 0]
            return whole
        tile = self._tile // self._card.multiple * self._card.multiple
        result = np.empty((rows, columns), np.float32)
        for y, x in tiles((rows, columns), tile, self._card.halo, self._card.multiple):
            piece = np.ascontiguousarray(stack[:, :, y.start : y.stop, x.start : x.stop])
            noise = network(piece)[0][0, 0]
            result[y.keep_start : y.keep_stop, x.keep_start : x.keep_stop] = noise[
                y.keep_start - y.start : y.keep_stop - y.start, x.keep_start - x.start : x.keep_stop - x.start
            ]
        return result


def _believed(noise: NoiseMap, image: Image) -> NoiseMap:
    """Return a noise map with less noise, or none, where what was found cannot be noise."""
    return noise.scaled(plausibility(image, noise))
