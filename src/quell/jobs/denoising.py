"""One study from door to door: read, denoise, write, report.

The command, the Python API and every service call this and nothing else.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from quell.errors import QuellError
from quell.evaluation.report.record import SeriesRecord, Status, StudyRecord
from quell.formats.contracts import OutputKind, Provenance, Purpose, Series, WriteOptions, Written
from quell.image import FloatArray, Image, Modality
from quell.jobs.common import Progress, Silent, planned, surviving, treat_study

if TYPE_CHECKING:
    from quell.inference.contracts import Denoised, Sigma, Step
    from quell.inference.make import ModelDenoiser
    from quell.models.card import ModelCard


@dataclass(frozen=True)
class JobSettings:
    """Choices of the user about one run.

    Attributes
    ----------
    model : str or None
        ``name.tag``, or the folder of a training run; None takes the default of each modality.
    strength : float
        Share of the estimated noise to take away, 0 to 1.
    sigma : float or None
        Median noise level in the units of the image; None estimates it.
    noise_map, residual, report : bool
        What to write besides the denoised series.
    device, engine : str
        See `quell.inference.runtimes.make_runtime`.
    threads : int or None
        Processor threads; None takes all cores.
    modality : Modality or None
        For formats that do not say.
    write : WriteOptions
    """

    model: str | None = None
    strength: float = 1.0
    sigma: float | None = None
    noise_map: bool = False
    residual: bool = False
    report: bool = False
    device: str = "auto"
    engine: str = "auto"
    threads: int | None = None
    modality: Modality | None = None
    write: WriteOptions = field(default_factory=WriteOptions)

    def check(self) -> None:
        """Raise QuellError for values that make no sense, before any work is done."""
        from quell.inference.runtimes import check_names
        from quell.models.registry import locate

        if not 0 <= self.strength <= 1:
            raise QuellError(f"strength must lie between 0 and 1, got {self.strength}")
        if self.sigma is not None and not (np.isfinite(self.sigma) and self.sigma > 0):
            raise QuellError(f"sigma must be a positive number or 'auto', got {self.sigma}")
        if self.threads is not None and self.threads < 1:
            raise QuellError(f"threads must be at least 1, got {self.threads}")
        check_names(self.engine, self.device)
        if self.model is not None:
            locate(self.model)


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


class Denoising:
    """The denoisers of one run, each made once.

    Parameters
    ----------
    settings : JobSettings

    Raises
    ------
    QuellError
        If the settings make no sense.
    """

    def __init__(self, settings: JobSettings) -> None:
        settings.check()
        self._settings = settings
        self._made: dict[Path, ModelDenoiser] = {}

    def denoiser(self, modality: Modality) -> ModelDenoiser:
        """Return the denoiser for a modality, or the one that the user named."""
        from quell.inference.make import make_denoiser
        from quell.inference.runtimes import make_runtime
        from quell.models.registry import default_card, locate, model_files

        chosen = self._settings
        card, folder = locate(chosen.model or default_card(modality).identifier)
        if folder not in self._made:
            runtime = make_runtime(chosen.engine, chosen.device, chosen.threads)
            self._made[folder] = make_denoiser(card, model_files(card, folder), runtime, chosen.threads)
        return self._made[folder]

    def denoise(self, image: Image, step: Step | None = None) -> Denoised:
        """Denoise one image with the denoiser for its modality."""
        chosen = self._settings
        sigma: Sigma = "auto" if chosen.sigma is None else chosen.sigma
        denoiser = self.denoiser(image.modality)
        return denoiser.denoise(image, chosen.strength, sigma, step or (lambda name, count: None))


def _one(
    series: Series, out: Path, settings: JobSettings, denoising: Denoising, dry_run: bool, watch: Progress
) -> SeriesRecord:
    record = replace(planned(series), strength=settings.strength, sigma=settings.sigma)
    watch.begin(series.name, series.shape[0])
    with surviving(series.name, watch) as outcome:
        denoiser = denoising.denoiser(series.modality)
        card = denoiser.card
        record = replace(
            record,
            model=card.identifier,
            model_version=card.version,
            model_sha256=card.sha256,
            engine=denoiser.engine,
        )
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

    clock = time.perf_counter()
    image = series.read()
    read = time.perf_counter() - clock
    watch.advance("read", image.shape[0])
    result = denoising.denoise(image, watch.advance)
    clock = time.perf_counter()
    written = _write(series, image, result, denoising.denoiser(image.modality).card, out, settings)
    watch.advance("write", image.shape[0])
    seconds = {"read": read, **result.seconds, "write": time.perf_counter() - clock}
    geometry = image.geometry
    record = summarise(record, image, result)
    return replace(
        record,
        status=Status.DONE,
        units=image.units,
        shape=image.shape,
        spacing=geometry.spacing if geometry.known else None,
        files=tuple(file for w in written for file in w.files),
        clamped=sum(w.clamped for w in written),
        warnings=record.warnings + tuple(line for w in written for line in w.warnings),
        seconds=seconds,
    )


def _write(
    series: Series, image: Image, result: Denoised, card: ModelCard, out: Path, settings: JobSettings
) -> list[Written]:
    provenance = Provenance(
        model=card.identifier,
        model_version=card.version,
        model_sha256=card.sha256,
        strength=settings.strength,
        sigma=settings.sigma,
        slices_used=card.slices if image.volume else 1,
    )

    def write(voxels: FloatArray, kind: OutputKind) -> Written:
        return series.write(voxels, out, kind, provenance, settings.write)

    written = [write(result.image.voxels, OutputKind.DENOISED)]
    if settings.residual:
        written.append(write(image.voxels - result.image.voxels, OutputKind.RESIDUAL))
    if settings.noise_map:
        levels = np.stack([result.noise.pixels(z) for z in range(image.shape[0])])
        written.append(write(levels, OutputKind.NOISE_MAP))
    return written
