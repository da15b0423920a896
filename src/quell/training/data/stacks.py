"""From the roles of an image to what is kept of it: cropped around the patient, and scaled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from quell.filters.level import foreground
from quell.image import Image
from quell.models.scaling import Scaling, usual_scaling
from quell.training.data.contracts import NONE, Stack, ValidationCase, Variant
from quell.training.data.noise import Roles

CASE_SIDE = 192
"""Longest side in pixels of what is validated on."""

_CASE_SLICES = 9
_CASE_DEPTH = 64
_MOST_CASES = 24
_SQUARE = 1e-2

Points = npt.NDArray[np.float64]
Box = tuple[slice, slice]


def make_stack(
    name: str,
    patient: str,
    roles: Roles,
    scaling: Scaling,
    side: int | None,
    prior: Image | None = None,
    points: Points | None = None,
) -> Stack:
    """Put the roles of an image, its prior and its points together.

    Parameters
    ----------
    name, patient : str
    roles : Roles
    scaling : Scaling
        Offset and scale are those of each noisy image; of the clean one where there is no noisy one.
    side : int or None
        Crop rows and columns to at most so many pixels around the patient.
    prior : Image, optional
        On the same grid; scaled as is usual for its own modality.
    points : ndarray, shape (p, 3), optional
    """
    like = roles.like
    images = [*roles.images, *(() if prior is None else (prior.voxels,))]
    box = around(like.with_voxels(roles.images[0]), side)
    voxels = np.stack([one[:, box[0], box[1]] for one in images])
    found = np.empty((0, 3)) if points is None else points - [0, box[0].start, box[1].start]
    return Stack(
        name,
        patient,
        voxels,
        tuple(_scaled(v, roles, scaling) for v in roles.variants),
        like.modality,
        like.units,
        NONE if prior is None else len(roles.images),
        *((0.0, 1.0) if prior is None else usual_scaling(prior.modality).of(prior)),
        found,
        like.volume and like.shape[0] > 1,
        like.gaps,
        abs(like.geometry.spacing[1] / like.geometry.spacing[2] - 1) < _SQUARE,
    )


def _scaled(variant: Variant, roles: Roles, scaling: Scaling) -> Variant:
    source = roles.images[variant.noisy if variant.noisy >= 0 else variant.clean]
    offset, scale = scaling.of(roles.like.with_voxels(source))
    return replace(variant, offset=offset, scale=scale)


def around(image: Image, side: int | None) -> Box:
    """Return rows and columns of at most `side` pixels around the middle of the patient."""
    _, rows, columns = image.shape
    if side is None or max(rows, columns) <= side:
        return slice(0, rows), slice(0, columns)
    low, _ = foreground(image)
    mask = np.any(image.voxels > np.float32(low), axis=0)
    found = (np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0)))
    y, x = (_window(places, n, side) for places, n in zip(found, mask.shape, strict=True))
    return y, x


def _window(places: npt.NDArray[np.int64], length: int, side: int) -> slice:
    middle = (int(places[0]) + int(places[-1]) + 1) // 2 if len(places) else length // 2
    size = min(side, length)
    start = int(np.clip(middle - size // 2, 0, length - size))
    return slice(start, start + size)


def validation_cases(stacks: Sequence[Stack], dimensions: int) -> tuple[ValidationCase, ...]:
    """Return cases to validate on: of each stack one for each dose, of all at most 24.

    Parameters
    ----------
    stacks : sequence of Stack
    dimensions : int
        2: nine neighbouring slices from the middle; 3: up to 64.
    """
    chosen = []
    for stack in stacks:
        doses: dict[float, Variant] = {}
        for variant in stack.variants:
            if variant.noisy >= 0:
                doses.setdefault(variant.dose, variant)
        chosen += [(stack, variant) for variant in doses.values()]
    if len(chosen) > _MOST_CASES:
        chosen = [chosen[int(i)] for i in np.linspace(0, len(chosen) - 1, _MOST_CASES).round()]
    return tuple(_case(stack, variant, dimensions) for stack, variant in chosen)


def _case(stack: Stack, variant: Variant, dimensions: int) -> ValidationCase:
    z = _middle_slices(stack, _CASE_DEPTH if dimensions == 3 else _CASE_SLICES)
    reference = variant.clean if variant.clean >= 0 else variant.noisy
    image = Image(np.array(stack.voxels[reference][z]), stack.modality)
    cut = (z, *around(image, CASE_SIDE))

    def part(number: int, offset: float, scale: float) -> npt.NDArray[np.float32] | None:
        if number < 0:
            return None
        return np.asarray((stack.voxels[number][cut] - np.float32(offset)) / np.float32(scale), np.float32)

    own = variant.offset, variant.scale
    noisy = part(variant.noisy, *own)
    assert noisy is not None
    points = stack.points - [one.start for one in cut]
    inside = ((points > -0.5) & (points < np.array(noisy.shape) - 0.5)).all(axis=1)
    return ValidationCase(
        f"{stack.name}, dose {variant.dose:g}",
        noisy,
        part(variant.clean, *own),
        part(variant.second, *own),
        part(stack.prior, stack.prior_offset, stack.prior_scale),
        points[inside] if inside.any() else None,
        variant.dose,
        variant.scale,
        variant.offset,
    )


def _middle_slices(stack: Stack, most: int) -> slice:
    first, last = (int(n) for n in stack.runs()[stack.shape[0] // 2])
    if not stack.volume:
        first, last = 0, stack.shape[0] - 1
    length = min(most, last - first + 1)
    start = int(np.clip(stack.shape[0] // 2 - length // 2, first, last + 1 - length))
    return slice(start, start + length)
