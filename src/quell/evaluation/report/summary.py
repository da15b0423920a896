"""Sum up what was done to one series: its noise before and after, and a few pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from quell.evaluation.report.record import NoiseSummary, Picture, SeriesRecord
from quell.image import FloatArray, Image, Modality
from quell.inference.contracts import Denoised
from quell.inference.levels import foreground_level, level_percentiles
from quell.noise.flat import flat_noise_ratio, share_in_a_block
from quell.noise.spectrum import bin_centres, radial_power

SOFT_TISSUE = (-160.0, 240.0)
LUNG = (-1350.0, 150.0)

_LUNG_SHARE = 0.6
_NOWHERE_FLAT = "what is left of the noise was not measured: no part of the image is flat enough"
_ENOUGH_FOR_THREE = 9


def summarise(
    record: SeriesRecord, image: Image, result: Denoised, places: Sequence[int] = ()
) -> SeriesRecord:
    """Return the record with the noise before and after, pictures and warnings.

    Parameters
    ----------
    record : SeriesRecord
    image : Image
        The series, or some of its slices.
    result : Denoised
        Of this image.
    places : sequence of int
        The z index in the series of each slice of the image, where it is not the whole.

    Notes
    -----
    The level after is the level before times what is left of the standard deviation in the flat
    parts of the image (`quell.noise.flat`): an estimator trained on noisy images would be out of
    its depth on a denoised one.
    """
    p5, median, p95 = level_percentiles(result.noise, image, (5, 50, 95))
    power = radial_power(result.noise.descriptor)
    frequencies = tuple(float(f) for f in bin_centres())
    before = NoiseSummary(median, p5, p95, frequencies, tuple(float(p) for p in power))
    # Beside the patient there is little noise, and next to none of it is taken away.
    shown = foreground_level(result.noise, image) * np.float32(share_in_a_block(result.noise.descriptor))
    left = flat_noise_ratio(image, result.image.voxels, shown)
    after = None if left is None else NoiseSummary(median * left, p5 * left, p95 * left)
    warnings, notes = record.warnings, record.notes
    if left is None and median > 0:
        notes = (*notes, _NOWHERE_FLAT)
    if median == 0:
        warnings = (*warnings, "no noise was found: the image is constant and was left as it is")
    where = np.array(places if places else range(image.shape[0]))
    depth = record.shape[0] if places else image.shape[0]
    chosen = (int(np.abs(where - z).argmin()) for z in _shown(depth))
    captions = {i: _caption(image, int(where[i]), depth) for i in chosen}
    pictures = tuple(
        _picture(image, result.image.voxels, i, 4 * median, caption) for i, caption in captions.items()
    )
    return replace(
        record,
        noise_before=before,
        noise_after=after,
        notes=notes,
        warnings=warnings,
        pictures=pictures,
    )


def _shown(depth: int) -> tuple[int, ...]:
    """Return the slices to show: the middle one, and two more of a long series."""
    if depth < _ENOUGH_FOR_THREE:
        return (depth // 2,)
    return (depth // 4, depth // 2, 3 * depth // 4)


def _caption(image: Image, z: int, depth: int) -> str:
    kind = "slice" if image.volume or depth == 1 else "frame"
    return f"{kind} {z + 1} of {depth}"


def _picture(image: Image, after: FloatArray, z: int, limit: float, caption: str) -> Picture:
    _, dy, dx = image.geometry.spacing
    before = image.voxels[z].copy()
    window = display_window(image, z)
    return Picture(before, after[z].copy(), window, limit or 1.0, dy / dx, caption)


def display_window(image: Image, z: int) -> tuple[float, float]:
    """Return the usual display limits for a slice, in the units of the image.

    CT: soft tissue (-160 to 240 HU), or lung where the slice shows much of it. Counts and activity: from
    zero to the 99.8th percentile. Others: the 0.5th to the 99.7th percentile.
    """
    pixels = image.voxels[z]
    if image.padding is not None and not image.padding[z].all():
        pixels = pixels[~image.padding[z]]
    if image.modality is Modality.CT and image.units == "HU":
        lung = ((pixels > -950) & (pixels < -700)).sum()
        tissue = ((pixels > -200) & (pixels < 200)).sum()
        return LUNG if lung > _LUNG_SHARE * tissue else SOFT_TISSUE
    if image.modality in (Modality.PT, Modality.NM):
        low, high = 0.0, float(np.percentile(pixels, 99.8))
    else:
        low, high = (float(v) for v in np.percentile(pixels, (0.5, 99.7)))
    if not high > low:
        low, high = float(pixels.min()), float(pixels.max())
    return (low, high) if high > low else (low - 0.5, low + 0.5)
