"""A network that was trained by one of the methods, as a denoiser: scale, run, scale back."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from quell.errors import InputError, ModelError
from quell.image import FloatArray, Image
from quell.inference.contracts import Denoised, Network, NoiseMap, Runtime, Sigma, Step
from quell.inference.finish import finish
from quell.inference.levels import even_noise
from quell.inference.pieces import Piece, Pieces
from quell.inference.sampling import Outputs, Sampling
from quell.inference.streams import cores
from quell.inference.tiling import boxes, tile_shape
from quell.models.card import ModelCard
from quell.models.scaling import Scaling
from quell.noise.quiet import noise_sigma

MOST = {2: 1024**2, 3: 144**3}
"""Pixels or voxels that are run in one piece, by dimensions; larger images are run in tiles."""

KEPT = 4
"""Compiled networks that are kept for the next series of the same shape."""

OUTPUTS = (("image",), ("image", "spread"), ("image", "lower", "upper"))


class LearnedDenoiser:
    """Apply a network that a method of `quell.methods` has trained to images of any size.

    Its networks were not checked in shorter numbers and run in 32-bit floats.

    Parameters
    ----------
    card : ModelCard
    files : dict of str to Path
        The ONNX file by its role, ``denoiser``: inputs ``noisy``, ``prior`` (where the card names one) and
        ``noise`` (where it draws samples), outputs as the card says.
    runtime : Runtime
    streams : int, optional
        Slices run side by side; by default one for each core that the process may use.
    most : int, optional
        Pixels or voxels run in one piece.
    seed : int
        Of the noise that a generative model is given.

    Raises
    ------
    ModelError
        If the card does not say what is needed to run its network.
    """

    def __init__(
        self,
        card: ModelCard,
        files: dict[str, Path],
        runtime: Runtime,
        streams: int | None = None,
        most: int | None = None,
        seed: int = 0,
    ) -> None:
        self._scaling = _scaling_of(card, files)
        self._card, self._files, self._runtime = card, files, runtime
        self._streams = streams or cores()
        self._most = most or MOST[card.dimensions]
        self._sampling = Sampling(card.outputs, card.samples, seed)
        self._prior: Image | None = None
        self._compiled: dict[object, Network] = {}
        self._compiling = threading.Lock()

    @property
    def card(self) -> ModelCard:
        """What the model is."""
        return self._card

    @property
    def engine(self) -> str:
        """Engine, device and precision."""
        return f"{self._runtime.description.rpartition(' ')[0]} f32"

    @property
    def tells_spread(self) -> bool:
        """Whether it says how sure it is of each voxel."""
        return tells_spread(self._card)

    def with_prior(self, prior: Image | None) -> LearnedDenoiser:
        """Return the same denoiser with another image of the patient, on the grid of what it will denoise."""
        other = copy.copy(self)
        other._prior = prior
        return other

    def check(self, image: Image) -> None:
        """Raise InputError for an image that the model cannot denoise."""
        modalities = self._card.modalities
        if modalities and image.modality.value not in modalities:
            raise InputError(image.name, not_for(self._card, image.modality.value))
        if not np.isfinite(image.voxels).all():
            raise InputError(image.name, "has values that are not finite (NaN or infinity)")
        if self._card.dimensions == 3 and not image.volume:
            raise InputError(
                image.name, f"{self._card.identifier} needs a volume, not single slices or frames"
            )
        self._check_prior(image)

    def _check_prior(self, image: Image) -> None:
        wanted, prior = self._card.prior, self._prior
        if not wanted:
            return
        if prior is None:
            kinds = " or ".join(wanted)
            raise InputError(
                image.name, f"{self._card.identifier} needs a {kinds} of the patient: --prior PATH"
            )
        if prior.modality.value not in wanted:
            raise InputError(
                prior.name, f"the prior must be {' or '.join(wanted)}, not {prior.modality.value}"
            )
        if prior.shape != image.shape:
            raise InputError(prior.name, f"the prior has shape {prior.shape}, the image {image.shape}")

    def denoise(
        self,
        image: Image,
        strength: float = 1.0,
        sigma: Sigma = "auto",
        step: Step = lambda name, count: None,
    ) -> Denoised:
        """Denoise an image; see `quell.inference.contracts.Denoiser.denoise`.

        Padding stays as it is, the result stays within the range of the input, and a strength below 1
        blends the result with the input.

        Parameters
        ----------
        image : Image
        strength : float
        sigma : float or "auto"
            Only the noise map depends on it: the network was trained on images as they are.
        step : Step
            Told of progress.

        Raises
        ------
        InputError
            If the image, or the prior, is none that the model can use.
        ModelError
            If the network gives values that are not finite.
        """
        if not 0 <= strength <= 1:
            raise ValueError(f"strength must lie between 0 and 1, got {strength}")
        self.check(image)
        started = time.perf_counter()
        noise = self.estimate(image, step) if sigma == "auto" else even_noise(image, float(sigma))
        estimated = time.perf_counter()
        found = self._run(image, step)
        seconds = {"estimate": estimated - started, "network": time.perf_counter() - estimated}
        return finish(image, found, strength, noise, seconds)

    def estimate(self, image: Image, step: Step = lambda name, count: None) -> NoiseMap:
        """Return the noise level of the quiet parts of an image; the network has no need of it.

        Parameters
        ----------
        image : Image
        step : Step
            Told of progress.
        """
        noise = even_noise(image, noise_sigma(image))
        step("estimate", image.shape[0])
        return noise

    def _run(self, image: Image, step: Step) -> Outputs:
        """Return what the network says of an image, in its units."""
        card = self._card
        pieces = Pieces(image, self._prior if card.prior else None, card, self._scaling)
        result = {name: np.empty_like(image.voxels) for name in self._sampling.names}
        streams = min(self._streams, image.shape[0]) if card.dimensions == 2 else 1

        def one(piece: Piece) -> int:
            told = pieces.in_units(piece, self._one(pieces.inputs(piece), streams, piece.start))
            for name, values in told.items():
                result[name][piece.start : piece.stop] = values
            return piece.stop - piece.start

        # One more than run at a time: it prepares its slice while the others compute.
        with ThreadPoolExecutor(streams + 1) as pool:
            for count in pool.map(one, pieces.all()):
                step("network", count)
        return result

    def _one(self, inputs: list[FloatArray], streams: int, stream: int) -> Outputs:
        """Return what the network says of one piece, in its own numbers."""
        shape = inputs[0].shape[2:]
        card = self._card
        tile = tile_shape(shape, self._most, card.halo, card.multiple)
        shapes = {
            name: (1, array.shape[1], *tile) for name, array in zip(self._input_names(), inputs, strict=True)
        }
        if card.samples:
            shapes["noise"] = (1, 1, *tile)
        network = self._network(shapes, streams)

        def run(*arrays: FloatArray) -> tuple[FloatArray, ...]:
            return self._tiled(network, arrays, tile)

        found = self._sampling.run(run, inputs, stream)
        if not np.isfinite(found["image"]).all():
            raise ModelError(f"{card.identifier}: its network gave values that are not finite")
        return found

    def _input_names(self) -> Iterator[str]:
        yield "noisy"
        if self._card.prior:
            yield "prior"

    def _tiled(
        self, network: Network, arrays: tuple[FloatArray, ...], tile: tuple[int, ...]
    ) -> tuple[FloatArray, ...]:
        shape = arrays[0].shape[2:]
        if tile == shape:
            return tuple(output[0, 0] for output in network(*arrays))
        results = tuple(np.empty(shape, np.float32) for _ in self._card.outputs)
        for box in boxes(shape, tile, self._card.halo, self._card.multiple):
            seen = (slice(None), slice(None), *(slice(span.start, span.stop) for span in box))
            kept = tuple(slice(span.keep_start, span.keep_stop) for span in box)
            inner = tuple(slice(span.keep_start - span.start, span.keep_stop - span.start) for span in box)
            outputs = network(*(np.ascontiguousarray(array[seen]) for array in arrays))
            for result, output in zip(results, outputs, strict=True):
                result[kept] = output[0, 0][inner]
        return results

    def _network(self, shapes: dict[str, tuple[int, ...]], streams: int) -> Network:
        """Return the compiled network; the last few are kept, since many series have one shape."""
        key = (tuple(shapes.items()), streams)
        with self._compiling:
            if key not in self._compiled:
                while len(self._compiled) >= KEPT:
                    self._compiled.pop(next(iter(self._compiled)))
                self._compiled[key] = self._runtime.load(self._files["denoiser"], shapes, streams, exact=True)
            return self._compiled[key]


def tells_spread(card: ModelCard) -> bool:
    """Whether a model says how sure it is of each voxel."""
    return len(card.outputs) > 1 or card.samples > 1


def not_for(card: ModelCard, modality: str) -> str:
    """Return why a model is not for images of a modality."""
    made = f"{card.identifier} was trained for {', '.join(card.modalities)}"
    if modality == "OT":
        return f"{made}; the file does not say its modality: name it with --modality"
    return f"{made}, not for {modality}"


def _scaling_of(card: ModelCard, files: dict[str, Path]) -> Scaling:
    if card.scaling is None:
        raise ModelError(f"{card.identifier}: its card says no scaling")
    if card.outputs not in OUTPUTS:
        raise ModelError(f"{card.identifier}: unknown outputs: {', '.join(card.outputs)}")
    if "denoiser" not in files:
        raise ModelError(f"{card.identifier}: its card names no file of the role 'denoiser'")
    return card.scaling
