"""Folders are read, grouped by patient and split; what cannot be meant is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom.data
import pytest
from folders import levels, write
from hypothesis import given, settings
from hypothesis import strategies as st

from quell.errors import InputError
from quell.image import Geometry, Modality
from quell.training.data.images import find_images, of_modality, read_image, split_patients
from quell.training.data.pairs import Grid, match


@settings(max_examples=40, deadline=None)
@given(st.sets(st.text(min_size=1, max_size=6), min_size=2, max_size=30), st.floats(0.01, 0.99))
def test_somebody_is_on_each_side(patients: set[str], share: float) -> None:
    kept = split_patients(patients, share)
    assert kept and kept < patients


def test_the_share_is_kept_in_the_mean() -> None:
    kept = split_patients((f"p{k}" for k in range(2000)), 0.2)
    # Binomial: a standard deviation of 18.
    assert abs(len(kept) - 400) < 90


def test_patients_stay_on_their_side_when_others_come() -> None:
    some = {f"p{k}" for k in range(100)}
    kept = split_patients(some, 0.3)
    assert split_patients(some | {f"q{k}" for k in range(100)}, 0.3) & some == kept


def test_files_of_a_folder_are_one_patient(tmp_path: Path) -> None:
    for name in ("anna/a.nii.gz", "anna/b.nii.gz", "ben/a.nii.gz"):
        write(tmp_path / "all" / name, np.random.default_rng(0).random((2, 8, 8)))
    found, _ = find_images(tmp_path)
    assert sorted(one.patient for one in found) == ["anna", "anna", "ben"]


def test_files_side_by_side_are_patients(tmp_path: Path) -> None:
    levels(tmp_path, {"a": (1, 8, 8), "b": (1, 8, 8)})
    assert sorted(one.patient for one in find_images(tmp_path)[0]) == ["a", "b"]


def test_dicom_says_who_is_who_and_nobody_is_named(tmp_path: Path) -> None:
    for number, study in enumerate(("one", "two")):
        dataset = pydicom.dcmread(pydicom.data.get_testdata_file("CT_small.dcm"))
        dataset.PatientID = "Miller^Jane"
        dataset.SeriesInstanceUID += f".{number}"
        dataset.SOPInstanceUID += f".{number}"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        (tmp_path / study).mkdir()
        dataset.save_as(tmp_path / study / "image.dcm")
    found, _ = find_images(tmp_path)
    assert len(found) == 2 and len({one.patient for one in found}) == 1
    assert "Miller" not in found[0].patient
    assert found[0].modality is Modality.CT
    assert read_image(found[0]).units == "HU"


def test_notes_tell_what_was_passed_over(tmp_path: Path) -> None:
    levels(tmp_path, {"a": (1, 8, 8)})
    (tmp_path / "damaged.nii").write_bytes(b"no image")
    _, notes = find_images(tmp_path)
    assert any("damaged" in note for note in notes)


def test_a_modality_is_settled_or_refused(tmp_path: Path) -> None:
    levels(tmp_path, {"a": (1, 8, 8)})
    found, _ = find_images(tmp_path)
    nm, ct = (Modality.NM,), (Modality.NM, Modality.CT)
    assert of_modality(found, None, nm, tmp_path, False)[0][0].modality is Modality.NM
    with pytest.raises(InputError, match="with modality"):
        of_modality(found, None, ct, tmp_path, False)
    with pytest.raises(InputError, match="meant for NM"):
        of_modality(found, Modality.CT, nm, tmp_path, False)
    assert of_modality(found, Modality.CT, nm, tmp_path, True)[0][0].modality is Modality.CT


def test_what_says_that_it_is_something_else_is_refused(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(pydicom.data.get_testdata_file("CT_small.dcm"))
    dataset.save_as(tmp_path / "ct.dcm")
    found, _ = find_images(tmp_path)
    with pytest.raises(InputError, match="holds CT, and the method is meant for NM"):
        of_modality(found, None, (Modality.NM,), tmp_path, False)
    assert len(of_modality(found, None, (Modality.NM,), tmp_path, True)[0]) == 1


def test_values_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).random((1, 8, 8))
    voxels[0, 3, 3] = np.nan
    write(tmp_path / "bad.nii.gz", voxels)
    with pytest.raises(InputError, match=r"bad\.nii\.gz: .*NaN"):
        read_image(find_images(tmp_path)[0][0])


def grid(shape: tuple[int, int, int] = (1, 8, 8), spacing: float = 1.0, x: float = 0.0) -> Grid:
    return Grid(shape, Geometry((spacing,) * 3, (x, 0, 0), known=True))


@pytest.mark.parametrize(
    ("other", "why"),
    [(grid((1, 8, 9)), "shape"), (grid(spacing=1.1), "spacing"), (grid(x=0.5), "lies 0.5 mm away")],
)
def test_grids_tell_in_what_they_differ(other: Grid, why: str) -> None:
    assert why in grid().unlike(other)
    assert not grid().unlike(grid(x=0.05))


def test_partners_are_found_by_place_then_by_name(tmp_path: Path) -> None:
    for role in ("noisy", "clean"):
        levels(tmp_path / role, {"a": (1, 8, 8), "b": (1, 8, 8)})
    levels(tmp_path / "noisy", {"small": (1, 6, 6)})
    levels(tmp_path / "clean", {"other": (1, 6, 6)})
    sides = []
    for role in ("noisy", "clean"):
        found, _ = find_images(tmp_path / role)
        sides.append([(one, Grid.of(read_image(one))) for one in found])
    partners = match(*sides, tmp_path / "clean")
    assert [one.name for one in partners] == ["a", "b", "other"]
