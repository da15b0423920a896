"""Peers see the samples of the universal network, keep to their budget, and become models that run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

# ruff: noqa: E402 - without torch the scripts cannot be imported
torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("onnx", reason="onnx is not installed")

from quell.errors import ModelError
from quell.evaluation.denoisers import find_denoiser
from quell.image import Image, Modality
from quell.inference.kinds import KINDS
from quell.networks.dncnn import DnCNN
from quell.networks.redcnn import REDCNN
from quell.noise.spectrum import DESCRIPTOR_SIZE
from quell.training.crops import CropSampler
from quell.training.universal import Options, Run

Script = Callable[[str], ModuleType]

NAMES = ("DnCNN", "RED-CNN", "U-Net-64", "universal")
TOLD = DESCRIPTOR_SIZE + len(KINDS)


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a pack of two drawn volumes whose values tell them apart."""
    folder = tmp_path_factory.mktemp("pack")
    rng = np.random.default_rng(0)
    index = []
    for modality, mean in (("CT", 1000.0), ("XR", -1000.0)):
        coarse = rng.normal(mean, 100, (4, 9, 8))
        np.save(folder / f"{modality}.npy", coarse.repeat(8, 1).repeat(8, 2).astype(np.float32))
        row = {"file": f"{modality}.npy", "modality": modality, "volume": True}
        index.append(row | {"split": "train", "contrast": 1000.0, "noise": 5.0})
    (folder / "index.json").write_text(json.dumps(index))
    return folder


