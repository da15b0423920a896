"""Collect pixels, grow trees for the image, then for its interval: the boosting of the speckle methods.

Some patients are kept back. They say how many trees the image is given, and widen the interval until it
covers what it should (conformalised quantile regression).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from quell.errors import QuellError
from quell.methods.base import middle
from quell.methods.contracts import Batch, DataFacts
from quell.methods.shared.boosting import (
    Booster,
    BoostingConfig,
    Features,
    Values,
    Watch,
    conformal_margin,
    linear_start,
    pack,
    unpack,
)
from quell.networks.boosted_speckle import BoostedSpeckle
from quell.networks.boosted_trees import Tree
from quell.networks.speckle_features import GREYS, Bank

QUANTILES = {"lower": 0.05, "upper": 0.95}

USUAL_SIGMA = 23.7
"""Of fully developed speckle, 5.57 dB, in grey values of a display of 60 dB."""

KEPT_BACK = 4
"""Every fourth patient trains neither network nor trees."""

_USUAL_MEAN = 90.0

_GATHERED, _GROWN = 0.35, 0.75
"""Shares of the time after which collecting, and growing for the image, end where it is short."""

_FEWEST = 4
"""Batches without which there is no growing."""


class PixelBoostingConfig(BaseModel):
    """How pixels are collected and trees grown.

    Attributes
    ----------
    gather
        Steps that collect pixels.
    pixels
        That are kept of each of these.
    interval
        Trees for either end of the interval, after those for the image.
    growth
        How a tree is grown.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    gather: int = Field(default=24, ge=_FEWEST)
    pixels: int = Field(default=8000, ge=16)
    interval: int = Field(default=30, ge=1)
    growth: BoostingConfig = BoostingConfig()


@dataclass(frozen=True, eq=False)
class Pixels:
    """Pixels of one batch.

    Attributes
    ----------
    features : Tensor, shape (n, f)
    target : Tensor, shape (n,)
    kept : Tensor of bool, shape (n,)
        Those of patients that are kept back.
    """

    features: Tensor
    target: Tensor
    kept: Tensor


