"""A classical method behind the contract of every denoiser."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

import numpy as np

from quell.errors import InputError
from quell.filters.contracts import Filter, Setting
from quell.filters.level import NoiseLevel, level_of
from quell.image import FloatArray, Image
from quell.inference.contracts import Denoised, NoiseMap, Sigma
from quell.inference.levels import even_noise
from quell.models.card import ModelCard
from quell.noise.contracts import NoiseEstimate
from quell.noise.spectrum import describe

TAG = "classical"


class ClassicalDenoiser:
    """Apply a classical method to an image.

    Parameters
    ----------
    method : Filter
    estimate : callable, optional
        From an image to its noise, where the level is not given; by default the level of the quiet parts
        (`quell.filters.level.noise_sigma`). It also gives the spectrum to the methods that use one.
    streams : int
        Slices filtered side by side.
    """

    def __init__(
        self, method: Filter, estimate: Callable[[Image], NoiseEstimate] | None = None, streams: int = 1
    ) -> None:
        self._method, self._estimate, self._streams = method, estimate, streams

    @property
    def method(self) -> Filter:
        """The method and its settings."""
        return self._method

    @property
    def settings(self) -> dict[str, Setting]:
        """The settings by name."""
        return settings_of(self._method)

    @property
    def card(self) -> ModelCard:
        """What the method is."""
        facts = self._method.facts
        return ModelCard(
            name=facts.name,
            tag=TAG,
            version="1",
            description=facts.description,
            modalities=tuple(modality.value for modality in facts.modalities),
            kmac_per_pixel=0,
            parameters=0,
            slices=1,
            multiple=1,
            halo=0,
            files={},
            sha256="",
            training={"source": facts.source, **self.settings},
            limits=facts.limits,
        )

    def denoise(self, image: Image, strength: float = 1.0, sigma: Sigma = "auto") -> Denoised:
        """Denoise an image; see `quell.inference.contracts.Denoiser.denoise`.

        As with the networks, padding stays as it is, the result stays within the range of the input, and
        a strength below 1 blends the result with the input.

        Raises
        ------
        InputError
            If the image holds values that are not finite, or that the method cannot take.
        QuellError
            If a package that the method needs is not installed.
        """
        if not 0 <= strength <= 1:
            raise ValueError(f"strength must lie between 0 and 1, got {strength}")
        started = time.perf_counter()
        known = None if sigma == "auto" else float(sigma)
        # A known level makes the estimate needless only for methods that have no use for a spectrum.
        found = self._estimate(image) if self._estimate is not None else None
        noise = level_of(image, found, known)
        estimated = time.perf_counter()
        voxels = image.voxels
        if strength > 0 and noise.sigma > 0:
            voxels = self._run(image, noise, strength)
        seconds = {"estimate": estimated - started, "network": time.perf_counter() - estimated}
        return Denoised(image.with_voxels(voxels), _noise_map(image, noise), seconds)

    def _run(self, image: Image, noise: NoiseLevel, strength: float) -> FloatArray:
        result = np.empty_like(image.voxels)
        real = image.voxels if image.padding is None else image.voxels[~image.padding]
        if real.size == 0:
            return image.voxels
        low, high = float(real.min()), float(real.max())

        def one(z: slice | int) -> None:
            pixels = image.voxels[z].astype(np.float64)
            if image.padding is not None:
                # For the method only: what lies outside the field of view looks like its surroundings.
                pixels = np.where(image.padding[z], low, pixels)
            filtered = np.clip(self._method.apply(pixels, noise), low, high)
            result[z] = pixels + strength * (filtered - pixels)

        pieces: list[slice | int] = [*range(image.shape[0])]
        if self._method.facts.dimensions == 3:
            if not image.volume or image.gaps:
                raise InputError(image.name, f"{self._method.facts.name} needs a volume without gaps")
            pieces = [slice(0, image.shape[0])]
        with ThreadPoolExecutor(self._streams) as pool:
            list(pool.map(one, pieces))
        if image.padding is not None:
            result[image.padding] = image.voxels[image.padding]
        return result


def settings_of(method: Filter) -> dict[str, Setting]:
    """Return the settings of a method by name, those of a method inside it among them."""
    inner = getattr(method, "inner", None)
    own = asdict(method) if inner is None else settings_of(inner)  # type: ignore[call-overload]
    return dict(own)


def _noise_map(image: Image, noise: NoiseLevel) -> NoiseMap:
    """Return one level for all blocks, which is all that a classical method is told."""
    if noise.spectrum is None:
        return even_noise(image, noise.sigma)
    power = np.fft.ifftshift(noise.spectrum.power).astype(np.float32)
    return even_noise(image, noise.sigma, describe(power))
