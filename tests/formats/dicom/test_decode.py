"""Stored values become float32 in physical units, whatever their storage."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicom_files import (
    AXIAL,
    CT,
    DX,
    MR,
    NM,
    PT,
    US,
    ct_slice,
    dataset,
    enhanced_mr,
    item,
    library_file,
    save,
    shared_data,
)
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from quell.errors import InputError
from quell.formats.dicom.decode import stored_frames
from quell.formats.dicom.discover import Found, find_series
from quell.formats.dicom.headers import read_instance
from quell.image import Image


def read_one(folder: Path, *datasets: pydicom.Dataset) -> Image:
    (series,) = find_series(save(folder, datasets), folder).series
    return series.read()


def found_in(folder: Path, *datasets: pydicom.Dataset) -> Found:
    return find_series(save(folder, datasets), folder)


def test_ct_is_in_hu(tmp_path: Path) -> None:
    stored = np.arange(20, dtype=np.uint16).reshape(4, 5) * 100
    image = read_one(tmp_path, ct_slice(0, stored, RescaleSlope=2, RescaleIntercept=-1024))
    np.testing.assert_array_equal(image.voxels[0], stored * 2.0 - 1024)
    assert image.units == "HU" and image.voxels.dtype == np.float32 and image.padding is None


@pytest.mark.parametrize(
    ("units", "expected"),
    [("BQML", "Bq/ml"), ("GML", "g/ml"), ("CNTS", "counts"), ("PROPCNTS", "arbitrary")],
)
def test_pet_units_and_the_slope_of_each_slice(tmp_path: Path, units: str, expected: str) -> None:
    stored = np.full((3, 3), 100, np.int16)
    slices = [
        dataset(
            PT,
            "PT",
            stored,
            ImageType=["ORIGINAL", "PRIMARY"],
            ImagePositionPatient=[0, 0, 3.0 * z],
            ImageOrientationPatient=list(AXIAL),
            PixelSpacing=[4, 4],
            RescaleSlope=0.5 + z,
            RescaleIntercept=0,
            Units=units,
        )
        for z in range(3)
    ]
    image = read_one(tmp_path, *slices)
    np.testing.assert_allclose(image.voxels[:, 0, 0], [50, 150, 250])
    assert image.units == expected


def test_slope_of_each_frame_of_an_enhanced_object(tmp_path: Path) -> None:
    pixels = np.full((3, 4, 4), 10, np.uint16)
    image = read_one(tmp_path, enhanced_mr(pixels, [6.0, 0.0, 3.0], slope=[1.0, 2.0, 3.0]))
    np.testing.assert_allclose(image.voxels[:, 0, 0], [20, 30, 10])


def test_scintigrams_are_counts(tmp_path: Path) -> None:
    counts = np.arange(2 * 6, dtype=np.uint16).reshape(2, 2, 3)
    kind = ["ORIGINAL", "PRIMARY", "STATIC", "EMISSION"]
    image = read_one(tmp_path, dataset(NM, "NM", counts, ImageType=kind, PixelSpacing=[2, 2]))
    assert image.units == "counts" and not image.volume
    np.testing.assert_array_equal(image.voxels, counts)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("stored_bits", [8, 12, 15])
def test_unused_high_bits_do_not_count(tmp_path: Path, signed: bool, stored_bits: int) -> None:
    rng = np.random.default_rng(7)
    low = -(1 << (stored_bits - 1)) if signed else 0
    true = rng.integers(low, low + (1 << stored_bits), (6, 7))
    garbage = rng.integers(0, 1 << (16 - stored_bits), true.shape) << stored_bits
    written = ((true & ((1 << stored_bits) - 1)) | garbage).astype(np.uint16)
    ds = ct_slice(0, written, BitsStored=stored_bits, HighBit=stored_bits - 1)
    ds.PixelRepresentation = int(signed)
    (path,) = save(tmp_path, [ds])
    np.testing.assert_array_equal(stored_frames(read_instance(path))[0], true)


def test_inverted_grey_scale_stays_as_stored(tmp_path: Path) -> None:
    ds = ct_slice(40)
    ds.PhotometricInterpretation = "MONOCHROME1"
    assert read_one(tmp_path, ds).voxels.max() == 40


def test_modality_lookup_table_is_not_applied(tmp_path: Path) -> None:
    ds = ct_slice(7, RescaleSlope=None, RescaleIntercept=None)
    ds.ModalityLUTSequence = item(ModalityLUTType="US", LUTExplanation="test")
    (series,) = found_in(tmp_path, ds).series
    image = series.read()
    assert image.units == "arbitrary" and image.voxels.max() == 7
    assert any("lookup table" in note for note in series.notes)


@pytest.mark.parametrize("width", [8, 16, 32])
@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("signed", [False, True])
def test_byte_orders_and_widths(tmp_path: Path, width: int, syntax: UID, signed: bool) -> None:
    kind = f"{'i' if signed else 'u'}{width // 8}"
    values = np.arange(-9, 11).reshape(4, 5).astype(kind)
    ds = ct_slice(0, values)
    ds.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        ds.PixelData = values.astype(values.dtype.newbyteorder(">")).tobytes()
        ds["PixelData"].VR = "OB" if width == 8 else "OW"
    path = tmp_path / "a.dcm"
    pydicom.dcmwrite(
        path,
        ds,
        implicit_vr=syntax == ImplicitVRLittleEndian,
        little_endian=syntax != ExplicitVRBigEndian,
        enforce_file_format=True,
    )
    np.testing.assert_array_equal(stored_frames(read_instance(path))[0], values)


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless])
@pytest.mark.parametrize("frames", [1, 3])
def test_lossless_compression_changes_nothing(tmp_path: Path, syntax: UID, frames: int) -> None:
    rng = np.random.default_rng(3)
    counts = rng.integers(0, 3000, (frames, 64, 72)).astype(np.uint16)
    ds = dataset(NM, "NM", counts, ImageType=["ORIGINAL", "PRIMARY", "DYNAMIC", "EMISSION"])
    ds.compress(syntax, generate_instance_uid=False)
    image = read_one(tmp_path, ds)
    np.testing.assert_array_equal(image.voxels, counts)


@pytest.mark.parametrize(
    "name",
    ["MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "MR_small_expb.dcm"],
)
def test_every_encoding_of_one_image_is_equal(name: str) -> None:
    plain = stored_frames(read_instance(library_file("MR_small.dcm")))
    np.testing.assert_array_equal(stored_frames(read_instance(library_file(name))), plain)


def test_jpeg_extended_of_12_bits_as_dcmtk_unpacks_it(tmp_path: Path) -> None:
    if shutil.which("dcmdjpeg") is None:
        pytest.skip("dcmtk is not installed")
    path = library_file("JPGExtended.dcm")
    subprocess.run(["dcmdjpeg", str(path), str(tmp_path / "o.dcm")], check=True)
    expected = pydicom.dcmread(tmp_path / "o.dcm").pixel_array
    np.testing.assert_array_equal(stored_frames(read_instance(path))[0], expected)


def test_nothing_is_said_on_stderr_while_12_bits_are_unpacked(capfd: pytest.CaptureFixture[str]) -> None:
    stored_frames(read_instance(library_file("JPGExtended.dcm")))
    assert capfd.readouterr().err == ""


def test_jpeg_lossless_scintigram_is_that_of_the_plain_file() -> None:
    folder = shared_data("nm")
    plain, packed = (
        stored_frames(read_instance(folder / f"bone_wholebody_ge_millennium{end}.dcm"))
        for end in ("", "_jpegll")
    )
    np.testing.assert_array_equal(plain, packed)
    assert plain.sum() == 3_596_452


def test_missing_decoder_names_syntax_and_package(monkeypatch: pytest.MonkeyPatch) -> None:
    from quell.formats.dicom import decoders

    class Nothing:
        available_plugins = ()

    monkeypatch.setattr(decoders, "get_decoder", lambda _: Nothing())
    path = library_file("MR_small_jp2klossless.dcm")
    with pytest.raises(InputError, match=r"JPEG 2000.*needs the package pylibjpeg-openjpeg"):
        stored_frames(read_instance(path))
    found = find_series([path], path.parent)
    assert not found.series and found.passed_over[0].error


def padded_ct(**elements: Any) -> pydicom.Dataset:
    pixels = np.array([[-2000, -1000, 0, 40], [50, 60, -2000, 1500]], np.int16)
    return ct_slice(0, pixels, **elements)


def test_padding_of_ct_far_below_air(tmp_path: Path) -> None:
    image = read_one(tmp_path, padded_ct())
    assert image.padding is not None
    np.testing.assert_array_equal(image.padding, image.voxels <= -2000)
    assert image.padding.sum() == 2


def test_padding_value_with_the_wrong_sign(tmp_path: Path) -> None:
    # 64536 is -1000 as 16 bits without a sign, as some writers store it.
    ds = padded_ct()
    ds.add_new(0x00280120, "US", 64536)
    image = read_one(tmp_path, ds)
    assert image.padding is not None
    np.testing.assert_array_equal(image.padding, (image.voxels <= -2000) | (image.voxels == -1000))


def test_padding_range(tmp_path: Path) -> None:
    ds = padded_ct()
    ds.add_new(0x00280120, "SS", 40)
    ds.add_new(0x00280121, "SS", 60)
    image = read_one(tmp_path, ds)
    assert image.padding is not None
    expected = (image.voxels <= -2000) | ((image.voxels >= 40) & (image.voxels <= 60))
    np.testing.assert_array_equal(image.padding, expected)


def test_mr_has_no_rule_for_low_values(tmp_path: Path) -> None:
    pixels = np.full((3, 3), -3000, np.int16)
    assert (
        read_one(tmp_path, dataset(MR, "MR", pixels, ImageType=["ORIGINAL", "PRIMARY", "M"])).padding is None
    )


def ultrasound(**region: int) -> pydicom.Dataset:
    pixels = np.arange(80, dtype=np.uint8).reshape(8, 10)
    ds = dataset(US, "US", pixels, ImageType=["ORIGINAL", "PRIMARY"])
    ds.SequenceOfUltrasoundRegions = item(
        RegionSpatialFormat=region.get("kind", 1),
        RegionLocationMinX0=2,
        RegionLocationMinY0=1,
        RegionLocationMaxX1=6,
        RegionLocationMaxY1=5,
        PhysicalUnitsXDirection=3,
        PhysicalUnitsYDirection=3,
        PhysicalDeltaX=0.02,
        PhysicalDeltaY=0.03,
    )
    return ds


def test_ultrasound_outside_its_region_is_padding(tmp_path: Path) -> None:
    image = read_one(tmp_path, ultrasound())
    inside = np.zeros((1, 8, 10), bool)
    inside[0, 1:6, 2:7] = True
    assert image.padding is not None
    np.testing.assert_array_equal(~image.padding, inside)
    assert image.geometry.spacing[1:] == pytest.approx((0.3, 0.2))


def test_grey_image_in_colour_is_read_and_colour_is_not(tmp_path: Path) -> None:
    grey = np.repeat(np.arange(80, dtype=np.uint8).reshape(8, 10, 1), 3, axis=2)
    ds = dataset(US, "US", grey, ImageType=["ORIGINAL", "PRIMARY"])
    (series,) = found_in(tmp_path, ds).series
    np.testing.assert_array_equal(series.read().voxels[0], grey[..., 0])
    assert "stored in colour, grey in fact: read as brightness" in series.notes
    grey[3, 3, 0] = 200
    found = found_in(tmp_path, dataset(DX, "DX", grey, ImageType=["ORIGINAL", "PRIMARY"]))
    assert not found.series and found.passed_over[0].reason == "colour images are not denoised"
    assert not found.passed_over[0].error


def test_truncation_after_discovery_is_one_clear_error(tmp_path: Path) -> None:
    paths = save(tmp_path, [ct_slice(z) for z in (0, 3)])
    (series,) = find_series(paths, tmp_path).series
    paths[1].write_bytes(paths[1].read_bytes()[:-10])
    with pytest.raises(InputError, match=r"0001\.dcm: truncated: 30 of 40 bytes"):
        series.read()


@pytest.mark.parametrize("slope", [b"0", b"nonsense", b"1e39", b"nan", b"inf"])
def test_impossible_slopes_are_errors(tmp_path: Path, slope: bytes) -> None:
    (path,) = save(tmp_path, [ct_slice(5, RescaleSlope=12345)])
    whole = path.read_bytes()
    assert whole.count(b"12345.0 ") == 1
    path.write_bytes(whole.replace(b"12345.0 ", slope.ljust(8)))
    found = find_series([path], tmp_path)
    if found.series:
        with pytest.raises(InputError, match="RescaleSlope"):
            found.series[0].read()
    else:
        assert found.passed_over[0].error and "RescaleSlope" in found.passed_over[0].reason


def test_floating_point_pixels_are_refused(tmp_path: Path) -> None:
    ds = ct_slice(0)
    del ds.PixelData
    ds.FloatPixelData = np.full((4, 5), np.nan, np.float32).tobytes()
    ds.BitsAllocated = 32
    found = found_in(tmp_path, ds)
    assert not found.series
    assert found.passed_over[0].reason == "floating-point pixel data are not read"


def test_compressed_frame_of_another_size_never_reaches_a_decoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ds = dataset(CT, "CT", np.zeros((64, 64), np.uint16), ImageType=["ORIGINAL", "PRIMARY", "AXIAL"])
    ds.compress(JPEG2000Lossless, generate_instance_uid=False)
    stream = bytearray(next(pydicom.encaps.generate_frames(ds.PixelData, number_of_frames=1)))
    stream[8:16] = struct.pack(">II", 60000, 60000)
    ds.PixelData = encapsulate([bytes(stream)])
    (path,) = save(tmp_path, [ds])
    from quell.formats.dicom import decode

    monkeypatch.setattr(decode, "get_decoder", lambda _: pytest.fail("reached the decoder"))
    with pytest.raises(InputError, match="compressed frame of 60000x60000"):
        stored_frames(read_instance(path))


def test_damaged_jpeg_structure_never_reaches_gdcm() -> None:
    from quell.formats.dicom.codestream import check_jpeg

    path = library_file("JPGExtended.dcm")
    with path.open("rb") as file:
        offset = read_instance(path).pixels.offset
        file.seek(offset)
        (stream,) = pydicom.encaps.generate_frames(file, number_of_frames=1)
    check_jpeg(stream, 16)
    header = stream.index(b"\xff\xc1")
    for at, value in ((header + 4, 165), (header + 9, 3), (header + 11, 0x44), (header + 1, 0xC0 + 9)):
        damaged = bytearray(stream)
        damaged[at] = value
        with pytest.raises(ValueError):
            check_jpeg(bytes(damaged), 16)
    with pytest.raises(ValueError):
        check_jpeg(stream[: len(stream) // 2], 16)
