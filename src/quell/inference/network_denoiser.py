"""A trained network as a denoiser: estimate the noise, normalise, run, undo."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from quell.image import FloatArray, Image
from quell.inference.contracts import Denoised, Network, NoiseMap, Runtime, Sigma, Step
from quell.inference.estimation import estimate_noise, with_activity
from quell.inference.kinds import kind_of, one_hot, usual_grain, usual_strength
from quell.inference.levels import value_range, with_median
from quell.inference.normalise import MEAN_BLOCK
from quell.inference.plausibility import plausibility
from quell.inference.slices import Slices
from quell.inference.streams import cores
from quell.inference.treatment import Buffer, Dose, Treatment
from quell.models.card import ModelCard

LARGEST_WHOLE = 2048
"""Longest side in pixels that is run in one piece; larger images are run in tiles of this side."""

KEPT = 4
"""Compiled networks that are kept for the next series of the same shape."""

BLOCK = 8
"""Side in pixels of the blocks of the noise map."""


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
        self._pools: dict[int, ThreadPoolExecutor] = {}
        self._buffer = Buffer()

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
        noise = self._noise(image, sigma, step)
        estimated = time.perf_counter()
        voxels = self.treat(image, noise, strength, grain, range(image.shape[0]), step)
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
        return self._noise(image, "auto", step)

    def survey(self, image: Image, sigma: Sigma = "auto", step: Step = lambda name, count: None) -> NoiseMap:
        """Estimate the noise of slices that were taken out of a long volume; none of them is passed over.

        Parameters
        ----------
        image : Image
            The slices `quell.inference.estimation.surveyed` of the volume.
        sigma : float or "auto"
        step : Step
            Told of progress.
        """
        return self._noise(image, sigma, step, every=True)

    def treat(
        self,
        image: Image,
        noise: NoiseMap,
        strength: float,
        grain: float,
        wanted: range,
        step: Step = lambda name, count: None,
    ) -> FloatArray:
        """Take known noise out of slices of an image.

        Parameters
        ----------
        image : Image
        noise : NoiseMap
            Of this image.
        strength, grain : float
            As `denoise`.
        wanted : range
            The slices that are wanted; the others are their neighbours only.
        step : Step
            Told of progress.

        Returns
        -------
        ndarray of float32, shape (len(wanted), y, x)
        """
        slices = Slices(image, MEAN_BLOCK)
        streams = min(self._streams, image.shape[0])
        return self._run(slices, noise, Dose(strength, grain), streams, wanted, step)

    def _noise(self, image: Image, sigma: Sigma, step: Step, every: bool = False) -> NoiseMap:
        found = self._estimate(Slices(image, MEAN_BLOCK), min(self._streams, image.shape[0]), step, every)
        if sigma != "auto":
            return with_median(found, image, float(sigma))
        # Less noise, or none, where what was found cannot be noise.
        return found.scaled(plausibility(image, found))

    def _estimate(self, slices: Slices, streams: int, step: Step, every: bool) -> NoiseMap:
        shapes: dict[str, tuple[int, ...]] = {"scaled": (1, 1, *slices.padded_shape)}
        kind = self._kind(slices.image)
        if kind:
            shapes["kind"] = kind[0].shape
        network = self._network("estimator", shapes, streams, exact=True)
        found = estimate_noise(slices, lambda scaled: network(scaled, *kind), BLOCK, streams, step, every)
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

    def _run(
        self, slices: Slices, noise: NoiseMap, dose: Dose, streams: int, wanted: range, step: Step
    ) -> FloatArray:
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
        result = np.empty((len(wanted), *image.shape[1:]), np.float32)
        treatment = Treatment(
            slices,
            noise,
            dose,
            lambda stack: network(stack, told),
            self._card,
            tile,
            value_range(image),
            self._buffer,
        )

        def one(place: int) -> None:
            result[place] = treatment(wanted[place])

        for _ in self._pool(streams).map(one, range(len(wanted))):
            step("network", 1)
        return result

    def _pool(self, streams: int) -> ThreadPoolExecutor:
        """Return threads that stay: each has a request to the network and a buffer of its own.

        They are one more than run at a time, which prepares its slice while the others compute.
        """
        if streams not in self._pools:
            self._pools[streams] = ThreadPoolExecutor(streams + 1)
        return self._pools[streams]
