"""Find the DICOM series among files."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from quell.formats.contracts import PassedOver
from quell.formats.dicom import tags
from quell.formats.dicom.assemble import assemble
from quell.formats.dicom.collect import collect
from quell.formats.dicom.duplicates import distinct
from quell.formats.dicom.series import DicomSeries


@dataclass(frozen=True)
class Found:
    """What was found among files.

    Attributes
    ----------
    series : tuple of DicomSeries
        By study, series number and path.
    passed_over : tuple of PassedOver
    others : tuple of Path
        Files that are no DICOM, for the other doors.
    """

    series: tuple[DicomSeries, ...]
    passed_over: tuple[PassedOver, ...]
    others: tuple[Path, ...]


def find_series(files: Sequence[Path], root: Path) -> Found:
    """Group DICOM files into stacks that can be denoised.

    Only headers are read, except of colour images (to see whether they are grey in fact) and of
    files with the same SOP Instance UID. Damaged files are passed over as errors; what is left of
    their series is handled.

    Parameters
    ----------
    files : sequence of Path
        In any order.
    root : Path
        The folder that the user named; messages name files relative to it.
    """
    with warnings.catch_warnings():
        # Warnings of the DICOM library quote values, which may identify the patient.
        warnings.simplefilter("ignore")
        collection = collect(files, root)
        unique = distinct(collection.images)
        for image in unique.conflicts:
            collection.add_damaged(image.path, "has the identifier of another image and other pixels")
        series = [_with_counts(one, unique.copies, collection.damaged) for one in assemble(unique.images)]
    return Found(tuple(series), collection.passed_over(), tuple(collection.others))


def _with_counts(series: DicomSeries, copies: dict[str, int], damaged: dict[str, int]) -> DicomSeries:
    uid = tags.uid(series.instances[0].header, "SeriesInstanceUID")
    notes = list(series.notes)
    for kind, counts in (("duplicate", copies), ("damaged", damaged)):
        count = counts.get(uid, 0)
        if count:
            notes.append(f"{count} {kind} file{'s' if count > 1 else ''} left out")
    return replace(series, notes=tuple(notes))
