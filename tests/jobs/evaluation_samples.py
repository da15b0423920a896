"""Small studies to evaluate: an object with structure, its noisy image and a denoised one."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np

from quell.formats.contracts import OutputKind, Provenance, Purpose, Series, WriteOptions
from quell.formats.open import open_study

PROVENANCE = Provenance("universal.fast", "1.0", "ab" * 32, 1.0)
SHAPE = (3, 96, 80)
AFFINE = np.diag([0.7, 0.7, 3.0, 1.0])


def truth(shift: int = 0, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """Return a body in air with two organs; `shift` moves them, for another patient."""
    _, y, x = np.ogrid[tuple(slice(0, n) for n in shape)]
    body = np.where(np.hypot(y - shape[1] / 2, x - shape[2] / 2) < 0.46 * shape[2], 40.0, -1000.0)
    for at, value in ((0.4, 30.0), (0.6, -60.0)):
        organ = np.hypot(y - at * shape[1], x - at * shape[2] + shift) < 0.1 * shape[2]
        body = body + value * organ
    return np.broadcast_to(body, shape).copy()


def three(seed: int = 0, shift: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return truth with a little noise, with much, and with some of it gone."""
    rng = np.random.default_rng(seed)
    clean, noise = truth(shift), rng.standard_normal(SHAPE)
    return clean + 2 * rng.standard_normal(SHAPE), clean + 20 * noise, clean + 6 * noise


def save(voxels: np.ndarray, path: Path, affine: np.ndarray = AFFINE) -> Path:
    """Write voxels (z, y, x) as NIfTI."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(voxels.astype(np.float32).T, affine), path)
    return path


def derive(source: Path, voxels: np.ndarray, out: Path, kind: OutputKind = OutputKind.DENOISED) -> Path:
    """Write voxels as what Quell would have made of the one series at a path."""
    (series,) = open_study(source, Purpose.EVALUATE).series
    return derived(series, voxels, out, kind)


def derived(series: Series, voxels: np.ndarray, out: Path, kind: OutputKind = OutputKind.DENOISED) -> Path:
    series.write(voxels.astype(np.float32), out, kind, PROVENANCE, WriteOptions())
    return out
