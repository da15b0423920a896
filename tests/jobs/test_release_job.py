"""Training a network that ships: in pieces as in one, and refused before any work."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

# ruff: noqa: E402 - without torch there is no training
torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("onnx", reason="ONNX is not installed")

from scipy import ndimage

from quell.cli.main import main
from quell.errors import QuellError
from quell.image import Image, Modality
from quell.inference.contracts import Runtime
from quell.inference.kinds import KINDS
from quell.inference.network_denoiser import NetworkDenoiser
from quell.jobs.release import MATERIAL, SETTINGS, ReleaseSettings, train_release
from quell.models.registry import locate, model_files

SHORT = ReleaseSettings(crops=6, batch=2, seed=1)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Any:
    """Let torch run on one thread: on tiny batches several only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def prepared(folder: Path) -> Path:
    """Return a folder of a run whose material is two small references."""
    material = folder / MATERIAL
    material.mkdir(parents=True)
    rng, index = np.random.default_rng(0), []
    for modality in ("CT", "MR"):
        field = ndimage.gaussian_filter(rng.standard_normal((3, 100, 100)), (0, 6, 6))
        np.save(material / f"{modality}.npy", (300 * field / field.std()).astype(np.float32))
        row = {"file": f"{modality}.npy", "modality": modality, "split": "train"}
        index.append(row | {"volume": True, "contrast": 1000.0, "noise": 5.0})
    (material / "index.json").write_text(json.dumps(index))
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = prepared(tmp_path_factory.mktemp("whole"))
    result = train_release(folder, SHORT, accelerator="cpu")
    assert result.done and (result.crops, result.of) == (6, 6)
    return folder


