"""Boosted regression trees as a torch module, so that they run wherever a network runs.

Every tree becomes a perfect binary tree of the same depth, kept in arrays; a pixel walks from the root by
gathers (the *tree traversal* strategy of Nakandala et al. 2020, OSDI).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

_GROUP = 8
"""Trees that are walked side by side: more need more memory and are no faster."""


@dataclass(frozen=True, eq=False)
class Tree:
    """A perfect binary tree; the children of node i are 2 i + 1 (at most the threshold) and 2 i + 2.

    Attributes
    ----------
    feature : ndarray of int64, shape (2**depth - 1,)
    threshold : ndarray of float32, shape (2**depth - 1,)
    value : ndarray of float64, shape (2**depth,)
    """

    feature: npt.NDArray[np.int64]
    threshold: npt.NDArray[np.float32]
    value: npt.NDArray[np.float64]

    @property
    def depth(self) -> int:
        return len(self.value).bit_length() - 1

    def predict(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Return the values of the leaves, shape (n,), for features of shape (n, f)."""
        node = np.zeros(len(features), np.int64)
        row = np.arange(len(features))
        for _ in range(self.depth):
            right = features[row, self.feature[node]] > self.threshold[node]
            node = 2 * node + 1 + right
        return np.asarray(self.value[node - (len(self.value) - 1)], np.float64)


def read_tree(told: Mapping[str, Any], depth: int) -> Tree:
    """Return a tree of ``booster.dump_model()["tree_info"]``.

    Parameters
    ----------
    told : mapping
        Its ``"tree_structure"``.
    depth : int
        Of the perfect tree; a leaf above it is repeated below.

    Raises
    ------
    ValueError
        If the tree is deeper, or splits by anything but ``<=``.
    """
    tree = Tree(
        np.zeros(2**depth - 1, np.int64), np.full(2**depth - 1, np.inf, np.float32), np.zeros(2**depth)
    )
    _fill(tree, told, 0, depth)
    return tree


def _fill(tree: Tree, told: Mapping[str, Any], node: int, left: int) -> None:
    if "leaf_value" in told:
        first = (node + 1) * 2**left - 1 - len(tree.feature)
        tree.value[first : first + 2**left] = told["leaf_value"]
        return
    if left == 0 or told["decision_type"] != "<=":
        raise ValueError("the tree is deeper than it should be, or splits by classes")
    tree.feature[node] = told["split_feature"]
    tree.threshold[node] = _not_above(told["threshold"])
    _fill(tree, told["left_child"], 2 * node + 1, left - 1)
    _fill(tree, told["right_child"], 2 * node + 2, left - 1)


def _not_above(threshold: float) -> np.float32:
    """Return the largest 32-bit float that is not above: it parts 32-bit features as the 64-bit one does."""
    nearest = np.float32(threshold)
    return nearest if float(nearest) <= threshold else np.nextafter(nearest, np.float32(-np.inf))


class BoostedTrees(nn.Module):
    """A sum of trees over the channels of an image.

    Parameters
    ----------
    count : int
        Room for so many trees; those that are not there give 0.
    depth : int
    """

    feature: Tensor
    threshold: Tensor
    value: Tensor

    def __init__(self, count: int, depth: int) -> None:
        super().__init__()
        self.count, self.depth = count, depth
        self.register_buffer("feature", torch.zeros(count, 2**depth - 1, dtype=torch.int64))
        self.register_buffer("threshold", torch.full((count, 2**depth - 1), torch.inf))
        self.register_buffer("value", torch.zeros(count, 2**depth))

    def put(self, number: int, tree: Tree) -> None:
        """Set one tree."""
        self.feature[number] = torch.from_numpy(tree.feature)
        self.threshold[number] = torch.from_numpy(tree.threshold)
        self.value[number] = torch.from_numpy(tree.value).float()

    def clear(self, first: int) -> None:
        """Take away the trees from a number on."""
        self.feature[first:] = 0
        self.threshold[first:] = torch.inf
        self.value[first:] = 0

    def forward(self, features: Tensor) -> Tensor:
        """Return the sum, shape (n, 1, y, x), for features of shape (n, f, y, x)."""
        # All features of a pixel side by side: a gather then stays within a few cache lines.
        rows = features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])
        total = rows.new_zeros(1)
        for first in range(0, self.count, _GROUP):
            total = total + self._group(rows, slice(first, min(first + _GROUP, self.count)))
        return total.reshape(features[:, :1].shape)

    def _group(self, rows: Tensor, trees: slice) -> Tensor:
        """Return the sum of a few trees, shape (n,), for features of shape (n, f)."""
        feature, threshold, value = self.feature[trees], self.threshold[trees], self.value[trees]
        count, nodes = feature.shape
        first = torch.arange(count, device=feature.device)
        # The root is the same for all pixels: no gather by pixel.
        node = 1 + (rows.index_select(1, feature[:, 0]) > threshold[:, 0]).long()
        for _ in range(self.depth - 1):
            place = node + first * nodes
            held = torch.gather(rows, 1, feature.reshape(-1)[place])
            node = 2 * node + 1 + (held > threshold.reshape(-1)[place]).long()
        return value.reshape(-1)[node - nodes + first * (nodes + 1)].sum(1)
