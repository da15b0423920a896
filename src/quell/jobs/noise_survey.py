"""The noise of a study: measured in every series, told as records, JSON and pictures."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from quell import __version__
from quell.errors import InputError, OutputError
from quell.evaluation.report.noise_record import NoiseRecord, NoiseSurvey
from quell.evaluation.report.record import Status
from quell.formats.contracts import Purpose, Series
from quell.image import FloatArray, Image, Modality
from quell.jobs.common import Progress, Silent, check_paths, series_to_do, surviving
from quell.machine import describe_machine

if TYPE_CHECKING:
    from quell.evaluation.report.noise_sheet import Shown
    from quell.jobs.noise_measuring import Measured, Network

JSON_NAME = "noise.json"


@dataclass(frozen=True)
class SurveySettings:
    """Choices of the user about one survey.

    Attributes
    ----------
    modality : Modality or None
        For formats that do not say.
    repeat : Path or None
        A second study of the same thing.
    engine, device : str
        See `quell.inference.runtimes.make_runtime`.
    threads : int or None
        Processor threads of the estimator network; None takes all cores.
    """

    modality: Modality | None = None
    repeat: Path | None = None
    engine: str = "auto"
    device: str = "auto"
    threads: int | None = None


def survey_noise(
    source: Path,
    out: Path | None = None,
    settings: SurveySettings | None = None,
    *,
    progress: Progress | None = None,
) -> NoiseSurvey:
    """Measure the noise of everything that is found at a path.

    Parameters
    ----------
    source : Path
        Folder, file, DICOMDIR or ZIP.
    out : Path, optional
        Folder for ``noise.json`` and a picture of each series; made if absent.
    settings : SurveySettings, optional
    progress : Progress, optional

    Returns
    -------
    NoiseSurvey
        A series that fails is recorded as failed; the others are measured all the same.

    Raises
    ------
    QuellError
        If the input as a whole or the place of the output cannot be used.
    """
    from quell.formats.open import open_study

    chosen = settings or SurveySettings()
    if out is not None:
        check_paths(source, out)
    started, clock = datetime.now().astimezone(), time.perf_counter()
    study = open_study(source, Purpose.MEASURE)
    found = series_to_do(study, chosen.modality)
    others = _repeats(found, chosen)
    run = _Run(out, network_of(chosen), progress or Silent())
    records = tuple(
        run.one(k, series, other) for k, (series, other) in enumerate(zip(found, others, strict=True), 1)
    )
    survey = NoiseSurvey(
        source=source,
        series=records,
        passed_over=study.passed_over,
        started=started.isoformat(timespec="seconds"),
        seconds=time.perf_counter() - clock,
        version=__version__,
        machine=describe_machine(),
    )
    if out is not None and records:
        _write_json(survey, out)
    return survey


def measure_noise(what: Any, out: Any = None, **settings: Any) -> NoiseSurvey | NoiseRecord:
    """Measure the noise of a study or an image.

    Parameters
    ----------
    what : path-like or Image
    out : path-like, optional
        Folder for ``noise.json`` and pictures, of a study only.
    **settings
        Fields of `SurveySettings`: ``modality``, ``repeat``, ``engine``, ``device``, ``threads``.

    Returns
    -------
    NoiseSurvey
        For a path.
    NoiseRecord
        For an image.

    Raises
    ------
    QuellError
        If the input or the settings cannot be used.

    Examples
    --------
    >>> import numpy as np, quell
    >>> voxels = np.random.default_rng(0).normal(40, 12, (1, 128, 128)).astype(np.float32)
    >>> record = quell.measure_noise(quell.Image(voxels, quell.Modality.CT, "HU"))
    >>> 11 < record.level.median < 13
    True
    """
    from quell.jobs.noise_measuring import enter, measure

    if isinstance(settings.get("modality"), str):
        settings["modality"] = Modality(settings["modality"])
    if settings.get("repeat") is not None and not isinstance(what, Image):
        settings["repeat"] = Path(settings["repeat"])
    if not isinstance(what, Image):
        return survey_noise(Path(what), None if out is None else Path(out), SurveySettings(**settings))
    other = settings.pop("repeat", None)
    record = NoiseRecord(what.name, "", what.modality.value, what.units, what.shape, Status.DONE)
    return enter(record, what, measure(what, network_of(SurveySettings(**settings))), other)


def network_of(settings: SurveySettings) -> Network:
    """Return the estimator network of the default model of each modality, made when it is asked."""
    from quell.jobs.denoising import Denoising, JobSettings

    job = JobSettings(engine=settings.engine, device=settings.device, threads=settings.threads)
    denoising = Denoising(job)
    return lambda image: denoising.denoiser(image.modality, image.volume).estimate(image)


@dataclass(frozen=True)
class _Run:
    """What the series of one survey share."""

    out: Path | None
    network: Network
    watch: Progress

    def one(self, index: int, series: Series, other: Series | None) -> NoiseRecord:
        """Measure one series; what goes wrong with it is recorded."""
        record = _planned(series)
        self.watch.begin(series.name, series.shape[0])
        with surviving(series.name, self.watch) as outcome:
            record = self._measured(index, series, other, record)
        if outcome.reason:
            return replace(record, status=Status.FAILED, reason=outcome.reason)
        return record

    def _measured(self, index: int, series: Series, other: Series | None, record: NoiseRecord) -> NoiseRecord:
        from quell.jobs.noise_measuring import enter, measure

        clock = time.perf_counter()
        image = series.read()
        read = {"read": time.perf_counter() - clock}
        self.watch.advance("read", image.shape[0])
        found = measure(image, self.network)
        self.watch.advance("estimate", image.shape[0])
        record = replace(record, status=Status.DONE, seconds=read)
        record = enter(record, image, found, None if other is None else other.read())
        if self.out is None:
            return record
        picture = _write_picture(record, shown_slice(image, found), self.out / f"noise_{index:03d}.png")
        self.watch.advance("write", image.shape[0])
        return replace(record, picture=picture)


def shown_slice(image: Image, found: Measured) -> Shown:
    """Return the slice of an image that its picture shows: the middle one."""
    from quell.evaluation.report.noise_sheet import Shown
    from quell.evaluation.report.summary import display_window

    z = image.shape[0] // 2
    _, rows, columns = image.shape
    level: FloatArray = np.kron(found.estimate.level[z], np.ones((found.estimate.block,) * 2, np.float32))
    _, dy, dx = image.geometry.spacing
    kind = "slice" if image.volume or image.shape[0] == 1 else "frame"
    return Shown(
        pixels=image.voxels[z],
        window=display_window(image, z),
        level=level[:rows, :columns],
        aspect=dy / dx,
        caption=f"{kind} {z + 1} of {image.shape[0]}",
    )


def _planned(series: Series) -> NoiseRecord:
    return NoiseRecord(
        name=series.name,
        format=series.format,
        modality=series.modality.value,
        units="",
        shape=series.shape,
        status=Status.PLANNED,
        notes=series.notes,
    )


def _repeats(found: tuple[Series, ...], settings: SurveySettings) -> list[Series | None]:
    """Return the repeat of each series: the next of the other study with its shape and modality."""
    from quell.formats.open import open_study

    if settings.repeat is None:
        return [None] * len(found)
    left = list(series_to_do(open_study(settings.repeat, Purpose.MEASURE), settings.modality))
    pairs: list[Series | None] = []
    for series in found:
        fitting = (s for s in left if s.shape == series.shape and s.modality is series.modality)
        other = next(fitting, None)
        if other is not None:
            left.remove(other)
        pairs.append(other)
    if found and all(other is None for other in pairs):
        raise InputError(settings.repeat, "holds no repeat: no series of the same shape and modality")
    return pairs


def _write_picture(record: NoiseRecord, shown: Shown, path: Path) -> Path:
    from quell.evaluation.report.noise_sheet import draw_sheet

    sheet = draw_sheet(record, shown)
    _write(path, lambda temporary: sheet.save(temporary, "PNG", optimize=True))
    return path


def _write_json(survey: NoiseSurvey, out: Path) -> None:
    from quell.evaluation.report.json_report import to_json
    from quell.evaluation.report.noise_json import survey_values

    text = to_json(survey_values(survey, out))
    _write(out / JSON_NAME, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _write(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file under a hidden name and rename it when it is complete."""
    from quell.formats.atomic import atomic_file

    try:
        with atomic_file(path) as temporary:
            write(temporary)
    except OSError as error:
        raise OutputError(path, error.strerror or str(error)) from error
