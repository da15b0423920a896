"""Series find their partners by place, by the source that DICOM names and by their looks, not by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from evaluation_samples import SHAPE, derive, derived, save, three, truth

from quell.errors import InputError
from quell.formats.contracts import OutputKind, Purpose
from quell.formats.dicom.lineage import lineage
from quell.formats.dicom.series import DicomSeries
from quell.formats.open import open_study
from quell.jobs.evaluation_pairs import CONTENT, ONLY, PLACE, SOURCE, pair_studies
from samples import dicom
from samples.dicom_parts import series as write_series

pytest.importorskip("scipy", reason="SciPy is not installed")


def dicom_series(folder: Path, voxels: np.ndarray, number: int) -> Path:
    pixels = np.rint(voxels + 1024).astype(np.uint16)
    uid = f"1.2.826.0.1.3680043.8.498.77.{number}"
    write_series(
        dicom.ct,
        pixels,
        folder,
        SeriesNumber=number,
        SeriesInstanceUID=uid,
        SOPInstanceUID=[f"{uid}.{z + 1}" for z in range(len(pixels))],
    )
    for path, z in zip(sorted(folder.glob("*.dcm")), range(len(pixels)), strict=True):
        _set_file_uid(path, f"{uid}.{z + 1}")
    return folder


def _set_file_uid(path: Path, uid: str) -> None:
    import pydicom

    ds = pydicom.dcmread(path)
    ds.file_meta.MediaStorageSOPInstanceUID = uid
    ds.save_as(path)


def test_one_on_each_side_is_taken_as_it_is(tmp_path: Path) -> None:
    full, _, clean = three()
    a, b = save(full, tmp_path / "a" / "x.nii"), save(clean[:, :50], tmp_path / "b" / "y.nii")
    (pair,) = pair_studies(a, b, None, None).pairs
    assert pair.paired_by == ONLY


def test_shape_and_place_come_first(tmp_path: Path) -> None:
    full, _, clean = three()
    # The names would pair them the other way round.
    for folder, image, names in (("a", full, ("one", "two")), ("b", clean, ("two", "one"))):
        save(image, tmp_path / folder / f"{names[0]}.nii")
        save(image[:, :70], tmp_path / folder / f"{names[1]}.nii")
    found = pair_studies(tmp_path / "a", tmp_path / "b", None, None)
    assert {(p.test.name, p.reference.name) for p in found.pairs if p.reference} == {
        ("two.nii", "one.nii"),
        ("one.nii", "two.nii"),
    }
    assert {p.paired_by for p in found.pairs} == {PLACE}


def test_the_source_that_dicom_names_decides_through_the_noisy_study(tmp_path: Path) -> None:
    """Two phases of one patient have one geometry, and look alike."""
    for number, seed in ((3, 1), (8, 2)):
        full, low, clean = three(seed)
        source = dicom_series(tmp_path / "full" / str(number), full, number)
        simulated = derive(source, low, tmp_path / "low" / str(number))
        (series,) = open_study(simulated, Purpose.EVALUATE).series
        derived(series, clean, tmp_path / "clean" / str(number))
    found = pair_studies(tmp_path / "full", tmp_path / "clean", tmp_path / "low", None)
    assert len(found.pairs) == 2 and {p.paired_by for p in found.pairs} == {SOURCE}
    for pair in found.pairs:
        links = [lineage(s) for s in (pair.test, pair.noisy, pair.reference) if isinstance(s, DicomSeries)]
        assert links[0].sources == links[1].own and links[1].sources == links[2].own


def test_a_study_with_source_and_result_serves_as_reference(tmp_path: Path) -> None:
    full, _, clean = three()
    source = dicom_series(tmp_path / "study" / "a", full, 3)
    derive(source, clean, tmp_path / "study" / "b")
    derive(source, clean, tmp_path / "test")
    (pair,) = pair_studies(tmp_path / "study", tmp_path / "test", None, None).pairs
    assert isinstance(pair.reference, DicomSeries) and pair.reference.name.endswith("series 3")


def test_pictures_without_geometry_are_paired_by_their_looks(tmp_path: Path) -> None:
    order = ("c", "a", "b")
    for k, name in enumerate(order):
        full, low, _ = three(k, shift=12 * k)
        save(full, tmp_path / "full" / f"{k}.nii")
        save(low, tmp_path / "low" / f"{name}.nii")
    found = pair_studies(tmp_path / "full", tmp_path / "low", None, None)
    assert {p.paired_by for p in found.pairs} == {CONTENT}
    assert {(p.test.name, p.reference.name) for p in found.pairs if p.reference} == {
        (f"{name}.nii", f"{k}.nii") for k, name in enumerate(order)
    }


def test_what_cannot_be_told_apart_is_not_guessed(tmp_path: Path) -> None:
    for k in range(2):
        full, low, _ = three(k)
        save(full, tmp_path / "full" / f"{k}.nii")
        save(low, tmp_path / "low" / f"{k}.nii")
    with pytest.raises(InputError, match="too much alike"):
        pair_studies(tmp_path / "full", tmp_path / "low", None, None)


def test_what_has_no_partner_is_told(tmp_path: Path) -> None:
    full, _, clean = three()
    for name, voxels in (("x", full), ("y", full[:, :70])):
        save(voxels, tmp_path / "a" / f"{name}.nii")
    for name, voxels in (("x", clean), ("y", clean[:, :60])):
        save(voxels, tmp_path / "b" / f"{name}.nii")
    found = pair_studies(tmp_path / "a", tmp_path / "b", None, None)
    assert [p.test.name for p in found.pairs] == ["x.nii"]
    assert {(item.what, item.error) for item in found.passed_over} == {("y.nii", True), ("y.nii", False)}
    with pytest.raises(InputError, match="no partner"):
        pair_studies(tmp_path / "a", save(truth()[:, :20], tmp_path / "c.nii"), None, None)


def test_residuals_of_dicom_are_passed_over(tmp_path: Path) -> None:
    source = dicom_series(tmp_path / "a", truth(), 3)
    out = derive(source, np.zeros(SHAPE), tmp_path / "out", OutputKind.RESIDUAL)
    with pytest.raises(InputError, match="made by Quell"):
        open_study(out, Purpose.EVALUATE)
