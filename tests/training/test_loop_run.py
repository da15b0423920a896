"""A run in its folder: what it leaves, how it goes on, what it says when something is wrong."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from pydantic import BaseModel, ConfigDict

from quell.errors import InputError, OutputError
from quell.methods.redcnn import REDCNNMethod
from quell.models.registry import read_card, weights_hash
from quell.training import run_folder
from quell.training.devices import start
from quell.training.logs import read_log
from quell.training.loop import Step, TrainingStopped, make_method
from quell.training.run import Run, RunResult, Unwatched
from quell.training.run_folder import RunFolder
from quell.training.settings import TrainSettings, read_settings
from samples.synthetic_training import cases, facts_for, pool_for

STEPS = 12
ROW = {"name": "a name", "licence": "Apache-2.0", "modality": "CT", "split": "train"}
MANIFEST = [ROW, ROW, {**ROW, "split": "validation"}]


class NoData(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Stopper(Unwatched):
    """Sends the signal of Ctrl-C after a step."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.lines: list[str] = []

    def step(self, step: Step) -> None:
        if step.number == self.at:
            os.kill(os.getpid(), signal.SIGINT)

    def tell(self, line: str) -> None:
        self.lines.append(line)


def settings(**run: Any) -> TrainSettings:
    told = {
        "method": {**REDCNNMethod.tiny(), "steps": STEPS},
        "run": {"accelerator": "cpu", "average": 0.5, "seed": 3, **run},
    }
    return read_settings(told, REDCNNMethod.Config, NoData)


def train(
    folder: Path, asked: TrainSettings | None = None, watch: Any = None, pool: Any = None, clean: bool = True
) -> RunResult:
    asked = asked or settings()
    held = RunFolder(folder)
    held.begin("redcnn", asked, MANIFEST)
    method = make_method(REDCNNMethod, asked.method, facts_for(REDCNNMethod), asked.run.seed)
    data = pool or pool_for(REDCNNMethod)
    return Run(held, method, data, cases(clean=clean), asked, start(asked.run), watch or Unwatched()).go(
        MANIFEST
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunResult]:
    folder = tmp_path_factory.mktemp("runs") / "My run_1"
    return folder, train(folder)


def test_a_run_leaves_all_that_it_should(finished: tuple[Path, RunResult]) -> None:
    folder, result = finished
    assert result.finished and result.steps == STEPS
    names = {"config.yaml", "log.csv", "last.pt", "best.pt", "tensorboard", "model", "data.json"}
    assert {path.name for path in folder.iterdir()} == names
    assert {path.name for path in (folder / "model").iterdir()} == {
        "denoiser.onnx",
        "weights.safetensors",
        "card.json",
    }
    assert list((folder / "tensorboard").iterdir())


def test_the_card_says_what_it_is(finished: tuple[Path, RunResult]) -> None:
    folder, result = finished
    assert result.card is not None
    card = read_card(result.card)
    assert card.identifier == "redcnn.my-run-1" and card.method == "redcnn" and card.modalities == ("CT",)
    assert card.scaling == REDCNNMethod.scaling(facts_for(REDCNNMethod).modality)
    assert card.sha256 == weights_hash({"denoiser": folder / "model" / "denoiser.onnx"})
    assert [(s.name, s.licence) for s in card.training_data] == [("2 images", "Apache-2.0")]
    assert card.training["steps"] == STEPS and card.training["method.width"] == 8
    assert set(card.metrics) == {"validation psnr", "validation psnr of the noisy"}
    # Ten layers of 25 taps between 8 channels, the first and last with one: by hand, without biases,
    # per pixel of the input, but for the frames that unpadded convolutions lose.
    most = 25 * (1 * 8 + 8 * 8 * 8 + 8 * 1) / 1000
    assert 0.4 * most < card.kmac_per_pixel < most
    assert card.parameters == 25 * (1 * 8 + 8 * 8 * 8 + 8 * 1) + 9 * 8 + 1


