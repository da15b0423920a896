"""A study at a lower dose from door to door, with a model that a test can see through."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image as Pillow

from fake_noise import FakeNoise, fake_model
from quell.errors import InputError, OutputError, QuellError
from quell.evaluation.report.record import Status, StudyRecord
from quell.formats.contracts import Purpose
from quell.formats.open import open_study
from quell.image import Image, Modality
from quell.jobs.simulation import SimulationSettings, generator, run_simulation, simulate_image
from quell.jobs.simulation_record import RECORD_NAME
from quell.noise.contracts import Simulated
from samples import dicom
from samples.dicom_parts import save
from samples.dicom_parts import series as write_series


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Return a folder with a CT volume in NIfTI, another in DICOM, and a PNG."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "study"
    (folder / "dicom").mkdir(parents=True)
    ct = rng.normal(40, 15, (3, 20, 24))
    ct[:, :8] -= 1000
    nibabel.save(
        nibabel.Nifti1Image(ct.astype(np.int16).T, np.diag([0.8, 0.9, 3, 1])), folder / "ct_a.nii.gz"
    )
    write_series(dicom.ct, rng.integers(900, 1200, (3, 12, 10)).astype(np.uint16), folder / "dicom")
    Pillow.fromarray(rng.integers(0, 200, (16, 20)).astype(np.uint8)).save(folder / "us_frame.png")
    return folder


def run(source: Path, out: Path, dry_run: bool = False, **settings: Any) -> StudyRecord:
    settings = {"dose": 0.25, "looks": 2, **settings}
    return run_simulation(source, out, SimulationSettings(**settings), dry_run=dry_run, model_for=fake_model)


def voxels_of(record: StudyRecord) -> dict[str, Any]:
    """Return the bytes of all pixels that were written, by file name."""
    found: dict[str, Any] = {}
    for series in record.series:
        for file in series.files:
            (one,) = open_study(file).series
            found[f"{series.name} {file.name}"] = one.read().voxels.tobytes()
    return found


def test_every_series_is_written_and_recorded(study: Path, tmp_path: Path) -> None:
    record = run(study, tmp_path / "out", seed=3)
    assert record.exit_code == 0
    assert [series.status for series in record.series] == [Status.DONE] * 3
    by_format = {series.format: series for series in record.series}
    assert by_format["DICOM"].amount == by_format["NIfTI"].amount == "25 % dose"
    assert by_format["PNG"].amount == "2 looks"
    assert by_format["NIfTI"].files[0].name == "ct_a_simulated_dose0.25_seed3.nii.gz"
    assert by_format["PNG"].files[0].name == "us_frame_simulated_looks2_seed3.png"
    assert len(by_format["DICOM"].files) == 3
    header = pydicom.dcmread(by_format["DICOM"].files[0])
    assert header.SeriesDescription.endswith("[Quell simulated 25 % dose]")
    for series in record.series:
        assert series.parameters["sigma"] == (0.5 if series.modality == "US" else 3.0)
        assert set(series.seconds) == {"read", "simulate", "write"}
        assert series.model == "fake_noise.FakeNoise"


def test_the_noise_is_that_of_the_model(study: Path, tmp_path: Path) -> None:
    (series,) = run(study / "ct_a.nii.gz", tmp_path / "out").series
    before = np.asarray(nibabel.load(study / "ct_a.nii.gz").dataobj)
    after = np.asarray(nibabel.load(series.files[0]).dataobj)
    # 1440 voxels: a standard deviation is known to 1.9 %, and rounding adds 1/12 to the variance.
    assert (after - before).std() == pytest.approx(np.hypot(3, 12**-0.5), rel=0.08)


def test_the_same_seed_gives_the_same_voxels_whatever_else_there_is(study: Path, tmp_path: Path) -> None:
    everything = voxels_of(run(study, tmp_path / "all"))
    alone = voxels_of(run(study / "dicom", tmp_path / "alone"))
    assert alone.items() <= everything.items()
    assert not set(voxels_of(run(study, tmp_path / "other", seed=9)).values()) & set(everything.values())


def test_series_of_one_study_get_noise_of_their_own() -> None:
    draws = [generator(seed, name).random() for seed in (0, 1) for name in ("CT series 1", "CT series 2")]
    assert len(set(draws)) == 4
    assert generator(1, "a").random() == generator(1, "a").random()


def test_the_record_tells_all_that_a_repeat_needs(study: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(study, out, seed=3)
    values = json.loads((out / RECORD_NAME).read_text())
    assert "not real examinations" in values["notice"]
    (told,) = values["runs"]
    assert (told["dose"], told["looks"], told["snr"], told["seed"]) == (0.25, 2, None, 3)
    for series in told["series"]:
        assert series["parameters"]["sigma"] and series["model"] and series["model_sha256"]
        assert all((out / file).is_file() for file in series["files"])
    assert str(tmp_path) not in (out / RECORD_NAME).read_text()


def test_the_record_keeps_other_runs_and_replaces_repeats(study: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for dose in (0.5, 0.25, 0.5):
        run(study, out, dose=dose, looks=round(1 / dose))
    runs = json.loads((out / RECORD_NAME).read_text())["runs"]
    assert [one["dose"] for one in runs] == [0.25, 0.5]
    (out / RECORD_NAME).write_text("no JSON of ours")
    run(study, out)
    assert len(json.loads((out / RECORD_NAME).read_text())["runs"]) == 1


def test_padding_stays_as_it_is(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(900, 1200, (3, 12, 10)).astype(np.int16)
    values[:, :3] = -1500
    write_series(dicom.ct, values, tmp_path / "in", PixelPaddingValue=-1500)
    (series,) = run(tmp_path / "in", tmp_path / "out", dose=0.1).series
    for file, before in zip(series.files, values, strict=True):
        after = pydicom.dcmread(file).pixel_array
        np.testing.assert_array_equal(after[:3], before[:3])
        assert (after[3:] != before[3:]).mean() > 0.5


def test_a_series_that_fails_leaves_the_others_done(study: Path, tmp_path: Path) -> None:
    Pillow.fromarray(np.zeros((1, 9), np.uint8)).save(study / "us_row.png")
    record = run(study, tmp_path / "out")
    assert record.exit_code == 1
    failed = [series for series in record.series if series.status is Status.FAILED]
    assert [series.reason for series in failed] == ["us_row.png: one row"]
    told = json.loads((tmp_path / "out" / RECORD_NAME).read_text())["runs"][0]["series"]
    assert [one["reason"] for one in told if one["status"] == "failed"] == ["us_row.png: one row"]


def test_an_error_inside_a_model_is_one_line(study: Path, tmp_path: Path) -> None:
    class Broken(FakeNoise):
        def simulate(self, image: Image, dose: float, rng: np.random.Generator) -> Simulated:
            raise ZeroDivisionError("two\nlines")

    settings = SimulationSettings(dose=0.5, looks=1)
    record = run_simulation(study, tmp_path / "out", settings, model_for=lambda image: Broken())
    assert all("ZeroDivisionError: two lines" in series.reason for series in record.series)
    assert not (tmp_path / "out").exists()


def test_values_that_are_none_are_not_written(study: Path, tmp_path: Path) -> None:
    class Infinite(FakeNoise):
        def simulate(self, image: Image, dose: float, rng: np.random.Generator) -> Simulated:
            return Simulated(image.with_voxels(np.full(image.shape, np.nan, np.float32)))

    settings = SimulationSettings(dose=0.5)
    record = run_simulation(study / "dicom", tmp_path / "out", settings, model_for=lambda image: Infinite())
    assert "not finite" in record.series[0].reason


def test_ultrasound_without_looks_says_what_is_missing(study: Path, tmp_path: Path) -> None:
    record = run(study, tmp_path / "out", looks=None)
    (failed,) = (series for series in record.series if series.status is Status.FAILED)
    assert "--looks" in failed.reason and record.exit_code == 1


def test_an_unknown_modality_is_asked_for(study: Path, tmp_path: Path) -> None:
    (study / "us_frame.png").rename(study / "frame.png")
    for dry_run in (True, False):
        record = run(study / "frame.png", tmp_path / "out", dry_run=dry_run)
        assert "--modality" in record.series[0].reason
    named = run(study / "frame.png", tmp_path / "out", modality=Modality.XR)
    assert (named.series[0].status, named.series[0].amount) == (Status.DONE, "25 % dose")


def test_the_snr_of_mr_becomes_a_dose(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(500, 900, (3, 12, 10)).astype(np.uint16)
    write_series(dicom.mr, values, tmp_path / "in")
    (series,) = run(tmp_path / "in", tmp_path / "out", snr=10.0).series
    assert (series.amount, series.parameters["dose"]) == ("SNR 10", 0.25)
    (series,) = run(tmp_path / "in", tmp_path / "out", snr=80.0).series
    assert "already" in series.reason
    (series,) = run(tmp_path / "in", tmp_path / "out", dose=None, snr=None).series
    assert "--dose or --snr" in series.reason


def test_warnings_of_the_model_reach_record_and_header(study: Path, tmp_path: Path) -> None:
    settings = SimulationSettings(dose=0.5)
    record = run_simulation(
        study / "dicom",
        tmp_path / "out",
        settings,
        model_for=lambda image: FakeNoise(warning="the kernel is a guess"),
    )
    (series,) = record.series
    assert series.warnings == ("the kernel is a guess",)
    assert "the kernel is a guess" in pydicom.dcmread(series.files[0]).DerivationDescription


def test_a_model_that_is_not_calibrated_is_fitted_to_the_image(study: Path, tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Uncalibrated(FakeNoise):
        calibrated: bool = False

        def calibrate(self, image: Image) -> Uncalibrated:
            return replace(self, calibrated=True, warning=f"fitted to {image.name}")

    settings = SimulationSettings(dose=0.5)
    record = run_simulation(
        study / "ct_a.nii.gz", tmp_path / "out", settings, model_for=lambda i: Uncalibrated()
    )
    assert record.series[0].warnings == ("fitted to ct_a.nii.gz",)


def test_a_dry_run_writes_nothing(study: Path, tmp_path: Path) -> None:
    record = run(study, tmp_path / "out", dry_run=True)
    assert [series.status for series in record.series] == [Status.PLANNED] * 3
    assert {series.amount for series in record.series} == {"25 % dose", "2 looks"}
    assert not (tmp_path / "out").exists()


def test_what_is_simulated_can_be_simulated_from_again(study: Path, tmp_path: Path) -> None:
    run(study, tmp_path / "one", dose=0.5)
    again = run(tmp_path / "one", tmp_path / "two", dose=0.5)
    assert [series.status for series in again.series] == [Status.DONE] * 3
    assert all(any("simulated by Quell" in note for note in series.notes) for series in again.series)


def test_raw_projections_are_simulated_from_though_not_denoised(tmp_path: Path) -> None:
    values = np.random.default_rng(0).poisson(20, (4, 12, 10)).astype(np.uint16)
    header = dicom.nm(values)
    header.ImageType = ["ORIGINAL", "PRIMARY", "TOMO", "EMISSION"]
    (tmp_path / "in").mkdir()
    save(header, tmp_path / "in" / "a.dcm")
    with pytest.raises(InputError, match="cannot be denoised: raw projections"):
        open_study(tmp_path / "in" / "a.dcm")
    (found,) = open_study(tmp_path / "in", Purpose.SIMULATE).series
    image = found.read()
    assert (image.acquisition.reconstruction, image.volume, image.shape) == (
        "PROJECTIONS",
        False,
        (4, 12, 10),
    )
    (series,) = run(tmp_path / "in", tmp_path / "out").series
    assert series.status is Status.DONE
    assert pydicom.dcmread(series.files[0]).ImageType[2] == "TOMO"


@pytest.mark.parametrize(
    "settings",
    [
        {"dose": None, "looks": None},
        {"dose": 0.0},
        {"dose": 1.01},
        {"dose": -0.5},
        {"dose": float("nan")},
        {"snr": 0.0},
        {"snr": float("inf")},
        {"looks": 0},
        {"seed": -1},
    ],
)
def test_settings_that_make_no_sense_are_refused_before_any_work(
    study: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    with pytest.raises(QuellError):
        run(study, tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_an_output_inside_the_input_is_refused(study: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="inside"):
        run(study, study / "out")
    (tmp_path / "out").write_text("mine")
    with pytest.raises(OutputError):
        run(study, tmp_path / "out")


def test_dose_1_changes_nothing() -> None:
    image = Image(np.random.default_rng(0).normal(0, 9, (2, 6, 5)).astype(np.float32), modality=Modality.CT)
    result, origin = simulate_image(image, SimulationSettings(dose=1), fake_model)
    np.testing.assert_array_equal(result.image.voxels, image.voxels)
    assert origin.label == "100 % dose"
