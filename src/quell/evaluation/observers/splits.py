"""Which images train an observer and which test it, and how many it takes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from quell.errors import QuellError
from quell.evaluation.observers.scores import IntArray

SplitKind = Literal["leave-one-out", "k-fold", "half", "none"]

INFLATION = 1.25
"""How much the inverse of a covariance may be overestimated."""

_LEAST_TEST = 10


@dataclass(frozen=True)
class Split:
    """How images are divided into those that train and those that test.

    Attributes
    ----------
    kind : str
        ``"leave-one-out"``: each pair (or each image that regions were cut from) is tested by an observer
        trained on all others. ``"k-fold"``: the same with parts of many pairs. ``"half"``: the first
        half trains, the second tests. ``"none"``: all train and all test (resubstitution), which
        flatters the observer and is for seeing by how much.
    folds : int
        Of ``"k-fold"``.
    """

    kind: SplitKind = "leave-one-out"
    folds: int = 10

    def __post_init__(self) -> None:
        if self.kind not in ("leave-one-out", "k-fold", "half", "none"):
            raise ValueError(f"unknown way to split: {self.kind!r}")
        if self.folds < 2:
            raise ValueError(f"cross-validation needs 2 folds or more, got {self.folds}")

    def training_share(self, pairs: int) -> float:
        """Return the share of the pairs that train."""
        if self.kind == "none":
            return 1.0
        if self.kind == "half":
            return 0.5
        return 1 - 1 / (pairs if self.kind == "leave-one-out" else self.folds)


class Part(NamedTuple):
    """Numbers of the pairs that train and that test."""

    train: IntArray
    test: IntArray


def parts(split: Split, pairs: int, groups: IntArray | None) -> Iterator[Part]:
    """Yield what trains and what tests; the pairs of one group always stay together."""
    numbers = np.arange(pairs)
    if split.kind == "none":
        yield Part(numbers, numbers)
        return
    names, index = np.unique(numbers if groups is None else groups, return_inverse=True)
    if len(names) < 2:
        raise QuellError("all regions come from one image: none is left to test the observer")
    if split.kind == "half":
        train = index < len(names) // 2
        yield Part(numbers[train], numbers[~train])
        return
    folds = len(names) if split.kind == "leave-one-out" else min(split.folds, len(names))
    fold = np.asarray(index) % folds
    for k in range(folds):
        yield Part(numbers[fold != k], numbers[fold == k])


def pairs_needed(channels: int, split: Split | None = None) -> int:
    """Return the smallest number of pairs of images with and without the signal.

    The inverse of a covariance of p channels estimated from n images with and n without is too large by
    ``(2n - 2) / (2n - 2 - p - 1)`` in the mean (of an inverted Wishart matrix, Anderson, Multivariate
    Statistical Analysis, 2003, ch. 7). The rule here: no more than `INFLATION` times, in every
    part that trains, and at least 10 pairs to test.

    Parameters
    ----------
    channels : int
        0 for an observer that estimates no covariance.
    split : Split, optional
        Leave-one-out by default.
    """
    split = split or Split()
    freedom = (channels + 1) * INFLATION / (INFLATION - 1) if channels else 2.0
    training = math.ceil((freedom + 2) / 2)
    if split.kind == "half":
        return 2 * max(training, _LEAST_TEST)
    if split.kind == "k-fold":
        return max(math.ceil(training * split.folds / (split.folds - 1)), _LEAST_TEST)
    return max(training + int(split.kind == "leave-one-out"), _LEAST_TEST)


def check_pairs(pairs: int, channels: int, split: Split) -> None:
    """Raise QuellError where there are too few pairs, saying how many are needed."""
    least = pairs_needed(channels, split)
    if pairs < least:
        seen = f" with {channels} channels" if channels else ""
        raise QuellError(f"the observer{seen} needs at least {least} pairs, got {pairs}")


def training_efficiency(detectability: float, channels: int, pairs: int) -> float:
    """Return by what factor d' falls because an observer learned from few images.

    ``sqrt(d^2 / (d^2 + 2p/n) * (2n - p) / (2n))`` for p channels and n pairs: the first factor is the
    error of the mean difference, the second that of the covariance (Raudys & Jain, IEEE TPAMI 13:252,
    1991, for the linear discriminant).

    Parameters
    ----------
    detectability : float
        d' of the fully trained observer.
    channels, pairs : int
    """
    squared = detectability**2
    mean = squared / (squared + 2 * channels / pairs) if squared else 0.0
    return math.sqrt(mean * max(0.0, 1 - channels / (2 * pairs)))
