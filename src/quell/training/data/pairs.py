"""Which real images show the same: by geometry, then by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quell.errors import InputError
from quell.image import Geometry, Image
from quell.training.data.images import Found

ROLES = ("clean", "noisy", "second", "prior")
"""Names of the sub-folders that give their images a role."""

_SAME_SPACING, _SAME_DIRECTION, _SAME_PLACE = 1e-3, 1e-3, 0.1


@dataclass(frozen=True)
class Grid:
    """What must agree between images of one object.

    Attributes
    ----------
    shape : tuple of int
    geometry : Geometry
    """

    shape: tuple[int, int, int]
    geometry: Geometry

    @classmethod
    def of(cls, image: Image) -> Grid:
        """Return the grid of an image."""
        return cls(image.shape, image.geometry)

    def unlike(self, other: Grid) -> str:
        """Say in what another grid differs; empty where it does not, or nobody knows."""
        if self.shape != other.shape:
            return f"its shape is {_times(other.shape)}, not {_times(self.shape)}"
        a, b = self.geometry, other.geometry
        if not (a.known and b.known):
            return ""
        if not np.allclose(a.spacing, b.spacing, rtol=_SAME_SPACING):
            return f"its spacing is {_times(b.spacing)} mm, not {_times(a.spacing)} mm"
        if not np.allclose(a.direction, b.direction, atol=_SAME_DIRECTION):
            return "its axes point elsewhere"
        apart = float(np.max(np.abs(np.subtract(a.origin, b.origin))))
        if apart > _SAME_PLACE * min(a.spacing):
            return f"it lies {apart:.3g} mm away"
        return ""


def role_folders(folder: Path) -> dict[str, Path]:
    """Return the sub-folders that give roles, by role; empty for a plain folder."""
    found = {role: folder / role for role in ROLES if (folder / role).is_dir()}
    return found if {"clean", "noisy"} & set(found) else {}


def match(
    ours: Sequence[tuple[Found, Grid]], others: Sequence[tuple[Found, Grid]], folder: Path
) -> list[Found]:
    """Return the partner of each image in another folder.

    Parameters
    ----------
    ours, others : sequence of (Found, Grid)
    folder : Path
        Of the others.

    Raises
    ------
    InputError
        If an image has no partner that aligns with it, or several and none of its name.
    """
    partners: list[Found] = []
    for one, grid in ours:
        fitting = [found for found, other in others if not grid.unlike(other)]
        named = [(found, other) for found, other in others if found.name == one.name]
        if len(fitting) > 1:
            fitting = [found for found in fitting if found.name == one.name]
            if not fitting:
                raise InputError(
                    one.place, f"several images in {folder} fit it, and none of its name: name them alike"
                )
        if not fitting and named:
            raise InputError(
                named[0][0].place, f"does not align with {one.place}: {grid.unlike(named[0][1])}"
            )
        if not fitting:
            raise InputError(one.place, f"no image in {folder} has its shape, spacing and position")
        partners.append(fitting[0])
    _refuse_shared(ours, partners)
    return partners


def _refuse_shared(ours: Sequence[tuple[Found, Grid]], partners: Sequence[Found]) -> None:
    owner: dict[int, Found] = {}
    for (one, _), partner in zip(ours, partners, strict=True):
        if id(partner) in owner:
            raise InputError(
                partner.place, f"fits both {owner[id(partner)].place} and {one.place}: name partners alike"
            )
        owner[id(partner)] = one


def _times(numbers: Sequence[float]) -> str:
    return " x ".join(f"{n:g}" for n in numbers)
