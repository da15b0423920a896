"""Denoise a long series a stretch at a time, so that memory does not grow with its length.

The noise is read off the same slices as in a series that is held whole. While the network has one stretch,
the next is read and the one before written.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from quell.formats.contracts import LongSeries, Series, SliceWriter
from quell.image import FloatArray, Image, Modality
from quell.jobs.common import Progress
from quell.jobs.denoiser_choice import Denoising
from quell.jobs.denoising_settings import JobSettings
from quell.jobs.treated import Treated, origin

if TYPE_CHECKING:
    from quell.inference.contracts import NoiseMap
    from quell.inference.network_denoiser import NetworkDenoiser

LONG = 96
"""From this many slices on a series is treated in stretches."""

STRETCH = 32
"""Slices that are held at a time, besides their neighbours, those before and those after them."""

_REACH = 2
"""Neighbours on each side, as many as the widest network takes in."""

_MODALITIES = (Modality.CT, Modality.MR)
"""Of the others the level of the noise, or the scale of a slice, is found from the whole."""


def is_long(series: Series, settings: JobSettings, denoising: Denoising) -> bool:
    """Whether a series is to be, and can be, treated in stretches.

    Gaps, a prior image, a method that learns from the series, and outputs beside the denoised image need it
    whole.
    """
    from quell.inference.network_denoiser import NetworkDenoiser

    asks_for_more = settings.residual or settings.noise_map or settings.spread or settings.prior is not None
    return (
        isinstance(series, LongSeries)
        and series.modality in _MODALITIES
        and series.volume
        and series.shape[0] >= LONG
        and not series.gaps
        and not asks_for_more
        and series.slice_by_slice
        and isinstance(denoising.denoiser(series.modality, series.volume), NetworkDenoiser)
    )


def denoise_long(
    series: Series, denoising: Denoising, out: Path, settings: JobSettings, watch: Progress
) -> Treated:
    """Denoise a series for which `is_long` holds."""
    from quell.inference.contracts import Denoised
    from quell.inference.estimation import filled_in, surveyed
    from quell.inference.network_denoiser import NetworkDenoiser

    denoiser = denoising.denoiser(series.modality, series.volume)
    assert isinstance(series, LongSeries) and isinstance(denoiser, NetworkDenoiser)
    depth, clocks = series.shape[0], [time.perf_counter()]
    places = surveyed(depth)
    survey = series.read_slices(places)
    clocks.append(time.perf_counter())
    found = denoiser.survey(survey, "auto" if settings.sigma is None else settings.sigma)
    watch.advance("estimate", depth)
    clocks.append(time.perf_counter())
    dose = denoising.strength(survey), denoising.grain(survey)
    treat = partial(_treated, denoiser, filled_in(found, places, depth), dose, watch)
    after = np.empty_like(survey.voxels)
    with series.writer(survey, out, origin(denoising, survey, settings), settings.write) as writer:
        for first, voxels in _through(series, treat, writer, watch):
            for place, z in enumerate(places):
                if first <= z < first + len(voxels):
                    after[place] = voxels[z - first]
        clocks.append(time.perf_counter())
    clocks.append(time.perf_counter())
    seconds = dict(zip(("read", "estimate", "network", "write"), np.diff(clocks).tolist(), strict=True))
    result = Denoised(survey.with_voxels(after), found, seconds)
    return Treated(survey, result, (writer.written(),), places=tuple(places))


@dataclass(frozen=True, eq=False)
class _Stretch:
    """Slices that follow one another, with their neighbours.

    Attributes
    ----------
    image : Image
    first : int
        The z index of its first slice.
    wanted : range
        The z indices of the slices that are no mere neighbours.
    """

    image: Image
    first: int
    wanted: range


def _through(
    series: LongSeries, treat: Callable[[_Stretch], FloatArray], writer: SliceWriter, watch: Progress
) -> Iterator[tuple[int, FloatArray]]:
    """Read, treat and write all stretches; yield each when it is treated, with its first z index."""
    depth = series.shape[0]
    stretches = [range(start, min(start + STRETCH, depth)) for start in range(0, depth, STRETCH)]
    # One thread at the door: silencing the warnings of the DICOM library holds for all threads.
    with ThreadPoolExecutor(1) as door:
        coming = door.submit(_read, series, stretches[0], watch)
        leaving: Future[None] | None = None
        for number, wanted in enumerate(stretches):
            stretch = coming.result()
            if number + 1 < len(stretches):
                coming = door.submit(_read, series, stretches[number + 1], watch)
            voxels = treat(stretch)
            if leaving is not None:
                leaving.result()
            leaving = door.submit(_write, writer, wanted, voxels, watch)
            yield wanted.start, voxels
        if leaving is not None:
            leaving.result()


def _read(series: LongSeries, wanted: range, watch: Progress) -> _Stretch:
    first = max(wanted.start - _REACH, 0)
    image = series.read_slices(range(first, min(wanted.stop + _REACH, series.shape[0])))
    watch.advance("read", len(wanted))
    return _Stretch(image, first, wanted)


def _write(writer: SliceWriter, wanted: range, voxels: FloatArray, watch: Progress) -> None:
    writer.put(wanted.start, voxels)
    watch.advance("write", len(wanted))


def _treated(
    denoiser: NetworkDenoiser,
    noise: NoiseMap,
    dose: tuple[float, float],
    watch: Progress,
    stretch: _Stretch,
) -> FloatArray:
    image, first = stretch.image, stretch.first
    level = noise.level[first : first + image.shape[0]].copy()
    level[[not np.ptp(pixels) > 0 for pixels in image.voxels]] = 0
    here = replace(noise, level=level, shape=image.shape)
    wanted = range(stretch.wanted.start - first, stretch.wanted.stop - first)
    return denoiser.treat(image, here, *dose, wanted, watch.advance)
