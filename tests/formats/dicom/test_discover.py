"""Grouping of files into stacks, and robustness against files that lie."""

from __future__ import annotations

import struct
import time
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_files import (
    AXIAL,
    CT,
    DX,
    MR,
    US_CINE,
    ct_slice,
    dataset,
    enhanced_mr,
    files_in,
    library_file,
    save,
    shared_data,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import JPEG2000Lossless, generate_uid

from quell.errors import InputError
from quell.formats.dicom.discover import Found, find_series


def mr_slice(z: float, value: int, **elements: Any) -> Any:
    return dataset(
        MR,
        "MR",
        np.full((4, 4), value, np.uint16),
        **{
            "ImageType": ["ORIGINAL", "PRIMARY", "M"],
            "ImagePositionPatient": [0, 0, z],
            "ImageOrientationPatient": list(AXIAL),
            "PixelSpacing": [1, 1],
            "SliceThickness": 3.0,
            **elements,
        },
    )


def found_in(folder: Path, datasets: list[Any]) -> Found:
    return find_series(save(folder, datasets), folder)


# Grouping


def test_echoes_become_stacks(tmp_path: Path) -> None:
    slices = [
        mr_slice(3 * z, 10 * echo + z, EchoNumbers=echo, EchoTime=5.0 * echo, InstanceNumber=2 * z + echo)
        for z in range(4)
        for echo in (1, 2)
    ]
    series = found_in(tmp_path, slices).series
    assert [one.name for one in series] == ["MR 4x4x4 series 3 echo 1", "MR 4x4x4 series 3 echo 2"]
    for echo, one in enumerate(series, 1):
        np.testing.assert_array_equal(one.read().voxels[:, 0, 0], 10 * echo + np.arange(4))


def test_time_points_and_diffusion_directions_become_stacks(tmp_path: Path) -> None:
    directions = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    slices = [mr_slice(3 * z, z, DiffusionBValue=0.0) for z in range(3)]
    for n, direction in enumerate(directions, 1):
        slices += [
            mr_slice(3 * z, 10 * n + z, DiffusionBValue=1000.0, DiffusionGradientOrientation=direction)
            for z in range(3)
        ]
    series = found_in(tmp_path, slices).series
    assert len(series) == 4
    firsts = sorted(int(one.read().voxels[0, 0, 0]) for one in series)
    assert firsts == [0, 10, 20, 30]
    assert all(np.all(np.diff(one.read().voxels[:, 0, 0]) == 1) for one in series)


def test_repeats_without_any_telling_value_are_split_by_number(tmp_path: Path) -> None:
    slices = [
        mr_slice(
            3 * z, 10 * phase + z, InstanceNumber=100 * z + phase, AcquisitionTime=f"{10 * z + phase:06d}"
        )
        for z in range(3)
        for phase in range(4)
    ]
    series = found_in(tmp_path, slices).series
    assert len(series) == 4
    for phase, one in enumerate(sorted(series, key=lambda one: one.name)):
        np.testing.assert_array_equal(one.read().voxels[:, 0, 0], 10 * phase + np.arange(3))


def test_values_that_differ_from_slice_to_slice_split_nothing(tmp_path: Path) -> None:
    slices = [ct_slice(z, AcquisitionTime=f"{z:06d}", ContentTime=f"{z:06d}") for z in range(6)]
    assert len(found_in(tmp_path, slices).series) == 1


def test_reconstructions_with_two_kernels_become_stacks(tmp_path: Path) -> None:
    slices = [ct_slice(3 * z, ConvolutionKernel=kernel) for z in range(3) for kernel in ("B30s", "B70s")]
    series = found_in(tmp_path, slices).series
    assert [one.shape[0] for one in series] == [3, 3]
    assert len({one.name for one in series}) == 2


def test_sizes_and_sop_classes_become_stacks(tmp_path: Path) -> None:
    slices = [ct_slice(z) for z in (0, 3)] + [ct_slice(z, np.ones((6, 5), np.int16)) for z in (0, 3)]
    assert sorted(one.shape for one in found_in(tmp_path, slices).series) == [(2, 4, 5), (2, 6, 5)]


def test_multi_frame_object_stays_one_stack_with_gaps_between_its_volumes(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.uint16)
    pixels = values.repeat(16).reshape(6, 4, 4)
    ds = enhanced_mr(pixels, [4, 4, 0, 0, 2, 2], echo=[10.0, 20.0] * 3)
    (series,) = found_in(tmp_path, [ds]).series
    np.testing.assert_array_equal(series.read().voxels[:, 0, 0], [2, 4, 0, 3, 5, 1])
    assert series.gaps == (2,) and series.volume and series.is_whole(0)
    assert series.geometry.spacing == (2.0, 1.0, 1.5)
    assert [ref.frame for ref in series.frames] == [2, 4, 0, 3, 5, 1]


def test_cine_is_no_volume_and_keeps_the_order_of_its_frames(tmp_path: Path) -> None:
    pixels = np.arange(3 * 48, dtype=np.uint8).reshape(3, 6, 8)
    (series,) = found_in(tmp_path, [dataset(US_CINE, "US", pixels)]).series
    assert not series.volume and series.shape == (3, 6, 8)
    np.testing.assert_array_equal(series.read().voxels, pixels)


def test_radiographs_of_one_series_stay_apart(tmp_path: Path) -> None:
    views = [dataset(DX, "DX", np.ones((6, 6), np.uint16)) for _ in range(2)]
    names = [series.name for series in found_in(tmp_path, views).series]
    assert names == ["XR 6x6x1 series 3 (1)", "XR 6x6x1 series 3 (2)"]


# Duplicates


def test_equal_copies_are_dropped_and_noted(tmp_path: Path) -> None:
    slices = [ct_slice(z) for z in (0, 3, 6)]
    (series,) = found_in(tmp_path, [*slices, slices[1]]).series
    assert series.shape[0] == 3 and "1 duplicate file left out" in series.notes


def test_copy_in_another_transfer_syntax_is_a_copy(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 900, (64, 64)).astype(np.int16)
    ds = ct_slice(0, pixels)
    paths = save(tmp_path / "plain", [ds])
    ds.compress(JPEG2000Lossless, generate_instance_uid=False)
    found = find_series(paths + save(tmp_path / "packed", [ds]), tmp_path)
    assert len(found.series) == 1 and not found.passed_over


def test_same_identifier_with_other_pixels_is_an_error(tmp_path: Path) -> None:
    uid = generate_uid()
    found = found_in(tmp_path, [ct_slice(z, SOPInstanceUID=uid) for z in (0, 3)])
    assert found.series[0].shape[0] == 1
    assert found.passed_over[0].error and "identifier of another image" in found.passed_over[0].reason


# Recognition


@pytest.mark.parametrize("name", ["a.IMA", "IM000001", "x.dat"])
def test_any_name_will_do(tmp_path: Path, name: str) -> None:
    paths = save(tmp_path, [ct_slice(0)], [name])
    assert len(find_series(paths, tmp_path).series) == 1


def test_file_without_preamble_is_recognised(tmp_path: Path) -> None:
    (path,) = save(tmp_path, [ct_slice(7)])
    data = path.read_bytes()
    path.write_bytes(data[132:])
    (series,) = find_series([path], tmp_path).series
    assert series.read().voxels.max() == 7
    group_2 = 12 + struct.unpack("<I", data[140:144])[0]
    path.write_bytes(data[132 + group_2 :])
    (series,) = find_series([path], tmp_path).series
    assert series.read().voxels.max() == 7


def test_files_of_other_kinds_are_for_the_other_doors(tmp_path: Path) -> None:
    picture, text = tmp_path / "a.png", tmp_path / "notes"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 200)
    text.write_text("hello")
    (tmp_path / "empty").touch()
    found = find_series(files_in(tmp_path), tmp_path)
    assert set(found.others) == {picture, text, tmp_path / "empty"} and not found.passed_over


