"""Functional groups of enhanced multi-frame objects (PS3.3 C.7.6.16)."""

from __future__ import annotations

from pydicom.dataset import Dataset

from quell.formats.dicom import tags


def is_enhanced(header: Dataset) -> bool:
    """Whether the object describes its frames by functional groups."""
    return "PerFrameFunctionalGroupsSequence" in header or "SharedFunctionalGroupsSequence" in header


def macro(header: Dataset, frame: int, keyword: str) -> Dataset | None:
    """Return the item of one macro that holds for a frame, counted from 0.

    A macro is either per frame or shared by all frames, never both (PS3.3 C.7.6.16.1.1).
    """
    per_frame = tags.value(header, "PerFrameFunctionalGroupsSequence")
    if per_frame is not None and frame < len(per_frame):
        found = tags.items(per_frame[frame], keyword)
        if found:
            return found[0]
    for group in tags.items(header, "SharedFunctionalGroupsSequence")[:1]:
        found = tags.items(group, keyword)
        if found:
            return found[0]
    return None
