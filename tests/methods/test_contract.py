"""Every method that is there: it learns, goes on exactly, runs in every engine, and denoises a study.

A method that wants other settings than the default ones for a trial of seconds has a classmethod ``tiny``
that returns them.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from quell.methods.contracts import Need
from quell.methods.registry import find_methods
from quell.models.registry import read_card
from quell.training.averaging import put
from quell.training.export import example, export_model, input_names
from quell.training.loop import Loop, make_method
from samples.synthetic_training import facts_for, pool_for, scenes

STEPS = 30
TRAINABLE = {n: kind for n, kind in find_methods().items() if kind.facts.need is not Need.ONE_IMAGE}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Trained:
    """A method after its 30 steps, made once for all tests of it."""

    def __init__(self, kind: Any, folder: Path) -> None:
        self.kind = kind
        self.whole = loop(kind)
        self.told = list(self.whole.run())
        self.run = folder / "run"
        with self.whole.average.applied(self.whole.method):
            put(self.whole.average.weights, self.whole.method.networks)
            self.card = read_card(export_model(self.whole.method, self.run, [], {"steps": STEPS}, {}))
            # A copy: the networks go back to the weights that are not averaged.
            self.exported = copy.deepcopy(self.whole.method.exported())


def loop(kind: Any) -> Loop:
    told = {"batch": 2, "size": 32, **getattr(kind, "tiny", dict)(), "steps": STEPS}
    method = make_method(kind, kind.Config(**told), facts_for(kind), 1)
    fabric = Fabric(accelerator="cpu", devices=1)
    method.setup(fabric)
    return Loop(method, pool_for(kind), fabric, seed=1, steps=STEPS, average=0.5)


@pytest.fixture(scope="module", params=TRAINABLE.values(), ids=TRAINABLE)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return Trained(request.param, tmp_path_factory.mktemp(request.param.facts.name))


def test_its_facts_are_whole(trained: Trained) -> None:
    facts = trained.kind.facts
    assert facts.name == facts.name.lower() and " " not in facts.name
    assert facts.title and facts.modalities and facts.source
    assert facts.dimensions in (2, 3) and all(0 < dose <= 1000 for dose in facts.doses)
    assert not facts.needs_prior or facts.prior


def test_it_learns(trained: Trained) -> None:
    first = next(iter(trained.told[0].losses))
    losses = [step.losses[first] for step in trained.told if first in step.losses]
    assert np.mean(losses[-10:]) < np.mean(losses[:5])


def test_it_goes_on_exactly(trained: Trained) -> None:
    begun, after = loop(trained.kind), loop(trained.kind)
    for step in begun.run():
        if step.number == STEPS // 2:
            break
    after.restore(begun.state())
    list(after.run())
    for name, weights in trained.whole.average.weights.items():
        for key, value in weights.items():
            assert torch.equal(value.cpu(), after.average.weights[name][key]), f"{name}.{key}"


def test_it_survives_a_file(trained: Trained, tmp_path: Path) -> None:
    torch.save(trained.whole.state(), tmp_path / "state.pt")
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] == STEPS


def test_every_engine_gives_the_same(trained: Trained) -> None:
    import onnxruntime
    import openvino

    file = trained.run / "model" / "denoiser.onnx"
    # Another size than it was exported with.
    told = example(trained.exported, more=2)
    with torch.no_grad():
        out = trained.exported.module(*told)
    expected = [t.numpy() for t in (out if isinstance(out, (tuple, list)) else (out,))]
    given = {name: value.numpy() for name, value in zip(input_names(trained.exported), told, strict=True)}
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_outputs()] == list(trained.exported.outputs)
    exact = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = openvino.Core().compile_model(str(file), "CPU", exact)
    used = {one.name: given[one.name] for one in session.get_inputs()}
    for found in (session.run(None, used), list(compiled(used).values())):
        assert len(found) == len(expected)
        for mine, theirs in zip(expected, found, strict=True):
            assert mine.shape == theirs.shape
            assert np.abs(mine - theirs).max() < 1e-3


def test_it_denoises_a_study_through_the_command(trained: Trained, tmp_path: Path) -> None:
    from quell.cli.main import main

    modality = trained.card.modalities[0]
    rng = np.random.default_rng(4)
    scene = scenes(rng, 1, (3, 40, 44) if trained.card.dimensions == 2 else (12, 40, 44))[0]
    # Numbers of the network brought to units that suit the scaling of each modality.
    scale = trained.card.scaling.scale if trained.card.scaling is not None else 1.0
    # The name of a file tells the modality of its image where its format does not.
    kind = trained.card.prior[0].lower() if trained.card.prior else "none"
    study, prior = tmp_path / "study.nii.gz", tmp_path / f"prior_{kind}.nii.gz"
    write(study, (scene + 0.1 * rng.standard_normal(scene.shape)) * scale)
    write(prior, (1.2 - scene) * scale)
    arguments = ["denoise", str(study), "-o", str(tmp_path / "out"), "--model", str(trained.run), "-q"]
    if trained.card.prior:
        arguments += ["--prior", str(prior)]
    assert main([*arguments, "--modality", modality]) == 0
    written = list((tmp_path / "out").rglob("*.nii*"))
    assert len(written) == 1
    found = nibabel.load(written[0]).get_fdata()
    assert found.shape == scene.T.shape and np.isfinite(found).all() and found.std() > 0


def write(file: Path, voxels: np.ndarray) -> None:
    nibabel.save(nibabel.Nifti1Image(voxels.astype(np.float32).T, np.eye(4)), file)


FROM_ONE = {n: kind for n, kind in find_methods().items() if kind.facts.need is Need.ONE_IMAGE}


@pytest.mark.parametrize("name", FROM_ONE)
def test_what_learns_from_one_study_denoises_it_through_the_command(name: str, tmp_path: Path) -> None:
    from quell.cli.main import main

    facts, tiny = FROM_ONE[name].facts, FROM_ONE[name].tiny()
    rng = np.random.default_rng(4)
    scene = 1000 * scenes(rng, 1, (12, 40, 44))[0]
    noisy = scene + 100 * rng.standard_normal(scene.shape)
    kind = facts.prior[0].value.lower() if facts.prior else "none"
    study, prior = tmp_path / "study.nii.gz", tmp_path / f"prior_{kind}.nii.gz"
    write(study, noisy)
    write(prior, 1200 - scene)
    words = ["denoise", str(study), "-q", "--float", "--method", name]
    words += ["--modality", facts.modalities[0].value]
    for key, value in tiny.items():
        words += ["--set", f"{key}={json.dumps(value)}"]
    words += ["--prior", str(prior)] if facts.prior else []
    results = []
    for out in ("one", "two"):
        assert main([*words, "-o", str(tmp_path / out)]) == 0
        written = list((tmp_path / out).rglob("*.nii*"))
        assert len(written) == 1
        results.append(np.asarray(nibabel.load(written[0]).dataobj).T)
    assert results[0].shape == scene.shape and np.isfinite(results[0]).all()
    # The same study gives the same result, and one that is nearer to what is behind the noise.
    assert np.array_equal(*results)
    assert np.mean((results[0] - scene) ** 2) < np.mean((noisy - scene) ** 2)
