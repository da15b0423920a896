"""Private attributes: gone, but for those that the quantification needs."""

from __future__ import annotations

from copy import deepcopy

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from quell.formats.dicom.edit import editable_copy
from quell.formats.dicom.private import NestedCleaner, strip_private


def with_private(group: int, creator: str, block: int, elements: dict[int, tuple[str, object]]) -> Dataset:
    header = Dataset()
    header.PatientID = "ID-1"
    header.add_new((group, block), "LO", creator)
    for element, (vr, value) in elements.items():
        header.add_new((group, (block << 8) + element), vr, value)
    return header


@pytest.mark.parametrize("block", [0x10, 0x42])
@pytest.mark.parametrize(
    ("group", "creator", "element", "vr", "value"),
    [
        (0x7053, "Philips PET Private Group", 0x00, "DS", "0.00035"),
        (0x7053, "Philips PET Private Group", 0x09, "DS", "1.5"),
        (0x0009, "GEMS_PETD_01", 0x0D, "DT", "20240301101500"),
        (0x0019, "SIEMENS MR HEADER", 0x0C, "IS", "1000"),
        (0x0029, "SIEMENS CSA HEADER", 0x10, "OB", b"SV10"),
        (0x0043, "GEMS_PARM_01", 0x39, "IS", "1000"),
        (0x2001, "Philips Imaging DD 001", 0x03, "FL", 1000.0),
    ],
)
def test_what_quantification_needs_stays_with_its_creator(
    group: int, creator: str, element: int, vr: str, value: object, block: int
) -> None:
    header = with_private(group, creator, block, {element: (vr, value), 0xFE: ("LO", "unknown")})
    strip_private(header)
    assert header[group, block].value == creator
    assert (group, (block << 8) + element) in header
    assert (group, (block << 8) + 0xFE) not in header
    assert header.PatientID == "ID-1"


def test_the_same_element_of_another_creator_goes() -> None:
    header = with_private(0x7053, "SOMEBODY ELSE", 0x10, {0x00: ("DS", "1.0")})
    strip_private(header)
    assert [element.keyword for element in header] == ["PatientID"]


def test_elements_without_a_creator_go() -> None:
    header = Dataset()
    header.add_new((0x7053, 0x1000), "DS", "1.0")
    strip_private(header)
    assert len(header) == 0


def test_a_scale_of_the_stored_values_goes_where_they_have_another() -> None:
    elements = {0x0E: ("FL", 0.01), 0xB0: ("FL", 0.5)}
    header = with_private(0x2005, "Philips MR Imaging DD 001", 0x10, elements)
    kept = deepcopy(header)
    strip_private(kept)
    assert (0x2005, 0x100E) in kept
    strip_private(header, same_scale=False)
    assert (0x2005, 0x100E) not in header and (0x2005, 0x10B0) in header


def test_items_of_sequences_are_cleaned_and_the_source_is_not() -> None:
    inner = with_private(0x0021, "SIEMENS MR SDS 01", 0x10, {0x01: ("LO", "secret")})
    outer = Dataset()
    outer.RequestedProcedureCodeSequence = Sequence([inner])
    source = Dataset()
    source.RequestAttributesSequence = Sequence([outer])
    before = deepcopy(source)
    header = editable_copy(source)
    NestedCleaner(lambda tag: False).clean(header)
    cleaned = header.RequestAttributesSequence[0].RequestedProcedureCodeSequence[0]
    assert [element.keyword for element in cleaned] == ["PatientID"]
    assert source == before
