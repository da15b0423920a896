"""Tune a trained model to a new scanner, dose or modality."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar

import torch
from lightning_fabric import Fabric
from pydantic import Field, field_validator
from torch import Tensor, nn

from quell.errors import QuellError
from quell.image import Modality
from quell.methods.base import BaseMethod, middle, plain
from quell.methods.contracts import (
    Batch,
    DataFacts,
    Exported,
    Fidelity,
    MethodConfig,
    MethodFacts,
    Need,
    Stage,
)
from quell.methods.noise2noise import swapped
from quell.methods.shared.noise_correlation import reach
from quell.methods.shared.pixel_pairs import neighbour_loss
from quell.methods.shared.transfer_base import is_universal, load_base
from quell.methods.shared.transfer_parts import InOtherUnits, Mode, open_for_tuning, tuned_optimiser
from quell.methods.unsure import Unsure, UnsureConfig

FULL_SHARE = 0.1
"""Share of the rate at which all weights are tuned."""


class NoisyLoss(str, Enum):
    """How to learn where there are only noisy images."""

    AUTO = "auto"
    """Neighbours where the noise is white, Stein's estimate where it is correlated."""
    NEIGHBOURS = "neighbor2neighbor"
    UNSURE = "unsure"


class TransferConfig(MethodConfig):
    """Settings; slices are those of the base.

    Attributes
    ----------
    base
        Folder of a run, or the name of a model that ships.
    mode
        See `quell.methods.shared.transfer_parts.Mode`.
    layers
        Last layers that are tuned in mode ``frozen``.
    rank
        Rank of the adapters.
    noisy_loss
        See `NoisyLoss`; used where there is neither a clean nor a second image.
    gamma
        Weight of the second term of the loss of neighbours at the end of the training.
    """

    steps: int = Field(2_000, ge=1)
    rate: float = Field(1e-3, gt=0)
    base: str = "universal.fast"
    mode: Mode = Mode.ADAPTER
    layers: int = Field(1, ge=1)
    rank: int = Field(4, ge=1)
    noisy_loss: NoisyLoss = NoisyLoss.AUTO
    gamma: float = Field(2.0, ge=0)

    @field_validator("base")
    @classmethod
    def from_anywhere(cls, base: str) -> str:
        """Keep the whole path of a folder, so that a resumed training finds it from elsewhere."""
        folder = Path(base).expanduser()
        return str(folder.resolve()) if folder.is_dir() else base


