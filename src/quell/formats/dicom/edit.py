"""Edit a header without touching the one that it was copied from."""

from __future__ import annotations

from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag


def editable_copy(header: Dataset) -> Dataset:
    """Return a dataset with the same elements, of which any may be replaced or removed.

    The elements themselves are shared with `header`, because copying them takes most of the
    time of writing: they must be replaced by `put`, never changed in place.
    """
    copy = Dataset(dict(header.items()))
    implicit, little = header.original_encoding
    copy.set_original_encoding(implicit, little, header.original_character_set)
    return copy


def put(header: Dataset, keyword: str, value: Any) -> None:
    """Give an element a value, in a new element: assigning to an attribute would change a shared one."""
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise ValueError(f"{keyword} is no DICOM keyword")
    header[tag] = DataElement(Tag(tag), dictionary_VR(tag), value)


def drop(header: Dataset, keyword: str) -> None:
    """Remove an element if it is there."""
    tag = tag_for_keyword(keyword)
    if tag is not None and tag in header:
        del header[tag]
