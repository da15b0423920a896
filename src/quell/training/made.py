"""What training draws beforehand: procedural anatomy, and objects with the noise of a whole scanner.

What the laws of `quell.training.laws` leave out (grains of an iterative reconstruction, speckle of an
aperture, k-space of an MR) is made once, by the models of `quell.noise`, and packed beside the references.
Seeds are those of training in `quell.training.data.objects`, so that no benchmark meets the same object.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quell.errors import QuellError
from quell.evaluation.benchmark.subjects import scanner_of
from quell.image import FloatArray
from quell.noise.spectrum import describe
from quell.phantoms.procedural import random_anatomy, random_style
from quell.training.data.noise import Roles, scan_truth
from quell.training.data.objects import TRAIN_SEEDS, draw_object
from quell.training.sectors import sector_maps
from quell.training.sowing import LESIONS, sow

REALISATIONS = 3
"""Noisy images of a dose; the level is read off their differences from the mean."""

_WIDTH = 9
"""Side in pixels of the square over which the variance is averaged."""

_FLOOR = 0.1
"""Lowest level, in shares of the mean one: where there is no signal there may be no noise to be found."""

_PHANTOM = (3, 256, 256)

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Recipe:
    """How many objects of a kind are scanned.

    Attributes
    ----------
    kind : str
        One of `quell.inference.kinds.KINDS`.
    objects : tuple of str
        Names of `quell.phantoms.objects.OBJECTS`, taken in turn.
    count : int
    doses : tuple of float
        Two are drawn for each object, evenly over the logarithm between the two.
    """

    kind: str
    objects: tuple[str, ...]
    count: int
    doses: tuple[float, float]


RECIPES = (
    Recipe("PT", ("anatomy-pet",), 120, (0.02, 0.9)),
    Recipe("SPECT", ("anatomy-spect", "spect-cardiac"), 70, (0.05, 0.9)),
    Recipe("NM", ("anatomy-nm", "anatomy-nm", "bone-scan"), 200, (0.02, 0.9)),
    Recipe("US", ("anatomy-us",), 90, (1.0, 16.0)),
    Recipe("XR", ("anatomy-xr",), 40, (0.02, 0.9)),
)


def scan_objects(
    out: Path, recipes: tuple[Recipe, ...] = RECIPES, seed: int = 0, workers: int = 1
) -> list[dict[str, Any]]:
    """Scan objects and write them as arrays.

    Parameters
    ----------
    out : Path
        Folder; made if absent. Arrays have the shape (3 + REALISATIONS, z, y, x): clean, level, where
        lesions were put in, noisy.
    recipes : tuple of Recipe
    seed : int
    workers : int
        Processes.

    Returns
    -------
    list of dict
        Rows for the index of a pack: ``file``, ``modality`` (the kind), ``made`` (true), ``split``,
        ``contrast``, ``noise``, ``volume``, ``shape`` and ``descriptor`` of the noise.
    """
    out.mkdir(parents=True, exist_ok=True)
    tasks = [(out, recipe, number, seed) for recipe in recipes for number in range(recipe.count)]
    found = _side_by_side(_one, tasks, workers)
    return [row for rows in found for row in rows]


def draw_phantoms(out: Path, count: int, seed: int = 0, workers: int = 1) -> list[dict[str, Any]]:
    """Draw procedural anatomy and write it as arrays of three slices.

    Parameters
    ----------
    out : Path
        Folder; made if absent.
    count, seed, workers : int

    Returns
    -------
    list of dict
        Rows for the index of a pack; ``modality`` is the style, ``phantom`` is true.
    """
    out.mkdir(parents=True, exist_ok=True)
    return _side_by_side(_phantom, [(out, number, seed) for number in range(count)], workers)


def _phantom(out: Path, number: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng([seed, len(RECIPES), number])
    style = random_style(rng)
    voxels = random_anatomy(rng, _PHANTOM, style)
    row: dict[str, Any] = {"file": f"phantom_{number:04d}.npy", "modality": style, "phantom": True}
    np.save(out / row["file"], voxels)
    if style == "body":
        row["sectors"] = f"phantom_{number:04d}.sectors.npy"
        np.save(out / row["sectors"], sector_maps(1000 * voxels, float(rng.uniform(0.8, 2.0))))
    return row | {
        "split": "train",
        "contrast": 1.0,
        "noise": 0.0,
        "volume": True,
        "shape": list(voxels.shape),
    }


def _side_by_side(make: Callable[..., Any], tasks: list[tuple[Any, ...]], workers: int) -> list[Any]:
    if workers == 1:
        return [make(*task) for task in tasks]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return list(pool.map(make, *zip(*tasks, strict=True), chunksize=1))


def _one(out: Path, recipe: Recipe, number: int, seed: int) -> list[dict[str, Any]]:
    """Scan one object at two doses."""
    kind = [one.kind for one in RECIPES].index(recipe.kind)
    rng = np.random.default_rng([seed, kind, number])
    name = recipe.objects[number % len(recipe.objects)]
    drawn = draw_object(name, int(rng.integers(*TRAIN_SEEDS))).made
    low, high = np.log(recipe.doses)
    doses = tuple(float(np.exp(rng.uniform(low, high))) for _ in range(2))
    if recipe.kind == "US":
        doses = tuple(float(max(1, round(dose))) for dose in doses)
    scanner = replace(scanner_of(drawn), **_scanner(recipe.kind, rng))  # type: ignore[type-var]
    truth, focus = drawn.truth, np.zeros_like(drawn.truth.voxels)
    if recipe.kind in LESIONS:
        truth, focus = sow(truth, LESIONS[recipe.kind], rng)
    try:
        roles = scan_truth(truth, scanner, doses, REALISATIONS, (seed, kind, number))
    except QuellError:
        # Too low a dose for this object: the next one serves.
        return []
    rows = []
    for dose in range(len({variant.dose for variant in roles.variants})):
        stem = f"made_{recipe.kind}_{number:03d}_{dose}"
        arrays, row = _described(roles, dose, focus)
        np.save(out / f"{stem}.npy", arrays)
        rows.append(row | {"file": f"{stem}.npy", "modality": recipe.kind, "source": name})
    return rows


def _described(roles: Roles, dose: int, focus: FloatArray) -> tuple[FloatArray, dict[str, Any]]:
    """Return clean, level, focus and noisy images of a dose, and their row of the index."""
    chosen = sorted({variant.dose for variant in roles.variants})[dose]
    same = [variant for variant in roles.variants if variant.dose == chosen]
    clean = roles.images[same[0].clean]
    noisy = np.stack([roles.images[variant.noisy] for variant in same])
    # The mean over the realisations, so that a bias of the reconstruction is no noise.
    apart = noisy - noisy.mean(axis=0)
    variance = apart.var(axis=0, dtype=np.float64) * len(same) / (len(same) - 1)
    level = _level(variance)
    unit = np.divide(apart, level, out=np.zeros_like(apart), where=level > 0)
    spectrum = np.abs(np.fft.fft2(unit.astype(np.float64))) ** 2
    low, high = np.percentile(clean, (0.5, 99.5))
    row = {
        "made": True,
        "split": "train",
        "contrast": float(max(high - low, 1e-6)),
        "noise": 0.0,
        "volume": bool(roles.like.volume and len(clean) > 1),
        "shape": list(clean.shape),
        "descriptor": [float(value) for value in describe(spectrum.mean(axis=(0, 1)))],
    }
    return np.concatenate([clean[None], level[None], focus[None], noisy]).astype(np.float32), row


def _level(variance: NDArray[np.float64]) -> FloatArray:
    """Return the smoothed standard deviation, shape (z, y, x), and 0 where it is next to nothing."""
    from scipy.ndimage import uniform_filter

    deep = min(3, len(variance))
    smooth = np.sqrt(np.maximum(uniform_filter(variance, (deep, _WIDTH, _WIDTH), mode="nearest"), 0))
    level: FloatArray = np.where(smooth >= _FLOOR * smooth.mean(), smooth, 0).astype(np.float32)
    return level


def _scanner(kind: str, rng: np.random.Generator) -> Settings:
    """Draw the settings of a scanner: no two of a kind are alike."""
    drawn: dict[str, dict[str, Any]] = {
        "PT": {
            "resolution_mm": float(rng.uniform(4, 6.5)),
            "iterations": int(rng.integers(2, 5)),
            "post_filter_mm": float(rng.uniform(2, 9)),
            "axial_filter": float(rng.uniform(0, 0.4)),
        },
        "SPECT": {
            "iterations": int(rng.integers(2, 6)),
            "cutoff": float(rng.uniform(0.3, 0.8)),
            "collimator_slope": float(rng.uniform(0.03, 0.05)),
        },
        "NM": {"resolution_mm": float(rng.uniform(4, 10))},
        "US": {
            "frequency": float(rng.uniform(2.5, 10)),
            "bandwidth": float(rng.uniform(0.4, 0.8)),
            "f_number": float(rng.uniform(1.2, 3)),
            "dynamic_range": float(rng.uniform(50, 75)),
        },
        "XR": {
            "quanta_per_value": float(np.exp(rng.uniform(np.log(0.3), np.log(3)))),
            "mtf50": float(rng.uniform(0.9, 2.2)),
            "white_share": float(rng.uniform(0.1, 0.6)),
        },
    }
    return drawn[kind]