# Damage


def one_error(path: Path) -> str:
    found = find_series([path], path.parent)
    assert not found.series and not found.others
    (one,) = found.passed_over
    assert one.error and one.what == path.name and "\n" not in one.reason
    return one.reason


def test_text_named_dcm(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    path.write_text("this is no DICOM file\n" * 30)
    assert "named like a DICOM file" in one_error(path)


@pytest.mark.parametrize(
    "keyword", ["Rows", "Columns", "BitsAllocated", "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID"]
)
def test_missing_essentials_are_named(tmp_path: Path, keyword: str) -> None:
    ds = ct_slice(0)
    delattr(ds, keyword)
    path = tmp_path / "a.dcm"
    ds.save_as(path)
    assert keyword in one_error(path)


def test_missing_pixels(tmp_path: Path) -> None:
    ds = ct_slice(0)
    del ds.PixelData
    assert one_error(*save(tmp_path, [ds])) == "no pixel data"


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("Rows", 65535), ("NumberOfFrames", 2147483647), ("SamplesPerPixel", 99), ("BitsAllocated", 64)],
)
def test_absurd_sizes_are_refused_before_allocation(tmp_path: Path, keyword: str, value: int) -> None:
    (path,) = save(tmp_path, [ct_slice(0, **{keyword: value})])
    started = time.perf_counter()
    assert one_error(path)
    assert time.perf_counter() - started < 1


