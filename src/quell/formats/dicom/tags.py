"""Values of DICOM headers that may be absent, empty, malformed or hostile.

A header's value is never trusted: each function returns None (or nothing) where the element cannot
be read as what it should be, and leaves it to the caller whether that matters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue


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
    found = value(header, keyword)
    if isinstance(found, (MultiValue, list, tuple)):
        found = found[0]
    return _finite(found)


def numbers(header: Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    """Return exactly `count` finite numbers, or None."""
    found = value(header, keyword)
    if count == 1 and not isinstance(found, (MultiValue, list, tuple)):
        found = [found]
    if not isinstance(found, (MultiValue, list, tuple)) or len(found) != count:
        return None
    converted = [_finite(one) for one in found]
    return None if any(one is None for one in converted) else tuple(x for x in converted if x is not None)


def integer(header: Dataset, keyword: str) -> int | None:
    """Return the first value as a whole number, or None."""
    found = number(header, keyword)
    return int(found) if found is not None and found == int(found) else None


def words(header: Dataset, keyword: str) -> tuple[str, ...]:
    """Return all values as upper-case text without surrounding blanks."""
    found = value(header, keyword)
    if found is None:
        return ()
    many = found if isinstance(found, (MultiValue, list, tuple)) else [found]
    return tuple(str(one).strip().upper() for one in many)


def word(header: Dataset, keyword: str) -> str:
    """Return the first value as upper-case text without surrounding blanks, or ``""``."""
    found = words(header, keyword)
    return found[0] if found else ""


def uid(header: Dataset, keyword: str) -> str:
    """Return a unique identifier without padding, or ``""``."""
    return word(header, keyword).strip("\0 ")


def items(header: Dataset, keyword: str) -> Sequence[Dataset]:
    """Return the items of a sequence; empty where it is absent or no sequence."""
    found = value(header, keyword)
    try:
        return [item for item in found if isinstance(item, Dataset)] if found is not None else []
    except TypeError:
        return []


def _finite(found: Any) -> float | None:
    try:
        converted = float(found)
    except (TypeError, ValueError, OverflowError):
        return None
    return converted if math.isfinite(converted) else None
