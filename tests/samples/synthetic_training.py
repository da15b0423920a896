"""A tiny set of training images that needs no files: smooth scenes with white noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from quell.image import Modality
from quell.methods.contracts import Batch, DataFacts, MethodFacts, Need, Stage

SIGMA = 0.1


def scenes(rng: np.random.Generator, count: int, shape: tuple[int, int, int]) -> np.ndarray:
    """Return smooth positive scenes of values from 0.2 to about 1, shape (count, z, y, x)."""
    axes = [
        np.linspace(0, 1, size)[tuple(slice(None) if a == b else None for b in range(3))]
        for a, size in enumerate(shape)
    ]
    found = np.full((count, *shape), 0.2)
    for scene in found:
        for _ in range(3):
            centre, width = rng.uniform(0.2, 0.8, 3), rng.uniform(0.1, 0.3)
            away = sum((axis - c) ** 2 for axis, c in zip(axes[1:], centre[1:], strict=True))
            depth = (axes[0] - centre[0]) ** 2 if shape[0] > 1 else 0.0
            scene += np.exp(-(away + 0.03 * depth) / (2 * width**2)) / 2
    return found.astype(np.float32)


@dataclass(frozen=True)
class SyntheticPool:
    """Draws what a method needs and no more, from the seed alone."""

    need: Need
    prior: bool = False
    dose: float = 0.25

    def draw(self, stage: Stage, seed: tuple[int, ...]) -> Batch:
        rng = np.random.default_rng(seed)
        clean = scenes(rng, stage.batch, stage.patch)
        noisy, second = (clean + noise for noise in SIGMA * rng.standard_normal((2, *clean.shape)))
        with_clean = self.need is Need.PAIRED
        apart = scenes(rng, stage.batch, stage.patch) if self.need is Need.UNPAIRED else None
        points = np.array(stage.patch) / 2 * np.ones((stage.batch, 1, 3))
        n = stage.batch
        return Batch(
            noisy=tensor(noisy),
            clean=tensor(clean) if with_clean else None,
            second=tensor(second) if self.need in (Need.NOISY_PAIRS, Need.PAIRED) else None,
            unpaired=None if apart is None else tensor(apart),
            prior=tensor(1.2 - clean) if self.prior else None,
            points=tensor(points),
            dose=torch.full((n,), self.dose),
            scale=torch.ones(n),
        )


@dataclass(frozen=True)
class SyntheticCase:
    """One image to validate on."""

    name: str
    noisy: Any
    clean: Any
    second: Any = None
    prior: Any = None


def tensor(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))


def cases(
    count: int = 2, shape: tuple[int, int, int] = (2, 40, 36), clean: bool = True
) -> tuple[SyntheticCase, ...]:
    rng = np.random.default_rng(5)
    truths = scenes(rng, count, shape)
    noisy = (truths + SIGMA * rng.standard_normal(truths.shape)).astype(np.float32)
    return tuple(SyntheticCase(f"case {i}", noisy[i], truths[i] if clean else None) for i in range(count))


def facts_for(kind: Any, shape: tuple[int, int, int] = (16, 64, 64)) -> DataFacts:
    """Return what a method may know of these images."""
    told: MethodFacts = kind.facts
    modality = told.modalities[0] if told.modalities else Modality.CT
    return DataFacts(
        modality=modality,
        units="",
        items=8,
        scaling=kind.scaling(modality),
        sigma=SIGMA,
        residual=(-3 * SIGMA, 3 * SIGMA),
        correlation=(0.0, 0.0, 0.0),
        mean=0.5,
        shape=shape,
        prior=bool(told.prior),
    )


def pool_for(kind: Any) -> SyntheticPool:
    """Return images that suit a method."""
    return SyntheticPool(kind.facts.need, bool(kind.facts.prior))