def test_absurd_size_of_a_compressed_image(tmp_path: Path) -> None:
    ds = dataset(CT, "CT", np.zeros((64, 64), np.uint16), ImageType=["ORIGINAL", "PRIMARY", "AXIAL"])
    ds.compress(JPEG2000Lossless, generate_instance_uid=False)
    ds.Rows = ds.Columns = 65535
    assert "more than is unpacked" in one_error(*save(tmp_path, [ds]))


def test_deflated_bomb_is_refused_unopened(tmp_path: Path) -> None:
    (path,) = save(tmp_path, [ct_slice(0)])
    data = path.read_bytes()
    head = data[: 144 + struct.unpack("<I", data[140:144])[0]]
    plain, deflated = b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99"
    grown = head.replace(struct.pack("<H", 20) + plain, struct.pack("<H", 22) + deflated)
    assert len(grown) == len(head) + 2
    grown = grown[:140] + struct.pack("<I", struct.unpack("<I", head[140:144])[0] + 2) + grown[144:]
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = b"".join(packer.compress(b"\0" * (1 << 20)) for _ in range(16)) + packer.flush()
    path.write_bytes(grown + bomb)
    assert "deflated" in one_error(path)


def test_library_deflated_file_is_refused() -> None:
    assert "deflated" in one_error(library_file("image_dfl.dcm"))


def test_series_with_a_truncated_slice_is_handled_without_it(tmp_path: Path) -> None:
    paths = save(tmp_path, [ct_slice(3 * z) for z in range(5)])
    paths[2].write_bytes(paths[2].read_bytes()[:-7])
    found = find_series(paths, tmp_path)
    (series,) = found.series
    assert series.shape[0] == 4 and series.gaps == (1,)
    assert "1 damaged file left out" in series.notes
    assert found.passed_over[0].what == "0002.dcm"
    assert found.passed_over[0].error and "truncated: 33 of 40 bytes" in found.passed_over[0].reason


def test_hostile_identifiers_reach_no_path_and_no_message(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        slices = [ct_slice(z, SeriesInstanceUID="../../../etc/passwd") for z in (0, 3)]
        paths = save(tmp_path, slices)
    (series,) = find_series(paths, tmp_path).series
    assert ".." not in series.name and series.shape[0] == 2


def test_deep_nesting_is_one_clear_error(tmp_path: Path) -> None:
    (path,) = save(tmp_path, [ct_slice(0)])
    data = path.read_bytes()
    opened = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    at = 144 + struct.unpack("<I", data[140:144])[0]
    path.write_bytes(data[:at] + opened * 5000 + data[at:])
    assert "damaged DICOM header" in one_error(path) or "missing" in one_error(path)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_no_damage_makes_it_crash(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    (path,) = save(folder, [ct_slice(4, SOPInstanceUID="1.2.3.4.5")])
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(128, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    found = find_series([path], folder)
    assert len(found.series) + len(found.passed_over) + len(found.others) == 1
    for series in found.series:
        try:
            assert np.isfinite(series.read().voxels).all()
        except InputError as error:
            assert str(path) in str(error)


# Real files


def test_everything_that_pydicom_brings_is_sorted() -> None:
    folder = library_file("CT_small.dcm").parent
    files = files_in(folder)
    found = find_series(files, folder)
    used = sum(len(series.instances) for series in found.series)
    assert used >= 25 and len(found.passed_over) > 10
    copies = sum(int(note.split()[0]) for s in found.series for note in s.notes if "duplicate" in note)
    assert used + copies + sum(p.count for p in found.passed_over) + len(found.others) == len(files)
    assert len({series.name for series in found.series}) == len(found.series)


def test_pet_whole_body_is_one_volume() -> None:
    folder = shared_data("pet", "sts_001_fdg")
    files = files_in(folder)
    (series,) = find_series(files, folder).series
    assert series.shape == (267, 128, 128) and series.volume and not series.gaps
    image = series.read()
    assert image.units == "Bq/ml" and image.geometry.spacing[0] == pytest.approx(3.27)


def test_repeat_pairs_of_enhanced_mr() -> None:
    folder = shared_data("mri", "pairs")
    files = [path for path in files_in(folder) if path.suffix in (".dcm", ".IMA")]
    found = find_series(files, folder)
    assert len(found.series) == len(files) == 16 and not found.passed_over
    assert all(series.shape == (1, 256, 256) and series.geometry.known for series in found.series)
