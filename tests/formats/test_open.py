from __future__ import annotations

import gzip
import os
import shutil
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from quell.errors import InputError
from quell.formats.contracts import OutputKind, WriteOptions
from quell.formats.open import open_study


def png(path, value=5):
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(np.full((4, 5), value, np.uint8)).save(path)
    return path


def nifti(path, shape=(3, 4, 5)):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.ones(shape, np.int16), np.eye(4)), path)
    return path


def meta(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    head = "ObjectType = Image\nNDims = 2\nDimSize = 2 2\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
    path.write_bytes(head.encode() + bytes(4))
    return path


def test_a_mixed_folder_is_sorted_by_place_and_all_is_accounted_for(tmp_path):
    png(tmp_path / "b" / "2.png")
    png(tmp_path / "b" / "10.png")
    nifti(tmp_path / "a" / "brain_T1w.nii.gz")
    meta(tmp_path / "c.mha")
    Pillow.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "d.tif")
    (tmp_path / "README.md").write_text("hello")
    (tmp_path / "index.csv").write_text("a,b")
    (tmp_path / ".hidden.png").write_text("no image")
    (tmp_path / ".quell-123.part").mkdir()
    png(tmp_path / ".quell-123.part" / "unfinished.png")
    study = open_study(tmp_path)
    assert [s.name for s in study.series] == ["c.mha", "d.tif", "brain_T1w.nii.gz", "10.png", "2.png"]
    assert [s.format for s in study.series] == ["MetaImage", "TIFF", "NIfTI", "PNG", "PNG"]
    assert [(p.what, p.count, p.error) for p in study.passed_over] == [("2 files", 2, False)]


@pytest.mark.parametrize("as_name", ["x", "x.dcm.bak", "x.png", "x.nii.gz"])
def test_content_decides_not_the_name(as_name, tmp_path):
    path = nifti(tmp_path / "a.nii.gz")
    path.rename(tmp_path / as_name)
    assert open_study(tmp_path / as_name).series[0].format == "NIfTI"


def test_nothing_there(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("hello")
    for path in (tmp_path / "missing", tmp_path / "empty", tmp_path / "text.txt", "x" * 5000, "a\0b"):
        with pytest.raises(InputError) as caught:
            open_study(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.nii.gz", b"hello"),
        ("a.nii.gz", gzip.compress(b"hello")),
        ("a.nii.gz", gzip.compress(bytes(4000))[:20]),
        ("a.nii", b""),
        ("a.nii", b"\\x01" * 100),
        ("a.png", b"hello"),
        ("a.tif", b"II*\0"),
        ("a.png", b"\x89PNG\r\n\x1a\n"),
        ("a.mha", b"ObjectType = Image\n"),
        ("a.jpg", b"\xff\xd8\xff\xe0"),
    ],
)
def test_broken_images_are_errors_and_the_rest_is_still_found(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        open_study(tmp_path / name)
    assert name in str(caught.value) and "\n" not in str(caught.value)
    png(tmp_path / "fine.png")
    study = open_study(tmp_path)
    assert [s.name for s in study.series] == ["fine.png"]
    assert [(p.what, p.error) for p in study.passed_over] == [(name, True)]


def test_formats_without_a_door_are_named(tmp_path):
    png(tmp_path / "fine.png")
    (tmp_path / "a.nrrd").write_bytes(b"NRRD0004\ntype: short\n")
    (tmp_path / "b.hdr").write_bytes((348).to_bytes(4, "little") + bytes(344))
    reasons = {p.what: p.reason for p in open_study(tmp_path).passed_over}
    assert "NRRD" in reasons["a.nrrd"] and "Analyze" in reasons["b.hdr"]


def test_many_of_one_reason_become_one_entry(tmp_path):
    png(tmp_path / "fine.png")
    for index in range(50):
        (tmp_path / f"{index:02d}.nii").write_text("hello")
    (entry,) = open_study(tmp_path).passed_over
    assert (entry.what, entry.count, entry.error) == ("00.nii and 49 more", 50, True)


def test_the_files_of_a_pair_are_no_strangers(tmp_path):
    nib.save(nib.Nifti1Pair(np.ones((3, 3, 3), np.int16), np.eye(4)), tmp_path / "a_T1w.hdr")
    study = open_study(tmp_path)
    assert len(study.series) == 1 and study.passed_over == ()


def test_derived_files_never_collide(tmp_path, provenance):
    for name in ("a.png", "a.tif", "A/a.png", "a.nii", "b.png"):
        (nifti if name.endswith("nii") else png)(tmp_path / "in" / name)
    files = []
    for series in open_study(tmp_path / "in").series:
        voxels = series.read().voxels
        for kind in OutputKind:
            files += series.write(voxels, tmp_path / "out", kind, provenance, WriteOptions()).files
    names = [path.relative_to(tmp_path / "out").as_posix() for path in files]
    assert len({name.casefold() for name in names}) == 5 * len(OutputKind)
    assert "b_denoised.png" in names and "a_png_denoised.png" in names and "A/a_denoised.png" in names


def test_a_second_run_does_not_denoise_the_first_ones_output(tmp_path, provenance):
    png(tmp_path / "a.png")
    (series,) = open_study(tmp_path).series
    series.write(series.read().voxels, tmp_path, OutputKind.DENOISED, provenance, WriteOptions())
    series.write(series.read().voxels, tmp_path, OutputKind.NOISE_MAP, provenance, WriteOptions())
    study = open_study(tmp_path)
    assert [s.name for s in study.series] == ["a.png"]
    assert all("Quell" in p.reason and not p.error for p in study.passed_over)


def test_links_loops_and_pipes(tmp_path):
    png(tmp_path / "real" / "a.png")
    (tmp_path / "real" / "loop").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "b.png").symlink_to(tmp_path / "real" / "a.png")
    (tmp_path / "real" / "c.png").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "real" / "pipe.png")
    study = open_study(tmp_path / "real")
    assert [s.name for s in study.series] == ["a.png", "b.png"]
    assert {p.what: p.error for p in study.passed_over} == {"loop": False, "c.png": True, "pipe.png": False}
    with pytest.raises(InputError, match="neither"):
        open_study(tmp_path / "real" / "pipe.png")


