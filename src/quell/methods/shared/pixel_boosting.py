"""Collect pixels, grow trees for the image, then for its interval: the boosting of the speckle methods."""

from __future__ import annotations

from collections.abc import Mapping
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
    linear_start,
    pack,
    unpack,
)
from quell.networks.boosted_speckle import BoostedSpeckle
from quell.networks.speckle_features import GREYS, Bank

QUANTILES = {"lower": 0.05, "upper": 0.95}

USUAL_SIGMA = 23.7
"""Of fully developed speckle, 5.57 dB, in grey values of a display of 60 dB."""

_USUAL_MEAN = 90.0


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

    gather: int = Field(default=24, ge=2)
    pixels: int = Field(default=8000, ge=16)
    interval: int = Field(default=30, ge=1)
    growth: BoostingConfig = BoostingConfig()


class PixelBoosting:
    """Boost a `BoostedSpeckle` step by step.

    Every second batch of pixels is kept from the trees of the image, so that the interval is about what
    they leave over on pixels that they have not seen.

    Parameters
    ----------
    module : BoostedSpeckle
    config : PixelBoostingConfig
    """

    def __init__(self, module: BoostedSpeckle, config: PixelBoostingConfig) -> None:
        self.module, self.config = module, config
        self.gathered: list[tuple[Tensor, Tensor]] = []
        self.boosters: dict[str, Booster] = {}

    def step(self, batch: Batch, fabric: Fabric) -> Mapping[str, float]:
        """Collect, or add trees; the loss is the mean squared error in network units."""
        if len(self.gathered) < self.config.gather:
            return self._gather(batch, fabric)
        if "image" not in self.boosters:
            self._begin_image([])
        image = self.boosters["image"]
        if len(image.trees) < self.module.trees("image").count:
            self._grow("image")
            return {"image": image.loss / GREYS**2}
        if "lower" not in self.boosters:
            self._begin_interval({})
        for name in QUANTILES:
            if len(self.boosters[name].trees) < self.config.interval:
                self._grow(name)
        ends = {name: self.boosters[name].loss / GREYS for name in QUANTILES}
        return {"image": image.loss / GREYS**2, **ends}

    def state(self) -> dict[str, Any]:
        """Return pixels, trees, and what they are added to."""
        return {
            "module": self.module.state_dict(),
            "gathered": [{"features": f, "target": t} for f, t in self.gathered],
            "trees": {name: pack(booster.trees) for name, booster in self.boosters.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.module.load_state_dict(state["module"])
        self.gathered = [(one["features"].cpu(), one["target"].cpu()) for one in state["gathered"]]
        self.boosters = {}
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
        chosen = torch.randperm(len(target))[: self.config.pixels].to(target.device)
        rows, target = rows[chosen], target[chosen]
        if fabric.world_size > 1:
            rows, target = (_from_all(fabric, one) for one in (rows, target))
        self.gathered.append((rows.cpu(), target.cpu()))
        before = rows[:, 0] if self.module.network is None else rows[:, -2]
        return {"image": float(((before - target) ** 2).mean()) / GREYS**2}

    def _rows(self, values: Tensor) -> Tensor:
        """Return the pixels of crops as rows, without those near a border, whose surroundings are cut off."""
        rows, columns = values.shape[2:]
        border = min(self.module.features.halo, (min(rows, columns) - 1) // 4)
        inner = values[:, :, border : rows - border, border : columns - border]
        return inner.permute(0, 2, 3, 1).reshape(-1, values.shape[1])

    def _half(self, first: int) -> tuple[Features, Values]:
        parts = self.gathered[first::2]
        features = torch.cat([one for one, _ in parts]).numpy()
        return features, torch.cat([one for _, one in parts]).numpy().astype(np.float64)

    def _start(self, features: Features) -> Values:
        if self.module.network is not None:
            return features[:, -2].astype(np.float64)
        weight = self.module.weight.cpu().double().numpy().ravel()
        start: Values = features.astype(np.float64) @ weight + float(self.module.bias[0])
        return start

    def _begin_image(self, trees: list[Any]) -> None:
        features, target = self._half(0)
        if self.module.network is None and not trees:
            weight, bias = linear_start(features, target)
            self.module.weight[0, :, 0, 0] = torch.from_numpy(weight).float()
            self.module.bias[0] = bias
        self.boosters["image"] = Booster(
            features, target, self._start(features), self.config.growth, trees=list(trees)
        )

    def _begin_interval(self, trees: Mapping[str, list[Any]]) -> None:
        features, target = self._half(1)
        seen = self._start(features)
        for tree in self.boosters["image"].trees:
            seen += tree.predict(features)
        for number, (name, quantile) in enumerate(QUANTILES.items(), start=1):
            if name not in trees:
                self.module.bias[number] = float(np.quantile(target - seen, quantile))
            start = np.full(len(target), float(self.module.bias[number]))
            self.boosters[name] = Booster(
                features, target - seen, start, self.config.growth, quantile, list(trees.get(name, []))
            )

    def _grow(self, name: str) -> None:
        booster, kept = self.boosters[name], self.module.trees(name)
        kept.put(len(booster.trees), booster.grow())


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
