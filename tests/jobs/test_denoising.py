"""One study from door to door, with the model that ships."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image as Pillow

from quell.errors import InputError, ModelError, OutputError, QuellError
from quell.evaluation.report.record import Status, StudyRecord
from quell.formats.open import open_study
from quell.image import FloatArray, Modality
from quell.inference.contracts import Runtime
from quell.jobs.denoising import Denoising, JobSettings, run_job
from quell.models import registry
from quell.models.registry import default_card, find_card

AFFINE = np.diag([0.8, 0.9, 3.0, 1.0])


@pytest.fixture(autouse=True)
def exact_engine(onnx: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile the networks once for all tests."""
    monkeypatch.setattr("quell.inference.runtimes.make_runtime", lambda *choices: onnx)


@pytest.fixture
def study(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Return a folder with a CT volume in NIfTI and a PNG, each noisy."""
    folder = tmp_path / "study"
    (folder / "us").mkdir(parents=True)
    ct = rng.normal(40, 15, (3, 40, 48))
    ct[:, :8] -= 1000
    nibabel.save(nibabel.Nifti1Image(ct.astype(np.int16).T, AFFINE), folder / "ct_abdomen.nii.gz")
    pixels = rng.normal(120, 12, (50, 40)).clip(0, 255).astype(np.uint8)
    Pillow.fromarray(pixels).save(folder / "us" / "frame.png")
    return folder


def run(source: Path, out: Path, dry_run: bool = False, **settings: Any) -> StudyRecord:
    return run_job(source, out, JobSettings(**settings), dry_run=dry_run)


def files_in(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def voxels_at(path: Path) -> FloatArray:
    """Return the voxels of a written file, which the front door would take for a derived one."""
    if path.name.endswith((".nii", ".nii.gz")):
        return np.asarray(nibabel.load(path).dataobj, np.float32).T
    with Pillow.open(path) as image:
        return np.asarray(image, np.float32)[None]


def test_every_series_is_done_and_written_beside_its_place(study: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    record = run(study, out)
    assert record.exit_code == 0
    assert [series.status for series in record.series] == [Status.DONE, Status.DONE]
    assert files_in(out) == ["ct_abdomen_denoised.nii.gz", "us/frame_denoised.png"]
    assert sorted(file for series in record.series for file in series.files) == sorted(
        out / name for name in files_in(out)
    )
    card = default_card(Modality.CT)
    for series in record.series:
        assert (series.model, series.model_sha256) == (card.identifier, card.sha256)
        assert set(series.seconds) == {"read", "estimate", "network", "write"}
        assert series.noise_before is not None and series.noise_after is not None
        assert series.noise_after.level < 0.6 * series.noise_before.level
        assert series.pictures


def test_the_record_says_what_was_read(study: Path, tmp_path: Path) -> None:
    ct, us = run(study, tmp_path / "out").series
    assert (ct.format, ct.modality, ct.units, ct.shape) == ("NIfTI", "CT", "HU", (3, 40, 48))
    assert ct.spacing == pytest.approx((3.0, 0.9, 0.8))
    assert ct.noise_before is not None
    assert ct.noise_before.level == pytest.approx(15, rel=0.15)
    assert (us.format, us.shape, us.spacing) == ("PNG", (1, 50, 40), None)


def test_what_is_written_is_less_noisy_and_otherwise_the_same(study: Path, tmp_path: Path) -> None:
    run(study, tmp_path / "out")
    before = voxels_at(study / "ct_abdomen.nii.gz")
    after = voxels_at(tmp_path / "out" / "ct_abdomen_denoised.nii.gz")
    assert after.shape == before.shape
    tissue = np.s_[:, 12:, 4:-4]
    assert after[tissue].std() < 0.6 * before[tissue].std()
    assert after[tissue].mean() == pytest.approx(before[tissue].mean(), abs=1.5)


def test_a_repeat_writes_the_same_bytes(study: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(study, out, noise_map=True)
    first = {name: (out / name).read_bytes() for name in files_in(out)}
    run(study, out, noise_map=True)
    assert {name: (out / name).read_bytes() for name in files_in(out)} == first


def test_the_result_is_no_source(study: Path, tmp_path: Path) -> None:
    run(study, tmp_path / "out", residual=True)
    with pytest.raises(InputError, match="written by Quell"):
        run(tmp_path / "out", tmp_path / "again")


@pytest.mark.parametrize("name", ["ct_abdomen.nii.gz", "us/frame.png"])
def test_residual_and_denoised_make_the_source(study: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    (series,) = run(study / name, out, residual=True, noise_map=True).series
    denoised, residual, noise = (voxels_at(file) for file in series.files)
    source = voxels_at(study / name)
    # The denoised image is rounded to the integers of the source, the residual is not.
    np.testing.assert_allclose(denoised + residual, source, atol=0.51)
    assert residual.std() > 1
    assert noise.shape == source.shape
    assert series.noise_before is not None
    assert np.median(noise) == pytest.approx(series.noise_before.level, rel=0.1)


def test_strength_zero_writes_the_source(study: Path, tmp_path: Path) -> None:
    run(study, tmp_path / "out", strength=0.0)
    before = voxels_at(study / "ct_abdomen.nii.gz")
    np.testing.assert_array_equal(voxels_at(tmp_path / "out" / "ct_abdomen_denoised.nii.gz"), before)


def test_grain_is_the_models_or_the_users_and_is_told(study: Path, tmp_path: Path) -> None:
    usual, _ = run(study, tmp_path / "usual").series
    card = find_card(usual.model)
    assert (usual.strength, usual.grain) == (card.strength["CT"], card.grain["CT"])
    blend, _ = run(study, tmp_path / "blend", strength=usual.strength).series
    given, _ = run(study, tmp_path / "given", strength=usual.strength, grain=0.9).series
    assert (blend.grain, given.grain) == (0.0, 0.9)
    name = "ct_abdomen_denoised.nii.gz"
    left = [voxels_at(tmp_path / folder / name).std() for folder in ("blend", "usual", "given")]
    assert left[0] < left[1] < left[2]


def test_a_given_sigma_is_used_and_recorded(study: Path, tmp_path: Path) -> None:
    ct, _ = run(study, tmp_path / "out", sigma=4.0).series
    assert ct.sigma == 4.0
    assert ct.noise_before is not None
    assert ct.noise_before.level == pytest.approx(4.0, rel=1e-4)


def test_a_series_that_fails_leaves_the_others_done(
    study: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    good = (study / "ct_abdomen.nii.gz").read_bytes()
    (study / "ct_broken.nii.gz").write_bytes(good[:-3000])
    record = run(study, tmp_path / "out")
    states = {series.name: series.status for series in record.series}
    assert states == {
        "ct_abdomen.nii.gz": Status.DONE,
        "ct_broken.nii.gz": Status.FAILED,
        "frame.png": Status.DONE,
    }
    assert record.exit_code == 1
    (failed,) = [series for series in record.series if series.status is Status.FAILED]
    assert "ct_broken.nii.gz" in failed.reason
    assert "\n" not in failed.reason
    assert files_in(tmp_path / "out") == ["ct_abdomen_denoised.nii.gz", "us/frame_denoised.png"]


@pytest.mark.parametrize("error", [RuntimeError("a bug\nof two lines"), MemoryError()])
def test_whatever_goes_wrong_inside_a_series_stays_inside(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    real = Denoising.denoise

    def fail_for_ct(self: Denoising, image: Any, *rest: Any) -> Any:
        if image.modality is Modality.CT:
            raise error
        return real(self, image, *rest)

    monkeypatch.setattr(Denoising, "denoise", fail_for_ct)
    ct, us = run(study, tmp_path / "out").series
    assert (ct.status, us.status) == (Status.FAILED, Status.DONE)
    assert ct.reason.startswith(ct.name)
    assert "\n" not in ct.reason


def test_a_dry_run_says_the_plan_and_writes_nothing(study: Path, tmp_path: Path) -> None:
    record = run(study, tmp_path / "out", dry_run=True, report=True)
    assert {series.status for series in record.series} == {Status.PLANNED}
    assert all(series.model and series.engine for series in record.series)
    assert record.exit_code == 0
    assert not (tmp_path / "out").exists()


def test_the_report_is_written_when_asked_for(study: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(study / "us", out, report=True)
    assert files_in(out) == ["frame_denoised.png", "report.html", "report.json"]
    values = json.loads((out / "report.json").read_text())
    assert [series["name"] for series in values["series"]] == ["frame.png"]
    assert "frame.png" in (out / "report.html").read_text()


def test_a_constant_image_is_left_as_it_is_and_the_record_warns(tmp_path: Path) -> None:
    source = tmp_path / "flat.png"
    Pillow.fromarray(np.full((40, 40), 77, np.uint8)).save(source)
    (series,) = run(source, tmp_path / "out").series
    assert series.status is Status.DONE
    assert any("no noise" in warning for warning in series.warnings)
    np.testing.assert_array_equal(voxels_at(series.files[0]), 77)


def test_the_named_modality_counts_where_the_format_does_not_say(study: Path, tmp_path: Path) -> None:
    _, us = run(study, tmp_path / "out", modality=Modality.US).series
    assert us.modality == "US"


def test_progress_is_told_of_every_slice_of_every_step(study: Path, tmp_path: Path) -> None:
    class Watch:
        def __init__(self) -> None:
            self.begun: list[tuple[str, int]] = []
            self.steps: dict[str, int] = {}
            self.ended: list[bool] = []

        def begin(self, name: str, steps: int) -> None:
            self.begun.append((name, steps))

        def advance(self, step: str, count: int = 1) -> None:
            self.steps[step] = self.steps.get(step, 0) + count

        def end(self, ok: bool, message: str) -> None:
            self.ended.append(ok)

    watch = Watch()
    run_job(study, tmp_path / "out", progress=watch)
    assert watch.begun == [("ct_abdomen.nii.gz", 3), ("frame.png", 1)]
    assert watch.steps == {"read": 4, "estimate": 4, "network": 4, "write": 4}
    assert watch.ended == [True, True]


@pytest.mark.parametrize("inside", ["", "out", "us/deep/out", "us/.."])
def test_an_output_inside_the_input_is_refused(study: Path, inside: str) -> None:
    before = files_in(study)
    with pytest.raises(InputError, match="inside the input"):
        run(study, study / inside)
    assert files_in(study) == before


def test_an_output_inside_the_input_is_refused_through_a_link(study: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(study, target_is_directory=True)
    with pytest.raises(InputError, match="inside the input"):
        run(study, link / "out")


def test_an_output_beside_a_single_file_is_fine(study: Path) -> None:
    record = run(study / "us" / "frame.png", study / "us")
    assert record.exit_code == 0
    assert files_in(study / "us") == ["frame.png", "frame_denoised.png"]


@pytest.mark.parametrize("name", ["nothing", "a\0b", "x" * 5000])
def test_a_source_that_is_not_there_is_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError) as caught:
        run(tmp_path / name, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_loop_of_links_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(InputError):
        run(tmp_path / "a", tmp_path / "out")


def test_an_output_that_is_a_file_is_refused_before_any_work(study: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(OutputError, match="is a file"):
        run(study, tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.parametrize(
    "settings",
    [
        {"strength": -0.01},
        {"strength": 1.01},
        {"strength": float("nan")},
        {"grain": 1.01},
        {"grain": 0.5, "method": "noise2void"},
        {"sigma": 0.0},
        {"sigma": -3.0},
        {"sigma": float("inf")},
        {"threads": 0},
        {"engine": "tensorflow"},
        {"device": "abacus"},
        {"model": "universal.nothing"},
        {"tier": "huge"},
        {"tier": "fast", "model": "universal.fast"},
        {"tier": "fast", "method": "noise2void"},
    ],
)
def test_settings_that_make_no_sense_are_refused_before_any_work(
    study: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    with pytest.raises(QuellError):
        run(study, tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_a_model_is_made_once_for_all_modalities_it_serves() -> None:
    denoising = Denoising(JobSettings())
    assert denoising.denoiser(Modality.CT) is denoising.denoiser(Modality.MR)
    named = Denoising(JobSettings(model=default_card(Modality.CT).identifier))
    assert named.denoiser(Modality.US).card == default_card(Modality.CT)


@pytest.fixture
def specialised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ship copies of the default model for ultrasound and for SPECT alone."""
    weights = tmp_path / "weights"
    for name, modality, kind in (("ultrasound", "US", "US"), ("spect", "NM", "SPECT")):
        shutil.copytree(registry.WEIGHTS / registry.DEFAULT, weights / f"{name}.fast")
        file = weights / f"{name}.fast" / registry.CARD
        own = {"name": name, "modalities": [modality], "specialises": [kind]}
        file.write_text(json.dumps({**json.loads(file.read_text()), **own}))
    shutil.copytree(registry.WEIGHTS / registry.DEFAULT, weights / registry.DEFAULT)
    monkeypatch.setattr(registry, "WEIGHTS", weights)
    registry.list_cards.cache_clear()
    yield
    registry.list_cards.cache_clear()


@pytest.mark.parametrize(
    ("modality", "ct", "us"),
    [
        (Modality.US, "ultrasound.fast", "ultrasound.fast"),
        # A volume of nuclear medicine is SPECT, a single image is planar.
        (Modality.NM, "spect.fast", "universal.fast"),
        (Modality.MR, "universal.fast", "universal.fast"),
    ],
)
@pytest.mark.parametrize("dry_run", [False, True])
def test_each_kind_of_image_gets_its_own_model(
    study: Path, tmp_path: Path, specialised: None, modality: Modality, ct: str, us: str, dry_run: bool
) -> None:
    record = run(study, tmp_path / "out", dry_run, modality=modality)
    assert [series.model for series in record.series] == [ct, us]
    assert all(not series.warnings for series in record.series)


def test_a_model_for_one_kind_of_image_says_so_of_others(
    study: Path, tmp_path: Path, specialised: None
) -> None:
    volume, single = run(study, tmp_path / "out", model="spect.fast", modality=Modality.NM).series
    assert volume.warnings == ()
    assert single.warnings == ("spect.fast is meant for SPECT, not for NM",)
    assert {volume.status, single.status} == {Status.DONE}


def test_an_engine_that_is_missing_fails_the_series_with_its_reason(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*choices: object) -> Runtime:
        raise ModelError("no engine here")

    monkeypatch.setattr("quell.inference.runtimes.make_runtime", missing)
    record = run(study, tmp_path / "out")
    assert {series.reason for series in record.series} == {"no engine here"}
    assert record.exit_code == 1


def test_what_looks_damaged_makes_the_exit_code_1(study: Path, tmp_path: Path) -> None:
    record = run(study, tmp_path / "out", dry_run=True)
    (study / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    broken = run(study, tmp_path / "out", dry_run=True)
    assert (record.exit_code, broken.exit_code) == (0, 1)
    assert replace(broken, passed_over=()).exit_code == 0


def test_series_keep_their_order_and_name(study: Path, tmp_path: Path) -> None:
    record = run(study, tmp_path / "out", dry_run=True)
    assert [series.name for series in record.series] == [s.name for s in open_study(study).series]


def test_a_dicom_series_becomes_a_series_of_its_own_in_the_same_place(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    pydicom = pytest.importorskip("pydicom")
    from samples import dicom
    from samples.dicom_parts import series as write_series

    stored = rng.normal(1064, 20, (3, 40, 48)).round().astype(np.uint16)
    sources = write_series(dicom.ct, stored, tmp_path / "in")
    (done,) = run(tmp_path / "in", tmp_path / "out", residual=True).series
    assert (done.status, done.format, done.modality, done.units) == (Status.DONE, "DICOM", "CT", "HU")
    assert len(done.files) == 6
    before = {tuple(ds.ImagePositionPatient): ds for ds in map(pydicom.dcmread, sources)}
    after = [pydicom.dcmread(file) for file in done.files]
    for number in {ds.SeriesInstanceUID for ds in after}:
        assert number not in {ds.SeriesInstanceUID for ds in before.values()}
        assert sum(ds.SeriesInstanceUID == number for ds in after) == 3
    assert {tuple(ds.ImagePositionPatient) for ds in after} == set(before)
    assert {ds.StudyInstanceUID for ds in after} == {ds.StudyInstanceUID for ds in before.values()}
    for place, source in before.items():
        denoised, residual = (_hounsfield(ds) for ds in after if tuple(ds.ImagePositionPatient) == place)
        np.testing.assert_allclose(denoised + residual, _hounsfield(source), atol=1.01)
        assert denoised.std() < 0.6 * _hounsfield(source).std()


def _hounsfield(ds: Any) -> FloatArray:
    values = ds.pixel_array.astype(np.float32)
    return values * np.float32(ds.RescaleSlope) + np.float32(ds.RescaleIntercept)
