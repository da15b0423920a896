"""Functional groups of enhanced multi-frame objects (PS3.3 C.7.6.16)."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from quell.formats.dicom import tags


def is_enhanced(header: Dataset) -> bool:
    """Whether the object describes its frames by functional groups."""
    return tags.has(header, "PerFrameFunctionalGroupsSequence") or tags.has(
        header, "SharedFunctionalGroupsSequence"
    )


def macro(header: Dataset, frame: int, keyword: str) -> Dataset | None:
    """Return the item of one macro that holds for a frame, counted from 0.

    A macro is either per frame or shared by all frames, never both (PS3.3 C.7.6.16.1.1).
    """
    groups: list[Dataset] = []
    per_frame = tags.value(header, "PerFrameFunctionalGroupsSequence")
    if isinstance(per_frame, Sequence) and frame < len(per_frame):
        groups.append(per_frame[frame])
    shared = tags.value(header, "SharedFunctionalGroupsSequence")
    if isinstance(shared, Sequence):
        groups += shared[:1]
    return next((item for group in groups for item in tags.items(group, keyword)), None)
