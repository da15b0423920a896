"""The trained model that `transfer` starts from: the run of another method, or a model that ships."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import yaml
from pydantic import ValidationError
from torch import nn

from quell.errors import InputError, ModelError, QuellError
from quell.inference.kinds import kind_for
from quell.methods.base import BaseMethod
from quell.methods.contracts import Batch, DataFacts, Exported, Need
from quell.methods.registry import find_method
from quell.methods.shared.universal_module import MULTIPLE, UniversalModule, load_universal
from quell.models.scaling import Scaling, ScalingKind

SETTINGS, WEIGHTS = "config.yaml", "best.pt"

UNIVERSAL_HALO = 96


@dataclass(frozen=True)
class Units:
    """From the numbers of the new data to those of the base: value times gain plus offset."""

    gain: float = 1.0
    offset: float = 0.0

    @property
    def same(self) -> bool:
        """Whether there is nothing to do."""
        return self.gain == 1.0 and self.offset == 0.0

    def facts(self, data: DataFacts, scaling: Scaling) -> DataFacts:
        """Return the facts of the data in the numbers of the base."""
        mean, sigma = data.mean * self.gain + self.offset, data.sigma * self.gain
        return replace(data, scaling=scaling, scale=data.scale / self.gain, sigma=sigma, mean=mean)

    def batch(self, batch: Batch) -> Batch:
        """Return a batch in the numbers of the base; the prior stays, it has numbers of its own."""
        if self.same:
            return batch
        held = {name: getattr(batch, name) for name in ("noisy", "clean", "second", "unpaired")}
        images: dict[str, Any] = {
            k: None if v is None else v * self.gain + self.offset for k, v in held.items()
        }
        return replace(batch, **images, scale=batch.scale / self.gain)


@dataclass(frozen=True, eq=False)
class Base:
    """A trained model.

    Attributes
    ----------
    exported : Exported
        What denoises.
    method : BaseMethod or None
        The method that trained it; None for a model that ships.
    networks : dict of str to nn.Module
    units : Units
    own_losses : bool
        Whether the losses of the method can be taken as they are.
    """

    exported: Exported
    method: BaseMethod | None
    networks: dict[str, nn.Module]
    units: Units
    own_losses: bool

    @property
    def need(self) -> Need:
        """The data that the base was trained on."""
        return Need.PAIRED if self.method is None else self.method.facts.need


def load_base(base: str, data: DataFacts) -> Base:
    """Return the model of a run folder, or one that ships.

    Raises
    ------
    QuellError
        If there is none, or it cannot be trained on with such data.
    """
    folder = Path(base).expanduser()
    if folder.exists():
        return _base_of_run(folder, data)
    try:
        module = load_universal(base, kind_for(data.modality, data.shape[0] > 1))
    except ModelError as error:
        raise QuellError(
            f"base {base!r} is no folder of a run and no model to start from: {error}"
        ) from error
    told = Exported(module, module.slices, multiple=MULTIPLE, halo=UNIVERSAL_HALO)
    return Base(told, None, {"denoiser": module}, Units(), own_losses=False)


def is_universal(exported: Exported) -> bool:
    """Whether a model commutes with gain and offset, so that its losses can be in units of the noise."""
    return isinstance(exported.module, UniversalModule)


def read_run(folder: Path) -> tuple[str, dict[str, Any], Mapping[str, Mapping[str, torch.Tensor]]]:
    """Return the name of the method, its settings and its weights by network.

    Raises
    ------
    InputError
        If the folder is no run, or damaged.
    """
    try:
        told = yaml.safe_load((folder / SETTINGS).read_text("utf-8"))
        state = torch.load(folder / WEIGHTS, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(folder, f"is no finished run: {error.filename} is missing") from error
    except (OSError, yaml.YAMLError, RuntimeError, EOFError, pickle.PickleError, zipfile.BadZipFile) as error:
        raise InputError(folder, f"is no run that can be read: {error}") from error
    inner = state.get("method", state) if isinstance(state, Mapping) else {}
    # The running average is what was validated.
    weights = state.get("average") or inner.get("networks") if inner else None
    if not isinstance(told, dict) or "name" not in told or not weights:
        raise InputError(folder, f"{SETTINGS} or {WEIGHTS} does not hold what a run writes")
    return str(told["name"]), dict(told.get("method") or {}), weights


def _base_of_run(folder: Path, data: DataFacts) -> Base:
    name, settings, weights = read_run(folder)
    kind = find_method(name)
    if not issubclass(kind, BaseMethod):
        raise QuellError(f"{folder}: method {name!r} has no trained network that could be tuned")
    units, scaling = _units(kind.scaling(data.modality), data.scaling)
    try:
        method = kind(kind.Config(**settings), units.facts(data, scaling))
        for key, told in weights.items():
            if key in method.networks:
                method.networks[key].load_state_dict(dict(told))
    except (ValidationError, RuntimeError) as error:
        raise InputError(folder, f"its settings or weights do not fit method {name!r}: {error}") from error
    own = type(method).step is BaseMethod.step and type(method).losses is not BaseMethod.losses
    return Base(method.exported(), method, dict(method.networks), units, own)


def _units(base: Scaling, new: Scaling) -> tuple[Units, Scaling]:
    """Return the way from the numbers of the new data to those of the base.

    Raises
    ------
    QuellError
        If it differs from image to image.
    """
    if base == new:
        return Units(), base
    if base.kind is not ScalingKind.FIXED or new.kind is not ScalingKind.FIXED:
        raise QuellError(
            f"the base reads numbers of scale {base.kind.value!r}, this data has {new.kind.value!r}: the way"
            " between them differs from image to image"
        )
    return Units(new.scale / base.scale, (new.offset - base.offset) / base.scale), base