@pytest.fixture
def train(script: Script) -> Iterator[ModuleType]:
    """Return the script, on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield script("train_peers")
    torch.set_num_threads(before)


def shaken(network: Any) -> None:
    """Move the weights: bodies begin with a last layer that gives nothing."""
    with torch.no_grad():
        for weights in network.parameters():
            weights.add_(0.02 * torch.randn_like(weights))


@pytest.mark.parametrize("name", NAMES)
def test_a_peer_is_a_model_that_runs(train: ModuleType, pack: Path, tmp_path: Path, name: str) -> None:
    training = train.Training(pack, tmp_path, train.Plan(name, 1e-6, batch=2, size=32))
    training.advance(0.5)
    shaken(training.average.denoiser)
    card = json.loads(training.write().read_text())
    assert (card["name"], card["tag"], card["slices"]) == ("peer", name.lower(), 3)
    rng = np.random.default_rng(1)
    stack = (3 * rng.standard_normal((1, 3, 64, 64))).astype(np.float32)
    told = np.zeros((1, TOLD), np.float32)
    with torch.no_grad():
        expected = training.average.denoiser(torch.from_numpy(stack), torch.from_numpy(told)).numpy()
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    session = runtime.InferenceSession(str(tmp_path / "model" / "denoiser.onnx"))
    assert [one.name for one in session.get_inputs()] == ["normalised", "condition"]
    assert np.abs(expected).max() > 0.01
    (found,) = session.run(["noise"], {"normalised": stack, "condition": told})
    assert found.shape == (1, 1, 64, 64)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    entrant = find_denoiser(str(tmp_path))
    assert entrant.kind == "network"
    y, x = np.mgrid[:70, :60]
    disc = 100 * (np.hypot(y - 35, x - 30) < 20)
    image = Image((disc + rng.normal(0, 20, (3, 70, 60))).astype(np.float32), Modality.CT, "HU")
    result = entrant.denoiser.denoise(image).image.voxels
    assert result.shape == image.shape
    assert np.isfinite(result).all()


def test_bodies_are_the_published_networks_but_for_the_image(script: Script) -> None:
    bodies = script("peer_bodies")
    stack = torch.randn(2, 3, 48, 40)
    for noise, whole in ((bodies.DnCNNNoise(), DnCNN(3)), (bodies.REDCNNNoise(), REDCNN(3))):
        shaken(noise)
        whole.load_state_dict(noise.state_dict())
        with torch.no_grad():
            torch.testing.assert_close(noise.eval()(stack), stack[:, 1:2] - whole.eval()(stack))


@pytest.mark.parametrize("name", NAMES[:3])
def test_tiles_have_context_enough(script: Script, name: str) -> None:
    peer = script("peer_bodies").Peer(name).eval()
    for parameter in peer.denoiser.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    # Far enough from both the disturbed pixel and the border of the image.
    side = 2 * peer.halo + 64
    side += -side % 32
    first = torch.randn(1, 3, 32, side)
    second = first.clone()
    second[..., 0] += 10
    told = torch.zeros(1, TOLD)
    with torch.no_grad():
        change = (peer.denoiser(first, told) - peer.denoiser(second, told)).abs()[0, 0].amax(dim=0)
    assert change[0] > 0
    assert change[peer.halo + 1 :].max() == 0


def test_samples_are_those_of_the_universal_network(script: Script, pack: Path) -> None:
    samples = script("peer_samples")
    theirs = CropSampler(pack, 3).draw(5, 4, 32)
    run = SimpleNamespace(options=Options(seed=3), step=5, device=torch.device("cpu"))
    torch.manual_seed(0)
    expected = Run.corrupted(run, theirs)  # type: ignore[arg-type]
    torch.manual_seed(0)
    found = samples.corrupted(theirs, 3, 5)
    for name, value in vars(expected).items():
        torch.testing.assert_close(getattr(found, name), value)


def test_every_body_gets_the_same_samples(train: ModuleType, pack: Path, tmp_path: Path) -> None:
    seen = []
    for name in ("DnCNN", "universal"):
        training = train.Training(pack, tmp_path, train.Plan(name, batch=2, size=32))
        training.peer.register_forward_pre_hook(lambda _, given: seen.append(given))
        for _ in range(2):
            training.advance(0.5)
    for (batch, told), (other, also) in zip(seen[:2], seen[2:], strict=True):
        torch.testing.assert_close(batch.noisy, other.noisy)
        assert torch.equal(told, also)


def test_levels_keep_to_the_span(script: Script) -> None:
    sigmas = script("peer_samples").sigmas
    own = np.full(2000, 0.03, np.float32)
    found = sigmas(own, 0, 0, (0.01, 0.04))
    assert found.min() >= 0.01 * (1 - 1e-6)
    assert found.max() <= 0.04 * (1 + 1e-6)
    # Even in the logarithm: half of them below the geometric mean.
    assert np.mean(found < 0.02) == pytest.approx(0.5, abs=0.06)
    np.testing.assert_array_equal(found[::2], found[1::2])
    assert sigmas(own, 0, 0).min() >= 0.06 * (1 - 1e-6)


def test_the_schedule_ends_with_the_budget(train: ModuleType, pack: Path, tmp_path: Path) -> None:
    rates = [train.rate_at(share, 1.0) for share in (0, 0.01, 0.03, 0.5, 1, 1.2)]
    assert 0 < rates[0] < rates[1] < rates[2] == max(rates)
    assert rates[3] == pytest.approx(0.505)
    assert rates[4] == rates[5] == pytest.approx(0.01)
    training = train.Training(pack, tmp_path, train.Plan("universal", 1 / 60, batch=2, size=32))
    before = time.process_time()
    training.train(every=0.2)
    # A second, and the step that was under way.
    assert 1 <= time.process_time() - before < 2
    told = training.told()
    assert told["crops"] == 2 * told["steps"] > 2
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert len(lines) > 1
    assert lines[-1]["step"] == told["steps"]


def test_only_the_body_learns(train: ModuleType, pack: Path, tmp_path: Path) -> None:
    training = train.Training(pack, tmp_path, train.Plan("universal", batch=2, size=32))
    before = {name: value.clone() for name, value in training.peer.state_dict().items()}
    training.advance(0.5)
    moved = {
        name for name, value in training.peer.state_dict().items() if not torch.equal(value, before[name])
    }
    assert moved
    assert all(name.startswith("denoiser.") for name in moved)


def test_the_universal_network_goes_on_from_weights(script: Script) -> None:
    bodies = script("peer_bodies")
    peer = bodies.Peer("universal")
    peer.start_from(bodies.SHIPPED)
    shipped = bodies.load_file(bodies.SHIPPED)
    assert all(torch.equal(value, shipped[name]) for name, value in peer.state_dict().items())
    dncnn = bodies.Peer("DnCNN")
    dncnn.take_estimator(bodies.SHIPPED)
    assert all(torch.equal(v, shipped[f"estimator.{k}"]) for k, v in dncnn.estimator.state_dict().items())
    with pytest.raises(ModelError, match="cannot begin a DnCNN"):
        dncnn.start_from(bodies.SHIPPED)
    with pytest.raises(ModelError, match="there is: DnCNN"):
        bodies.Peer("ResNet")
