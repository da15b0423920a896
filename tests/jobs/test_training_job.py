"""Training from door to door: through the command and Python, in one process and in two."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch

from quell.cli.main import main
from quell.errors import QuellError
from quell.jobs.training import resume_method, settings_for, train_method
from quell.models.registry import read_card
from quell.training.logs import read_log
from samples.synthetic_training import scenes

TOLD: dict[str, dict[str, Any]] = {
    "method": {"width": 4, "size": 24, "batch": 2, "steps": 6, "rate": 1e-3},
    "data": {"modality": "CT"},
    "run": {"accelerator": "cpu", "seed": 2, "average": 0.5},
}


def arguments(**changes: dict[str, Any]) -> list[str]:
    told = {section: {**values, **changes.get(section, {})} for section, values in TOLD.items()}
    return [
        part
        for section, values in told.items()
        for key, value in values.items()
        for part in ("--set", f"{section}.{key}={json.dumps(value)}")
    ]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with noisy images and their clean ones, in HU."""
    folder = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(1)
    for number, clean in enumerate(scenes(rng, 4, (3, 48, 48)) * 500 - 200):
        noisy = clean + 30 * rng.standard_normal(clean.shape)
        for role, voxels in (("clean", clean), ("noisy", noisy)):
            file = folder / role / f"{number}.nii.gz"
            file.parent.mkdir(exist_ok=True)
            nibabel.save(nibabel.Nifti1Image(voxels.astype(np.float32).T, np.eye(4)), file)
    TOLD["data"]["folder"] = str(folder)
    return folder


@pytest.fixture(scope="module")
def one(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("job") / "one"
    assert main(["train", "redcnn", "-o", str(folder), "-q", *arguments()]) == 0
    return folder


def last(folder: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(folder / "last.pt", weights_only=True)
    return state


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    mine, theirs = (state["average"]["denoiser"] for state in (one, other))
    return all(torch.equal(value, theirs[key]) for key, value in mine.items())


def test_the_command_leaves_a_model_with_its_data(one: Path) -> None:
    card = read_card(one / "model" / "card.json")
    assert card.identifier == "redcnn.one" and card.modalities == ("CT",)
    manifest = json.loads((one / "data.json").read_text())
    assert len(manifest) >= 3 and {entry["split"] for entry in manifest} == {"train", "validation"}
    assert card.training_data and card.metrics["validation psnr of the noisy"] > 0
    assert len(read_log(one / "log.csv")) == 6


def test_python_does_the_same_as_the_command(one: Path, tmp_path: Path) -> None:
    result = train_method("redcnn", TOLD, tmp_path / "run")
    assert result.finished and result.steps == 6 and 0 <= result.waited <= 1
    assert same(last(one), last(tmp_path / "run"))


def test_a_longer_training_goes_on_from_the_shorter(one: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "run"
    shutil.copytree(one, folder)
    with pytest.raises(QuellError, match=r"method\.width: a run goes on with its own settings \(4, not 8\)"):
        resume_method("redcnn", folder, {"method": {"width": 8}})
    assert main(["train", "redcnn", "--resume", str(folder), "--steps", "8", "-q"]) == 0
    assert last(folder)["step"] == 8


def test_settings_may_be_changed_by_their_names_only() -> None:
    with pytest.raises(QuellError, match="did you mean object_count"):
        settings_for("redcnn", {"data": {"objects_count": 2}})


def started(folder: Path, *command: str, **changes: Any) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    given = ["train", "redcnn", "-o", str(folder), *arguments(**changes)]
    return subprocess.Popen(
        [sys.executable, *command, *given],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    try:
        out, errors = process.communicate(timeout=240)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return process.returncode, out, errors


@pytest.mark.slow
def test_two_processes_learn_the_same_however_they_were_started(pairs: Path, tmp_path: Path) -> None:
    torchrun = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", "-m", "quell")
    quell = ("-m", "quell")
    found = {}
    for name, command, changes in (("torchrun", torchrun, {}), ("devices", quell, {"run": {"devices": 2}})):
        folder = tmp_path / name
        code, out, errors = ended(started(folder, *command, **changes))
        assert code == 0, errors
        # One process talks.
        assert out.count("model: quell denoise") == 1 and errors.count("Research use only") == 1
        assert "Warning" not in errors and "GLOBAL_RANK" not in errors
        found[name] = last(folder)
        card = read_card(folder / "model" / "card.json")
        assert card.training["processes"] == 2
    assert found["torchrun"]["step"] == 6
    # The same seeds and the same mean of gradients: the same weights, to the last bit.
    assert same(found["torchrun"], found["devices"])


@pytest.mark.slow
def test_what_fails_in_the_first_of_two_is_said_once(tmp_path: Path) -> None:
    data = {"folder": str(tmp_path / "nothing")}
    process = started(tmp_path / "run", "-m", "quell", data=data, run={"devices": 2})
    code, _, errors = ended(process)
    assert code == 2
    assert errors.count("quell: error") == 1 and "Traceback" not in errors and "nothing" in errors


@pytest.mark.slow
def test_ctrl_c_in_one_of_two_ends_both_and_the_run_goes_on(pairs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = started(folder, "-m", "quell", method={"steps": 100_000}, run={"devices": 2})
    until = time.monotonic() + 200
    while len(read_log(folder / "log.csv") if folder.is_dir() else []) == 0 and time.monotonic() < until:
        if (folder / "tensorboard").is_dir():
            break
        time.sleep(0.2)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    code, out, _ = ended(process)
    assert code == 130 and f"--resume {folder}" in out
    assert last(folder)["step"] >= 1 and not (folder / "model").exists()
