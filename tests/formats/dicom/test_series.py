"""The handle to a stack keeps the contract of every door."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from dicom_files import ct_slice, enhanced_mr, save

from quell.formats.contracts import Series
from quell.formats.dicom.discover import find_series
from quell.formats.dicom.series import DicomSeries
from quell.image import Modality


def as_contract(series: DicomSeries) -> Series:
    return series


def test_it_is_a_series(tmp_path: Path) -> None:
    found = find_series(save(tmp_path, [ct_slice(z) for z in (0, 3, 6)]), tmp_path)
    series = as_contract(found.series[0])
    assert series.format == "DICOM" and series.modality is Modality.CT
    assert series.name == "CT 4x5x3 series 3"
    image = series.read()
    assert image.shape == series.shape == (3, 4, 5)
    assert image.name == series.name and image.volume and series.volume


def test_frames_name_the_stored_frame_behind_each_slice(tmp_path: Path) -> None:
    pixels = np.arange(3, dtype=np.uint16).repeat(16).reshape(3, 4, 4)
    (series,) = find_series(save(tmp_path, [enhanced_mr(pixels, [5, 1, 3])]), tmp_path).series
    voxels = series.read().voxels
    for z, ref in enumerate(series.frames):
        np.testing.assert_array_equal(voxels[z], pixels[ref.frame])
    assert series.stored_frames(0) == (0, 1, 2) and series.is_whole(0)


def test_instances_come_in_the_order_of_the_slices(tmp_path: Path) -> None:
    (series,) = find_series(save(tmp_path, [ct_slice(z) for z in (6, 0, 3)]), tmp_path).series
    heights = [int(i.header.ImagePositionPatient[2]) for i in series.instances]
    assert heights == [0, 3, 6]
    assert [ref.instance for ref in series.frames] == [0, 1, 2]


def test_reading_leaves_the_files_alone(tmp_path: Path) -> None:
    paths = save(tmp_path, [ct_slice(z) for z in (0, 3)])
    before = [path.read_bytes() for path in paths]
    (series,) = find_series(paths, tmp_path).series
    series.read()
    assert [path.read_bytes() for path in paths] == before