class Transfer(BaseMethod):
    """Go on from the weights of a model with the images of another place.

    Three modes: the last layers alone; low-rank adapters (Hu et al., "LoRA", ICLR 2022) on every layer, which
    change nothing at first and are merged into plain weights in the exported model; everything, at a tenth
    of the rate. The loss goes by what the data has:

    - clean images: the base method's own loss (that of the end of its training), or the squared error where
      the base had no clean images or trains in a way of its own;
    - second noisy images: Noise2Noise;
    - noisy images alone: the base's own loss if it learned so, else Neighbor2Neighbor, or UNSURE where the
      noise is correlated.

    From ``universal.fast`` the estimator, the normalisation and the denoiser become one network. The
    estimator stays as it is, and errors count in units of the level of the noise, as in its training.
    All of this but the adapters and the losses is ours.
    """

    facts: ClassVar[MethodFacts] = MethodFacts(
        name="transfer",
        title="tunes a trained model to a new scanner, dose or modality",
        source="no paper; adapters after Hu et al., LoRA, ICLR 2022",
        fidelity=Fidelity.OURS,
        ours="the choice of the loss by the data, the modes, the network in units of the noise",
        need=Need.NOISY_ONLY,
        modalities=(Modality.CT, Modality.PT, Modality.NM, Modality.US, Modality.MR, Modality.XR),
    )
    Config = TransferConfig
    config: TransferConfig

    def __init__(self, config: TransferConfig, data: DataFacts) -> None:
        super().__init__(config, data)
        self.base = load_base(config.base, data)
        told = self.base.exported
        self._noise_units = is_universal(told)
        self._step = 2 * told.multiple
        if config.size % told.multiple:
            raise QuellError(f"size must be a multiple of {told.multiple} for this base, not {config.size}")
        open_for_tuning(told, config.mode, config.layers, config.rank)
        self.networks = dict(self.base.networks)
        self.name = self._name_of(told.module)
        self.optimisers, self.main = self._optimisers()
        self._stein = self._make_stein()

    @classmethod
    def tiny(cls) -> dict[str, Any]:
        """Return settings for a test of seconds."""
        return {"batch": 2, "size": 64, "steps": 30, "rate": 2e-3, "noisy_loss": "unsure"}

    def setup(self, fabric: Fabric) -> None:
        """Put networks and optimisers on the devices, those of the base with them."""
        super().setup(fabric)
        method = self.base.method
        if method is not None:
            method.networks = {name: self.networks[name] for name in method.networks}
            method.optimisers = self.optimisers
        if self._stein is not None:
            self._stein.networks = {"multiplier": self.networks["multiplier"]}

    def stage(self, progress: float) -> Stage:
        """Return the one stage: as many slices as the base reads."""
        method, told = self.base.method, self.base.exported
        slices = told.slices if method is None else method.stage(1.0).patch[0]
        return Stage("train", self.config.batch, (slices, self.config.size, self.config.size))

    def losses(self, batch: Batch, progress: float) -> Iterator[tuple[str, Tensor]]:
        """Yield the losses that the data allows."""
        batch = self._in_units(self.base.units.batch(batch))
        need, method = self.base.need, self.base.method
        own = batch.second is None and need is Need.NOISY_ONLY
        if batch.clean is not None:
            own = need in (Need.PAIRED, Need.UNPAIRED)
        if own and self.base.own_losses and method is not None:
            held = method.losses(batch, 1.0)
            yield from ((name, loss) for name, loss in held if name in self.optimisers)
        elif batch.clean is not None:
            yield self.main, self._supervised(batch.noisy, batch.clean, batch)
        elif batch.second is not None:
            yield self.main, self._supervised(*swapped(batch), batch)
        else:
            yield from self._from_noise_alone(batch, progress)

    def exported(self) -> Exported:
        """Return the tuned model; adapters fold into its weights when it is written as ONNX."""
        told, units = self.base.exported, self.base.units
        return told if units.same else replace(told, module=InOtherUnits(told.module, units, told.outputs))

    def _name_of(self, module: nn.Module) -> str:
        """Return the name under which the model that denoises is among the networks; added if need be."""
        for name, network in self.networks.items():
            if network is module:
                return name
        self.networks["exported"] = module
        return "exported"

    def _optimisers(self) -> tuple[dict[str, Any], str]:
        """Return optimisers of what is tuned, and the name of that of the model that denoises."""
        tuned = [p for p in self.base.exported.module.parameters() if p.requires_grad]
        inside = {id(p) for p in self.base.exported.module.parameters()}
        rate = self.config.rate * (FULL_SHARE if self.config.mode is Mode.FULL else 1.0)
        method = self.base.method
        before = {} if method is None else method.optimisers
        main, made = "", {}
        for name, optimiser in before.items():
            held = [p for group in optimiser.param_groups for p in group["params"]]
            others = [p for p in held if id(p) not in inside and p.requires_grad]
            if not main and len(others) < len(held):
                main = name
                made[name] = tuned_optimiser(optimiser, tuned, rate)
            elif others:
                made[name] = tuned_optimiser(optimiser, others, optimiser.defaults["lr"])
        if not main:
            main = "denoiser"
            made[main] = tuned_optimiser(None, tuned, rate)
        return made, main

    def _make_stein(self) -> Unsure | None:
        """Return what estimates the risk of noisy images by divergences, where it is wanted."""
        wanted = self.config.noisy_loss
        if wanted is NoisyLoss.AUTO and reach(self.data.correlation) > 1:
            wanted = NoisyLoss.UNSURE
        told = self.base.exported
        if wanted is not NoisyLoss.UNSURE or "multiplier" in self.optimisers or told.dimensions == 3:
            return None
        data = replace(self.data, sigma=1.0 if self._noise_units else self.data.sigma * self.base.units.gain)
        try:
            stein = Unsure(UnsureConfig.model_validate({"width": 1, "unit_noise": False}), data)
        except QuellError:
            # Found out only when noisy images alone come: clean or second ones need no estimate.
            return None
        self.networks["multiplier"] = stein.networks["multiplier"]
        self.optimisers["multiplier"] = stein.optimisers["multiplier"]
        return stein

    def _from_noise_alone(self, batch: Batch, progress: float) -> Iterator[tuple[str, Tensor]]:
        told = self.base.exported
        if told.dimensions == 3 or told.samples:
            raise QuellError(
                "a base in three dimensions or with drawn noise needs clean or second images to tune"
            )
        if self._stein is not None:
            stein = self._stein.losses_of(lambda stack: self._denoised(stack, batch), batch)
            yield from ((self.main if name == "denoiser" else name, loss) for name, loss in stein)
            return
        if reach(self.data.correlation) > 1:
            raise QuellError(
                f"the noise is correlated over {reach(self.data.correlation) - 1} pixels: to tune from noisy"
                " images alone is then not possible; clean or second images are needed"
            )
        if told.prior or self.config.size % self._step:
            raise QuellError(
                f"learning from neighbours needs no prior and a size that is a multiple of {self._step}"
            )
        network = self.networks[self.name]
        yield (
            self.main,
            neighbour_loss(lambda s: first(network(s)), batch.noisy, self.config.gamma * progress),
        )

    def _supervised(self, noisy: Tensor, target: Tensor, batch: Batch) -> Tensor:
        """Return the squared error; in units of the noise linear from half of its level on."""
        wanted = target[:, None] if self.base.exported.dimensions == 3 else middle(target)
        error = (self._denoised(noisy, batch) - wanted).square()
        # A noisy target asks for the mean, which only the squared error gives.
        robust = self._noise_units and batch.clean is not None
        return (error + 0.25).sqrt().mean() - 0.5 if robust else error.mean()

    def _denoised(self, noisy: Tensor, batch: Batch) -> Tensor:
        """Return the image that the model gives, with the prior and the noise that it may want."""
        told = self.base.exported
        stack = noisy[:, None] if told.dimensions == 3 else noisy
        given = [stack]
        if told.prior:
            if batch.prior is None:
                raise QuellError("the base wants a prior image of each patient")
            prior = batch.prior[:, None] if told.dimensions == 3 else batch.prior
            # The same prior for every copy of the batch.
            given.append(prior.repeat(stack.shape[0] // prior.shape[0], *[1] * (prior.dim() - 1)))
        if told.samples:
            given.append(torch.randn_like(stack[:, :1]))
        return first(self.networks[self.name](*given))

    def _in_units(self, batch: Batch) -> Batch:
        """Return a batch in units of the noise of each crop, for a base that commutes with a gain."""
        if not self._noise_units:
            return batch
        module: Any = plain(self.networks[self.name])
        level = module.level(batch.noisy)
        held = {name: getattr(batch, name) for name in ("noisy", "clean", "second")}
        images: dict[str, Any] = {k: None if v is None else v / level for k, v in held.items()}
        return replace(batch, **images, scale=batch.scale * level.flatten())


def first(given: Any) -> Tensor:
    """Return the image of what a model gives."""
    image: Tensor = given[0] if isinstance(given, tuple) else given
    return image


METHOD = Transfer
