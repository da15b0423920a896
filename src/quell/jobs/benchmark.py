"""Denoisers side by side: cases of every modality and dose, tuning, scores, speed; then the files."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from quell import __version__
from quell.errors import InputError, QuellError
from quell.image import Modality
from quell.jobs.benchmark_settings import BenchmarkSettings, is_looks

if TYPE_CHECKING:
    from quell.evaluation.benchmark.cases import Case, Subject
    from quell.evaluation.benchmark.record import Benchmark, Detection, SpeedRow
    from quell.evaluation.benchmark.subjects import Subjects
    from quell.evaluation.benchmark.tables import Bench, Measured
    from quell.evaluation.denoisers import Entrant

__all__ = ["BenchmarkSettings", "run_benchmark"]

Say = Callable[[str], None]

_TUNING_STREAM = 1_000


@dataclass
class _Run:
    """What a run gathers on its way."""

    settings: BenchmarkSettings
    say: Say
    tables: list[Measured] = field(default_factory=list)
    detections: list[Detection] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    tuned: dict[str, tuple[Entrant, str]] = field(default_factory=dict)
    """The first settings that each denoiser got, which it is timed with."""


def run_benchmark(settings: BenchmarkSettings, *, say: Say = lambda text: None) -> Benchmark:
    """Judge denoisers side by side.

    Parameters
    ----------
    settings : BenchmarkSettings
    say : callable
        Told of progress, a line at a time.

    Raises
    ------
    QuellError
        If a denoiser is unknown, the settings make no sense, or nothing at all can be judged.
    """
    from quell.evaluation.benchmark.subjects import every_modality
    from quell.evaluation.denoisers import everyone, find_denoisers

    settings.check()
    started, clock = datetime.now(timezone.utc), time.perf_counter()
    names = settings.denoisers or everyone()
    entrants = find_denoisers(
        names, engine=settings.engine, streams=settings.threads, timeout=settings.timeout
    )
    if settings.data is not None and not settings.data.is_dir():
        raise InputError(settings.data, "no such folder")
    run = _Run(settings, say)
    for modality in settings.modalities or tuple(every_modality()):
        _one_modality(run, modality, entrants)
    if not run.tables:
        raise QuellError("nothing can be judged: " + "; ".join(run.left_out))
    speed = _speed(run, entrants)
    return _record(run, entrants, speed, started, time.perf_counter() - clock)


def _one_modality(run: _Run, modality: Modality, entrants: tuple[Entrant, ...]) -> None:
    settings = run.settings
    taking_part = _taking_part(run, modality, entrants)
    if not taking_part:
        return
    try:
        subjects = _subjects(settings, modality)
    except QuellError as error:
        if settings.modalities:
            raise
        run.left_out.append(f"{modality.value}: {error}")
        return
    doses = _doses(settings, modality)
    for dose in doses:
        measured = _one_dose(run, modality, dose, subjects, taking_part)
        if measured is not None and settings.task and dose == doses[len(doses) // 2]:
            _detect(run, modality, dose, measured)


def _taking_part(run: _Run, modality: Modality, entrants: tuple[Entrant, ...]) -> tuple[Entrant, ...]:
    """Return the denoisers that are made for a modality; those named by the user in any case."""
    if run.settings.denoisers:
        return entrants
    return tuple(entrant for entrant in entrants if entrant.fits(modality))


def _doses(settings: BenchmarkSettings, modality: Modality) -> tuple[float, ...]:
    from quell.evaluation.benchmark.cases import DOSES

    looks = modality is Modality.US
    return tuple(d for d in settings.doses if is_looks(d) == looks) or DOSES[modality]


def _subjects(settings: BenchmarkSettings, modality: Modality) -> Subjects:
    from quell.evaluation.benchmark.subjects import drawn_subjects, real_subjects

    numbers = (settings.images, settings.tuning_images, settings.seed)
    if settings.data is None:
        return drawn_subjects(modality, *numbers)
    return real_subjects(settings.data, modality, *numbers, trust=len(settings.modalities) == 1)


def _one_dose(
    run: _Run, modality: Modality, dose: float, subjects: Subjects, entrants: tuple[Entrant, ...]
) -> Measured | None:
    from quell.evaluation.benchmark.tables import measure_table

    label = f"{modality.value}, dose {dose:g}"
    run.say(f"{label}: images")
    bench = _bench(run, modality, dose, subjects)
    if bench is None:
        return None
    doses = _doses(run.settings, modality)
    # Pictures of every dose would make the page huge.
    pictures = dose == doses[len(doses) // 2]
    measured = measure_table(bench, entrants, lambda name: run.say(f"{label}: {name}"), pictures)
    run.tables.append(measured)
    settings_of = {row.denoiser: row.settings for row in measured.table.rows}
    for entrant in measured.tuned:
        run.tuned.setdefault(entrant.name, (entrant, settings_of[entrant.name]))
    return measured


def _bench(run: _Run, modality: Modality, dose: float, subjects: Subjects) -> Bench | None:
    from quell.evaluation.benchmark.cases import MEANINGS
    from quell.evaluation.benchmark.tables import Bench

    test, why = _cases(run.settings.seed, subjects.test, dose, 0)
    tuning, more = _cases(run.settings.seed, subjects.tuning, dose, _TUNING_STREAM)
    label = f"{modality.value}, dose {dose:g}"
    run.left_out += [f"{label}: {reason}" for reason in (*why, *more)]
    if len(test) < 2 or not tuning:
        missing = "two images to judge by" if len(test) < 2 else "an image to tune on"
        run.left_out.append(f"{label}: left out, there are not {missing}")
        return None
    return Bench(
        modality=modality,
        dose=dose,
        meaning=MEANINGS[modality],
        source=subjects.source,
        test=test,
        tuning=tuning,
        budget=run.settings.budget,
        seed=run.settings.seed,
    )


def _cases(
    seed: int, subjects: Sequence[Subject], dose: float, stream: int
) -> tuple[tuple[Case, ...], list[str]]:
    """Make the cases that can be made; return with them why others cannot."""
    from quell.evaluation.benchmark.cases import make_case

    found: list[Case] = []
    failed: list[str] = []
    for number, subject in enumerate(subjects):
        try:
            found.append(make_case(subject, dose, (seed, stream + number, round(1e6 * dose))))
        except QuellError as error:
            failed.append(str(error))
    return tuple(found), failed


def _detect(run: _Run, modality: Modality, dose: float, measured: Measured) -> None:
    from quell.evaluation.benchmark.detection import measure_detection

    run.say(f"{modality.value}, dose {dose:g}: detection task")
    settings = run.settings
    try:
        found = measure_detection(modality, dose, measured.tuned, settings.pairs, settings.seed)
    except QuellError as error:
        run.left_out.append(f"{modality.value}, detection: {error}")
        return
    run.detections.append(found)


def _speed(run: _Run, entrants: tuple[Entrant, ...]) -> tuple[SpeedRow, ...]:
    from quell.evaluation.benchmark.speed import measure_speed, speed_image

    if not run.settings.rounds:
        return ()
    run.say("speed")
    timed = [run.tuned[entrant.name] for entrant in entrants if entrant.name in run.tuned]
    image = speed_image(run.tables[0].table.modality, run.settings.seed)
    return measure_speed(timed, image, run.settings.rounds, run.settings.seed)


def _record(
    run: _Run, entrants: tuple[Entrant, ...], speed: tuple[SpeedRow, ...], started: datetime, seconds: float
) -> Benchmark:
    from quell.evaluation.benchmark.record import Benchmark
    from quell.machine import describe_machine

    return Benchmark(
        tables=tuple(measured.table for measured in run.tables),
        speed=speed,
        detections=tuple(run.detections),
        denoisers=tuple(
            {
                "name": entrant.name,
                "kind": entrant.kind,
                "engine": entrant.engine,
                "version": entrant.denoiser.card.version,
                "sha256": entrant.denoiser.card.sha256,
                "description": entrant.denoiser.card.description,
            }
            for entrant in entrants
        ),
        left_out=tuple(dict.fromkeys(run.left_out)),
        version=__version__,
        started=started.isoformat(timespec="seconds"),
        machine=describe_machine(),
        command=run.settings.command,
        seconds=seconds,
        seed=run.settings.seed,
    )
