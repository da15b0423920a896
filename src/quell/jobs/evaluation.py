"""Judge denoised images against references: metrics, noise, texture and bias, by slice and by region."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from quell import __version__
from quell.errors import InputError, QuellError
from quell.evaluation.metrics.comparison import Labels
from quell.evaluation.report.evaluation_record import NOISY, REFERENCE, CaseRecord, EvaluationRecord
from quell.evaluation.report.record import Status
from quell.formats.contracts import PassedOver, Series
from quell.image import Image, Modality
from quell.jobs.common import Progress, Silent, check_paths, surviving
from quell.jobs.evaluation_case import Measuring, Trio, measure_case
from quell.jobs.evaluation_pairs import Pair, pair_studies
from quell.jobs.evaluation_rows import rows_of
from quell.machine import describe_machine
from quell.noise.extras import need_scipy

if TYPE_CHECKING:
    from quell.formats.labels import LabelMap


@dataclass(frozen=True)
class EvaluationSettings(Measuring):
    """Choices of the user about an evaluation; those of `Measuring`, and these.

    Attributes
    ----------
    modality : Modality or None
        Of series whose format does not say it.
    regions : Path or None
        Map of labels, laid over every case.
    """

    modality: Modality | None = None
    regions: Path | None = None

    def check(self) -> None:
        """Raise QuellError for values that make no sense, before any work is done."""
        if self.window is not None and not (
            np.isfinite(self.window).all() and self.window[0] < self.window[1]
        ):
            raise QuellError(f"the window {self.window[0]:g} to {self.window[1]:g} is empty")
        if not 0 < self.level < 1:
            raise QuellError(f"the level of intervals must lie between 0 and 1, got {self.level:g}")
        if self.seed < 0:
            raise QuellError(f"the seed must not be negative, got {self.seed}")
        if self.decibel is not None and not self.decibel > 0:
            raise QuellError(f"dB per unit must be positive, got {self.decibel:g}")
        need_scipy("scipy.stats", "evaluation")


def run_evaluation(
    reference: Path | None,
    test: Path,
    noisy: Path | None = None,
    out: Path | None = None,
    settings: EvaluationSettings | None = None,
    *,
    progress: Progress | None = None,
) -> EvaluationRecord:
    """Judge the denoised images of a study.

    Parameters
    ----------
    reference : Path or None
        The study that they should look like; None measures only what needs none.
    test : Path
        Folder, file, DICOMDIR or ZIP.
    noisy : Path, optional
        The study that they were made of.
    out : Path, optional
        Folder for ``evaluation.html``, ``evaluation.json`` and ``evaluation.csv``.
    settings : EvaluationSettings, optional
    progress : Progress, optional

    Raises
    ------
    QuellError
        If the input as a whole cannot be used, or no case can be evaluated.
    """
    chosen = settings or EvaluationSettings()
    chosen.check()
    if reference is None and noisy is None:
        raise QuellError("an evaluation needs a reference, the noisy study, or both")
    for source in (reference, test, noisy):
        if source is not None and out is not None:
            check_paths(source, out)
    clock = _Clock()
    regions = None
    if chosen.regions is not None:
        from quell.formats.labels import read_labels

        regions = read_labels(chosen.regions)
    found = pair_studies(reference, test, noisy, chosen.modality)
    watch = progress or Silent()
    names = _distinct([pair.test.name for pair in found.pairs])
    cases = tuple(
        _one(pair, name, regions, chosen, watch) for pair, name in zip(found.pairs, names, strict=True)
    )
    return _finish(cases, found.passed_over, chosen, clock, out)


def evaluate(
    reference: Any, test: Any, noisy: Any = None, regions: Any = None, **settings: Any
) -> EvaluationRecord:
    """Judge denoised images, from files, images or arrays.

    Parameters
    ----------
    reference : path-like, Image, ndarray, a list of the last two, or None
        What `test` should look like. None measures only what needs no reference.
    test : path-like, Image, ndarray, or a list of the last two
        What is judged. A list holds one entry a patient; the others are then lists as well.
    noisy : the same, optional
        What `test` was made of.
    regions : path-like, ndarray of int, or a list of them, optional
        Labels, 0 for none.
    **settings
        Fields of `quell.EvaluationSettings`: ``window``, ``names``, ``background``, ``decibel``,
        ``noisy_reference``, ``level``, ``seed``, ``modality``; ``out``, a folder for page and tables; and,
        of arrays, ``spacing`` in mm.

    Raises
    ------
    QuellError
        If the input or the settings cannot be used.

    Examples
    --------
    >>> import numpy as np, quell
    >>> rng = np.random.default_rng(0)
    >>> truth = np.full((64, 64), 40.0)
    >>> noisy, test = (truth + sd * rng.standard_normal((64, 64)) for sd in (20, 5))
    >>> record = quell.evaluate(truth, test, noisy, modality="CT")
    >>> psnr = next(row for row in record.rows if row.metric == "PSNR")
    >>> psnr.test.value > psnr.noisy.value + 10
    True
    """
    if isinstance(settings.get("modality"), str):
        settings["modality"] = _modality(settings["modality"])
    out, spacing = settings.pop("out", None), settings.pop("spacing", None)
    place = None if out is None else Path(out)
    if isinstance(test, (str, os.PathLike)):
        paths = [None if one is None else Path(one) for one in (reference, noisy, regions)]
        chosen = EvaluationSettings(regions=paths[2], **settings)
        return run_evaluation(paths[0], Path(test), paths[1], place, chosen)
    chosen = EvaluationSettings(**settings)
    chosen.check()
    if reference is None and noisy is None:
        raise QuellError("an evaluation needs a reference, the noisy image, or both")
    clock = _Clock()
    trios = _trios(reference, test, noisy, regions, spacing, chosen.modality)
    names = _distinct([trio.test.name for trio in trios])
    cases = tuple(
        measure_case(_planned_image(trio, name), trio, chosen)
        for trio, name in zip(trios, names, strict=True)
    )
    return _finish(cases, (), chosen, clock, place)


class _Clock:
    """When an evaluation began."""

    def __init__(self) -> None:
        self.started = datetime.now().astimezone().isoformat(timespec="seconds")
        self._begin = time.perf_counter()

    def seconds(self) -> float:
        """Return how long it has lasted."""
        return time.perf_counter() - self._begin


def _finish(
    cases: tuple[CaseRecord, ...],
    passed: tuple[PassedOver, ...],
    settings: EvaluationSettings,
    clock: _Clock,
    out: Path | None,
) -> EvaluationRecord:
    done = [case for case in cases if case.status is Status.DONE]
    if not done:
        more = f" (and {len(cases) - 1} more cases failed)" if len(cases) > 1 else ""
        raise QuellError(f"{cases[0].reason}{more}")
    record = EvaluationRecord(
        cases=cases,
        rows=rows_of(done, level=settings.level, seed=settings.seed),
        passed_over=passed,
        level=settings.level,
        seed=settings.seed,
        started=clock.started,
        seconds=clock.seconds(),
        version=__version__,
        machine=describe_machine(),
    )
    if out is not None:
        from quell.evaluation.report.evaluation_html import write_evaluation

        write_evaluation(record, out)
    return record


def _one(
    pair: Pair, name: str, regions: LabelMap | None, settings: EvaluationSettings, watch: Progress
) -> CaseRecord:
    """Read and measure one case; what goes wrong with it is recorded."""
    record = _planned(pair, name)
    clock = time.perf_counter()
    watch.begin(record.name, record.shape[0])
    with surviving(pair.test.name, watch) as outcome:
        trio = _read(pair, regions)
        watch.advance("read", record.shape[0])
        record = measure_case(record, trio, settings)
        watch.advance("measure", record.shape[0])
    seconds = time.perf_counter() - clock
    if outcome.reason:
        return replace(record, status=Status.FAILED, reason=outcome.reason, seconds=seconds)
    return replace(record, seconds=seconds)


def _read(pair: Pair, found: LabelMap | None) -> Trio:
    series = [one for one in (pair.test, pair.reference, pair.noisy) if one is not None]
    stated = next((one.modality for one in series if one.modality is not Modality.UNKNOWN), None)

    def read(one: Series | None) -> Image | None:
        # Units follow the modality, so it is named before the pixels are read.
        if one is not None and stated is not None and one.modality is Modality.UNKNOWN:
            one = replace(one, modality=stated)  # type: ignore[type-var]
        return None if one is None else one.read()

    test, reference, noisy = read(pair.test), read(pair.reference), read(pair.noisy)
    if test is None:
        raise QuellError("there is nothing to evaluate")
    regions: Labels | None = None
    if found is not None:
        from quell.formats.labels import laid_on

        regions = laid_on(found, test.shape, test.geometry)
    return Trio(test, reference, noisy, regions)


def _planned(pair: Pair, name: str) -> CaseRecord:
    series = pair.test
    partners = {REFERENCE: pair.reference, NOISY: pair.noisy}
    return CaseRecord(
        name=name,
        format=series.format,
        modality=series.modality.value,
        units="",
        shape=series.shape,
        partners={role: one.name for role, one in partners.items() if one is not None},
        paired_by=pair.paired_by,
        notes=series.notes,
    )


def _planned_image(trio: Trio, name: str) -> CaseRecord:
    image = trio.test
    return CaseRecord(
        name, "array", image.modality.value, image.units, image.shape, paired_by="given together"
    )


def _distinct(names: Sequence[str]) -> list[str]:
    """Number cases of one name: intervals are drawn over names."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if names.count(name) == 1 else f"{name} ({seen[name]})")
    return found


