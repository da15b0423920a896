"""One study from door to door: read, denoise, write, report.

The command, the Python API and every service call this and nothing else.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from quell import __version__
from quell.errors import InputError, OutputError, QuellError
from quell.evaluation.report.record import SeriesRecord, Status, StudyRecord
from quell.formats.contracts import OutputKind, Provenance, Series, Study, WriteOptions, Written
from quell.image import FloatArray, Image, Modality
from quell.machine import describe_machine

if TYPE_CHECKING:
    from quell.inference.contracts import Denoised, Sigma, Step
    from quell.inference.network_denoiser import NetworkDenoiser
    from quell.models.card import ModelCard

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobSettings:
    """Choices of the user about one run.

    Attributes
    ----------
    model : str or None
        ``name.tag``; None takes the default of each modality.
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
        from quell.models.registry import find_card

        if not 0 <= self.strength <= 1:
            raise QuellError(f"strength must lie between 0 and 1, got {self.strength}")
        if self.sigma is not None and not (np.isfinite(self.sigma) and self.sigma > 0):
            raise QuellError(f"sigma must be a positive number or 'auto', got {self.sigma}")
        if self.threads is not None and self.threads < 1:
            raise QuellError(f"threads must be at least 1, got {self.threads}")
        check_names(self.engine, self.device)
        if self.model is not None:
            find_card(self.model)


class Progress(Protocol):
    """Told of the work as it goes."""

    def begin(self, name: str, steps: int) -> None:
        """Take note that a series of `steps` slices starts."""

    def advance(self, step: str, count: int = 1) -> None:
        """Take note that `count` slices passed ``read``, ``estimate``, ``network`` or ``write``."""

    def end(self, ok: bool, message: str) -> None:
        """Take note that the series ended."""


class Silent:
    """Progress that nobody watches."""

    def begin(self, name: str, steps: int) -> None:
        """Do nothing."""

    def advance(self, step: str, count: int = 1) -> None:
        """Do nothing."""

    def end(self, ok: bool, message: str) -> None:
        """Do nothing."""


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
    from quell.formats.open import open_study

    settings = settings or JobSettings()
    denoising = Denoising(settings)
    _check_paths(source, out)
    started, clock = datetime.now().astimezone(), time.perf_counter()
    study = open_study(source)
    watch = progress or Silent()
    records = tuple(
        _one(series, out, settings, denoising, dry_run, watch) for series in series_to_do(study, settings)
    )
    record = StudyRecord(
        source=source,
        out=out,
        series=records,
        passed_over=study.passed_over,
        started=started.isoformat(timespec="seconds"),
        seconds=time.perf_counter() - clock,
        version=__version__,
        machine=describe_machine(),
    )
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
        self._made: dict[str, NetworkDenoiser] = {}

    def denoiser(self, modality: Modality) -> NetworkDenoiser:
        """Return the denoiser for a modality, or the one that the user named."""
        from quell.inference.network_denoiser import NetworkDenoiser
        from quell.inference.runtimes import make_runtime
        from quell.models.registry import default_card, find_card, model_files

        chosen = self._settings
        card = find_card(chosen.model) if chosen.model else default_card(modality)
        if card.identifier not in self._made:
            runtime = make_runtime(chosen.engine, chosen.device, chosen.threads)
            made = NetworkDenoiser(card, model_files(card), runtime, streams=chosen.threads)
            self._made[card.identifier] = made
        return self._made[card.identifier]

    def denoise(self, image: Image, step: Step | None = None) -> Denoised:
        """Denoise one image with the denoiser for its modality."""
        chosen = self._settings
        sigma: Sigma = "auto" if chosen.sigma is None else chosen.sigma
        denoiser = self.denoiser(image.modality)
        return denoiser.denoise(image, chosen.strength, sigma, step or (lambda name, count: None))


def _check_paths(source: Path, out: Path) -> None:
    folder, inside = (_resolved(path) for path in (source, out))
    if not folder.exists():
        raise InputError(source, "no such file or folder")
    if folder.is_dir() and (inside == folder or folder in inside.parents):
        raise InputError(out, "the output lies inside the input folder; choose another place")
    if inside.exists() and not inside.is_dir():
        raise OutputError(out, "is a file; the output goes to a folder")


def _resolved(path: Path) -> Path:
    try:
        resolved = path.resolve()
        resolved.exists()
    except (OSError, RuntimeError, ValueError) as error:
        # A loop of symbolic links, a name beyond what the file system takes, a null byte.
        reason = error.strerror if isinstance(error, OSError) else None
        raise InputError(path, f"cannot be looked up: {reason or error}") from error
    return resolved


def series_to_do(study: Study, settings: JobSettings) -> tuple[Series, ...]:
    """Return the series of a study; those whose format does not say their modality get the one named."""
    if settings.modality is None:
        return study.series
    return tuple(s if s.format == "DICOM" else _named(s, settings.modality) for s in study.series)


def _named(series: Any, modality: Modality) -> Series:
    """Give a series its modality; what it says of not knowing it is then out of date."""
    notes = tuple(note for note in series.notes if not note.startswith("modality "))
    named: Series = replace(series, modality=modality, notes=notes)
    return named


def _one(
    series: Series, out: Path, settings: JobSettings, denoising: Denoising, dry_run: bool, watch: Progress
) -> SeriesRecord:
    record = SeriesRecord(
        name=series.name,
        format=series.format,
        modality=series.modality.value,
        units="",
        shape=series.shape,
        status=Status.PLANNED,
        strength=settings.strength,
        sigma=settings.sigma,
        notes=series.notes,
    )
    watch.begin(series.name, series.shape[0])
    try:
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
    except QuellError as error:
        record = replace(record, status=Status.FAILED, reason=str(error))
    except MemoryError:
        record = replace(record, status=Status.FAILED, reason=f"{series.name}: not enough memory")
    except Exception as error:
        # One series must not take the others with it, whatever went wrong inside.
        log.debug("unexpected error", exc_info=True)
        text = " ".join(f"{type(error).__name__}: {error}".split())
        record = replace(record, status=Status.FAILED, reason=f"{series.name}: unexpected error: {text}")
    watch.end(record.status is not Status.FAILED, record.reason)
    return record


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
