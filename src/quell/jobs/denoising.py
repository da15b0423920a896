"""One study from door to door: read, denoise, write, report.

The command, the Python API and every service call this and nothing else.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from quell.errors import InputError
from quell.evaluation.report.record import SeriesRecord, Status, StudyRecord
from quell.formats.contracts import OutputKind, Provenance, Purpose, Series, Written
from quell.image import FloatArray, Image
from quell.jobs.common import Progress, Silent, planned, surviving, treat_study
from quell.jobs.denoiser_choice import Denoising as Denoising
from quell.jobs.denoising_settings import JobSettings as JobSettings
from quell.jobs.long_series import denoise_long, is_long
from quell.jobs.treated import Treated, origin

if TYPE_CHECKING:
    from quell.inference.contracts import Denoised


def run_job(
    source: Path,
    out: Path,
    settings: JobSettings | None = None,
    *,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> StudyRecord:
    """Denoise everything that is found at a path.

    Parameters
    ----------
    source : Path
        Folder, file, DICOMDIR or ZIP.
    out : Path
        Folder for the results; made if absent.
    settings : JobSettings, optional
    dry_run : bool
        Only say what would be done; nothing is written.
    progress : Progress, optional

    Returns
    -------
    StudyRecord
        A series that fails is recorded as failed; the others are done all the same.

    Raises
    ------
    QuellError
        If the input as a whole or the settings cannot be used.
    """
    settings = settings or JobSettings()
    denoising = Denoising(settings)
    watch = progress or Silent()

    def treat(series: Series) -> SeriesRecord:
        return _one(series, out, settings, denoising, dry_run, watch)

    record = treat_study(source, out, Purpose.DENOISE, settings.modality, treat)
    if settings.report and not dry_run:
        from quell.evaluation.report.html import write_report

        write_report(record, out)
    return record


def _one(
    series: Series, out: Path, settings: JobSettings, denoising: Denoising, dry_run: bool, watch: Progress
) -> SeriesRecord:
    given = 1.0 if settings.strength is None else settings.strength
    record = replace(planned(series), strength=given, sigma=settings.sigma)
    watch.begin(series.name, series.shape[0])
    with surviving(series.name, watch) as outcome:
        denoiser = denoising.denoiser(series.modality, series.volume)
        card = denoiser.card
        record = replace(
            record,
            model=card.identifier,
            model_version=card.version,
            model_sha256=card.sha256,
            engine=denoiser.engine,
        )
        denoising.check(series.name, series.modality, series.volume)
        if not dry_run:
            record = _denoise(series, denoising, out, settings, record, watch)
    return outcome.entered(record)


def _denoise(
    series: Series,
    denoising: Denoising,
    out: Path,
    settings: JobSettings,
    record: SeriesRecord,
    watch: Progress,
) -> SeriesRecord:
    from quell.evaluation.report.summary import summarise

    treat = denoise_long if is_long(series, settings, denoising) else _denoise_whole
    done = treat(series, denoising, out, settings, watch)
    image, result = done.image, done.result
    geometry = image.geometry
    record = summarise(replace(record, shape=series.shape), image, result, done.places)
    return replace(
        record,
        status=Status.DONE,
        strength=denoising.strength(image),
        grain=denoising.grain(image),
        units=image.units,
        spacing=geometry.spacing if geometry.known else None,
        files=tuple(file for w in done.written for file in w.files),
        clamped=sum(w.clamped for w in done.written),
        parameters=dict(result.facts),
        notes=(*record.notes, *((done.guide.note,) if done.guide else ())),
        warnings=(
            *record.warnings,
            *denoising.remarks(image),
            *(line for w in done.written for line in w.warnings),
        ),
        seconds=dict(result.seconds),
    )


def _denoise_whole(
    series: Series, denoising: Denoising, out: Path, settings: JobSettings, watch: Progress
) -> Treated:
    """Read, denoise and write a series as one."""
    clock = time.perf_counter()
    image = series.read()
    guide = denoising.guide(image)
    read = time.perf_counter() - clock
    watch.advance("read", image.shape[0])
    result = denoising.denoise(image, watch.advance, guide)
    clock = time.perf_counter()
    written = _write(series, image, result, origin(denoising, image, settings, guide), out, settings)
    watch.advance("write", image.shape[0])
    seconds = {"read": read, **result.seconds, "write": time.perf_counter() - clock}
    return Treated(image, replace(result, seconds=seconds), tuple(written), guide)


def _write(
    series: Series, image: Image, result: Denoised, provenance: Provenance, out: Path, settings: JobSettings
) -> list[Written]:

    def write(voxels: FloatArray, kind: OutputKind) -> Written:
        return series.write(voxels, out, kind, provenance, settings.write)

    spread = result.deviation
    if settings.spread and spread is None:
        # Before anything is written.
        raise InputError(series.name, f"{provenance.model} does not tell how sure it is: no spread")
    written = [write(result.image.voxels, OutputKind.DENOISED)]
    if settings.residual:
        written.append(write(image.voxels - result.image.voxels, OutputKind.RESIDUAL))
    if settings.noise_map:
        levels = np.stack([result.noise.pixels(z) for z in range(image.shape[0])])
        written.append(write(levels, OutputKind.NOISE_MAP))
    if settings.spread and spread is not None:
        written.append(write(spread, OutputKind.SPREAD))
    return written
