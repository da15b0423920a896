"""How good a method is on images that it does not learn from."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric
from torch import Tensor

from quell.image import FloatArray
from quell.methods.base import BaseMethod
from quell.methods.contracts import Batch, Exported, Stage
from quell.training.loop import Pool, on_device, seed_of

SEED = 20_000
"""Draws of noise and places of crops are the same in every validation."""

DRAWS = 2
"""At most so many samples of a generative method are averaged here: validation must stay short."""

SIDE = 128
DEPTH = 16
"""Rows and columns, and slices in three dimensions, of a crop at most."""


class Case(Protocol):
    """One image to validate on; arrays of float32, shape (z, y, x), in network units, None if not there."""

    @property
    def noisy(self) -> FloatArray:
        """What is denoised."""

    @property
    def clean(self) -> FloatArray | None:
        """The truth."""

    @property
    def second(self) -> FloatArray | None:
        """The same object with other noise."""

    @property
    def prior(self) -> FloatArray | None:
        """The other image of the patient."""


@dataclass(frozen=True)
class Validation:
    """What a validation found.

    Attributes
    ----------
    score : float
        Higher is better: PSNR, or the negative loss where there is no clean image.
    figures : dict of str to float
        As they are logged.
    """

    score: float
    figures: dict[str, float]


@dataclass(frozen=True, eq=False)
class Crop:
    """A part of a case, small enough to be denoised in every validation.

    Attributes
    ----------
    case : int
    noisy, prior : ndarray of float32, shape (z, y, x)
        With neighbouring slices in two dimensions.
    clean : ndarray of float32
        Of the same shape, or with the middle slice alone.
    """

    case: int
    noisy: FloatArray
    clean: FloatArray
    prior: FloatArray | None


class Validator:
    """Measures a method on the same crops again and again.

    Parameters
    ----------
    cases : sequence of Case
    pool : Pool
        Gives the shape of a batch where the method's own loss is the measure.
    voxels : int
        About so many are denoised in a validation, spread evenly over the cases.
    fabric : Fabric
    """

    def __init__(self, cases: Sequence[Case], pool: Pool, voxels: int, fabric: Fabric) -> None:
        self._cases, self._pool, self._voxels, self._fabric = cases, pool, voxels, fabric
        self._true = [case for case in cases if case.clean is not None]
        self._crops: list[Crop] = []

    def measure(self, method: Any, progress: float) -> Validation | None:
        """Return how good a method is with the weights that it has; None where there are no cases.

        Parameters
        ----------
        method : Method
            With networks that are not wrapped (see `quell.training.averaging.Average.applied`).
        progress : float
        """
        if self._true:
            return self._against_truth(method.exported())
        if not self._cases:
            return None
        name, loss = self._own_loss(method, progress)
        return Validation(-loss, {f"validation {name}": loss})

    def _against_truth(self, exported: Exported) -> Validation:
        if not self._crops:
            self._crops = list(crops_of(self._true, self._voxels, exported))
        module = exported.module.eval()
        torch.manual_seed(SEED)
        errors: dict[int, list[tuple[float, float]]] = {}
        for crop in self._crops:
            found = denoise(exported, module, crop, self._fabric.device)
            noisy = middle_of(crop.noisy, exported)
            errors.setdefault(crop.case, []).append(
                (_squared_error(noisy, crop.clean), _squared_error(found, crop.clean))
            )
        spans = {number: span_of(self._true[number].clean) for number in errors}
        before, after = (
            float(
                np.mean([decibels(float(np.mean(pairs, axis=0)[i]), spans[n]) for n, pairs in errors.items()])
            )
            for i in (0, 1)
        )
        return Validation(after, {"validation psnr": after, "validation psnr of the noisy": before})

    def _own_loss(self, method: Any, progress: float) -> tuple[str, float]:
        """Return name and value of the first loss on crops of images that are not learned from."""
        stage = method.stage(progress)
        batch = held_out(self._pool.draw(stage, (SEED, 0, 0)), self._cases, stage)
        batch = on_device(batch, self._fabric.device)
        torch.manual_seed(SEED)
        for network in method.networks.values():
            network.train()
        if isinstance(method, BaseMethod) and type(method).step is BaseMethod.step:
            name, loss = next(method.losses(batch, progress))
            return name, float(loss.detach())
        # A step of its own is not to be had without learning: it is undone.
        before = copy.deepcopy(method.state())
        name, value = next(iter(method.step(batch, progress, self._fabric).items()))
        method.restore(before)
        return name, value


def decibels(squared: float, span: float) -> float:
    """Return the peak signal-to-noise ratio for a mean squared error and the range of the truth."""
    return 10 * math.log10(span**2 / max(squared, 1e-20 * span**2))


def span_of(truth: FloatArray | None) -> float:
    """Return the range of the values of an image; 1 if it is constant."""
    assert truth is not None
    return float(truth.max() - truth.min()) or 1.0


def crops_of(cases: Sequence[Case], voxels: int, exported: Exported) -> Iterator[Crop]:
    """Yield crops of cases, always at the same places, `voxels` in all, or as many as there are."""
    voxels = min(voxels, sum(case.noisy.size for case in cases))
    rng = np.random.default_rng(seed_of(SEED))
    deep = exported.dimensions == 3
    sizes = [min(have, most) for have, most in zip(cases[0].noisy.shape, (DEPTH, SIDE, SIDE), strict=True)]
    count = max(1, voxels // math.prod(sizes if deep else sizes[1:]))
    for number in np.unique(np.linspace(0, len(cases) - 1, min(count, len(cases))).astype(int)):
        case = cases[number]
        assert case.clean is not None
        for _ in range(max(1, count // len(cases))):
            rows, columns = (_within(size, SIDE, rng) for size in case.noisy.shape[1:])
            depth = case.noisy.shape[0]
            if deep:
                slices = _within(depth, DEPTH, rng)
            else:
                centre = int(rng.integers(depth))
                first = centre - exported.slices // 2
                slices = np.clip(np.arange(first, first + exported.slices), 0, depth - 1)
            place = np.ix_(slices, rows, columns)
            prior = None if case.prior is None else case.prior[place]
            yield Crop(int(number), case.noisy[place], middle_of(case.clean[place], exported), prior)


def middle_of(voxels: FloatArray, exported: Exported) -> FloatArray:
    """Return the slice that counts, shape (1, y, x), or the whole in three dimensions."""
    if exported.dimensions == 3:
        return voxels
    return voxels[exported.slices // 2 : exported.slices // 2 + 1]


@torch.no_grad()
def denoise(exported: Exported, module: torch.nn.Module, crop: Crop, device: torch.device) -> FloatArray:
    """Return what a network makes of a crop, of the shape of its clean part."""
    given = [crop.noisy] if not exported.prior or crop.prior is None else [crop.noisy, crop.prior]
    told = [_padded(torch.from_numpy(np.ascontiguousarray(part)).to(device), exported) for part in given]
    told = [part[None, None] if exported.dimensions == 3 else part[None] for part in told]
    total: Tensor | None = None
    draws = min(exported.samples, DRAWS)
    for _ in range(max(1, draws)):
        out = module(*told, *([torch.randn_like(told[0][:, :1])] if draws else []))
        image = out[0] if isinstance(out, (tuple, list)) else out
        total = image if total is None else total + image
    assert total is not None
    z, y, x = crop.clean.shape
    found = (total / max(1, draws))[0]
    volume = found[0] if exported.dimensions == 3 else found
    held: FloatArray = volume[:z, :y, :x].float().cpu().numpy()
    return held


def held_out(batch: Batch, cases: Sequence[Case], stage: Stage) -> Batch:
    """Return a batch with crops of cases in the place of those of the training images."""
    rng = np.random.default_rng(seed_of(SEED))
    noisy, second, prior = [], [], []
    for number in range(batch.noisy.shape[0]):
        case = cases[number % len(cases)]
        crop = np.ix_(*(_within(h, w, rng) for h, w in zip(case.noisy.shape, stage.patch, strict=True)))
        noisy.append(case.noisy[crop])
        second.append(None if case.second is None else case.second[crop])
        prior.append(None if case.prior is None else case.prior[crop])
    return replace(
        batch,
        noisy=_stacked(noisy),
        second=None if batch.second is None else _stacked(second),
        prior=None if batch.prior is None else _stacked(prior),
        points=None,
    )


def _within(have: int, want: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return `want` neighbouring indices at a random place; the last one again where there are too few."""
    first = int(rng.integers(0, max(1, have - want + 1)))
    return np.clip(np.arange(first, first + want), 0, have - 1)


def _stacked(crops: list[Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.stack(crops), dtype=np.float32))


def _squared_error(image: FloatArray, truth: FloatArray) -> float:
    return float(np.mean(np.square(image.astype(np.float64) - truth)))


def _padded(volume: Tensor, exported: Exported) -> Tensor:
    """Return a volume whose sizes are multiples of what the network wants, with repeated edges."""
    for axis in (0, 1, 2) if exported.dimensions == 3 else (1, 2):
        size = volume.shape[axis]
        wanted = -(-size // exported.multiple) * exported.multiple
        volume = volume.index_select(axis, torch.arange(wanted, device=volume.device).clamp(max=size - 1))
    return volume
