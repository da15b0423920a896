"""Measure the noise of one image in every way there is, and put it into a record."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from quell.errors import QuellError
from quell.evaluation.report.noise_record import (
    LawNumbers,
    Level,
    NoiseRecord,
    RepeatNumbers,
    SpectrumNumbers,
)
from quell.image import FloatArray, Image, Modality
from quell.inference.contracts import NoiseMap
from quell.jobs.noise_equivalents import equivalents, expected_levels
from quell.noise import measures
from quell.noise.contracts import NoiseEstimate, NoiseSpectrum
from quell.noise.estimation import estimate_noise, level_percentiles
from quell.noise.law import noise_law
from quell.noise.repeat import Repeat, compare_repeats, repeat_frames

Network = Callable[[Image], NoiseMap]
"""Estimates the noise of an image with the estimator network of a model."""

CLASSICAL = "classical estimate"
BOTH = "geometric mean of the classical estimate and the estimator network"

UNKNOWN_TO_NETWORK = (Modality.US,)
"""Speckle is wide, stretched and not Gaussian: measured alone, the classical estimate is the better one."""

_APART = 1.5
_COMMON = 0.5
_PERCENTILES = (50.0, 5.0, 25.0, 75.0, 95.0)


@dataclass(frozen=True, eq=False)
class Measured:
    """What was measured in one image.

    Attributes
    ----------
    estimate : NoiseEstimate
        The level by all estimates together, the spectrum scaled to it.
    level : Level
    warnings : tuple of str
    seconds : dict of str to float
    """

    estimate: NoiseEstimate
    level: Level
    warnings: tuple[str, ...]
    seconds: dict[str, float]


def measure(image: Image, network: Network | None) -> Measured:
    """Measure level and spectrum of an image.

    The level is the geometric mean of two estimates: the classical one mostly errs towards too much
    (texture counts as noise), the network towards too little (wide grains count as structure), and
    together they come closer to the truth than either (docs/noise/estimation.md has the figures).

    Parameters
    ----------
    image : Image
    network : callable, optional
        Without it the level is the classical one.
    """
    clock = time.perf_counter()
    classical = estimate_noise(image)
    seconds = {"classical": time.perf_counter() - clock}
    alone = level_percentiles(image, classical.level, (50.0,))[0]
    level, other, warnings = classical.level, None, []
    if network is not None and image.modality not in UNKNOWN_TO_NETWORK:
        clock = time.perf_counter()
        try:
            learned = _cropped(network(image), classical.level)
            other = level_percentiles(image, learned, (50.0,))[0]
            level = np.sqrt(classical.level * learned)
        except QuellError as error:
            warnings.append(f"the estimator network could not be asked: {error}")
        seconds["network"] = time.perf_counter() - clock
    median, p5, p25, p75, p95 = level_percentiles(image, level, _PERCENTILES)
    source = CLASSICAL if other is None else BOTH
    summary = Level(median, p5, p25, p75, p95, source, alone, other)
    if other and alone and not 1 / _APART < alone / other < _APART:
        warnings.append(
            f"the estimates differ by a factor of {max(alone / other, other / alone):.1f}: texture that "
            "looks like noise, or noise of an unusual kind"
        )
    scale = median / alone if alone > 0 else 1.0
    estimate = NoiseEstimate(level, classical.block, _scaled(classical.spectrum, scale))
    return Measured(estimate, summary, tuple(warnings), seconds)


def enter(record: NoiseRecord, image: Image, measured: Measured, other: Image | None) -> NoiseRecord:
    """Return the record of a series with everything that was measured.

    Parameters
    ----------
    record : NoiseRecord
    image : Image
    measured : Measured
    other : Image, optional
        A repeat of the image.
    """
    estimate = measured.estimate
    law = noise_law(image, estimate)
    means = equivalents(image, estimate.level, law)
    clock = time.perf_counter()
    frames = repeat_frames(image)
    against = compare_repeats(image, other) if other is not None else None
    seconds = {**measured.seconds, "repeat": time.perf_counter() - clock}
    entered = replace(
        record,
        units=image.units,
        shape=image.shape,
        spacing=image.geometry.spacing if image.geometry.known else None,
        level=measured.level,
        spectrum=None if estimate.spectrum is None else _numbers(image, estimate.spectrum),
        law=LawNumbers(
            law.kind.value,
            law.constant,
            law.linear,
            law.quadratic,
            law.explained,
            law.blocks,
            law.lowest,
            law.highest,
        ),
        expected=expected_levels(image, estimate.level),
        equivalents=means,
        repeat=None if against is None or other is None else _repeat(against, other.name),
        frames=None if frames is None else _repeat(frames, "its own frames"),
        seconds={**record.seconds, **seconds},
    )
    return replace(entered, warnings=(*record.warnings, *measured.warnings, *_remarks(entered, image)))


def _cropped(noise: NoiseMap, like: FloatArray) -> FloatArray:
    """Return the part of a map of padded slices that lies on the image."""
    return noise.level[:, : like.shape[1], : like.shape[2]]


def _scaled(spectrum: NoiseSpectrum | None, factor: float) -> NoiseSpectrum | None:
    return None if spectrum is None else replace(spectrum, power=spectrum.power * factor**2)


def _numbers(image: Image, spectrum: NoiseSpectrum) -> SpectrumNumbers:
    curve = measures.radial(spectrum)
    return SpectrumNumbers(
        length="mm" if image.geometry.known else "pixel",
        frequency=tuple(float(f) for f in curve.frequency),
        power=tuple(float(p) for p in curve.power),
        power_2d=tuple(tuple(float(p) for p in row) for row in spectrum.power),
        spacing=spectrum.spacing,
        first_moment=measures.first_moment(spectrum),
        peak=measures.peak_frequency(spectrum),
        correlation_length=measures.correlation_length(spectrum),
        anisotropy=measures.anisotropy(spectrum),
        ramp_ratio=measures.ramp_ratio(spectrum),
        ramp_like=measures.is_ramp_like(spectrum),
        regions=spectrum.regions,
    )


def _repeat(found: Repeat, against: str) -> RepeatNumbers:
    return RepeatNumbers(
        against=against,
        level=found.level,
        shared=found.shared,
        shift=found.shift,
        excess=found.excess,
        growth=found.growth,
        still=found.still,
        remarks=found.remarks,
    )


def _remarks(record: NoiseRecord, image: Image) -> list[str]:
    """Say what in the findings asks for care."""
    said = []
    level = record.level.median if record.level else 0.0
    if level == 0:
        return ["no noise was found: the image is constant, or all of it is padding"]
    if record.spectrum is None:
        said.append("too little of the image is plain for a spectrum")
    elif image.modality is Modality.CT and record.spectrum.ramp_ratio > measures.LOW_PASS:
        said.append(
            "the noise falls from the lowest frequency on: the reconstruction is iterative, learned or "
            "smoothed, or anatomy was left in the spectrum"
        )
    air = next((one.value for one in record.equivalents if one.name == "air_level"), None)
    if air is not None and level > _APART * air:
        said.append(
            f"in the object there is {level / air:.1f} times as much as the air tells of: ringing or texture "
            "exceeds the noise, and the level is an upper bound"
        )
    if record.frames is not None and record.frames.still and record.frames.shared > _COMMON:
        said.append(
            f"{100 * record.frames.shared:.0f} % of what looks like noise in a frame is the same in the "
            "others: speckle, texture or ringing"
        )
    said += [f"against {one.against}: {words}" for one in (record.repeat,) if one for words in one.remarks]
    return said