def test_names_show_no_folder(tmp_path):
    png(tmp_path / "DOE^JANE" / "a.png")
    (tmp_path / "DOE^JANE" / "b.png").write_text("hello")
    study = open_study(tmp_path)
    assert "DOE" not in study.series[0].name + study.series[0].read().name + str(study.passed_over)


MAKERS = {"a_T1w.nii": nifti, "a_T1w.nii.gz": nifti, "a.png": png, "a.mha": meta, "a.tif": png}


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(sorted(MAKERS)),
    flips=st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), max_size=4),
    cut=st.one_of(st.none(), st.integers(0, 2**20)),
    inserted=st.binary(max_size=8),
    place=st.integers(0, 2**20),
)
def test_mutated_files_give_an_image_or_one_line(name, flips, cut, inserted, place, tmp_path):
    path = MAKERS[name](tmp_path / name)
    content = bytearray(path.read_bytes())
    for where, value in flips:
        content[where % len(content)] = value
    where = place % (len(content) + 1)
    content[where:where] = inserted
    path.write_bytes(content[: None if cut is None else cut % (len(content) + 1)])
    try:
        for series in open_study(path).series:
            image = series.read()
            assert np.isfinite(image.voxels).all() and image.shape == series.shape
    except InputError as error:
        assert name in str(error) and "\n" not in str(error)


def dicom_door():
    return pytest.importorskip("quell.formats.dicom.discover")


def test_dicom_goes_to_its_door_and_text_named_dcm_is_an_error(tmp_path):
    dicom_door()
    from pydicom.data import get_testdata_file

    shutil.copy(get_testdata_file("CT_small.dcm"), tmp_path / "no_suffix")
    (tmp_path / "text.dcm").write_text("hello")
    (tmp_path / "notes.txt").write_text("hello")
    study = open_study(tmp_path)
    assert [(s.format, s.shape) for s in study.series] == [("DICOM", (1, 128, 128))]
    assert sorted((p.count, p.error) for p in study.passed_over) == [(1, False), (1, True)]


def test_dicomdir_gives_the_files_it_refers_to(tmp_path):
    dicom_door()
    from pydicom.data import get_testdata_file

    medium = tmp_path / "medium"
    shutil.copytree(Path(get_testdata_file("DICOMDIR")).parent, medium)
    for variant in medium.glob("DICOMDIR-*"):
        variant.unlink()
    of_file, of_folder = open_study(medium / "DICOMDIR"), open_study(medium)
    assert {s.name for s in of_file.series} == {s.name for s in of_folder.series} != set()
    victim = next(path for path in sorted(medium.rglob("*")) if path.is_file() and path.parent.name == "CT2")
    victim.unlink()
    for path in (medium, medium / "DICOMDIR"):
        missing = [p for p in open_study(path).passed_over if "DICOMDIR" in p.reason]
        assert [(p.count, p.error) for p in missing] == [(1, True)]


@pytest.mark.parametrize("names", [["..", "secret"], ["..\\secret"], ["/etc/hostname"], ["link", "secret"]])
def test_no_reference_of_a_dicomdir_leads_out(names, tmp_path):
    from pydicom.config import IGNORE
    from pydicom.dataelem import DataElement
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    from quell.formats.dicomdir import referenced_files

    (tmp_path / "secret").write_text("x")
    medium = tmp_path / "medium"
    medium.mkdir()
    (medium / "link").symlink_to(tmp_path)
    record = Dataset()
    record.add(DataElement("ReferencedFileID", "CS", names, validation_mode=IGNORE))
    directory = Dataset()
    directory.DirectoryRecordSequence = [record]
    directory.file_meta = FileMetaDataset()
    directory.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    directory.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    directory.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        directory.save_as(medium / "DICOMDIR", enforce_file_format=True)
    assert referenced_files(medium / "DICOMDIR") == ([], 1)
