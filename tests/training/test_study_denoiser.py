"""Methods that learn from the one study: fitted at once, or trained on its slices."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import nibabel
import numpy as np
import pytest
import torch
from pydantic import Field
from torch import Tensor, nn

from quell.cli.main import main
from quell.errors import InputError, QuellError
from quell.image import FloatArray, Image, Modality
from quell.jobs.method_settings import read_method_settings
from quell.methods import registry
from quell.methods.base import BaseMethod, middle
from quell.methods.contracts import Fidelity, MethodConfig, MethodFacts, Need, StudyResult
from quell.training.study_denoiser import StudyDenoiser


def facts(name: str, need: Need, **more: Any) -> MethodFacts:
    return MethodFacts(name, "for tests", "none", Fidelity.OURS, need, (Modality.CT,), **more)


class Pull(MethodConfig):
    share: float = Field(0.5, ge=0, le=1)


class TowardsMean:
    """Pulls every voxel towards the mean, or towards the prior; draws nothing but says a spread."""

    facts: ClassVar[MethodFacts] = facts("towards-mean", Need.ONE_IMAGE, prior=(Modality.MR,))
    Config = Pull

    def __init__(self, config: Pull) -> None:
        self.config = config

    def denoise(self, image: Image, prior: Image | None, seed: int = 0) -> StudyResult:
        aim: Any = image.voxels.mean() if prior is None else prior.voxels
        voxels: FloatArray = image.voxels + np.float32(self.config.share) * (aim - image.voxels)
        return StudyResult(voxels, np.full_like(voxels, 2.0), {"iterations": 7, "stopped": "at once"})


class Halves(BaseMethod):
    """Learns to halve: the loss is lowest where the one weight is a half."""

    facts: ClassVar[MethodFacts] = facts("halves", Need.NOISY_ONLY)

    def __init__(self, config: Any, data: Any) -> None:
        super().__init__(config, data)
        net = nn.Conv2d(config.slices, 1, 3, padding=1)
        self.networks = {"denoiser": net}
        self.optimisers = {"denoiser": self.adam("denoiser")}

    def losses(self, batch: Any, progress: float) -> Any:
        out: Tensor = self.networks["denoiser"](batch.noisy)
        yield "denoiser", torch.mean((out - middle(batch.noisy) / 2) ** 2)


class Paired(Halves):
    facts: ClassVar[MethodFacts] = facts("paired", Need.PAIRED)


@pytest.fixture(autouse=True)
def methods(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let these be the only methods there are."""
    known = {kind.facts.name: kind for kind in (TowardsMean, Halves, Paired)}
    monkeypatch.setattr(registry, "find_methods", lambda: known)


def ct(*shape: int, **fields: Any) -> Image:
    voxels = np.random.default_rng(1).normal(40, 300, shape).astype(np.float32)
    return Image(voxels, **{"modality": Modality.CT, "units": "HU", "volume": shape[0] > 1, **fields})


QUICK = {"steps": 150, "batch": 8, "size": 16, "rate": 3e-2}


def test_a_method_without_training_gives_its_result_and_what_it_tells() -> None:
    image = ct(2, 16, 20)
    found = StudyDenoiser("towards-mean", {"share": 0.25}).denoise(image)
    expected = 0.75 * image.voxels + 0.25 * image.voxels.mean()
    np.testing.assert_allclose(found.image.voxels, expected, atol=1e-2)
    assert found.deviation is not None and (found.deviation == 2).all()
    assert found.facts == {"iterations": 7, "stopped": "at once"}
    assert set(found.seconds) == {"estimate", "network"}


def test_strength_padding_and_prior_are_as_for_any_denoiser() -> None:
    hidden = np.zeros((2, 16, 20), bool)
    hidden[:, 0] = True
    image = ct(2, 16, 20, padding=hidden)
    prior = Image(np.full(image.shape, 100, np.float32), Modality.MR, volume=True)
    found = StudyDenoiser("towards-mean", {"share": 1}).with_prior(prior).denoise(image, 0.5)
    expected = np.where(hidden, image.voxels, image.voxels / 2 + 50)
    np.testing.assert_allclose(found.image.voxels, expected, atol=1e-2)


def test_a_method_is_trained_on_the_slices_of_the_study() -> None:
    image = ct(3, 32, 40)
    found = StudyDenoiser("halves", {**QUICK, "slices": 3}, "cpu").denoise(image)
    # The middle of the stack at half: what its loss asks for.
    error = found.image.voxels - image.voxels / 2
    assert error.std() < 0.1 * image.voxels.std()
    assert found.facts["steps"] == 150
    assert found.deviation is None


