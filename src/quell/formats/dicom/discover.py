"""Find the DICOM series among files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from quell.formats.contracts import PassedOver
from quell.formats.dicom import tags
from quell.formats.dicom.assemble import assemble
from quell.formats.dicom.collect import collect
from quell.formats.dicom.duplicates import distinct
from quell.formats.dicom.quiet import quiet
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


def find_series(
    files: Sequence[Path], root: Path, projections: bool = False, denoised: bool = False
) -> Found:
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
    projections : bool
        Take raw projections of SPECT too, which are not denoised.
    denoised : bool
        Take what Quell denoised, too.
    """
    with quiet():
        collection = collect(files, root, projections, denoised)
        unique = distinct(collection.images)
        for image in unique.conflicts:
            collection.add_damaged(image.path, "has the identifier of another image and other pixels")
        series = [_with_counts(one, unique.copies, collection.damaged) for one in assemble(unique.images)]
    return Found(tuple(series), collection.passed_over(), tuple(collection.others))


def _with_counts(series: DicomSeries, copies: dict[str, int], damaged: dict[str, int]) -> DicomSeries:
    headers = [instance.header for instance in series.instances]
    counts = {
        "duplicate": sum(copies.get(tags.uid(header, "SOPInstanceUID"), 0) for header in headers),
        "damaged": damaged.get(tags.uid(headers[0], "SeriesInstanceUID"), 0),
    }
    notes = [f"{n} {kind} file{'s' if n > 1 else ''} left out" for kind, n in counts.items() if n]
    return replace(series, notes=(*series.notes, *notes))
