"""Which DICOM objects a series is made of, and which it was derived from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.dataset import Dataset

from quell.formats.dicom import tags
from quell.formats.dicom.series import DicomSeries


@dataclass(frozen=True)
class Lineage:
    """The identifiers behind a series.

    Attributes
    ----------
    own : frozenset of str
        SOP Instance UIDs of its objects.
    sources : frozenset of str
        Those that its objects name as what they were derived from (PS3.3 C.7.6.1.1.4; for enhanced
        objects C.7.6.16.2.6).
    """

    own: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()


def lineage(series: DicomSeries) -> Lineage:
    """Return the identifiers of the objects of a series and of their sources."""
    headers = [instance.header for instance in series.instances]
    own = frozenset(tags.uid(header, "SOPInstanceUID") for header in headers)
    named = {uid for header in headers for uid in _sources(header)}
    return Lineage(own, frozenset(named) - own - {""})


def _sources(header: Dataset) -> Iterator[str]:
    yield from _referenced(header)
    for groups in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in tags.items(header, groups):
            for step in tags.items(group, "DerivationImageSequence"):
                yield from _referenced(step)


def _referenced(dataset: Dataset) -> Iterator[str]:
    for item in tags.items(dataset, "SourceImageSequence"):
        yield tags.uid(item, "ReferencedSOPInstanceUID")