def test_the_same_settings_give_the_same_result() -> None:
    image = ct(2, 24, 24)
    first, second = (StudyDenoiser("halves", {**QUICK, "steps": 5}, "cpu").denoise(image) for _ in range(2))
    assert np.array_equal(first.image.voxels, second.image.voxels)


def test_the_card_tells_settings_apart() -> None:
    hashes = {StudyDenoiser("halves", {"steps": steps}).card.sha256 for steps in (5, 5, 6)}
    assert len(hashes) == 2
    card = StudyDenoiser("towards-mean").card
    assert (card.identifier, card.prior, card.method) == ("towards-mean.study", ("MR",), "towards-mean")


@pytest.mark.parametrize(
    ("name", "settings", "reason"),
    [
        ("nothing", {}, "unknown method"),
        ("paired", {}, "quell train paired"),
        ("halves", {"steeps": 3}, "did you mean steps"),
        ("towards-mean", {"share": 2}, "method.share"),
    ],
)
def test_what_cannot_work_is_refused_before_any_work(
    name: str, settings: dict[str, Any], reason: str
) -> None:
    with pytest.raises(QuellError, match=reason) as caught:
        StudyDenoiser(name, settings)
    assert "\n" not in str(caught.value)


def test_values_that_are_not_finite_are_refused() -> None:
    image = ct(1, 16, 16)
    with pytest.raises(InputError, match="not finite"):
        StudyDenoiser("towards-mean").denoise(image.with_voxels(np.full_like(image.voxels, np.nan)))


def test_settings_come_from_a_file_and_changes(tmp_path: Path) -> None:
    whole, own = tmp_path / "train.yaml", tmp_path / "own.yaml"
    whole.write_text("method:\n  steps: 7\n  rate: 0.1\nrun:\n  seed: 3\n")
    own.write_text("steps: 7\nrate: 0.1\n")
    for file in (whole, own):
        found = read_method_settings(file, ["steps=9", "method.size=32"])
        assert found == {"steps": 9, "rate": 0.1, "size": 32}
    with pytest.raises(QuellError):
        read_method_settings(None, ["steps"])


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = tmp_path / "study"
    folder.mkdir()
    nibabel.save(nibabel.Nifti1Image(ct(2, 16, 20).voxels.T, np.diag([2.0, 2, 3, 1])), folder / "ct.nii")
    return folder


def test_the_command_applies_a_method(study: Path, tmp_path: Path, capsys: Any) -> None:
    words = [
        "denoise",
        str(study),
        "-o",
        str(tmp_path / "out"),
        "--method",
        "towards-mean",
        "--set",
        "share=1",
    ]
    assert main([*words, "--spread", "--float", "--residual"]) == 0
    names = sorted(file.name for file in (tmp_path / "out").iterdir())
    assert names == ["ct_denoised.nii", "ct_residual.nii", "ct_spread.nii"]
    denoised = np.asarray(nibabel.load(tmp_path / "out" / "ct_denoised.nii").dataobj)
    assert np.ptp(denoised) < 0.01
    assert "meant for" not in capsys.readouterr().out
    spread = nibabel.load(tmp_path / "out" / "ct_spread.nii")
    assert (np.asarray(spread.dataobj) == 2).all()


def test_a_method_is_tried_on_what_it_is_not_meant_for_and_this_is_said(
    study: Path, tmp_path: Path, capsys: Any
) -> None:
    (study / "ct.nii").rename(study / "t1w.nii")
    assert main(["denoise", str(study), "-o", str(tmp_path / "out"), "--method", "towards-mean"]) == 0
    assert "towards-mean is meant for CT, not for MR" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (["--method", "paired"], "quell train paired"),
        (["--method", "halves", "--set", "steeps=3"], "did you mean"),
        (["--method", "halves", "--model", "universal.fast"], "not both"),
        (["--set", "steps=3"], "--method"),
        (["--method", "halves", "--config", "nothing.yaml"], "nothing.yaml"),
    ],
)
def test_the_command_refuses_what_cannot_work(
    study: Path, tmp_path: Path, capsys: Any, more: list[str], reason: str
) -> None:
    assert main(["denoise", str(study), "-o", str(tmp_path / "out"), *more]) == 2
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_spread_that_turns_out_missing_leaves_nothing_behind(
    study: Path, tmp_path: Path, capsys: Any
) -> None:
    words = ["denoise", str(study), "-o", str(tmp_path / "out"), "--method", "halves", "--spread"]
    assert main([*words, "--set", "steps=2", "--set", "size=16", "--device", "cpu"]) == 1
    assert "no spread" in capsys.readouterr().out
    assert not list(tmp_path.glob("out/*.nii"))
