"""Pictures of the report: one window for before and after, and what was removed on a symmetric scale."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quell.evaluation.evidence.detection import Detected
from quell.evaluation.evidence.record import Shown
from quell.evaluation.evidence.resolution import Rods
from quell.evaluation.report.record import Picture
from quell.image import FloatArray

SIDE = 240


def picture(
    before: FloatArray, after: FloatArray, caption: str, window: tuple[float, float] | None = None
) -> Picture:
    """Return a picture whose window, where none is given, holds what the middle of the denoised one shows."""
    if window is None:
        low, high = np.percentile(after, (5, 99.5))
        margin = 0.3 * (high - low) or 1.0
        # Counts and magnitudes have nothing below zero to be shown.
        floor = -np.inf if before.min() < 0 else 0.0
        window = (float(max(low - margin, floor)), float(high + margin))
    limit = float(np.percentile(np.abs(before - after), 99.5)) or 1.0
    return Picture(before, after, window, limit, caption=caption)


def centred(plane: FloatArray, centre: tuple[int, int], side: int = SIDE) -> FloatArray:
    """Return the part of a plane around a pixel, as far as it goes."""
    cut = []
    for at, size in zip(centre, plane.shape, strict=True):
        first = min(max(at - side // 2, 0), max(size - side, 0))
        cut.append(slice(first, first + side))
    return plane[cut[0], cut[1]]


def task_pictures(detected: Sequence[Detected], low: float, units: str) -> tuple[Shown, ...]:
    """Return one image of each task at a dose: that with its first signal."""
    found: dict[str, Shown] = {}
    for one in detected:
        if one.dose == low and one.task.name not in found:
            before, after = (
                centred(plane, (plane.shape[0] // 2, plane.shape[1] // 2)) for plane in one.shown
            )
            middle, spread = float(one.before.absent.mean()), float(one.before.absent.std())
            window = (middle - 3 * spread, middle + 3 * spread)
            caption = f"{one.task.name}, {one.signal.name} {one.task.contrast_units}, dose {one.dose:g}"
            found[one.task.name] = Shown(picture(before, after, caption, window), units)
    return tuple(found.values())


def rod_pictures(rods: Sequence[Rods]) -> tuple[Shown, ...]:
    """Return the inserts once, and averaged over all repeats: what was removed of them each time."""
    if not rods:
        return ()
    one = rods[0]
    middle = (one.repeats.noisy.shape[1] // 2, one.repeats.noisy.shape[2] // 2)
    contrasts = sorted(abs(insert.contrast) for insert in one.inserts)
    mean = [stack.mean(axis=0).astype(np.float32) for stack in (one.repeats.noisy, one.repeats.denoised)]
    ground = float(np.median(mean[0][mean[0] > mean[0].min() / 2 + mean[0].max() / 2 - np.ptp(mean[0]) / 4]))
    span = contrasts[len(contrasts) // 2] if one.repeats.units == "HU" else 0.0
    window = (ground - 1.5 * span, ground + 1.5 * span) if span else None
    captions = (f"Inserts, dose {one.repeats.dose:g}", f"Mean of {len(one.repeats.noisy)} such images")
    pairs = ((one.repeats.noisy[0], one.repeats.denoised[0]), (mean[0], mean[1]))
    return tuple(
        Shown(picture(centred(a, middle, 320), centred(b, middle, 320), caption, window), one.repeats.units)
        for (a, b), caption in zip(pairs, captions, strict=True)
    )
