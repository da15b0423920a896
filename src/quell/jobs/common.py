"""What every job over a study does alike: look before the work, name series, survive failures, tell."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from quell import __version__
from quell.errors import InputError, OutputError, QuellError
from quell.evaluation.report.record import SeriesRecord, Status, StudyRecord
from quell.formats.contracts import Purpose, Series, Study
from quell.image import Modality
from quell.machine import describe_machine

log = logging.getLogger(__name__)


class Progress(Protocol):
    """Told of the work as it goes."""

    def begin(self, name: str, steps: int) -> None:
        """Take note that a series of `steps` slices starts."""

    def advance(self, step: str, count: int = 1) -> None:
        """Take note that `count` slices passed a step: ``read``, ``write``, and those of the job."""

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


def treat_study(
    source: Path,
    out: Path,
    purpose: Purpose,
    modality: Modality | None,
    treat: Callable[[Series], SeriesRecord],
) -> StudyRecord:
    """Open what is at a path and treat each of its series.

    Parameters
    ----------
    source : Path
        Folder, file, DICOMDIR or ZIP.
    out : Path
        Folder for the results.
    purpose : Purpose
    modality : Modality or None
        Of series whose format does not say it.
    treat : callable
        Does the work for one series and records it; must not raise for what is wrong with the series.

    Raises
    ------
    QuellError
        If the input as a whole or the place of the output cannot be used.
    """
    from quell.formats.open import open_study

    check_paths(source, out)
    started, clock = datetime.now().astimezone(), time.perf_counter()
    study = open_study(source, purpose)
    records = tuple(treat(series) for series in series_to_do(study, modality))
    return StudyRecord(
        source=source,
        out=out,
        series=records,
        passed_over=study.passed_over,
        started=started.isoformat(timespec="seconds"),
        seconds=time.perf_counter() - clock,
        version=__version__,
        machine=describe_machine(),
    )


def planned(series: Series) -> SeriesRecord:
    """Return the record of a series of which only the headers were read."""
    return SeriesRecord(
        name=series.name,
        format=series.format,
        modality=series.modality.value,
        units="",
        shape=series.shape,
        status=Status.PLANNED,
        notes=series.notes,
    )


@dataclass
class Outcome:
    """How the work on one series ended; `reason` is empty while nothing went wrong."""

    reason: str = ""

    def entered(self, record: SeriesRecord) -> SeriesRecord:
        """Return the record of the series with the failure, if there was one."""
        return replace(record, status=Status.FAILED, reason=self.reason) if self.reason else record


@contextmanager
def surviving(name: str, watch: Progress) -> Iterator[Outcome]:
    """Turn whatever goes wrong with one series into a reason: it must not take the others with it."""
    outcome = Outcome()
    try:
        yield outcome
    except QuellError as error:
        outcome.reason = str(error)
    except MemoryError:
        outcome.reason = f"{name}: not enough memory"
    except Exception as error:
        log.debug("unexpected error", exc_info=True)
        text = " ".join(f"{type(error).__name__}: {error}".split())
        outcome.reason = f"{name}: unexpected error: {text}"
    watch.end(not outcome.reason, outcome.reason)


def check_paths(source: Path, out: Path) -> None:
    """Refuse an input that is not there and an output that would lie inside it, before any work."""
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


def series_to_do(study: Study, modality: Modality | None) -> tuple[Series, ...]:
    """Return the series of a study; those whose format does not say their modality get the one named."""
    if modality is None:
        return study.series
    return tuple(s if s.format == "DICOM" else _named(s, modality) for s in study.series)


def _named(series: Any, modality: Modality) -> Series:
    """Give a series its modality; what it says of not knowing it is then out of date."""
    notes = tuple(note for note in series.notes if not note.startswith("modality "))
    named: Series = replace(series, modality=modality, notes=notes)
    return named