def test_the_log_has_a_row_a_step_and_validations(finished: tuple[Path, RunResult]) -> None:
    rows = read_log(finished[0] / "log.csv")
    assert [int(row["step"]) for row in rows] == list(range(1, STEPS + 1))
    assert all({"loss denoiser", "waited", "crops a second"} <= set(row) for row in rows)
    best = max(float(row["validation psnr"]) for row in rows if "validation psnr" in row)
    assert finished[1].figures["validation psnr"] == pytest.approx(best, rel=1e-4)


def test_settings_are_written_whole(finished: tuple[Path, RunResult]) -> None:
    told = yaml.safe_load((finished[0] / "config.yaml").read_text())
    assert told["name"] == "redcnn" and told["method"]["steps"] == STEPS and told["run"]["devices"] == 1
    assert read_settings(told, REDCNNMethod.Config, NoData, "redcnn") == settings()


def test_the_model_is_that_of_the_best_average(finished: tuple[Path, RunResult]) -> None:
    from safetensors.torch import load_file

    best = torch.load(finished[0] / "best.pt", weights_only=True)["average"]["denoiser"]
    held = load_file(finished[0] / "model" / "weights.safetensors")
    assert {f"denoiser.{key}" for key in best} == set(held)
    assert all(torch.equal(value, held[f"denoiser.{key}"]) for key, value in best.items())


def test_ctrl_c_saves_and_going_on_is_exact(finished: tuple[Path, RunResult], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    watch = Stopper(5)
    stopped = train(folder, watch=watch)
    assert not stopped.finished and stopped.card is None and stopped.steps == 5
    assert "stopping after this step" in watch.lines
    # What was logged after the last checkpoint is done again, and logged once.
    with (folder / "log.csv").open("a") as file:
        file.write("6,1,1,1,1\n7,")
    assert train(folder).finished
    mine = torch.load(folder / "last.pt", weights_only=True)
    theirs = torch.load(finished[0] / "last.pt", weights_only=True)
    for part in ("average", "method"):
        assert equal(mine[part], theirs[part])
    assert [row["step"] for row in read_log(folder / "log.csv")] == [str(n) for n in range(1, STEPS + 1)]
    assert (folder / "model" / "denoiser.onnx").read_bytes() == (
        finished[0] / "model" / "denoiser.onnx"
    ).read_bytes()


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(equal, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else bool(one == other)


def test_a_run_that_is_finished_is_exported_again(finished: tuple[Path, RunResult]) -> None:
    folder, _ = finished
    before = (folder / "model" / "denoiser.onnx").read_bytes()
    (folder / "model" / "card.json").unlink()
    assert train(folder).finished
    assert (folder / "model" / "denoiser.onnx").read_bytes() == before
    assert (folder / "model" / "card.json").is_file()


@pytest.mark.parametrize("name", ["last.pt", "best.pt"])
@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 nothing", None])
def test_a_damaged_checkpoint_is_said_in_one_line(
    finished: tuple[Path, RunResult], tmp_path: Path, name: str, damage: bytes | None
) -> None:
    whole = (finished[0] / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    with pytest.raises(InputError, match="damaged checkpoint"):
        RunFolder(tmp_path).load(name)


def test_a_full_disk_leaves_the_last_checkpoint_and_the_run_goes_on(
    finished: tuple[Path, RunResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    asked = settings(checkpoint_every=3)
    write = Path.write_bytes
    saved = []

    def full(path: Path, content: Any) -> int:
        if path.name == "last.pt":
            if len(saved) == 2:
                raise OSError(errno.ENOSPC, "No space left on device", str(path))
            saved.append(path)
        return write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OutputError, match=r"No space left.*step 6 is kept.*--resume"):
            train(folder, asked)
    assert torch.load(folder / "last.pt", weights_only=True)["step"] == 6
    assert not [path for path in folder.iterdir() if path.suffix == ".part"]
    assert train(folder, asked).finished
    mine, theirs = (torch.load(f / "last.pt", weights_only=True) for f in (folder, finished[0]))
    assert equal(mine["average"], theirs["average"])


def test_a_loss_that_is_no_number_keeps_the_checkpoint(tmp_path: Path) -> None:
    class Poisoned:
        def draw(self, stage: Any, seed: tuple[int, ...]) -> Any:
            batch = pool_for(REDCNNMethod).draw(stage, seed)
            if seed[-1] == 7:
                batch.noisy.fill_(float("inf"))
            return batch

    with pytest.raises(TrainingStopped, match=r"step 8.*step 5 is kept.*--resume"):
        train(tmp_path / "run", settings(checkpoint_every=5), pool=Poisoned())
    state = torch.load(tmp_path / "run" / "last.pt", weights_only=True)
    assert state["step"] == 5 and equal(state["average"], state["average"])


def test_without_clean_images_the_own_loss_decides(tmp_path: Path) -> None:
    result = train(tmp_path / "run", clean=False)
    assert set(result.figures) == {"validation denoiser"}
    rows = [row for row in read_log(tmp_path / "run" / "log.csv") if "validation denoiser" in row]
    assert min(float(row["validation denoiser"]) for row in rows) == pytest.approx(
        result.figures["validation denoiser"], rel=1e-4
    )


def test_a_folder_with_something_in_it_is_refused(finished: tuple[Path, RunResult], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="not empty"):
        RunFolder(tmp_path).check_free("redcnn", settings())
    held = RunFolder(finished[0])
    with pytest.raises(OutputError, match=r"holds this run already.*--resume"):
        held.check_free("redcnn", settings())
    with pytest.raises(OutputError, match=r"run\.seed is 3, not 4.*--resume"):
        held.check_free("redcnn", settings(seed=4))
    with pytest.raises(OutputError, match="method redcnn, not unet"):
        held.check_free("unet", settings())


def test_a_run_that_never_came_to_a_checkpoint_may_begin_anew(tmp_path: Path) -> None:
    RunFolder(tmp_path).begin("redcnn", settings(), [])
    RunFolder(tmp_path).check_free("redcnn", settings(seed=4))


def test_a_checkpoint_is_there_complete_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path)
    folder.save(run_folder.LAST, {"step": 1})
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "broken")))
    with pytest.raises(OutputError, match="broken"):
        folder.save(run_folder.LAST, {"step": 2})
    assert folder.load(run_folder.LAST) == {"step": 1}


