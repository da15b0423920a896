"""Files that claim to be the same image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from quell.errors import InputError
from quell.formats.dicom import tags
from quell.formats.dicom.instance import Instance


@dataclass(frozen=True, eq=False)
class Distinct:
    """Images of which no two have the same SOP Instance UID.

    Attributes
    ----------
    images : tuple of Instance
        The first of each.
    copies : Counter
        Number of equal copies left out, for each SOP Instance UID.
    conflicts : tuple of Instance
        Images with the identifier of another one and other pixels.
    """

    images: tuple[Instance, ...]
    copies: Counter[str]
    conflicts: tuple[Instance, ...]


def distinct(images: Sequence[Instance]) -> Distinct:
    """Keep the first image of each SOP Instance UID."""
    first: dict[str, Instance] = {}
    copies: Counter[str] = Counter()
    conflicts = []
    for image in images:
        uid = tags.uid(image.header, "SOPInstanceUID")
        kept = first.setdefault(uid, image)
        if kept is image:
            continue
        if _same_pixels(kept, image):
            copies[uid] += 1
        else:
            conflicts.append(image)
    return Distinct(tuple(first.values()), copies, tuple(conflicts))


def _same_pixels(one: Instance, other: Instance) -> bool:
    """Whether two images show the same, be they compressed in different ways."""
    from quell.formats.dicom.decode import stored_pixels

    try:
        pairs = zip(stored_pixels(one), stored_pixels(other), strict=True)
        return all(np.array_equal(first.shown, second.shown) for first, second in pairs)
    except (InputError, ValueError):
        return False
