"""How much of the contrast of small and faint inserts is kept: the answer of a non-linear method.

A transfer function is measured at the edge of a large insert and says nothing of a small faint one: a method
that tells noise from structure treats the two differently.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from quell.errors import QuellError
from quell.evaluation.metrics.contracts import Values
from quell.evaluation.metrics.statistics import Interval, bca_bounds, bootstrap_mean
from quell.image import FloatArray
from quell.phantoms.uniform import Insert, disc_coverage

_GAP, _RING = 2.0, 8.0
_REPEATS = 2000


@dataclass(frozen=True)
class Recovery:
    """What is left of one insert.

    Attributes
    ----------
    insert : Insert
        What it truly is.
    recovery : Interval
        Measured contrast over the true one: the contrast recovery coefficient. The interval is over the
        images.
    kept : Interval or None
        Contrast after denoising over that before, in the same images; None where only one was given.
        1 means that nothing of it was taken.
    """

    insert: Insert
    recovery: Interval
    kept: Interval | None = None


def contrasts(images: FloatArray | Values, insert: Insert) -> Values:
    """Return the contrast of an insert in each image: its mean minus that of a ring around it.

    Parameters
    ----------
    images : ndarray, shape (n, y, x)
    insert : Insert
        Pixels count by the share of them that it covers; the ring begins two pixels from its edge and is
        eight pixels wide.

    Returns
    -------
    ndarray, shape (n,)

    Raises
    ------
    QuellError
        If the ring leaves the image.
    """
    stack = np.asarray(images, np.float64)
    if stack.ndim != 3:
        raise QuellError(f"contrast recovery needs a stack of images, got shape {stack.shape}")
    reach = insert.radius + _GAP + _RING
    if not all(reach <= c <= n - 1 - reach for c, n in zip(insert.centre, stack.shape[1:], strict=True)):
        raise QuellError(f"the insert at {insert.centre} needs {reach:.0f} pixels of image on every side")
    shape = (stack.shape[1], stack.shape[2])
    cover = disc_coverage(shape, insert.radius, insert.centre)
    y, x = np.indices(shape)
    away = np.hypot(y - insert.centre[0], x - insert.centre[1]) - insert.radius
    ring = (away >= _GAP) & (away <= _GAP + _RING)
    inside = (stack * cover).sum(axis=(1, 2)) / cover.sum()
    return np.asarray(inside - stack[:, ring].mean(axis=1), np.float64)


def contrast_recovery(
    images: FloatArray | Values,
    inserts: Sequence[Insert],
    noisy: FloatArray | Values | None = None,
    *,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[Recovery, ...]:
    """Measure how much of each insert is left.

    Parameters
    ----------
    images : ndarray, shape (n, y, x)
        Slices or repeats that show the same inserts at the same places.
    inserts : sequence of Insert
        Apart from each other by ten pixels at least.
    noisy : ndarray, shape (n, y, x), optional
        The images before denoising.
    level : float
        Nominal coverage of the intervals.
    seed : int

    Returns
    -------
    tuple of Recovery
        In the order of the inserts.
    """
    if noisy is not None and np.shape(noisy) != np.shape(images):
        raise QuellError(f"shapes differ: {np.shape(noisy)} before denoising, {np.shape(images)} after")
    found = []
    for insert in inserts:
        after = contrasts(images, insert)
        recovery = bootstrap_mean(after / insert.contrast, level=level, seed=seed)
        kept = None if noisy is None else _ratio(after, contrasts(noisy, insert), level, seed)
        found.append(Recovery(insert, recovery, kept))
    return tuple(found)


def _ratio(after: Values, before: Values, level: float, seed: int) -> Interval:
    """Return the ratio of two means of the same images with an interval."""
    number = len(after)
    value = float(after.mean() / before.mean())
    if number < 2:
        return Interval(value, float("nan"), float("nan"), level, number)
    drawn = np.random.default_rng(seed).integers(0, number, (_REPEATS, number))
    replicates = after[drawn].mean(axis=1) / before[drawn].mean(axis=1)
    without = (after.sum() - after) / (before.sum() - before)
    return Interval(value, *bca_bounds(value, replicates, without, level), level, number)
