"""New NIfTI files: read back through the door they are what was written."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from quell.errors import InputError, OutputError
from quell.formats.nifti_new import write_labels, write_new_nifti
from quell.formats.open import open_study
from quell.image import Geometry, Image, Modality

TILTED = Geometry(
    spacing=(2.0, 0.7, 0.9),
    origin=(11.0, -22.0, 33.0),
    direction=((0.0, 0.6, 0.8), (0.0, 0.8, -0.6), (1.0, 0.0, 0.0)),
    known=True,
)


def image(rng: np.random.Generator, geometry: Geometry = TILTED) -> Image:
    voxels = rng.normal(0, 100, (4, 5, 6)).astype(np.float32)
    return Image(voxels, Modality.PT, "Bq/ml", geometry, volume=True)


def test_an_image_comes_back_as_it_was(tmp_path: Path, rng: np.random.Generator) -> None:
    made = image(rng)
    written = write_new_nifti(made, tmp_path / "deep" / "x_truth.nii.gz", "seed 1")
    (tmp_path / "deep" / "x_truth.json").write_text(json.dumps({"Modality": "PT", "Units": "Bq/ml"}))
    (series,) = open_study(written.files[0]).series
    back = series.read()
    np.testing.assert_array_equal(back.voxels, made.voxels)
    assert (back.modality, back.units, back.volume) == (Modality.PT, "Bq/ml", True)
    assert back.geometry.known
    for got, wanted in zip(
        (back.geometry.spacing, back.geometry.origin, *back.geometry.direction),
        (TILTED.spacing, TILTED.origin, *TILTED.direction),
        strict=True,
    ):
        assert got == pytest.approx(wanted, abs=1e-5)


def test_equal_images_are_equal_files(tmp_path: Path) -> None:
    for name in "ab":
        write_new_nifti(image(np.random.default_rng(1)), tmp_path / f"{name}.nii.gz")
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_labels_are_whole_numbers_and_called_labels(tmp_path: Path) -> None:
    labels = np.arange(60, dtype=np.uint16).reshape(3, 4, 5)
    write_labels(labels, TILTED, tmp_path / "l.nii.gz", "labels")
    volume = nib.load(tmp_path / "l.nii.gz")
    np.testing.assert_array_equal(np.asarray(volume.dataobj).T, labels)
    assert volume.header["intent_code"] == 1002
    with pytest.raises(InputError, match="label map"):
        open_study(tmp_path / "l.nii.gz")


def test_an_unknown_place_stays_unknown(tmp_path: Path, rng: np.random.Generator) -> None:
    write_new_nifti(image(rng, Geometry()), tmp_path / "x.nii.gz")
    header = nib.load(tmp_path / "x.nii.gz").header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (0, 0)


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="not finite"):
        write_new_nifti(Image(np.full((1, 2, 2), np.nan, np.float32)), tmp_path / "x.nii.gz")
    assert not list(tmp_path.iterdir())
