"""Folders of small images, and methods that want them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from quell.image import Modality
from quell.methods.base import BaseMethod
from quell.methods.contracts import Fidelity, MethodFacts, Need


def method(modality: str = "NM", need: Need = Need.PAIRED, **facts: Any) -> type[BaseMethod]:
    """Return a method of which there is no more than what it needs."""

    class Wanting(BaseMethod):
        pass

    Wanting.facts = MethodFacts("wanting", "", "", Fidelity.OURS, need, (Modality(modality),), **facts)
    return Wanting


def write(path: Path, voxels: np.ndarray, spacing: float = 2.0, origin: float = 0.0) -> Path:
    """Write voxels (z, y, x) as NIfTI."""
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = origin
    nibabel.save(nibabel.Nifti1Image(voxels.T.astype(np.float32), affine), path)
    return path


def counts(rng: np.random.Generator, shape: tuple[int, ...] = (1, 64, 64), level: float = 40.0) -> np.ndarray:
    """Return Poisson counts of a smooth scene."""
    _, y, x = np.indices(shape)
    return rng.poisson(level * (1.2 + np.sin(y / 9) * np.cos(x / 7)))


def scans(folder: Path, number: int, **options: Any) -> Path:
    """Fill a folder with planar scans, each of its own patient."""
    rng = np.random.default_rng(3)
    for k in range(number):
        write(folder / f"scan{k}.nii.gz", counts(rng, **options))
    return folder


def levels(
    folder: Path, names: dict[str, tuple[int, ...]], seed: int = 0, sigma: float = 1.0, **place: float
) -> None:
    """Fill a folder with images of one smooth scene for each name, and noise by the seed."""
    for number, (name, shape) in enumerate(names.items()):
        rng = np.random.default_rng([seed, number])
        scene = 50 + 20 * np.sin(np.arange(shape[-1]) / (5 + number))
        write(folder / f"{name}.nii.gz", scene + sigma * rng.standard_normal(shape), **place)
