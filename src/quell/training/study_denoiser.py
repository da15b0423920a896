"""A method that learns from the one study that it denoises, as a denoiser."""

from __future__ import annotations

import copy
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from quell import __version__
from quell.errors import InputError, QuellError
from quell.image import FloatArray, Image
from quell.inference.contracts import Denoised, Network, NoiseMap, Sigma, Step
from quell.inference.finish import finish
from quell.inference.learned_denoiser import LearnedDenoiser
from quell.inference.levels import even_noise
from quell.methods.contracts import Exported, MethodFacts, Need
from quell.methods.registry import find_method, learns_from_one
from quell.models.card import ModelCard
from quell.noise.quiet import noise_sigma
from quell.training.loop import Fitted, fit, make_method
from quell.training.settings import check
from quell.training.study_pool import study_pool

STEPS = 400
"""Of the training on one study, where the settings say no others."""

AVERAGE = 0.98
"""Share of the old in the running average of the weights: a short training forgets soon."""

TAG = "study"


class StudyDenoiser:
    """Let a method learn from each image that it is given, and denoise that image.

    Parameters
    ----------
    name : str
        Of a method that needs no more than the one study.
    settings : mapping
        Of the method, by name.
    device : str
        ``"auto"`` (a GPU where there is one), ``"cpu"`` or ``"gpu"``.
    threads : int, optional
        Processor threads.
    seed : int
        The same seed gives the same result on one processor.

    Raises
    ------
    QuellError
        If there is no such method, it needs other data, or its settings are wrong.
    """

    def __init__(
        self,
        name: str,
        settings: Mapping[str, Any] | None = None,
        device: str = "auto",
        threads: int | None = None,
        seed: int = 0,
    ) -> None:
        kind = find_method(name)
        self._facts: MethodFacts = kind.facts
        if not learns_from_one(self._facts):
            raise QuellError(
                f"{name} learns from {self._facts.need.value}: train it first (quell train {name}), "
                "then denoise with --model RUN"
            )
        given = dict(settings or {})
        if not self._at_once:
            given = {"steps": STEPS, **given}
        self._kind, self._config = kind, check("method", kind.Config, given)
        self._device, self._threads, self._seed = _device(device), threads, seed
        self._prior: Image | None = None

    @property
    def card(self) -> ModelCard:
        """What the method is; its hash is that of the name and the settings, for there are no weights yet."""
        facts, config = self._facts, self._config
        told = json.dumps([facts.name, config.model_dump(mode="json"), self._seed], sort_keys=True)
        return ModelCard(
            name=facts.name,
            tag=TAG,
            version=__version__,
            description=facts.title,
            modalities=tuple(modality.value for modality in facts.modalities),
            kmac_per_pixel=0,
            parameters=0,
            slices=config.slices if facts.dimensions == 2 else 1,
            multiple=1,
            halo=0,
            files={},
            sha256=hashlib.sha256(told.encode()).hexdigest(),
            training={"source": facts.source},
            method=facts.name,
            dimensions=facts.dimensions,
            prior=tuple(modality.value for modality in facts.prior),
        )

    @property
    def engine(self) -> str:
        """What computes, where, and in what precision."""
        return _Torch(None, self._device).description

    @property
    def tells_spread(self) -> bool:
        """Whether it may say how sure it is of each voxel; only the result tells."""
        return True

    @property
    def needs_prior(self) -> bool:
        """Whether it is of no use without another image; methods with settings of that say it themselves."""
        return self._facts.needs_prior and not self._at_once

    @property
    def _at_once(self) -> bool:
        return self._facts.need is Need.ONE_IMAGE

    def with_prior(self, prior: Image | None) -> StudyDenoiser:
        """Return the same denoiser with another image of the patient, on the grid of what it will denoise."""
        other = copy.copy(self)
        other._prior = prior
        return other

    def estimate(self, image: Image, step: Step = lambda name, count: None) -> NoiseMap:
        """Return the noise level of the quiet parts of an image.

        Parameters
        ----------
        image : Image
        step : Step
            Told of progress.
        """
        noise = even_noise(image, noise_sigma(image))
        step("estimate", image.shape[0])
        return noise

    def denoise(
        self,
        image: Image,
        strength: float = 1.0,
        sigma: Sigma = "auto",
        step: Step = lambda name, count: None,
    ) -> Denoised:
        """Learn from an image and denoise it; see `quell.inference.contracts.Denoiser.denoise`.

        Parameters
        ----------
        image : Image
        strength : float
        sigma : float or "auto"
            Only the noise map depends on it.
        step : Step
            Told of progress.

        Raises
        ------
        QuellError
            If the method cannot work with the image or the prior.
        """
        if not 0 <= strength <= 1:
            raise ValueError(f"strength must lie between 0 and 1, got {strength}")
        if not np.isfinite(image.voxels).all():
            raise InputError(image.name, "has values that are not finite (NaN or infinity)")
        if self._threads:
            torch.set_num_threads(self._threads)
        if self._at_once:
            return self._fitted(image, strength, sigma, step)
        return self._trained(image, strength, sigma, step)

    def _fitted(self, image: Image, strength: float, sigma: Sigma, step: Step) -> Denoised:
        """Apply a method that has no other data than the image."""
        started = time.perf_counter()
        noise = self.estimate(image, step) if sigma == "auto" else even_noise(image, float(sigma))
        estimated = time.perf_counter()
        result = self._kind(self._config).denoise(image, self._prior, self._seed)
        found = {"image": np.array(result.voxels, np.float32)}
        if result.spread is not None:
            found["spread"] = np.array(result.spread, np.float32)
        if not all(np.isfinite(values).all() for values in found.values()):
            raise InputError(image.name, f"{self._facts.name} gave values that are not finite")
        step("network", image.shape[0])
        seconds = {"estimate": estimated - started, "network": time.perf_counter() - estimated}
        return finish(image, found, strength, noise, seconds, result.facts)

    def _trained(self, image: Image, strength: float, sigma: Sigma, step: Step) -> Denoised:
        """Train a method on the slices of the image alone and run what it learned on them."""
        started = time.perf_counter()
        pool, data = study_pool(image, self._prior, self._kind)
        method = make_method(self._kind, self._config, data, self._seed)
        fabric = Fabric(accelerator=self._device, devices=1)
        told = fit(method, pool, seed=self._seed, fabric=fabric, average=AVERAGE)
        exported: Exported = method.exported()
        network = _Torch(exported.module, self._device)
        learned = LearnedDenoiser(self._run_card(exported, image), {"denoiser": Path()}, network, streams=1)
        if exported.prior:
            learned = learned.with_prior(self._prior)
        trained = time.perf_counter() - started
        result = learned.denoise(image, strength, sigma, step)
        seconds = {**result.seconds, "network": result.seconds["network"] + trained}
        return replace(result, seconds=seconds, facts=_told(told))

    def _run_card(self, exported: Exported, image: Image) -> ModelCard:
        changes = {
            "modalities": (image.modality.value,),
            "slices": exported.slices,
            "multiple": exported.multiple,
            "halo": exported.halo,
            "dimensions": exported.dimensions,
            "scaling": self._kind.scaling(image.modality),
            "outputs": exported.outputs,
            "prior": (self._prior.modality.value,) if exported.prior and self._prior else (),
            "samples": exported.samples,
        }
        return self.card.model_copy(update=changes)