def test_two_pieces_end_with_the_weights_of_one(finished: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    folder = prepared(tmp_path / "run")
    first = train_release(folder, SHORT, accelerator="cpu", minutes=1e-9)
    assert not first.done and first.crops == 2
    assert not (folder / "model").exists()
    second = train_release(folder, None, accelerator="cpu")
    assert second.done and second.minutes > first.minutes
    one, other = (load_file(run / "model" / "weights.safetensors") for run in (finished, folder))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_end_is_a_model_that_every_engine_runs_alike(
    finished: Path, onnx: Runtime, openvino: Runtime
) -> None:
    card, folder = locate(finished)
    assert (card.identifier, card.kinds) == ("universal.fast", KINDS)
    assert folder == finished / "model"
    files = model_files(card, folder)
    voxels = np.random.default_rng(1).standard_normal((3, 48, 40)).astype(np.float32)
    image = Image(voxels, modality=Modality.MR, volume=True)
    exact, quick = (NetworkDenoiser(card, files, one).denoise(image).image.voxels for one in (onnx, openvino))
    # The engine of users may compute in a shorter float.
    assert np.abs(exact - quick).max() < 0.1
    assert np.isfinite(exact).all() and np.abs(exact - voxels).max() > 1e-4


def test_the_other_tier_is_wider(tmp_path: Path) -> None:
    folder = prepared(tmp_path / "run")
    train_release(folder, replace(SHORT, tier="standard", crops=2), accelerator="cpu")
    card, _ = locate(folder)
    assert card.identifier == "universal.standard"
    assert 15 < card.kmac_per_pixel < 25


def test_a_run_for_one_kind_of_image_goes_on_with_it_and_ends_with_a_model_for_it(tmp_path: Path) -> None:
    whole, pieces = prepared(tmp_path / "whole"), prepared(tmp_path / "pieces")
    for run in (whole, pieces):
        new = ["train", "release", "--kind", "mr", "--crops", "32", "-o", str(run), "--accelerator", "cpu"]
        ended = main([*new, "-q", *(["--minutes", "0.000001"] if run == pieces else [])])
        assert ended == (130 if run == pieces else 0)
    # What it is trained for is kept with the run.
    assert main(["train", "release", "--resume", str(pieces), "--accelerator", "cpu", "-q"]) == 0
    card, other = locate(whole).card, locate(pieces).card
    assert (card.identifier, card.modalities, card.specialises) == ("mr.fast", ("MR",), ("MR",))
    assert card.kinds == KINDS and other.sha256 == card.sha256


def test_a_run_from_before_there_were_kinds_goes_on_with_all(finished: Path, tmp_path: Path) -> None:
    folder = prepared(tmp_path / "run")
    train_release(folder, SHORT, accelerator="cpu", minutes=1e-9)
    held = json.loads((folder / SETTINGS).read_text())
    assert held.pop("kind") == ""
    (folder / SETTINGS).write_text(json.dumps(held))
    assert train_release(folder, SHORT, accelerator="cpu").done
    assert locate(folder).card.sha256 == locate(finished).card.sha256
    assert locate(folder).card.specialises == ()


def test_material_without_the_kind_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    run = prepared(tmp_path / "run")
    with pytest.raises(QuellError, match="no references to train US with"):
        train_release(run, replace(SHORT, kind="US"), accelerator="cpu")
    assert not (run / SETTINGS).exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tier": "huge"}, "unknown tier 'huge'; there is fast, standard"),
        ({"crops": 1}, "at least one batch"),
        ({"batch": 0}, "at least one batch"),
        ({"rate": 0.0}, "above zero"),
        ({"kind": "XX"}, "unknown kind 'XX'; there is CT, MR, PT, SPECT, NM, US, XR"),
        ({"start": "no-such.safetensors"}, "no such file of weights"),
    ],
)
def test_settings_that_make_no_sense_are_refused_before_anything_is_written(
    changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(QuellError, match=words):
        train_release(tmp_path / "run", replace(SHORT, **changes), tmp_path, accelerator="cpu")
    assert not (tmp_path / "run").exists()


def other_settings(folder: Path) -> None:
    (folder / SETTINGS).write_text(json.dumps({"tier": "fast", "crops": 99}))


def other_method(folder: Path) -> None:
    (folder / "config.yaml").write_text("name: redcnn")


def damaged(folder: Path) -> None:
    (folder / SETTINGS).write_text("{")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (other_settings, "holds a run with other settings: go on with --resume"),
        (other_method, "holds a run of another method"),
        (damaged, "does not hold what a run writes"),
    ],
)
def test_a_folder_with_something_else_is_refused_and_left_as_it_is(
    change: Callable[[Path], None], words: str, tmp_path: Path
) -> None:
    change(tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(QuellError, match=words):
        train_release(tmp_path, SHORT, tmp_path, accelerator="cpu")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_without_references_nothing_begins(tmp_path: Path) -> None:
    run = tmp_path / "run"
    for data, words in ((None, "--data DIR"), (tmp_path / "none", "no such folder"), (tmp_path, "holds no")):
        with pytest.raises(QuellError, match=words):
            train_release(run, SHORT, data, accelerator="cpu")
    assert not run.exists()


def test_weights_that_do_not_fit_are_refused_before_material_is_made(tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    file.write_bytes(b"no weights")
    run = prepared(tmp_path / "run")
    with pytest.raises(QuellError, match="no weights to begin with"):
        train_release(run, replace(SHORT, start=str(file)), accelerator="cpu")
    assert not (run / SETTINGS).exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["redcnn", "-o", "RUN", "--tier", "fast"], "is nothing to `quell train redcnn`"),
        (["redcnn", "-o", "RUN", "--crops", "16"], "is nothing to `quell train redcnn`"),
        (["redcnn", "-o", "RUN", "--kind", "US"], "is nothing to `quell train redcnn`"),
        (["release", "-o", "RUN", "--kind", "echo"], "unknown kind 'ECHO'; there is CT"),
        (["release", "--resume", "RUN", "--kind", "US"], "leave out --kind"),
        (["release", "-o", "RUN", "--steps", "9"], "is nothing to `quell train release`"),
        (["release", "-o", "RUN", "--as-noisy"], "is nothing to `quell train release`"),
        (["release", "-o", "RUN", "--tier", "huge"], "huge"),
        (["release", "-o", "RUN"], "--data DIR"),
        (["release", "-o", "RUN", "--minutes", "0"], "longer than 0 minutes"),
        (["release", "--resume", "RUN"], "holds no training of a release"),
        (["release", "--resume", "RUN", "--crops", "32"], "leave out --crops"),
        (["release"], "give the folder of a new run, or --resume"),
    ],
)
def test_the_command_refuses_in_one_line(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", *arguments]) == 2
    said = capsys.readouterr().err
    assert words in " ".join(said.split()) and "Traceback" not in said
    assert said.count("quell: error") == 1
    assert not (tmp_path / "RUN").exists()


def test_a_piece_that_ends_early_says_how_to_go_on_and_the_last_one_where_the_model_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = prepared(tmp_path / "run")
    new = ["train", "release", "--tier", "standard", "--crops", "32", "-o", str(run), "--accelerator", "cpu"]
    assert main([*new, "--minutes", "0.000001"]) == 130
    assert f"go on with: quell train release --resume {run}" in capsys.readouterr().out
    assert main(["train", "release", "--resume", str(run), "--accelerator", "cpu", "-q"]) == 0
    said = capsys.readouterr()
    assert f"--model {run}" in said.out and not said.err
    assert locate(run).card.identifier == "universal.standard"
