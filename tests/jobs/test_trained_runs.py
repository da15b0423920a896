"""A training run from its folder to derived series: `quell denoise --model RUN`, with prior and spread."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

from quell.cli.main import main
from quell.errors import ModelError, QuellError
from quell.evaluation.denoisers import find_denoiser
from quell.image import Image, Modality
from quell.inference.contracts import Runtime
from quell.jobs.denoising import Denoising, JobSettings
from quell.jobs.evidence import EvidenceSettings, load_model
from quell.models.registry import locate, model_files

torch = pytest.importorskip("torch", reason="making networks needs torch")

from samples.runs import make_run, network  # noqa: E402
from validators import needs_dciodvfy, new_dciodvfy_errors  # noqa: E402

AFFINE = np.diag([-2.0, -2.0, 3.0, 1.0])


def shrunk(found: Any, noisy: Any, *others: Any) -> Any:
    """Half of what the noisy image says: a change that can be computed by hand."""
    return noisy[:, :1] / 2 + 0 * found


def shrunk_with_spread(found: Any, noisy: Any, *others: Any) -> Any:
    return noisy[:, :1] / 2 + 0 * found, torch.full_like(noisy[:, :1], 0.02) + 0 * found


@pytest.fixture(autouse=True)
def exact_engine(onnx: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile the networks once for all tests."""
    monkeypatch.setattr("quell.inference.runtimes.make_runtime", lambda *choices, **more: onnx)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run for CT that halves the values and tells a spread of 20 HU."""
    folder = tmp_path_factory.mktemp("ct") / "My-Run"
    outputs = ("image", "spread")
    return make_run(folder, network(outputs=1, finish=shrunk_with_spread), outputs=outputs)


@pytest.fixture(scope="module")
def pet_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run for PET that is told of a CT, in three dimensions."""
    folder = tmp_path_factory.mktemp("pet") / "pet"
    module = network(inputs=2, dimensions=3, finish=shrunk)
    return make_run(folder, module, Modality.PT, dimensions=3, multiple=2, prior=("CT",))


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Return a folder with a PET and a CT on a finer grid."""
    rng = np.random.default_rng(1)
    (tmp_path / "study").mkdir()
    pet = rng.poisson(50, (12, 14, 5)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(pet, AFFINE), tmp_path / "study" / "pet.nii.gz")
    ct = rng.normal(40, 9, (24, 28, 10)).astype(np.int16)
    (tmp_path / "other").mkdir()
    nibabel.save(nibabel.Nifti1Image(ct, AFFINE / [[2], [2], [2], [1]]), tmp_path / "other" / "ct.nii.gz")
    return tmp_path


def call(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str]:
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out + captured.err


@pytest.mark.parametrize("place", ["", "model", "model/card.json"])
def test_a_run_is_found_by_its_folder_its_model_and_its_card(run: Path, place: str) -> None:
    card, folder = locate(run / place)
    assert (card.identifier, folder) == ("tiny.My-Run", run / "model")
    assert model_files(card, folder) == {"denoiser": run / "model" / "denoiser.onnx"}


def test_names_of_models_that_ship_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "universal.fast").mkdir()
    monkeypatch.chdir(tmp_path)
    assert locate("universal.fast").card.method == "universal"


def test_what_is_no_run_is_told_in_one_line(tmp_path: Path, run: Path) -> None:
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    (unfinished / "config.yaml").write_text("name: redcnn")
    damaged = shutil.copytree(run, tmp_path / "damaged")
    (damaged / "model" / "card.json").write_text("{")
    for place, words in (
        (tmp_path / "nothing", "no such model, run or card"),
        ("no.such", r"unknown model 'no\.such'; there is: .*universal\.fast.*run"),
        (unfinished, "no model in it .*finished"),
        (damaged, "not a model card"),
        ("a\0b", "a"),
    ):
        with pytest.raises(ModelError, match=words) as caught:
            locate(place)
        assert "\n" not in str(caught.value)


def test_damaged_weights_of_a_run_are_found(tmp_path: Path, run: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "copy")
    file = copy / "model" / "denoiser.onnx"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    card, folder = locate(copy)
    with pytest.raises(ModelError, match="damaged"):
        model_files(card, folder)


def test_a_card_may_not_name_files_elsewhere(run: Path) -> None:
    card, folder = locate(run)
    outside = card.model_copy(update={"files": {"denoiser": "../../other.onnx"}})
    with pytest.raises(ModelError, match="outside its folder"):
        model_files(outside, folder)


def test_models_tells_of_a_run(run: Path, pet_run: Path, capsys: Any) -> None:
    code, out = call(capsys, "models", run, pet_run)
    assert code == 0
    assert "tiny.My-Run" in out and "needs a CT of the patient" in out and "whole volumes" in out
    code, out = call(capsys, "models", run, "--json")
    assert [card["method"] for card in json.loads(out)] == ["tiny"]


def test_benchmark_and_evidence_take_a_run(run: Path) -> None:
    image = Image(np.full((1, 16, 16), 100, np.float32), Modality.CT, "HU")
    for denoiser in (find_denoiser(str(run)).denoiser, load_model(str(run), EvidenceSettings())):
        assert denoiser.card.identifier == "tiny.My-Run"
        # Constant images have no room for a change.
        assert np.array_equal(denoiser.denoise(image).image.voxels, image.voxels)


@needs_dciodvfy
def test_a_dicom_series_gets_a_denoised_one_and_its_spread(run: Path, tmp_path: Path, capsys: Any) -> None:
    source = tmp_path / "in" / "ct.dcm"
    source.parent.mkdir()
    shutil.copy(str(get_testdata_file("CT_small.dcm")), source)
    code, out = call(
        capsys, "denoise", source.parent, "-o", tmp_path / "out", "--model", run, "--spread", "--report"
    )
    assert code == 0, out
    before = pydicom.dcmread(source)
    series = {
        ds.SeriesDescription.split("[")[-1]: (ds, file)
        for file in sorted((tmp_path / "out").rglob("*.dcm"))
        for ds in [pydicom.dcmread(file)]
    }
    assert set(series) == {"Quell denoised]", "Quell spread]"}
    denoised, file = series["Quell denoised]"]
    values = before.pixel_array * float(before.RescaleSlope) + float(before.RescaleIntercept)
    found = denoised.pixel_array * float(denoised.RescaleSlope) + float(denoised.RescaleIntercept)
    np.testing.assert_allclose(found, np.clip(values / 2, values.min(), values.max()), atol=0.51)
    assert "tiny.My-Run" in denoised.DerivationDescription
    assert new_dciodvfy_errors(source, file) == []
    spread, file = series["Quell spread]"]
    np.testing.assert_allclose(
        spread.pixel_array * float(spread.RescaleSlope) + float(spread.RescaleIntercept), 20, atol=0.1
    )
    assert spread.DerivationCodeSequence[-1].CodeValue == "SPREAD"
    assert new_dciodvfy_errors(source, file) == []
    assert json.loads((tmp_path / "out" / "report.json").read_text())["series"][0]["model"] == "tiny.My-Run"
    code, out = call(capsys, "denoise", file.parent, "-o", tmp_path / "again")
    assert code == 2 and "spread" in out


def test_a_prior_reaches_the_network_and_the_report(pet_run: Path, study: Path, capsys: Any) -> None:
    words = ("denoise", study / "study", "-o", study / "out", "--model", pet_run, "--report", "--float")
    code, out = call(capsys, *words, "--prior", study / "other")
    assert code == 0, out
    assert "denoised with a CT of the patient as prior (ct.nii.gz), resampled" in out
    before, after = (
        np.asarray(nibabel.load(file).dataobj)
        for file in (study / "study" / "pet.nii.gz", study / "out" / "pet_denoised.nii.gz")
    )
    np.testing.assert_allclose(after, np.clip(before / 2, before.min(), before.max()), rtol=1e-4)
    (told,) = nibabel.load(study / "out" / "pet_denoised.nii.gz").header.extensions
    assert b" prior=CT " in told.get_content()


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ((), "needs a CT of the patient: --prior"),
        (("--prior", "study"), "must be CT, it is PT"),
        (("--prior", "other", "--spread"), "no spread"),
    ],
)
def test_what_a_model_cannot_do_fails_the_series_in_one_line(
    pet_run: Path, study: Path, capsys: Any, more: tuple[str, ...], reason: str
) -> None:
    given = [str(study / word) if (study / word).exists() else word for word in more]
    code, out = call(capsys, "denoise", study / "study", "-o", study / "out", "--model", pet_run, *given)
    assert (code, reason in out) == (1, True), out
    assert not list(study.glob("out/**/*.nii.gz"))


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--prior", "other"), "takes no prior"),
        (("--spread",), "no spread"),
        (("--prior", "nothing"), "no such file"),
    ],
)
def test_the_model_that_ships_takes_neither(
    study: Path, capsys: Any, words: tuple[str, ...], reason: str
) -> None:
    given = [word if word.startswith("--") else str(study / word) for word in words]
    code, out = call(capsys, "denoise", study / "study", "-o", study / "out", "--dry-run", *given)
    assert code != 0
    assert reason in out


def test_a_model_for_another_modality_is_no_model_for_this(run: Path, study: Path, capsys: Any) -> None:
    code, out = call(capsys, "denoise", study / "study", "-o", study / "out", "--model", run, "--dry-run")
    assert (code, "tiny.My-Run was trained for CT, not for PT" in out) == (1, True)


def test_from_python(pet_run: Path, run: Path) -> None:
    import quell

    rng = np.random.default_rng(0)
    noisy = rng.normal(200, 300, (20, 24)).astype(np.float32)
    found = quell.denoise(noisy, modality="CT", model=run)
    np.testing.assert_allclose(found, np.clip(noisy / 2, noisy.min(), noisy.max()), atol=0.1)
    pet = Image(rng.poisson(60, (4, 8, 8)).astype(np.float32), Modality.PT, volume=True)
    ct = Image(rng.normal(0, 9, (4, 8, 8)).astype(np.float32), Modality.CT, volume=True)
    assert quell.denoise(pet, model=pet_run, prior=ct).shape == pet.shape


@pytest.mark.parametrize(
    "settings", [{"model": "universal.fast", "method": "x"}, {"method_settings": {"steps": 3}}]
)
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(QuellError):
        Denoising(JobSettings(**settings))
