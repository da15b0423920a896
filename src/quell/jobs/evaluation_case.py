"""Measure one test image against its reference and the noisy image it was made of."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from quell.errors import QuellError
from quell.evaluation.metrics.comparison import Comparison, Labels, Per, compare, default_window
from quell.evaluation.metrics.contracts import Metric, Need, Window
from quell.evaluation.metrics.table import Score, fitting_metrics
from quell.evaluation.noise_power import Periodograms, periodograms_of_regions
from quell.evaluation.noise_texture import noise_texture, texture_shift
from quell.evaluation.plain_parts import PlainParts, plain_parts
from quell.evaluation.report.evaluation_record import (
    NOISY,
    REFERENCE,
    TEST,
    CaseRecord,
    NoiseFound,
    Shown,
    Spectrum,
)
from quell.evaluation.report.record import Status
from quell.image import FloatArray, Image, Modality

NOISY_REFERENCE = (
    "There is no reference: biases are measured against the noisy image, whose noise is taken to be zero on "
    "average."
)
BIASES = ("HU bias", "signal bias", "SUVmean bias", "count bias")
"""What may be measured against a noisy image: means and sums, in which noise goes out."""

_SHARE = 99.5
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Measuring:
    """How images are measured.

    Attributes
    ----------
    window : tuple of float or None
        Values that are looked at; None for those of the modality.
    names : mapping of int to str
        What the regions are called.
    background : int or None
        Label of the region that contrasts are measured against.
    decibel : float or None
        dB that one unit of a log-compressed ultrasound image stands for.
    noisy_reference : bool
        Go on with a reference that has more noise than the test.
    level : float
        Nominal coverage of the intervals.
    seed : int
    """

    window: Window | None = None
    names: Mapping[int, str] = field(default_factory=dict)
    background: int | None = None
    decibel: float | None = None
    noisy_reference: bool = False
    level: float = 0.95
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Trio:
    """The images of a case."""

    test: Image
    reference: Image | None = None
    noisy: Image | None = None
    regions: Labels | None = None

    def images(self) -> dict[str, Image]:
        """Return the images that there are: noisy, test, reference."""
        every = {NOISY: self.noisy, TEST: self.test, REFERENCE: self.reference}
        return {name: image for name, image in every.items() if image is not None}


def measure_case(record: CaseRecord, trio: Trio, how: Measuring) -> CaseRecord:
    """Return the record of a case with every number.

    Parameters
    ----------
    record : CaseRecord
    trio : Trio
        With a reference, a noisy image, or both.
    how : Measuring

    Raises
    ------
    InputError
        If the images may not be compared; see `quell.evaluation.metrics.comparison.compare`.
    """
    trio = _of_one_modality(trio)
    comparison = _comparison(trio, how)
    scores, untold = _scores(comparison, trio, record.name)
    before: tuple[Score, ...] = ()
    if trio.reference is not None and trio.noisy is not None:
        noisy = replace(comparison, test=trio.noisy)
        before = _scores(noisy, trio, record.name, skip=(Need.NOISY,))[0]
    noise, parts, remark = _noise(trio, how)
    geometry = trio.test.geometry
    told = (NOISY_REFERENCE,) if trio.reference is None else ()
    return replace(
        record,
        status=Status.DONE,
        modality=trio.test.modality.value,
        units=trio.test.units,
        shape=trio.test.shape,
        spacing=geometry.spacing if geometry.known else None,
        window=comparison.window,
        sha256=_digests(trio),
        scores=scores,
        noisy_scores=before,
        noise=noise,
        pictures=tuple(_pictures(trio, comparison, scores, parts)),
        warnings=(*told, *comparison.remarks, *remark, *untold),
    )


def digest(values: np.ndarray) -> str:
    """Return the SHA-256 over the shape and the values of an array, hexadecimal.

    Over ``"z y x "`` in ASCII and the values in C order, little-endian, as float32 (labels as int32). The
    same for a file and for the array read from it, whatever the file is called.
    """
    kind = "<i4" if np.issubdtype(values.dtype, np.integer) else "<f4"
    found = hashlib.sha256(("".join(f"{n} " for n in values.shape)).encode("ascii"))
    found.update(np.ascontiguousarray(values, kind).tobytes())
    return found.hexdigest()


def _digests(trio: Trio) -> dict[str, str]:
    found = {name: digest(image.voxels) for name, image in trio.images().items()}
    return found if trio.regions is None else {**found, "regions": digest(trio.regions)}


def _of_one_modality(trio: Trio) -> Trio:
    """Take the modality that one image states for those that state none."""
    stated = next((i.modality for i in trio.images().values() if i.modality is not Modality.UNKNOWN), None)
    if stated is None:
        return trio

    def named(image: Image) -> Image:
        return replace(image, modality=stated) if image.modality is Modality.UNKNOWN else image

    return replace(
        trio,
        test=named(trio.test),
        reference=None if trio.reference is None else named(trio.reference),
        noisy=None if trio.noisy is None else named(trio.noisy),
    )


def _comparison(trio: Trio, how: Measuring) -> Comparison:
    """Check what is to be compared; without a reference the noisy image stands in for biases."""
    window = how.window
    if window is None and trio.reference is None and trio.noisy is not None:
        window = default_window(trio.noisy)
    comparison = compare(
        trio.test,
        trio.reference,
        trio.noisy,
        window=window,
        regions=trio.regions,
        names=how.names,
        background=how.background,
        decibel=how.decibel,
        noisy_reference=how.noisy_reference,
    )
    return comparison if trio.reference is not None else replace(comparison, reference=trio.noisy)


def _scores(
    comparison: Comparison, trio: Trio, case: str, skip: Iterable[Need] = ()
) -> tuple[tuple[Score, ...], tuple[str, ...]]:
    """Return every number of an image, and why some could not be had."""
    parts: tuple[Per, ...] = ("slice",) if trio.regions is None else ("slice", "region", "region and slice")
    scores: list[Score] = []
    untold: list[str] = []
    for per in parts:
        fitting = [
            metric
            for metric in fitting_metrics(comparison, per)
            if not metric.needs & frozenset(skip) and _fair(metric, trio)
        ]
        found, why = _scores_of(comparison, per, fitting, case)
        scores += found
        told = {score.metric for score in found}
        untold += [
            f"{name} per {per} was left out: {_reason(e)}" for name, e in why.items() if name not in told
        ]
    return tuple(scores), tuple(untold)


def _scores_of(
    comparison: Comparison, per: Per, metrics: Sequence[Metric], case: str
) -> tuple[list[Score], dict[str, QuellError]]:
    """Take all metrics of one part after the other, so that only one part is held as float64."""
    found: list[Score] = []
    why: dict[str, QuellError] = {}
    for z, label, sample in comparison.samples(per):
        region = None if label is None else comparison.region_name(label)
        for metric in metrics:
            try:
                found.append(Score(metric.name, metric.measure(sample), case, z, region))
            except QuellError as error:
                why[metric.name] = error
    return found, why


def _reason(error: QuellError) -> str:
    return str(getattr(error, "reason", error))


def _fair(metric: Metric, trio: Trio) -> bool:
    """Whether a metric means something with what stands in for the reference."""
    return trio.reference is not None or Need.REFERENCE not in metric.needs or metric.name in BIASES


def _noise(trio: Trio, how: Measuring) -> tuple[NoiseFound | None, PlainParts | None, tuple[str, ...]]:
    """Measure the noise of every image in the same plain parts."""
    # Faint anatomy drowns in the noisy image; in the denoised one it is seen.
    look = trio.reference if trio.reference is not None else trio.test
    parts = plain_parts(look, trio.noisy if trio.noisy is not None else trio.test)
    if parts is None:
        return None, None, ("No plain parts of 16 x 16 pixels were found to measure the noise in.",)
    _, dy, dx = trio.test.geometry.spacing
    found = {
        name: periodograms_of_regions(image.voxels[list(parts.slices)], (dy, dx), parts.mask, side=parts.side)
        for name, image in trio.images().items()
    }
    # An image without noise (a computed truth) has no texture to speak of, only rounding.
    most = max(float(one.power.max()) for one in found.values())
    found = {name: one for name, one in found.items() if float(one.power.max()) > _ROUNDING * most}
    shift = None
    if NOISY in found and TEST in found:
        shift = texture_shift(found[NOISY], found[TEST], level=how.level, seed=how.seed)
    noise = NoiseFound(
        side=parts.side,
        squares=int(next(iter(found.values())).regions.sum()) if found else len(parts.corners),
        slices=len({z for z, _, _ in parts.corners}),
        length="mm" if trio.test.geometry.known else "pixel",
        spectra={name: _spectrum(one) for name, one in found.items()},
        textures={name: noise_texture(one, level=how.level, seed=how.seed) for name, one in found.items()},
        shift=shift,
    )
    return noise, parts, ()


def _spectrum(found: Periodograms) -> Spectrum:
    frequency, curves = found.radial()
    power = np.average(curves, axis=0, weights=found.regions)
    return Spectrum(tuple(float(f) for f in frequency), tuple(float(p) for p in power))


def _pictures(
    trio: Trio, comparison: Comparison, scores: tuple[Score, ...], parts: PlainParts | None
) -> Iterable[Shown]:
    """Yield the middle slice and, where there is another, the one with the largest error."""
    depth = trio.test.shape[0]
    middle = depth // 2
    errors = {one.slice: one.value for one in scores if one.metric == "RMSE" and one.region is None}
    worst = max(errors, key=lambda z: errors[z], default=middle)
    chosen = {middle: "the middle"}
    if worst is not None and worst != middle:
        chosen[worst] = "the largest error"
    kind = "slice" if trio.test.volume or depth == 1 else "frame"
    for z, why in chosen.items():
        caption = f"{kind} {z + 1} of {depth}" + (f", {why}" if depth > 1 else "")
        yield _shown(trio, z, comparison.window, caption, parts)


def _shown(trio: Trio, z: int, window: Window, caption: str, parts: PlainParts | None) -> Shown:
    images: dict[str, FloatArray] = {name: image.voxels[z].copy() for name, image in trio.images().items()}
    _, dy, dx = trio.test.geometry.spacing
    squares = () if parts is None else tuple((y, x, parts.side) for s, y, x in parts.corners if s == z)
    return Shown(images, window, _limit(images, window), dy / dx, caption, squares)


def _limit(images: Mapping[str, FloatArray], window: Window) -> float:
    """Return the scale of the differences: nearly all that is seen of the largest, but not air's."""
    base = images.get(REFERENCE, images.get(NOISY))
    if base is None:
        return 1.0
    seen = (base > window[0]) & (base < window[1])
    limits = [
        float(np.percentile(np.abs(image - base)[seen], _SHARE))
        for image in images.values()
        if image is not base and seen.any()
    ]
    return max(limits, default=0.0) or 1.0
