"""Ultrasound in colour: coloured pixels come out bit for bit, grey ones denoised, the object valid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicom_files import item, library_file
from pydicom.pixels import pixel_array
from pydicom.pixels.processing import apply_color_lut
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless
from writing import found, of_kind, pixels, stored, write

from quell.formats.contracts import OutputKind
from quell.formats.dicom.discover import find_series
from samples import dicom
from samples.dicom_parts import Pixels, save
from validators import needs_dciodvfy, new_dciodvfy_errors

SHAPES = {"image": (64, 48), "clip": (3, 64, 48)}


def ultrasound(folder: Path, shape: tuple[int, ...], boxes: int = 1, syntax: str = "", **more: Any) -> Path:
    """Write grey RGB with a coloured box in the corner, of `boxes` fourths of the rows and columns."""
    dataset = dicom.us(pixels(*shape, dtype=np.uint8, top=255), colour=True, **more)
    colours = dataset.pixel_array.copy()
    area = colours[..., : 16 * boxes, : 12 * boxes, :]
    area[...] = np.random.default_rng(1).integers(0, 80, area.shape)
    area[..., 0] += 120
    dataset.PixelData = colours.tobytes()
    folder.mkdir(parents=True, exist_ok=True)
    return save(dataset, folder / "object.dcm", syntax or ExplicitVRLittleEndian)


def palette(folder: Path, entries: Pixels, shown: Pixels, **more: Any) -> Path:
    """Write an ultrasound image (rows, columns) of indices into a palette (256, 3) of 16-bit entries."""
    dataset = dicom.us(shown, **more)
    dataset.PhotometricInterpretation = "PALETTE COLOR"
    for i, name in enumerate(("Red", "Green", "Blue")):
        setattr(dataset, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(dataset, f"{name}PaletteColorLookupTableData", entries[:, i].astype("<u2").tobytes())
    folder.mkdir(parents=True, exist_ok=True)
    return save(dataset, folder / "object.dcm")


def is_coloured(rgb: Pixels) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return rgb.max(axis=-1) != rgb.min(axis=-1)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEG2000Lossless])
@pytest.mark.parametrize("name", SHAPES)
def test_coloured_pixels_stay_and_grey_ones_change(name: str, syntax: str, tmp_path: Path) -> None:
    path = ultrasound(tmp_path / "in", SHAPES[name], syntax=syntax)
    before, series = pixel_array(path), found([path])
    image = series.read()
    coloured = is_coloured(before)
    np.testing.assert_array_equal(image.padding, coloured.reshape(image.shape))
    assert "6 % of the pixels are coloured and are kept as they are" in series.notes

    written = pydicom.dcmread(write(series, image.voxels // 2, tmp_path / "out").files[0])
    after = written.pixel_array
    np.testing.assert_array_equal(after[coloured], before[coloured])
    np.testing.assert_array_equal(after[~coloured], before[~coloured] // 2)
    source = pydicom.dcmread(path)
    assert written.SOPClassUID == source.SOPClassUID
    assert (written.PhotometricInterpretation, written.SamplesPerPixel) == ("RGB", 3)
    assert written.get("NumberOfFrames") == source.get("NumberOfFrames")


@pytest.mark.parametrize("name", SHAPES)
def test_what_is_unchanged_comes_out_identical(name: str, tmp_path: Path) -> None:
    path = ultrasound(tmp_path / "in", SHAPES[name])
    series = found([path])
    (after,) = write(series, series.read().voxels, tmp_path / "out").files
    np.testing.assert_array_equal(stored(after), stored(path))


@needs_dciodvfy
@pytest.mark.parametrize("kind", OutputKind)
@pytest.mark.parametrize("name", SHAPES)
def test_no_new_errors(name: str, kind: OutputKind, tmp_path: Path) -> None:
    path = ultrasound(tmp_path / "in", SHAPES[name])
    series = found([path])
    (after,) = write(series, of_kind(series.read().voxels, kind), tmp_path / "out", kind).files
    assert new_dciodvfy_errors(path, after) == []


def test_a_residual_is_grey_and_zero_where_there_is_colour(tmp_path: Path) -> None:
    path = ultrasound(tmp_path / "in", SHAPES["image"])
    series = found([path])
    padding = series.read().padding
    assert padding is not None
    residual = np.where(padding, 0, 5).astype(np.float32)
    (after,) = write(series, residual, tmp_path / "out", OutputKind.RESIDUAL).files
    expected = np.where(padding[0], 128, 133)
    np.testing.assert_array_equal(stored(after), np.repeat(expected[..., None], 3, axis=-1))


@pytest.mark.parametrize("name", SHAPES)
def test_an_image_in_colour_for_the_most_part_is_passed_over(name: str, tmp_path: Path) -> None:
    path = ultrasound(tmp_path, SHAPES[name], boxes=4)
    result = find_series([path], tmp_path)
    assert not result.series
    (passed,) = result.passed_over
    assert (passed.reason, passed.error) == ("colour images are not denoised", False)


def test_black_around_a_photograph_does_not_make_it_grey(tmp_path: Path) -> None:
    colours = np.zeros((16, 12, 3), np.uint8)
    colours[4:8, 3:8] = 90, 150, 210
    dataset = dicom.us(colours[..., 0], colour=True)
    dataset.PixelData = colours.tobytes()
    assert not find_series([save(dataset, tmp_path / "object.dcm")], tmp_path).series


@pytest.mark.parametrize(("width", "denoised"), [(24, False), (48, True)])
def test_only_what_lies_inside_the_regions_counts(width: int, denoised: bool, tmp_path: Path) -> None:
    corners = {"MinX0": 0, "MinY0": 0, "MaxX1": width - 1, "MaxY1": 47 if denoised else 31}
    located = {f"RegionLocation{name}": value for name, value in corners.items()}
    regions = Sequence(item(RegionSpatialFormat=1, RegionDataType=1, **located))
    path = ultrasound(tmp_path, SHAPES["image"], boxes=2, SequenceOfUltrasoundRegions=regions)
    assert bool(find_series([path], tmp_path).series) is denoised


def test_colour_in_a_frame_that_was_not_looked_at_stays_too(tmp_path: Path) -> None:
    colours = np.repeat(pixels(5, 16, 12, dtype=np.uint8, top=255)[..., None], 3, axis=-1)
    colours[1, 2, 3] = 200, 10, 20
    dataset = dicom.us(colours[..., 0], colour=True)
    dataset.PixelData = colours.tobytes()
    series = found([save(dataset, tmp_path / "object.dcm")])
    after = stored(write(series, series.read().voxels * 0, tmp_path / "out").files[0])
    assert after[1, 2, 3].tolist() == [200, 10, 20]
    after[1, 2, 3] = 0
    assert not after.any()


@pytest.mark.parametrize("factor", [256, 257])
def test_a_palette_with_colours_becomes_rgb(factor: int, tmp_path: Path) -> None:
    entries = np.repeat(np.arange(256)[:, None], 3, axis=1)
    entries[250:] = 255, 40, 7
    shown = np.arange(192, dtype=np.uint8).reshape(16, 12) + 62
    path = palette(tmp_path / "in", entries * factor, shown)
    series = found([path])
    (after,) = write(series, series.read().voxels, tmp_path / "out").files
    written = pydicom.dcmread(after)
    assert (written.PhotometricInterpretation, written.BitsAllocated) == ("RGB", 8)
    assert not [element for element in written if "Palette" in element.keyword]
    np.testing.assert_array_equal(written.pixel_array, entries[shown])
    (halved,) = write(series, series.read().voxels // 2, tmp_path / "out").files
    expected = np.where(shown[..., None] >= 250, entries[shown], entries[shown] // 2)
    np.testing.assert_array_equal(stored(halved), expected)


def test_a_palette_whose_colours_need_more_than_8_bits_is_passed_over(tmp_path: Path) -> None:
    entries = np.repeat(np.arange(256)[:, None], 3, axis=1) * 256 + 1
    entries[5] = 65535, 3, 500
    shown = np.arange(192, dtype=np.uint8).reshape(16, 12)
    (passed,) = find_series([palette(tmp_path, entries, shown)], tmp_path).passed_over
    assert (passed.reason, passed.error) == ("colour images are not denoised", False)


def test_a_grey_palette_stays_grey(tmp_path: Path) -> None:
    entries = np.repeat(np.arange(256)[::-1, None], 3, axis=1) * 256
    shown = np.arange(192, dtype=np.uint8).reshape(16, 12)
    series = found([palette(tmp_path / "in", entries, shown)])
    assert "stored in colour, grey in fact: read as brightness" in series.notes
    written = pydicom.dcmread(write(series, series.read().voxels, tmp_path / "out").files[0])
    assert written.PhotometricInterpretation == "MONOCHROME2"
    np.testing.assert_array_equal(written.pixel_array, entries[shown, 0])


@pytest.mark.parametrize(
    "name",
    ["examples_rgb_color.dcm", "examples_ybr_color.dcm", "examples_palette.dcm", "examples_jpeg2k.dcm"],
)
def test_real_ultrasound(name: str, tmp_path: Path) -> None:
    path = library_file(name)
    series, source = found([path]), pydicom.dcmread(path)
    image, before = series.read(), pixel_array(path)
    if source.PhotometricInterpretation == "PALETTE COLOR":
        before = apply_color_lut(before, source) >> 8
    assert image.padding is not None
    voxels = np.where(image.padding, image.voxels, 255 - image.voxels)
    (written,) = write(series, voxels, tmp_path).files
    after, kept = stored(written), image.padding.reshape(before.shape[:-1])
    np.testing.assert_array_equal(after[kept], before[kept])
    assert not is_coloured(after[~kept]).any()
    np.testing.assert_array_equal(after[~kept][:, 0], (255 - image.voxels)[image.padding == 0])
    assert kept.mean() < 0.5
