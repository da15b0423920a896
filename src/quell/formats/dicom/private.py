"""Private attributes: removed, because their meaning after a change of the pixels is unknown, but for a list.

The list holds what the quantification of the image needs and what does not depend on the pixels:

- the keys to standardised uptake values of PET that vendors keep outside the standard
  (QIBA SUV pseudo-code: Philips scale factors, GE and Siemens time of the scan);
- b-values, gradient directions and b-matrices of diffusion MRI, and Philips' scale from stored to
  floating-point values, as dcm2niix, MRtrix and DIPY read them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from functools import lru_cache

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

Element = DataElement | RawDataElement

_ALLOWED: dict[tuple[int, str], frozenset[int]] = {
    (0x7053, "Philips PET Private Group"): frozenset({0x00, 0x09}),
    (0x0009, "GEMS_PETD_01"): frozenset({0x0D}),
    (0x0071, "SIEMENS MED PT"): frozenset({0x22}),
    (0x0019, "SIEMENS MR HEADER"): frozenset({0x0A, 0x0B, 0x0C, 0x0D, 0x0E, 0x27, 0x28, 0x29}),
    (0x0029, "SIEMENS CSA HEADER"): frozenset({0x08, 0x09, 0x10}),
    (0x0019, "GEMS_ACQU_01"): frozenset({0xBB, 0xBC, 0xBD, 0xE0}),
    (0x0043, "GEMS_PARM_01"): frozenset({0x39}),
    (0x2001, "Philips Imaging DD 001"): frozenset({0x03, 0x04}),
    (0x2005, "Philips MR Imaging DD 001"): frozenset({0x0D, 0x0E, 0xB0, 0xB1, 0xB2}),
    (0x2005, "Philips MR Imaging DD 005"): frozenset({0x12, 0x13}),
    (0x0065, "Image Private Header"): frozenset({0x09, 0x37}),
}
"""(group, private creator) -> low bytes of the element numbers that stay.

Of the Siemens CSA headers only the one of the image stays (b-value, gradient); that of the series
holds the whole protocol.
"""


_OF_STORED_VALUES = {(0x2005, "Philips MR Imaging DD 001"): frozenset({0x0D, 0x0E})}
"""What on the list says how to read the source's stored values, and is untrue of any others."""


def strip_private(dataset: Dataset, same_scale: bool = True) -> None:
    """Remove the private elements of `dataset`, top level only, that are not on the list.

    Parameters
    ----------
    dataset : pydicom.Dataset
    same_scale : bool
        False where the stored values have another scale than the source's.
    """
    kept = set(_kept_tags(dataset, {} if same_scale else _OF_STORED_VALUES))
    for tag in [tag for tag in dataset.keys() if tag.is_private and tag not in kept]:  # noqa: SIM118
        del dataset[tag]


def _kept_tags(dataset: Dataset, excluded: Mapping[tuple[int, str], frozenset[int]]) -> Iterator[BaseTag]:
    """Yield the tags that stay: elements on the list, and the creators that reserve their blocks."""
    blocks: dict[tuple[int, int], tuple[BaseTag, frozenset[int]]] = {}
    private = sorted(tag for tag in dataset.keys() if tag.is_private)  # noqa: SIM118
    for tag in private:
        block = blocks.get((tag.group, tag.element >> 8))
        if 0x10 <= tag.element <= 0xFF:
            name = (tag.group, _creator(dataset, tag))
            allowed = _ALLOWED.get(name, frozenset()) - excluded.get(name, frozenset())
            if allowed:
                blocks[tag.group, tag.element] = (tag, allowed)
        elif block and tag.element & 0xFF in block[1]:
            yield tag
            yield block[0]


def _creator(dataset: Dataset, tag: BaseTag) -> str:
    value = dataset.get_item(tag).value
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
    return text.strip(" \0")


class NestedCleaner:
    """Cleans the items of all sequences of a header: of private elements and of others.

    Slices of a series mostly carry the same sequences; each is looked at once.

    Parameters
    ----------
    is_unwanted : callable
        Says of a tag whether it must go, private or not.
    """

    def __init__(self, is_unwanted: Callable[[int], bool]) -> None:
        self._is_unwanted = is_unwanted
        self._known_clean: set[tuple[int, bytes]] = set()

    def clean(self, header: Dataset) -> None:
        """Clean in place; items that have to change are copied first, for they may be shared."""
        for tag, element in list(header.items()):
            if (element.VR or _dictionary_vr(tag)) not in ("SQ", "UN"):
                continue
            raw = element.value if isinstance(element, RawDataElement) else None
            if raw is None or (int(tag), raw) not in self._known_clean:
                self._clean_sequence(header, tag, raw)

    def _clean_sequence(self, header: Dataset, tag: BaseTag, raw: bytes | None) -> None:
        unparsed = header.get_item(tag)
        parsed = header[tag]
        if parsed.VR != "SQ" or not any(self._is_dirty(item) for item in parsed.value):
            # As it was read, it is written byte for byte.
            header[tag] = unparsed
            if raw is not None:
                self._known_clean.add((int(tag), raw))
            return
        cleaned = deepcopy(parsed)
        for item in cleaned.value:
            self._clean_item(item)
        header[tag] = cleaned

    def _is_dirty(self, item: Dataset) -> bool:
        for tag in item.keys():  # noqa: SIM118
            if tag.is_private or self._is_unwanted(tag):
                return True
            is_sequence = (item.get_item(tag).VR or _dictionary_vr(tag)) == "SQ"
            if is_sequence and any(self._is_dirty(sub) for sub in item[tag].value):
                return True
        return False

    def _clean_item(self, item: Dataset) -> None:
        strip_private(item)
        for tag in [tag for tag in item.keys() if self._is_unwanted(tag)]:  # noqa: SIM118
            del item[tag]
        for element in item:
            if element.VR == "SQ":
                for sub in element.value:
                    self._clean_item(sub)


@lru_cache(maxsize=4096)
def _dictionary_vr(tag: int) -> str:
    """Return the VR that an implicit VR source leaves out, ``""`` for an unknown tag."""
    try:
        return str(dictionary_VR(tag))
    except KeyError:
        return ""