def _trios(
    reference: Any, test: Any, noisy: Any, regions: Any, spacing: Any, modality: Modality | None
) -> list[Trio]:
    many = isinstance(test, (list, tuple)) and not np.isscalar(test[0])
    sides = [_listed(one, many) for one in (test, reference, noisy, regions)]
    count = len(sides[0] or ())
    for what, side in zip(("reference", "noisy", "regions"), sides[1:], strict=True):
        if side is not None and len(side) != count:
            raise InputError(what, f"{len(side)} images for {count} test images")
    found = []
    for k in range(count):
        test_k, reference_k, noisy_k, regions_k = (None if side is None else side[k] for side in sides)
        image = _image(test_k, "test", spacing, modality)
        found.append(
            Trio(
                image,
                None if reference_k is None else _image(reference_k, "reference", spacing, modality),
                None if noisy_k is None else _image(noisy_k, "noisy", spacing, modality),
                None if regions_k is None else _labels(regions_k, image),
            )
        )
    return found


def _listed(given: Any, many: bool) -> list[Any] | None:
    if given is None:
        return None
    if not many:
        return [given]
    if not isinstance(given, (list, tuple)):
        raise QuellError("where the test is a list of images, the others must be lists as well")
    return list(given)


def _image(given: Any, name: str, spacing: Any, modality: Modality | None) -> Image:
    if isinstance(given, Image):
        return given
    from quell.formats.array import from_array

    return from_array(given, modality=modality or Modality.UNKNOWN, spacing=spacing, name=name)


def _labels(given: Any, image: Image) -> Labels:
    if isinstance(given, (str, os.PathLike)):
        from quell.formats.labels import laid_on, read_labels

        return laid_on(read_labels(Path(given)), image.shape, image.geometry)
    labels = np.asarray(given)
    return labels[None] if labels.ndim == 2 else labels


def _modality(name: str) -> Modality:
    known = {"CR": "XR", "DX": "XR"}
    try:
        return Modality(known.get(name.upper(), name.upper()))
    except ValueError as error:
        raise QuellError(f"unknown modality {name!r}") from error