class _Torch:
    """A runtime of one network, the one that has just been trained.

    Parameters
    ----------
    module : nn.Module or None
    device : str
        ``"cpu"`` or ``"cuda"``.
    """

    def __init__(self, module: nn.Module | None, device: str) -> None:
        self._device = torch.device(device)
        self._module = None if module is None else module.to(self._device).float().eval()

    @property
    def description(self) -> str:
        """Engine, device and precision."""
        return f"PyTorch {'GPU' if self._device.type == 'cuda' else 'CPU'} f32"

    def load(self, file: Path, shapes: Mapping[str, tuple[int, ...]], streams: int, exact: bool) -> Network:
        """Return the network; see `quell.inference.contracts.Runtime.load`."""
        module = self._module
        assert module is not None

        def run(*inputs: FloatArray) -> tuple[FloatArray, ...]:
            with torch.no_grad():
                found = module(*(torch.from_numpy(array).to(self._device) for array in inputs))
            listed = found if isinstance(found, (tuple, list)) else (found,)
            return tuple(output.cpu().numpy() for output in listed)

        return run


def _device(name: str) -> str:
    if name == "gpu" and not torch.cuda.is_available():
        raise QuellError("PyTorch finds no GPU here; use --device cpu")
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"


def _told(fitted: Fitted) -> dict[str, float | int | str]:
    losses = {f"loss_{name}": float(value) for name, value in fitted.losses.items()}
    return {"steps": fitted.steps, **losses}
