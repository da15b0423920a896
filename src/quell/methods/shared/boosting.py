"""Gradient boosting one round at a time, so that a training loop can be left and taken up at any step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, Field

from quell.errors import QuellError
from quell.networks.boosted_trees import Tree, read_tree

Features = npt.NDArray[np.float32]
Values = npt.NDArray[np.float64]


class BoostingConfig(BaseModel):
    """How trees are grown.

    Attributes
    ----------
    depth
        Splits between root and leaf.
    shrink
        Share of what a tree has found that is added.
    fewest
        Pixels of a leaf.
    ridge
        Added to the number of pixels of a leaf where its value is computed.
    threads
        1 gives the same trees everywhere.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    depth: int = Field(default=5, ge=1, le=10)
    shrink: float = Field(default=0.1, gt=0, le=1)
    fewest: int = Field(default=100, ge=1)
    ridge: float = Field(default=1.0, ge=0)
    threads: int = Field(default=1, ge=1)


@dataclass(eq=False)
class Booster:
    """A growing sum of trees for one target.

    What LightGBM is told at each round is the sum so far, computed here from the trees as they will be
    kept; a booster that is made anew from kept trees therefore goes on to the bit.

    Parameters
    ----------
    features : ndarray of float32, shape (n, f)
    target : ndarray of float64, shape (n,)
    start : ndarray of float64, shape (n,)
        What the trees are added to.
    config : BoostingConfig
    quantile : float, optional
        The mean squared error is lowered without it.
    """

    features: Features
    target: Values
    start: Values
    config: BoostingConfig
    quantile: float | None = None
    trees: list[Tree] = field(default_factory=list)

    def __post_init__(self) -> None:
        try:
            import lightgbm
        except ImportError as error:
            raise QuellError("gradient boosting needs LightGBM: pip install 'quell[train]'") from error
        except OSError as error:
            # Its wheel brings all but the library of OpenMP.
            raise QuellError(
                f"LightGBM cannot be loaded: {error}; on Debian: apt install libgomp1"
            ) from error
        self._library = lightgbm
        self.sum = self.start.copy()
        for tree in self.trees:
            self.sum += tree.predict(self.features)
        self._data = lightgbm.Dataset(
            self.features, self.target, params=self._parameters, free_raw_data=False
        ).construct()

    @property
    def loss(self) -> float:
        """Mean squared error, or mean pinball loss of a quantile."""
        error = self.target - self.sum
        if self.quantile is None:
            return float(np.mean(error**2))
        return float(np.mean(np.maximum(self.quantile * error, (self.quantile - 1) * error)))

    def grow(self) -> Tree:
        """Add one tree."""
        self._data.set_init_score(self.sum)
        booster = self._library.train(self._parameters, self._data, num_boost_round=1)
        told = booster.dump_model()["tree_info"]
        tree = read_tree(told[0]["tree_structure"] if told else {"leaf_value": 0.0}, self.config.depth)
        self.trees.append(tree)
        self.sum += tree.predict(self.features)
        return tree

    @property
    def _parameters(self) -> dict[str, Any]:
        aim = {"objective": "regression"} if self.quantile is None else {"objective": "quantile"}
        return {
            **aim,
            **({} if self.quantile is None else {"alpha": self.quantile}),
            "learning_rate": self.config.shrink,
            "max_depth": self.config.depth,
            "num_leaves": 2**self.config.depth,
            "min_data_in_leaf": self.config.fewest,
            "lambda_l2": self.config.ridge,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": self.config.threads,
            "boost_from_average": False,
            "use_missing": False,
            "feature_pre_filter": False,
            "seed": 0,
            "verbosity": -1,
        }


class Watch:
    """The squared error on pixels that no tree is grown on, after each tree.

    Parameters
    ----------
    features : ndarray of float32, shape (n, f)
    target : ndarray of float64, shape (n,)
    start : ndarray of float64, shape (n,)
        What the trees are added to.
    """

    def __init__(self, features: Features, target: Values, start: Values) -> None:
        self.features, self.target, self.sum = features, target, start.copy()
        self.losses = [self._loss()]

    def add(self, tree: Tree) -> None:
        """Add a tree."""
        self.sum += tree.predict(self.features)
        self.losses.append(self._loss())

    @property
    def best(self) -> int:
        """How many trees leave the smallest error; none where each raises it."""
        return int(np.argmin(self.losses))

    def _loss(self) -> float:
        return float(np.mean((self.target - self.sum) ** 2))


def conformal_margin(target: Values, lower: Values, upper: Values, level: float) -> float:
    """Return by how much an interval is widened so that it covers (below 0: narrowed).

    Romano, Patterson and Candes, "Conformalized quantile regression", NeurIPS 2019, equations 6 and 7: a
    quantile of how far the targets lie outside of the interval, on values that it was not grown on.

    Parameters
    ----------
    target, lower, upper : ndarray of float64, shape (n,)
    level : float
        Share of new targets that is to lie within.
    """
    outside = np.sort(np.maximum(lower - target, target - upper))
    rank = min(int(np.ceil(level * (len(outside) + 1))), len(outside))
    return float(outside[rank - 1])


def pack(trees: list[Tree]) -> dict[str, torch.Tensor]:
    """Return trees as tensors, to be kept."""
    if not trees:
        return {}
    return {
        name: torch.from_numpy(np.stack([getattr(tree, name) for tree in trees]))
        for name in ("feature", "threshold", "value")
    }


def unpack(kept: Mapping[str, torch.Tensor]) -> list[Tree]:
    """Return what was packed."""
    if not kept:
        return []
    parts = (kept[name].cpu().numpy() for name in ("feature", "threshold", "value"))
    return [Tree(*tree) for tree in zip(*parts, strict=True)]


def linear_start(features: Features, target: Values, ridge: float = 1e-3) -> tuple[Values, float]:
    """Return weights and bias of the ridge regression of the target on standardised features."""
    exact = features.astype(np.float64)
    mean, sd = exact.mean(axis=0), exact.std(axis=0)
    sd = np.where(sd > 1e-6, sd, np.inf)
    scaled = (exact - mean) / sd
    product = scaled.T @ scaled + ridge * len(exact) * np.eye(scaled.shape[1])
    weight = np.linalg.solve(product, scaled.T @ (target - target.mean())) / sd
    return np.asarray(weight, np.float64), float(target.mean() - mean @ weight)