def test_psnr_is_that_of_its_definition() -> None:
    from quell.training.validation import decibels, span_of

    # Error 0.2 everywhere, range 2: 20 log10 of 10.
    assert decibels(0.04, span_of(np.array([[[0.0, 2.0]]], np.float32))) == pytest.approx(20, abs=1e-5)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_validation_denoises_about_as_many_voxels_as_asked(dimensions: int) -> None:
    from quell.methods.contracts import Exported
    from quell.training.validation import crops_of

    held = cases(3, (20, 150, 140))
    exported = Exported(torch.nn.Identity(), slices=3 if dimensions == 2 else 1, dimensions=dimensions)
    one = 128 * 128 * (1 if dimensions == 2 else 16)
    crops = list(crops_of(held, 3 * one, exported))
    assert sum(crop.clean.size for crop in crops) == 3 * one
    assert {crop.case for crop in crops} == {0, 1, 2}
    again = list(crops_of(held, 3 * one, exported))
    assert all(np.array_equal(a.noisy, b.noisy) for a, b in zip(crops, again, strict=True))
    for crop in crops:
        noise = (crop.noisy[1:2] if dimensions == 2 else crop.noisy) - crop.clean
        # White noise of 0.1 in over 16000 voxels: its mean is within five of its standard errors.
        assert abs(noise.mean()) < 5 * 0.1 / 128 and abs(noise.std() - 0.1) < 0.01
