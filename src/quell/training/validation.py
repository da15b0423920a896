"""How good a method is on images that it does not learn from."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
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


class Case(Protocol):
    """One image to validate on; arrays of float32, shape (z, y, x), in network units."""

    @property
    def name(self) -> str:
        """What it is called."""

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
    figures : mapping of str to float
        As they are logged.
    """

    score: float
    figures: dict[str, float]


def validate(
    method: Any, cases: Sequence[Case], pool: Pool, progress: float, fabric: Fabric
) -> Validation | None:
    """Return how good a method is with the weights that it has; None where there are no images.

    Parameters
    ----------
    method : Method
        With networks that are not wrapped (see `quell.training.averaging.Average.applied`).
    cases : sequence of Case
    pool : Pool
        Gives the shape of a batch where the method's own loss is the measure.
    progress : float
    fabric : Fabric
    """
    with_truth = [case for case in cases if case.clean is not None]
    if with_truth:
        return _against_truth(method, with_truth, fabric.device)
    if not cases:
        return None
    name, loss = _own_loss(method, cases, pool, progress, fabric)
    return Validation(-loss, {f"validation {name}": loss})


def _against_truth(method: Any, cases: Sequence[Case], device: torch.device) -> Validation:
    exported: Exported = method.exported()
    module = exported.module.eval()
    torch.manual_seed(SEED)
    before, after = [], []
    for case in cases:
        assert case.clean is not None
        before.append(psnr(case.noisy, case.clean))
        after.append(psnr(denoise(exported, module, case, device), case.clean))
    figures = {
        "validation psnr": float(np.mean(after)),
        "validation psnr of the noisy": float(np.mean(before)),
    }
    return Validation(figures["validation psnr"], figures)


def psnr(image: FloatArray, truth: FloatArray) -> float:
    """Return the peak signal-to-noise ratio in dB; the peak is the range of the truth."""
    span = float(truth.max() - truth.min()) or 1.0
    error = float(np.mean(np.square(image.astype(np.float64) - truth)))
    return 10 * math.log10(span**2 / max(error, 1e-20 * span**2))


@torch.no_grad()
def denoise(exported: Exported, module: torch.nn.Module, case: Case, device: torch.device) -> FloatArray:
    """Return an image denoised as a whole, shape (z, y, x)."""
    noisy = _padded(torch.from_numpy(np.ascontiguousarray(case.noisy)).to(device), exported)
    priors = case.prior if exported.prior and case.prior is not None else None
    prior = (
        None
        if priors is None
        else _padded(torch.from_numpy(np.ascontiguousarray(priors)).to(device), exported)
    )
    z, y, x = case.noisy.shape
    if exported.dimensions == 3:
        told = [noisy[None, None], *([] if prior is None else [prior[None, None]])]
        found = _mean_of_draws(module, told, exported.samples)[0, 0]
    else:
        rows = [
            _mean_of_draws(
                module,
                [_stack(volume, index, exported.slices) for volume in (noisy, prior) if volume is not None],
                exported.samples,
            )[0, 0]
            for index in range(z)
        ]
        found = torch.stack(rows)
    held: FloatArray = found[:z, :y, :x].float().cpu().numpy()
    return held


def _mean_of_draws(module: torch.nn.Module, told: list[Tensor], samples: int) -> Tensor:
    total: Tensor | None = None
    draws = min(samples, DRAWS)
    for _ in range(max(1, draws)):
        noise = [torch.randn_like(told[0][:, :1])] if draws else []
        out = module(*told, *noise)
        image = out[0] if isinstance(out, (tuple, list)) else out
        total = image if total is None else total + image
    assert total is not None
    return total / max(1, draws)


def _stack(volume: Tensor, index: int, slices: int) -> Tensor:
    """Return the neighbours of a slice, shape (1, slices, y, x); those beyond the ends repeat the last."""
    reach = torch.arange(index - slices // 2, index - slices // 2 + slices, device=volume.device)
    return volume[reach.clamp(0, volume.shape[0] - 1)][None]


def _padded(volume: Tensor, exported: Exported) -> Tensor:
    """Return a volume whose sizes are multiples of what the network wants, with repeated edges."""
    for axis in (0, 1, 2) if exported.dimensions == 3 else (1, 2):
        size = volume.shape[axis]
        wanted = -(-size // exported.multiple) * exported.multiple
        index = torch.arange(wanted, device=volume.device).clamp(max=size - 1)
        volume = volume.index_select(axis, index)
    return volume


def _own_loss(
    method: Any, cases: Sequence[Case], pool: Pool, progress: float, fabric: Fabric
) -> tuple[str, float]:
    """Return name and value of the first loss on crops of images that are not learned from."""
    stage = method.stage(progress)
    batch = held_out(pool.draw(stage, (SEED, 0, 0)), cases, stage)
    batch = on_device(batch, fabric.device)
    torch.manual_seed(SEED)
    for network in method.networks.values():
        network.train()
    if isinstance(method, BaseMethod) and type(method).step is BaseMethod.step:
        name, loss = next(method.losses(batch, progress))
        return name, float(loss.detach())
    # A step of its own is not to be had without learning: it is undone.
    before = copy.deepcopy(method.state())
    name, value = next(iter(method.step(batch, progress, fabric).items()))
    method.restore(before)
    return name, value


def held_out(batch: Batch, cases: Sequence[Case], stage: Stage) -> Batch:
    """Return a batch with crops of cases in the place of those of the training images."""
    rng = np.random.default_rng(seed_of(SEED))
    noisy, second, prior = [], [], []
    for number in range(batch.noisy.shape[0]):
        case = cases[number % len(cases)]
        places = [_indices(have, want, rng) for have, want in zip(case.noisy.shape, stage.patch, strict=True)]
        crop = np.ix_(*places)
        noisy.append(case.noisy[crop])
        second.append(None if case.second is None else case.second[crop])
        prior.append(None if case.prior is None else case.prior[crop])
    return replace(
        batch,
        noisy=_stacked(noisy),
        second=batch.second if batch.second is None else _stacked(second),
        prior=batch.prior if batch.prior is None else _stacked(prior),
        points=None,
    )


def _indices(have: int, want: int, rng: np.random.Generator) -> np.ndarray:
    first = int(rng.integers(0, max(1, have - want + 1)))
    return np.clip(np.arange(first, first + want), 0, have - 1)


def _stacked(crops: list[Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.stack(crops), dtype=np.float32))
