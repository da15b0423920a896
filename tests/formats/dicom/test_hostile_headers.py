"""Headers that are readable in part: nothing passes as a default, nothing takes the other files along."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import ct_slice, dataset, save

from quell.errors import InputError
from quell.formats.contracts import OutputKind, Provenance, WriteOptions
from quell.formats.dicom.classify import class_name
from quell.formats.dicom.codestream import declared_size
from quell.formats.dicom.discover import Found, find_series
from quell.formats.dicom.quiet import unheard

PIXELS = np.arange(20, dtype=np.int16).reshape(4, 5)


def found(path: Path) -> Found:
    return find_series([path], path.parent)


def element(group: int, number: int, vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sH", group, number, vr, len(value)) + value


def with_element(path: Path, old: bytes, new: bytes) -> Path:
    """Replace the start of an element, found by its tag and VR, and its value."""
    data = path.read_bytes()
    at = data.index(old)
    length = struct.unpack_from("<H", data, at + 6)[0]
    path.write_bytes(data[:at] + new + data[at + 8 + length :])
    return path


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"\x28\0\x53\x10DS", element(0x28, 0x1053, b"FL", b"2 "), "RescaleSlope"),
        (b"\x28\0\x52\x10DS", element(0x28, 0x1052, b"FD", b"\1\2"), "RescaleIntercept"),
        (b"\x28\0\x03\x01US", element(0x28, 0x0103, b"US", b"\2\0"), "PixelRepresentation"),
        (b"\x28\0\x03\x01US", element(0x28, 0x0103, b"SL", b"\0\0"), "PixelRepresentation"),
        (b"\x28\0\x10\0US", element(0x28, 0x0010, b"FD", b"\4\0"), "Rows"),
        (b"\x08\0\x18\0UI", element(0x08, 0x0018, b"UI", b"1.2.\xe9\0"), "SOPInstanceUID is no identifier"),
        (b"\x20\0\x0e\0UI", element(0x20, 0x000E, b"UI", b"1" * 200), "SeriesInstanceUID is no identifier"),
    ],
)
def test_a_value_that_cannot_be_read_is_no_default(
    old: bytes, new: bytes, reason: str, tmp_path: Path
) -> None:
    (path,) = save(tmp_path, [ct_slice(0)])
    result = found(with_element(path, old, new))
    assert result.series == ()
    (passed,) = result.passed_over
    assert passed.error and reason in passed.reason


def test_a_number_of_frames_that_cannot_be_read_is_not_one(tmp_path: Path) -> None:
    path = save(tmp_path, [ct_slice(0, np.stack([PIXELS, PIXELS]))])[0]
    with_element(path, b"\x28\0\x08\0IS", element(0x28, 0x0008, b"FL", b"2 "))
    (passed,) = found(path).passed_over
    assert passed.error and "NumberOfFrames" in passed.reason


@pytest.mark.parametrize(
    ("slope", "intercept"), [(1e-308, 0), (1e300, 0), (1, 1e30), (1e-6, 1e6), (-1e-45, 0), (1, -1e38)]
)
def test_scales_that_voxels_cannot_hold_are_refused(slope: float, intercept: float, tmp_path: Path) -> None:
    (path,) = save(tmp_path, [ct_slice(0, RescaleSlope=slope, RescaleIntercept=intercept)])
    (series,) = found(path).series
    with pytest.raises(InputError, match="absurdly"):
        series.read()


def test_a_header_that_fell_out_of_a_sequence_is_refused(tmp_path: Path) -> None:
    (path,) = save(tmp_path, [ct_slice(0)])
    data = path.read_bytes()
    at = data.index(b"\x28\0\x10\0US")
    path.write_bytes(data[:at] + b"\xfe\xff\x00\xe0\0\0\0\0" + data[at:])
    (passed,) = found(path).passed_over
    assert passed.error and "sequence" in passed.reason


def test_empty_functional_groups_are_no_groups(tmp_path: Path) -> None:
    ds = ct_slice(0, SharedFunctionalGroupsSequence=[], PerFrameFunctionalGroupsSequence=[])
    (series,) = found(save(tmp_path, [ds])[0]).series
    np.testing.assert_array_equal(series.read().voxels[0], np.zeros((4, 5)))


def test_an_unforeseen_error_over_one_file_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from quell.formats.dicom import collect

    paths = save(tmp_path, [ct_slice(0), ct_slice(3)])
    real = collect.read_instance

    def broken(path: Path, *more: object) -> object:
        if path == paths[0]:
            raise ZeroDivisionError("a bug")
        return real(path, *more)

    monkeypatch.setattr(collect, "read_instance", broken)
    result = find_series(paths, tmp_path)
    assert [one.shape for one in result.series] == [(1, 4, 5)]
    assert [(one.what, one.error) for one in result.passed_over] == [("0000.dcm", True)]


@pytest.mark.parametrize("text", ["Canary^Patient\n", "1.2.3\n", "1.2.840.10008.5.1.4.1.1.2\0\x02Canary\t"])
def test_no_message_repeats_a_header_that_slid_into_its_class(text: str) -> None:
    assert class_name(text) == "private or unknown object"


def test_a_sequence_where_text_belongs_is_no_text(tmp_path: Path) -> None:
    broken = b"\xfe\xff\x00\xe0\x08\0\0\0\x5c\x50\x52\x49MA\0\0"
    (path,) = save(tmp_path, [ct_slice(0)])
    sequence = struct.pack("<HH2sHI", 0x0008, 0x0060, b"SQ", 0, len(broken)) + broken
    with_element(path, b"\x08\0\x60\0CS", sequence)
    (series,) = found(path).series
    assert series.shape == (1, 4, 5)


@pytest.mark.parametrize("length", [0, 1, 7])
def test_a_box_of_jpeg_2000_that_ends_nowhere_is_refused(length: int) -> None:
    """pydicom itself turns round for ever over a box of length 0."""
    signature = b"\0\0\0\x0cjP  \r\n\x87\n"
    with pytest.raises(ValueError, match="boxes"):
        declared_size(signature + struct.pack(">I", length) + b"ftyp" + bytes(200))


def test_the_codestream_inside_jpeg_2000_boxes_is_found() -> None:
    boxes = b"\0\0\0\x0cjP  \r\n\x87\n" + struct.pack(">I4s12x", 20, b"ftyp")
    size = b"\xff\x4f\xff\x51" + struct.pack(">HHIIIIIIII", 47, 0, 30, 20, 0, 0, 30, 20, 0, 0)
    assert declared_size(boxes + struct.pack(">I4s", 0, b"jp2c") + size) == (20, 30)


def written(path: Path, out: Path, provenance: Provenance) -> pydicom.FileDataset:
    (series,) = found(path).series
    voxels = series.read().voxels
    done = series.write(voxels, out, OutputKind.DENOISED, provenance, WriteOptions())
    return pydicom.dcmread(done.files[0])


def test_a_colour_space_in_small_letters_is_written_in_capital_ones(
    tmp_path: Path, provenance: Provenance
) -> None:
    (path,) = save(tmp_path, [ct_slice(0, PhotometricInterpretation="monochrome2")])
    ds = written(path, tmp_path / "out", provenance)
    assert ds.PhotometricInterpretation == "MONOCHROME2"
    assert ds.pixel_array.shape == (4, 5)


@pytest.mark.parametrize("vr", [b"DS", b"LO", b"IS"])
def test_sizes_in_text_are_written_as_numbers(vr: bytes, tmp_path: Path, provenance: Provenance) -> None:
    (path,) = save(tmp_path, [ct_slice(0, PIXELS)])
    with_element(path, b"\x28\0\x10\0US", element(0x28, 0x0010, vr, b"4 "))
    ds = written(path, tmp_path / "out", provenance)
    assert ds["Rows"].VR == "US"
    np.testing.assert_array_equal(ds.pixel_array, PIXELS)


def test_an_element_without_a_vr_is_written_with_one(tmp_path: Path, provenance: Provenance) -> None:
    """Some writers of explicit files fall back to implicit ones for an element."""
    (path,) = save(tmp_path, [ct_slice(0, StationName="ROOM 1")])
    implicit = struct.pack("<HHI", 0x0008, 0x1010, 6) + b"ROOM 2"
    with_element(path, b"\x08\0\x10\x10SH", implicit)
    ds = written(path, tmp_path / "out", provenance)
    assert ds["StationName"].VR == "SH"
    assert ds.StationName == "ROOM 2"


def test_the_class_is_the_same_in_the_file_and_in_its_meta_group(
    tmp_path: Path, provenance: Provenance
) -> None:
    (path,) = save(tmp_path, [ct_slice(0)])
    sop_class = b"1.2.840.10008.5.1.4.1.1.2\0"
    with_element(path, b"\x08\0\x16\0UI", element(0x08, 0x0016, b"AE", sop_class))
    ds = written(path, tmp_path / "out", provenance)
    assert ds.SOPClassUID == ds.file_meta.MediaStorageSOPClassUID
    assert ds["SOPClassUID"].VR == "UI"


def test_a_negative_slope_of_pet_is_not_widened_to_nothing(tmp_path: Path, provenance: Provenance) -> None:
    ds = dataset(
        "1.2.840.10008.5.1.4.1.1.128", "PT", PIXELS, RescaleSlope=-1, RescaleIntercept=0, Units="BQML"
    )
    derived = written(save(tmp_path, [ds])[0], tmp_path / "out", provenance)
    assert derived.RescaleSlope == -1
    np.testing.assert_array_equal(derived.pixel_array, PIXELS)


def test_what_c_code_writes_to_the_terminal_is_not_heard(capfd: pytest.CaptureFixture[str]) -> None:
    def noisy() -> Iterator[int]:
        for number in range(3):
            os.write(2, b"from a decoder\n")
            yield number

    heard = []
    for number in unheard(noisy()):
        os.write(2, f"between {number}\n".encode())
        heard.append(number)
    assert heard == [0, 1, 2]
    assert capfd.readouterr().err == "between 0\nbetween 1\nbetween 2\n"


def test_the_terminal_is_back_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    def failing() -> Iterator[int]:
        raise ValueError("damaged")
        yield 0

    with pytest.raises(ValueError, match="damaged"):
        next(unheard(failing()))
    os.write(2, b"heard\n")
    assert capfd.readouterr().err == "heard\n"
