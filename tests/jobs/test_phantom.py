"""Test objects from name to files: what is written, that it repeats, and what goes wrong in one line."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from quell.errors import InputError, QuellError
from quell.formats.contracts import Written
from quell.formats.open import open_study
from quell.image import Image, Modality
from quell.jobs.phantom import PhantomSettings, run_phantom
from quell.noise.contracts import Simulated
from quell.noise.radiography import RadiographyNoise
from quell.phantoms.objects import OBJECTS, TestObject, make_object


@dataclass(frozen=True)
class PlainNoise:
    """Gaussian noise whose variance is the inverse of the dose, which is a whole number or less than 1."""

    dose_means: str = "parts"

    def acquire(self, truth: Image, dose: float, rng: np.random.Generator) -> Simulated:
        if dose > 1 and dose != int(dose):
            raise ValueError("no whole number")
        noise = rng.standard_normal(truth.shape, np.float32) / np.float32(np.sqrt(dose))
        return Simulated(truth.with_voxels(truth.voxels + noise), {"dose": dose}, ("as plain as can be",))


def plain(made: TestObject) -> Any:
    return PlainNoise()


def voxels(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj).T


def test_truth_images_labels_attenuation_and_parameters_are_written(tmp_path: Path) -> None:
    record = run_phantom("spect-cardiac", tmp_path, PhantomSettings(dose=0.25, seed=3), model_for=plain)
    stem = "spect-cardiac_seed-3"
    wanted = ["truth", "dose-1", "dose-0.25"]
    names = [f"{stem}_{word}{end}" for word in wanted for end in (".nii.gz", ".json")]
    names += [f"{stem}_labels.nii.gz", f"{stem}_attenuation.nii.gz", f"{stem}_parameters.json"]
    assert [file.name for file in record.files] == names
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(names)
    assert record.warnings == ("as plain as can be",)
    made = make_object("spect-cardiac", 3)
    np.testing.assert_array_equal(voxels(tmp_path / f"{stem}_truth.nii.gz"), made.truth.voxels)
    np.testing.assert_array_equal(voxels(tmp_path / f"{stem}_labels.nii.gz"), made.labels)
    np.testing.assert_array_equal(voxels(tmp_path / f"{stem}_attenuation.nii.gz"), made.attenuation)
    told = json.loads((tmp_path / names[-1]).read_text("utf-8"))
    assert told["object"] == made.parameters
    assert [one.get("dose") for one in told["images"]] == [None, 1.0, 0.25]
    assert [file for one in told["images"] for file in one["files"]] == names[:6]
    # SD of 164000 draws: known to 0.2 %.
    for dose in (1, 0.25):
        noise = voxels(tmp_path / f"{stem}_dose-{dose}.nii.gz") - made.truth.voxels
        assert noise.std() == pytest.approx(dose**-0.5, rel=0.01)


def test_without_a_dose_there_is_the_full_one(tmp_path: Path) -> None:
    record = run_phantom("us-cysts", tmp_path, PhantomSettings(), model_for=plain)
    images = [file.name for file in record.files if file.name.endswith(".nii.gz")]
    assert images == [f"us-cysts_seed-0_{word}.nii.gz" for word in ("truth", "dose-1", "labels")]
    again = run_phantom("us-cysts", tmp_path / "again", PhantomSettings(dose=1.0), model_for=plain)
    assert [file.name for file in again.files] == [file.name for file in record.files]


def test_the_same_seed_gives_the_same_files_whatever_else_is_asked_for(tmp_path: Path) -> None:
    for folder, dose in (("a", 0.5), ("b", 0.5), ("c", None)):
        settings = PhantomSettings(dose=dose, seed=4)
        run_phantom("us-cysts", tmp_path / folder, settings, model_for=plain)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()
    full = "us-cysts_seed-4_dose-1.nii.gz"
    assert (tmp_path / "a" / full).read_bytes() == (tmp_path / "c" / full).read_bytes()
    run_phantom("us-cysts", tmp_path / "d", PhantomSettings(seed=5), model_for=plain)
    other = voxels(tmp_path / "d" / "us-cysts_seed-5_dose-1.nii.gz")
    assert not np.array_equal(other, voxels(tmp_path / "a" / full))


def test_what_is_written_can_be_read_by_the_other_commands(tmp_path: Path) -> None:
    def radiography(made: TestObject) -> RadiographyNoise:
        return RadiographyNoise(quanta_per_value=0.5)

    run_phantom("anatomy-xr", tmp_path, PhantomSettings(dose=0.5), model_for=radiography)
    (series,) = open_study(tmp_path / "anatomy-xr_seed-0_dose-1.nii.gz").series
    image = series.read()
    assert image.modality is Modality.XR
    assert image.geometry.spacing == pytest.approx((1.0, 0.2, 0.2))
    # Read back without what the file cannot say; anatomy makes the noise seem a little larger.
    found = RadiographyNoise(structure=0.003).calibrate(image).quanta_per_value
    assert found == pytest.approx(0.5, rel=0.2)


def test_dicom_is_written_by_its_own_door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []

    def write_new(image: Image, out: Path, **known: Any) -> Written:
        calls.append({"image": image, "out": out, **known})
        return Written((out / f"{known['description']}.dcm",), warnings=("rounded",))

    door = ModuleType("quell.formats.dicom.create")
    door.write_new = write_new  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "quell.formats.dicom.create", door)
    settings = PhantomSettings(dose=0.5, seed=2, format="dicom")
    record = run_phantom("ct-mita", tmp_path, settings, model_for=plain)
    descriptions = ["truth, free of noise and blur", "dose 1", "dose 0.5"]
    assert [call["description"] for call in calls] == descriptions
    assert all((call["name"], call["seed"], call["out"]) == ("ct-mita", 2, tmp_path) for call in calls)
    assert record.warnings == ("as plain as can be", "rounded")
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "ct-mita_seed-2_labels.nii.gz",
        "ct-mita_seed-2_parameters.json",
    ]


def test_decibels_have_no_place_in_dicom(tmp_path: Path) -> None:
    # The images of this model stay in dB; nothing is left for the door of DICOM, which is not there.
    record = run_phantom("us-cysts", tmp_path, PhantomSettings(format="dicom"), model_for=plain)
    assert (tmp_path / "us-cysts_seed-0_truth.nii.gz").exists()
    assert any("in dB" in warning for warning in record.warnings)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (PhantomSettings(dose=0.0), "dose"),
        (PhantomSettings(dose=float("nan")), "dose"),
        (PhantomSettings(dose=float("inf")), "dose"),
        (PhantomSettings(seed=-1), "seed"),
        (PhantomSettings(format="png"), "format"),
        (PhantomSettings(dose=2.5), r"no whole number \(a dose is: parts\)"),
    ],
)
def test_senseless_settings_write_nothing(tmp_path: Path, settings: PhantomSettings, reason: str) -> None:
    with pytest.raises(QuellError, match=reason):
        run_phantom("us-cysts", tmp_path / "out", settings, model_for=plain)
    assert not (tmp_path / "out").exists()


def test_an_unknown_object_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such test object"):
        run_phantom("sofa", tmp_path / "out", PhantomSettings(), model_for=plain)
    assert not (tmp_path / "out").exists()


def test_every_object_has_a_model_that_takes_its_attenuation() -> None:
    pytest.importorskip("quell.noise.registry")
    from quell.jobs.phantom import default_model

    for name in OBJECTS:
        made = make_object(name)
        model = default_model(made)
        assert model.modality is made.modality
        if made.attenuation is not None:
            assert model.attenuation is made.attenuation  # type: ignore[attr-defined]
