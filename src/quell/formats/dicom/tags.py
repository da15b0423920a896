"""Values of DICOM headers that may be absent, empty, malformed or hostile.

A header's value is never trusted: each function returns None (or nothing) where the element cannot
be read as what it should be, and leaves it to the caller whether that matters.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from functools import cache
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as DicomSequence
from pydicom.tag import BaseTag, Tag

_TEXT = frozenset(("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "SH", "TM", "UI"))
_BINARY = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "US or SS": "H"}


def has(header: Dataset, keyword: str) -> bool:
    """Whether an element is there, empty or not."""
    return _tag(keyword) in header


def given(header: Dataset, keyword: str) -> bool:
    """Whether an element has a value, be it readable or not; blanks are none."""
    element = header.get_item(_tag(keyword))
    if element is None or element.value is None:
        return False
    if isinstance(element.value, bytes):
        is_text = (element.VR or _vr(keyword)) in _TEXT
        return bool(element.value.strip(b" \0") if is_text else element.value)
    return bool(str(element.value).strip(" \0[]"))


def value(header: Dataset, keyword: str) -> Any:
    """Return an element's value, or None if it is absent, empty or cannot be converted."""
    try:
        found = header.get(keyword)
    except Exception:
        # pydicom converts when a value is asked for, and raises many kinds of errors.
        return None
    if found is None or (isinstance(found, (str, bytes, MultiValue, list)) and len(found) == 0):
        return None
    return found


def number(header: Dataset, keyword: str) -> float | None:
    """Return the first value as a finite number, or None."""
    found = _values(header, keyword)
    return _finite(found[0]) if found else None


def numbers(header: Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    """Return exactly `count` finite numbers, or None."""
    found = _values(header, keyword)
    if len(found) != count:
        return None
    converted = tuple(x for x in map(_finite, found) if x is not None)
    return converted if len(converted) == count else None


def integer(header: Dataset, keyword: str) -> int | None:
    """Return the first value as a whole number, or None."""
    found = number(header, keyword)
    return int(found) if found is not None and found == int(found) else None


def words(header: Dataset, keyword: str) -> tuple[str, ...]:
    """Return all values as upper-case text without surrounding blanks."""
    return tuple(str(one).strip(" \0").upper() for one in _values(header, keyword))


def word(header: Dataset, keyword: str) -> str:
    """Return the first value as upper-case text without surrounding blanks, or ``""``."""
    found = words(header, keyword)
    return found[0] if found else ""


def uid(header: Dataset, keyword: str) -> str:
    """Return a unique identifier without padding, or ``""``."""
    return word(header, keyword)


def items(header: Dataset, keyword: str) -> Sequence[Dataset]:
    """Return the items of a sequence; empty where it is absent or no sequence."""
    if not has(header, keyword):
        return []
    found = value(header, keyword)
    try:
        return [item for item in found if isinstance(item, Dataset)] if found is not None else []
    except TypeError:
        return []


@cache
def _tag(keyword: str) -> BaseTag:
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise KeyError(keyword)
    return Tag(tag)


@cache
def _vr(keyword: str) -> str:
    return dictionary_VR(_tag(keyword))


def _values(header: Dataset, keyword: str) -> Sequence[Any]:
    """Return an element's values, however many; empty where there is none.

    The bytes of plain elements are read here: pydicom's conversion, which also validates, takes
    longer than all the rest of finding a series.
    """
    element = header.get_item(_tag(keyword))
    if isinstance(element, RawDataElement) and isinstance(element.value, bytes):
        vr = element.VR or _vr(keyword)
        if vr in _TEXT:
            text = element.value.decode("latin-1").strip(" \0")
            return text.split("\\") if text else ()
        if vr in _BINARY:
            return _unpack(element.value, _BINARY[vr], element.is_little_endian)
    if element is None:
        return ()
    found = value(header, keyword)
    if found is None or isinstance(found, DicomSequence):
        return ()
    return found if isinstance(found, (MultiValue, list, tuple)) else (found,)


def _unpack(data: bytes, kind: str, little: bool) -> Sequence[Any]:
    count = len(data) // struct.calcsize("<" + kind)
    return struct.unpack_from(f"{'<' if little else '>'}{count}{kind}", data)


def _finite(found: Any) -> float | None:
    try:
        converted = float(found)
    except (TypeError, ValueError, OverflowError):
        return None
    return converted if math.isfinite(converted) else None
