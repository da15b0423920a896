"""A study at a lower dose from door to door: read, add noise as the physics has it, write, record.

Needs no network. The command and the Python API call this and nothing else.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from quell import __version__
from quell.errors import InputError, QuellError
from quell.evaluation.report.record import SeriesRecord, Status, StudyRecord
from quell.formats.contracts import OutputKind, Purpose, Series, Simulation, WriteOptions, Written
from quell.image import Image, Modality
from quell.jobs.common import Progress, Silent, planned, surviving, treat_study
from quell.noise.contracts import NoiseModel, Simulated
from quell.noise.registry import UNKNOWN_MODALITY, noise_model

if TYPE_CHECKING:
    from quell.formats.contracts import Origin

ModelFor = Callable[[Image], NoiseModel]


@dataclass(frozen=True)
class SimulationSettings:
    """Choices of the user about one simulation.

    Attributes
    ----------
    dose : float or None
        Fraction of the dose at which the study was acquired, in (0, 1]: of the tube current time
        product (CT, radiography), the counts (PET, nuclear medicine), the acquisition time (MR).
    snr : float or None
        Signal-to-noise ratio that MR is to have; goes before `dose` there.
    looks : int or None
        Looks that ultrasound, which has no dose, is to have: 1 for the speckle of one.
    seed : int
        The same seed gives the same noise, whatever other series there are.
    modality : Modality or None
        For formats that do not say.
    write : WriteOptions
    """

    dose: float | None = None
    snr: float | None = None
    looks: int | None = None
    seed: int = 0
    modality: Modality | None = None
    write: WriteOptions = field(default_factory=WriteOptions)

    def check(self) -> None:
        """Raise QuellError for values that make no sense, before any work is done."""
        if self.dose is None and self.snr is None and self.looks is None:
            raise QuellError("say how much: a dose, for MR also snr, for ultrasound looks")
        # Written so that NaN fails too.
        if self.dose is not None and not 0 < self.dose <= 1:
            raise QuellError(f"dose is a fraction above 0 and up to 1, got {self.dose:g}")
        if self.snr is not None and not 0 < self.snr < math.inf:
            raise QuellError(f"snr must be a positive number, got {self.snr:g}")
        if self.looks is not None and self.looks < 1:
            raise QuellError(f"looks must be at least 1, got {self.looks}")
        if self.seed < 0:
            raise QuellError(f"seed must not be negative, got {self.seed}")

    def amount(self, modality: Modality, name: str) -> tuple[str, float]:
        """Return what is lowered in an image of a modality, and to what.

        Raises
        ------
        InputError
            Naming the option that is missing; `Modality.UNKNOWN` is no modality.
        """
        if modality is Modality.UNKNOWN:
            raise InputError(name, UNKNOWN_MODALITY)
        if modality is Modality.US:
            if self.looks is None:
                raise InputError(name, "ultrasound has no dose: say the number of --looks")
            return "looks", float(self.looks)
        if modality is Modality.MR and self.snr is not None:
            return "snr", self.snr
        if self.dose is None:
            wanted = "--dose or --snr" if modality is Modality.MR else "--dose"
            raise InputError(name, f"say with {wanted} what is to be simulated of {modality.value}")
        return "dose", self.dose


def generator(seed: int, name: str) -> np.random.Generator:
    """Return the generator of one series: the same for the same seed and name, independent of others.

    Parameters
    ----------
    seed : int
        Not negative.
    name : str
        Of the series; its hash is part of the seed, so that the order of series does not matter.
    """
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest, "<u4").tolist()])


def simulate_image(
    image: Image, settings: SimulationSettings, model_for: ModelFor | None = None
) -> tuple[Simulated, Simulation]:
    """Return an image at a lower dose, and how it came about.

    Parameters
    ----------
    image : Image
    settings : SimulationSettings
    model_for : callable, optional
        Chooses the noise model; by default `quell.noise.registry.noise_model`.

    Returns
    -------
    Simulated
        What the source has not measured (padding) stays as it is.
    Simulation
        For the header of what is written.

    Raises
    ------
    InputError
        If the model cannot simulate from this image.
    """
    measure, amount = settings.amount(image.modality, image.name)
    model = (model_for or noise_model)(image)
    fitted = _fitted(model, image)
    dose = _dose(fitted, image, amount) if measure == "snr" else amount
    result = fitted.simulate(image, dose, generator(settings.seed, image.name))
    result = _settled(result, image)
    return result, _origin(model, measure, amount, settings.seed, result.warnings)


def run_simulation(
    source: Path,
    out: Path,
    settings: SimulationSettings,
    *,
    dry_run: bool = False,
    progress: Progress | None = None,
    model_for: ModelFor | None = None,
) -> StudyRecord:
    """Simulate a lower dose of everything that is found at a path.

    Parameters
    ----------
    source : Path
        Folder, file, DICOMDIR or ZIP.
    out : Path
        Folder for the results; made if absent. ``simulation.json`` in it tells how they came about.
    settings : SimulationSettings
    dry_run : bool
        Only say what would be done; nothing is written.
    progress : Progress, optional
    model_for : callable, optional
        Chooses the noise model of an image.

    Returns
    -------
    StudyRecord
        A series that fails is recorded as failed; the others are done all the same.

    Raises
    ------
    QuellError
        If the input as a whole or the settings cannot be used.
    """
    from quell.jobs.simulation_record import write_simulation_record

    settings.check()
    watch = progress or Silent()

    def treat(series: Series) -> SeriesRecord:
        return _one(series, out, settings, dry_run, watch, model_for)

    record = treat_study(source, out, Purpose.SIMULATE, settings.modality, treat)
    if any(series.status is Status.DONE for series in record.series):
        write_simulation_record(record, settings, out)
    return record


def _one(
    series: Series,
    out: Path,
    settings: SimulationSettings,
    dry_run: bool,
    watch: Progress,
    model_for: ModelFor | None,
) -> SeriesRecord:
    record = replace(planned(series), seed=settings.seed)
    watch.begin(series.name, series.shape[0])
    with surviving(series.name, watch) as outcome:
        wanted = settings.amount(series.modality, series.name)
        record = replace(record, amount=Simulation("", "", "", *wanted, settings.seed).label)
        if not dry_run:
            record = _simulate(series, out, settings, record, watch, model_for)
    return outcome.entered(record)


def _simulate(
    series: Series,
    out: Path,
    settings: SimulationSettings,
    record: SeriesRecord,
    watch: Progress,
    model_for: ModelFor | None,
) -> SeriesRecord:
    clock = [time.perf_counter()]
    image = series.read()
    clock.append(time.perf_counter())
    watch.advance("read", image.shape[0])
    result, origin = simulate_image(image, settings, model_for)
    clock.append(time.perf_counter())
    watch.advance("simulate", image.shape[0])
    written = _write(series, result, out, origin, settings)
    clock.append(time.perf_counter())
    watch.advance("write", image.shape[0])
    geometry = image.geometry
    return replace(
        record,
        status=Status.DONE,
        units=image.units,
        shape=image.shape,
        spacing=geometry.spacing if geometry.known else None,
        model=origin.model,
        model_version=origin.model_version,
        model_sha256=origin.model_sha256,
        parameters=dict(result.parameters),
        files=written.files,
        clamped=written.clamped,
        warnings=tuple(dict.fromkeys((*record.warnings, *result.warnings, *written.warnings))),
        seconds=dict(zip(("read", "simulate", "write"), np.diff(clock).tolist(), strict=True)),
    )


def _write(
    series: Series, result: Simulated, out: Path, origin: Origin, settings: SimulationSettings
) -> Written:
    return series.write(result.image.voxels, out, OutputKind.SIMULATED, origin, settings.write)


def _fitted(model: Any, image: Image) -> NoiseModel:
    """Return the model with what the image tells of its scanner, where it does not measure that itself."""
    fitted: NoiseModel = model.calibrate(image) if getattr(model, "calibrated", True) is False else model
    return fitted


def _dose(model: NoiseModel, image: Image, snr: float) -> float:
    dose_for_snr = getattr(model, "dose_for_snr", None)
    if dose_for_snr is None:
        raise InputError(image.name, "a signal-to-noise ratio can be asked for MR only")
    dose = float(dose_for_snr(image, snr))
    if not 0 < dose <= 1:
        raise InputError(image.name, f"its signal-to-noise ratio is below {snr:g} already")
    return dose


def _settled(result: Simulated, image: Image) -> Simulated:
    """Return the result with the padding of the source, and refuse values that are none."""
    voxels = result.image.voxels
    if image.padding is not None:
        voxels = np.where(image.padding, image.voxels, voxels)
    if not np.isfinite(voxels).all():
        raise InputError(image.name, "the simulation gave values that are not finite")
    return replace(result, image=result.image.with_voxels(voxels))


def _origin(
    model: NoiseModel, measure: str, amount: float, seed: int, warnings: tuple[str, ...]
) -> Simulation:
    kind = type(model)
    name = f"{kind.__module__}.{kind.__qualname__}"
    digest = hashlib.sha256(f"{name} {__version__} {model!r}".encode()).hexdigest()
    return Simulation(name, __version__, digest, measure, amount, seed, warnings)
