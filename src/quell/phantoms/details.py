"""What a reader looks for in an organ: lesions, small vessels, calcifications, gas bubbles."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from quell.image import BoolArray, FloatArray
from quell.phantoms.shapes import Canvas, add, ellipsoid, paint, wobble
from quell.phantoms.tubes import Tubes, grow_tree, join, tube_coverage


def lesions(
    rng: np.random.Generator,
    canvas: Canvas,
    count: int,
    *,
    contrast: tuple[float, float],
    mask: BoolArray | None = None,
    diameter: tuple[float, float] = (2.0, 20.0),
    darker: float = 0.5,
) -> None:
    """Add round lesions of log-uniform contrast and diameter (pixels), centred in `mask`."""
    mask_2d = np.ones(canvas.plane, bool) if mask is None else mask[len(mask) // 2]
    where = np.argwhere(mask_2d) if count else np.empty((0, 2), np.int64)
    if not len(where):
        return
    for row, column in where[rng.integers(len(where), size=count)]:
        r = np.exp(rng.uniform(*np.log(diameter))) / 2 / canvas.scale
        size = np.exp(rng.uniform(*np.log(contrast))) * (-1 if rng.random() < darker else 1)
        k = canvas.values.shape[0] // 2
        place = (rng.normal(0, 0.5) * r, float(canvas.y[k, row, column]), float(canvas.x[k, row, column]))
        region = ellipsoid(canvas, place, (r * 1.3, r, r * rng.uniform(0.8, 1.25)), angle=rng.uniform(0, 3),
                           outline=wobble(rng, rng.choice([0.0, 0.1, 0.25])))  # fmt: skip
        add(canvas, region, float(size), edge=float(rng.uniform(1, 3)))


def vessel_tree(
    rng: np.random.Generator,
    canvas: Canvas,
    start: tuple[float, float, float],
    direction: tuple[float, float, float],
    *,
    radius: float,
    flatness: float = 0.0,
    forking: float = 0.12,
) -> Tubes:
    """Grow a vessel tree down to the finest visible branch; `flatness` keeps it near the slices' plane."""
    thinnest = 0.3 / canvas.scale
    tree = grow_tree(rng, start, direction, radius, step=0.045, forking=forking, thinnest=thinnest)
    squeeze = np.array([1 - flatness, 1, 1], np.float32)
    return tree._replace(start=tree.start * squeeze, end=tree.end * squeeze)


def add_vessels(canvas: Canvas, trees: list[Tubes], inside: FloatArray, contrast: float) -> None:
    """Add vessel trees of one contrast where `inside` is 1; where they cross they do not add up."""
    canvas.values += tube_coverage(canvas, join(trees)) * inside * np.float32(contrast)


def specks(rng: np.random.Generator, canvas: Canvas, palette: Mapping[str, float]) -> None:
    """Scatter a few calcifications of 1 to 2 pixels and gas bubbles."""
    for name, most, low, high in (("cortex", 6, 0.5, 1.2), ("gas", 4, 0.6, 3.0)):
        for _ in range(rng.integers(0, most)):
            r = rng.uniform(low, high) / canvas.scale
            angle, far = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.7)
            place = (rng.normal(0, 1) * r, 0.7 * far * np.sin(angle), far * np.cos(angle))
            paint(canvas, ellipsoid(canvas, place, (2 * r, r, r)), palette[name])


def strands(
    rng: np.random.Generator, canvas: Canvas, inside: FloatArray, length: float, width: float, contrast: float
) -> None:
    """Add a net of thin sheets: septa of fat in muscle, fibres in fat.

    Parameters
    ----------
    rng : numpy.random.Generator
    canvas : Canvas
    inside : ndarray
        Weight of the net.
    length : float
        Mesh, in body units (at least 5 pixels).
    width : float
        Half thickness in pixels.
    contrast : float
    """
    mesh = max(length * canvas.scale, 5.0)
    field = canvas.field(rng, mesh / canvas.scale)
    far = np.abs(field) * np.float32(0.7 * mesh)
    seen = width if width >= 0.5 else (2 * width) ** 0.5 - 0.5
    thin = np.clip(np.float32(seen + 0.5) - far, 0, 1)
    canvas.values += inside * thin * np.float32(contrast)
