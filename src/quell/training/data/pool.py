"""Batches of crops: all images in one flat array on the device, all crops of a role by one gather."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from quell.methods.contracts import Batch, Stage
from quell.training.data.contracts import Stack
from quell.training.data.places import Atlas, Integers, Places

_SHORT = 2**31 - 1
"""Positions up to here fit into 32 bits, which are twice as fast."""


class Pool:
    """The training images, ready to be cropped.

    An image counts by the root of its size, so that one long series does not drown the rest.

    Parameters
    ----------
    stacks : sequence of Stack
        At least one with a noisy image.
    dimensions : int
        2: depth is made of neighbouring slices, the end ones repeated; 3: depth is cropped.
    unpaired : bool
        Whether clean crops of other places are wanted.
    device : torch.device or str
    """

    def __init__(
        self,
        stacks: Sequence[Stack],
        dimensions: int = 2,
        unpaired: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        self._atlas = Atlas(stacks, dimensions)
        self._images = len(stacks)
        self._flat = torch.from_numpy(_flattened(stacks)).to(device)
        self._index = torch.int32 if self._flat.numel() <= _SHORT else torch.int64
        self._table = _Table(stacks)
        self._unpaired = unpaired and self._table.others.size > 0

    def __len__(self) -> int:
        """Return the number of images, each with all its noisy ones."""
        return self._images

    @property
    def device(self) -> torch.device:
        """Where the images are, and the batches are made."""
        return self._flat.device

    def to(self, device: torch.device | str) -> Pool:
        """Move the images to a device."""
        self._flat = self._flat.to(device)
        return self

    def draw(self, stage: Stage, seed: tuple[int, ...]) -> Batch:
        """Return a batch of crops.

        Parameters
        ----------
        stage : Stage
        seed : tuple of int
            The same seed gives the same batch, on every device.
        """
        rng = np.random.default_rng(seed)
        table = self._table
        chosen = table.choose(rng, table.drawn, stage.batch)
        places = self._atlas.draw(rng, table.stack[chosen], stage.patch)
        apart = table.others if self._unpaired else None
        steps = self._steps(places)
        own = table.offset[chosen], table.scale[chosen]
        return Batch(
            self._crops(steps, table.noisy[chosen], *own),
            self._crops(steps, table.clean[chosen], *own) if table.has_clean else None,
            self._crops(steps, table.second[chosen], *own) if table.has_second else None,
            None if apart is None else self._others(rng, apart, stage),
            self._prior(steps, chosen),
            self._tensor(places.points) if places.points.shape[1] else None,
            self._tensor(table.dose[chosen]),
            self._tensor(own[1]),
            torch.from_numpy(table.patient[chosen]).to(self.device),
        )

    def _others(self, rng: np.random.Generator, apart: Integers, stage: Stage) -> Tensor:
        table = self._table
        chosen = table.choose(rng, apart, stage.batch)
        places = self._atlas.draw(rng, table.stack[chosen], stage.patch)
        return self._crops(
            self._steps(places), table.clean[chosen], table.offset[chosen], table.scale[chosen]
        )

    def _prior(self, steps: Tensor, chosen: Integers) -> Tensor | None:
        table = self._table
        if not table.has_prior:
            return None
        stack = table.stack[chosen]
        return self._crops(steps, table.prior[stack], table.prior_offset[stack], table.prior_scale[stack])

    def _tensor(self, values: npt.NDArray[np.floating]) -> Tensor:
        return torch.from_numpy(np.asarray(values, np.float32)).to(self.device)

    def _steps(self, places: Places) -> Tensor:
        """Return how far each voxel of the crops is from the first of its image, shape (n, z, y, x)."""
        parts = (places.slices, places.rows, places.columns)
        widths = [part.shape[1] for part in parts]
        together = torch.from_numpy(np.concatenate(parts, axis=1)).to(self.device, self._index)
        z, y, x = torch.split(together, widths, dim=1)
        planes: Tensor = y[:, None, :, None] + x[:, None, None, :]
        return z[:, :, None, None] + planes

    def _crops(
        self, steps: Tensor, first: Integers, offset: npt.NDArray[np.float64], scale: npt.NDArray[np.float64]
    ) -> Tensor:
        start = torch.from_numpy(first).to(self.device, self._index)[:, None, None, None]
        # In place and back: fresh memory of this size costs more than the second addition.
        crops = self._flat.index_select(0, steps.add_(start).view(-1)).view(steps.shape)
        steps.sub_(start)
        if offset.any():
            crops -= self._tensor(offset)[:, None, None, None]
        return crops.mul_(self._tensor(1 / scale)[:, None, None, None])


class _Table:
    """For every variant where its images start in the flat array, and how it is scaled."""

    def __init__(self, stacks: Sequence[Stack]) -> None:
        begins = np.concatenate([[0], np.cumsum([s.voxels.size for s in stacks], dtype=np.int64)])
        rows = [(number, v) for number, stack in enumerate(stacks) for v in stack.variants]
        self.stack: Integers = np.array([number for number, _ in rows], np.int64)
        order = {name: number for number, name in enumerate(dict.fromkeys(s.patient for s in stacks))}
        self.patient: Integers = np.array([order[s.patient] for s in stacks], np.int64)[self.stack]
        sizes = np.array([int(np.prod(s.shape)) for s in stacks], np.int64)

        def first(images: Integers, stack: Integers) -> Integers:
            return np.where(images >= 0, begins[stack] + images * sizes[stack], -1)

        noisy, clean, second = (
            np.array([getattr(v, role) for _, v in rows], np.int64) for role in ("noisy", "clean", "second")
        )
        self.noisy, self.clean, self.second = (first(r, self.stack) for r in (noisy, clean, second))
        self.dose, self.offset, self.scale = (
            np.array([getattr(v, name) for _, v in rows], np.float64) for name in ("dose", "offset", "scale")
        )
        self.prior = first(np.array([s.prior for s in stacks], np.int64), np.arange(len(stacks)))
        self.prior_offset = np.array([s.prior_offset for s in stacks])
        self.prior_scale = np.array([s.prior_scale for s in stacks])
        self.drawn: Integers = np.flatnonzero(noisy >= 0)
        self.others: Integers = np.flatnonzero(clean >= 0)
        if not len(self.drawn):
            raise ValueError("a pool needs noisy images")
        self.has_clean = bool((clean[self.drawn] >= 0).all())
        self.has_second = bool((second[self.drawn] >= 0).all())
        self.has_prior = bool((self.prior[self.stack[self.drawn]] >= 0).all())
        variants = np.bincount(self.stack, minlength=len(stacks))
        self._weight = (np.sqrt(sizes) / variants)[self.stack]

    def choose(self, rng: np.random.Generator, among: Integers, count: int) -> Integers:
        """Draw variants."""
        total = np.cumsum(self._weight[among])
        place = np.searchsorted(total, rng.random(count) * total[-1], side="right")
        return np.asarray(among[np.minimum(place, len(among) - 1)], np.int64)


def _flattened(stacks: Sequence[Stack]) -> npt.NDArray[np.float32]:
    flat = np.empty(sum(s.voxels.size for s in stacks), np.float32)
    begin = 0
    for stack in stacks:
        end = begin + stack.voxels.size
        flat[begin:end] = np.asarray(stack.voxels).reshape(-1)
        begin = end
    return flat