class PixelBoosting:
    """Boost a `BoostedSpeckle` step by step.

    Trees of the image and trees of the interval are grown on pixels of different batches, so that the
    interval is about what is left over on pixels that the image has not seen. Pixels of patients that are
    kept back (where patients are not known or too few: of every fourth batch) grow no tree: they say how
    many trees of the image are used, none if need be, and by how much the interval is widened.

    Parameters
    ----------
    module : BoostedSpeckle
    config : PixelBoostingConfig
    """

    def __init__(self, module: BoostedSpeckle, config: PixelBoostingConfig) -> None:
        self.module, self.config = module, config
        self.gathered: list[Pixels] = []
        self.boosters: dict[str, Booster] = {}
        self.watch: Watch | None = None
        self._base: dict[str, float] = {}
        self._kept_ends: dict[str, Values] = {}

    @property
    def taken(self) -> int:
        """Steps that did something."""
        return len(self.gathered) + sum(len(self.boosters[n].trees) for n in self.boosters if n != "upper")

    def step(self, batch: Batch, fabric: Fabric, gone: float = 0.0) -> Mapping[str, float]:
        """Collect, or add trees; the loss is the mean squared error in network units.

        Parameters
        ----------
        batch : Batch
        fabric : Fabric
        gone : float
            Share of the time for all of this that is gone, where it may not suffice; else 0.
        """
        if "image" not in self.boosters:
            if len(self.gathered) < (_FEWEST if gone > _GATHERED else self.config.gather):
                return self._gather(batch, fabric)
            self._begin_image([])
        image = self.boosters["image"]
        if "lower" not in self.boosters:
            if len(image.trees) < self.module.trees("image").count and gone <= _GROWN:
                self._grow_image()
                return {"image": image.loss / GREYS**2}
            self._begin_interval({})
        if len(self.boosters["lower"].trees) < self.config.interval:
            self._grow_interval()
        ends = {name: self.boosters[name].loss / GREYS for name in QUANTILES}
        return {"image": image.loss / GREYS**2, **ends}

    def state(self) -> dict[str, Any]:
        """Return pixels, trees, and what they are added to."""
        return {
            "module": self.module.state_dict(),
            "gathered": [{"features": p.features, "target": p.target, "kept": p.kept} for p in self.gathered],
            "trees": {name: pack(booster.trees) for name, booster in self.boosters.items()},
            "base": dict(self._base),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.module.load_state_dict(state["module"])
        self.gathered = [
            Pixels(*(one[name].cpu() for name in ("features", "target", "kept"))) for one in state["gathered"]
        ]
        self.boosters, self._base = {}, {name: float(value) for name, value in state["base"].items()}
        trees = {name: unpack(kept) for name, kept in state["trees"].items()}
        if "image" in trees:
            self._begin_image(trees["image"])
        if "lower" in trees:
            self._begin_interval(trees)

    def _gather(self, batch: Batch, fabric: Fabric) -> Mapping[str, float]:
        if batch.clean is None:
            raise QuellError("boosting needs clean images beside the noisy ones")
        self.module.to(batch.noisy.device).eval()
        with torch.no_grad():
            features = self.module.tell(batch.noisy)
        rows, target = self._rows(features), self._rows(middle(batch.clean) * GREYS)[:, 0]
        kept = kept_back(batch).repeat_interleave(len(rows) // len(batch.noisy))
        chosen = torch.randperm(len(target))[: self.config.pixels].to(target.device)
        rows, target, kept = rows[chosen], target[chosen], kept[chosen]
        if fabric.world_size > 1:
            rows, target, kept = (_from_all(fabric, one) for one in (rows, target, kept))
        self.gathered.append(Pixels(rows.cpu(), target.cpu(), kept.cpu()))
        before = rows[:, 0] if self.module.network is None else rows[:, -2]
        return {"image": float(((before - target) ** 2).mean()) / GREYS**2}

    def _rows(self, values: Tensor) -> Tensor:
        """Return the pixels of crops as rows, without those near a border, whose surroundings are cut off."""
        rows, columns = values.shape[2:]
        border = min(self.module.features.halo, (min(rows, columns) - 1) // 4)
        inner = values[:, :, border : rows - border, border : columns - border]
        return inner.permute(0, 2, 3, 1).reshape(-1, values.shape[1])

    def _part(self, purpose: str) -> tuple[Features, Values]:
        """Return the pixels for the ``image``, for the ``interval``, or those that are ``kept`` back."""
        kept = torch.cat([one.kept for one in self.gathered])
        number = torch.cat([torch.full((len(p.kept),), n) for n, p in enumerate(self.gathered)])
        if not kept.any() or kept.all():
            kept = number % KEPT_BACK == KEPT_BACK - 1
        wanted = {"image": ~kept & (number % 2 == 0), "interval": ~kept & (number % 2 == 1), "kept": kept}
        features = torch.cat([one.features for one in self.gathered])[wanted[purpose]]
        target = torch.cat([one.target for one in self.gathered])[wanted[purpose]]
        return features.numpy(), target.numpy().astype(np.float64)

    def _start(self, features: Features) -> Values:
        if self.module.network is not None:
            return features[:, -2].astype(np.float64)
        weight = self.module.weight.cpu().double().numpy().ravel()
        start: Values = features.astype(np.float64) @ weight + float(self.module.bias[0])
        return start

    def _begin_image(self, trees: Sequence[Tree]) -> None:
        features, target = self._part("image")
        if self.module.network is None and not trees:
            weight, bias = linear_start(features, target)
            self.module.weight[0, :, 0, 0] = torch.from_numpy(weight).float()
            self.module.bias[0] = bias
        self.boosters["image"] = Booster(
            features, target, self._start(features), self.config.growth, trees=list(trees)
        )
        features, target = self._part("kept")
        self.watch = Watch(features, target, self._start(features))
        for tree in trees:
            self.watch.add(tree)

    def _grow_image(self) -> None:
        booster, room = self.boosters["image"], self.module.trees("image")
        tree = booster.grow()
        room.put(len(booster.trees) - 1, tree)
        assert self.watch is not None
        self.watch.add(tree)

    def _begin_interval(self, trees: Mapping[str, list[Tree]]) -> None:
        assert self.watch is not None
        best = self.boosters["image"].trees[: self.watch.best]
        self.module.trees("image").clear(len(best))
        features, target = self._part("interval")
        left = target - self._image(features, best)
        kept_features, kept_target = self._part("kept")
        self._kept_ends["target"] = kept_target - self._image(kept_features, best)
        for name, quantile in QUANTILES.items():
            if name not in trees:
                self._base[name] = float(np.quantile(left, quantile))
            grown = list(trees.get(name, []))
            start = np.full(len(left), self._base[name])
            self.boosters[name] = Booster(features, left, start, self.config.growth, quantile, grown)
            self._kept_ends[name] = np.full(len(kept_target), self._base[name])
            for tree in grown:
                self._kept_ends[name] += tree.predict(kept_features)
        self._widen()

    def _image(self, features: Features, trees: Sequence[Tree]) -> Values:
        image = self._start(features)
        for tree in trees:
            image += tree.predict(features)
        return image

    def _grow_interval(self) -> None:
        assert self.watch is not None
        for name in QUANTILES:
            booster, room = self.boosters[name], self.module.trees(name)
            tree = booster.grow()
            room.put(len(booster.trees) - 1, tree)
            self._kept_ends[name] += tree.predict(self.watch.features)
        self._widen()

    def _widen(self) -> None:
        """Move the ends apart until the interval covers the pixels that are kept back."""
        lower, upper = (self._kept_ends[name] for name in QUANTILES)
        level = QUANTILES["upper"] - QUANTILES["lower"]
        low, high = np.minimum(lower, upper), np.maximum(lower, upper)
        margin = conformal_margin(self._kept_ends["target"], low, high, level)
        self.module.bias[1] = self._base["lower"] - margin
        self.module.bias[2] = self._base["upper"] + margin


def kept_back(batch: Batch) -> Tensor:
    """Return which crops, shape (n,), are of patients that are kept back; none where they are not known."""
    if batch.patient is None:
        return torch.zeros(len(batch.noisy), dtype=torch.bool, device=batch.noisy.device)
    return batch.patient % KEPT_BACK == KEPT_BACK - 1


def behind(progress: float, steps: int, taken: int) -> bool:
    """Whether a clock ends the training before all its steps are taken, as far as can be seen."""
    # A training that counts its steps is never behind, but for rounding.
    return progress * steps > taken + 1 + 0.02 * steps


def bank_for(data: DataFacts) -> Bank:
    """Return the filters of the bank with the noise level of the training data, where it is known."""
    sigma = data.sigma * GREYS or USUAL_SIGMA
    mean = data.mean * GREYS if data.mean > 0 else _USUAL_MEAN
    return Bank(relative=sigma / mean, sigma=sigma)


def _from_all(fabric: Fabric, values: Tensor) -> Tensor:
    """Return the rows of all processes, so that each grows the same trees."""
    gathered = fabric.all_gather(values)
    assert isinstance(gathered, Tensor)
    return gathered.flatten(0, 1)
