"""A training run learns, stops, goes on, and becomes a model that runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

# ruff: noqa: E402 - without torch the rooms below cannot be imported
torch = pytest.importorskip("torch", reason="torch is not installed")

from scipy import ndimage

from quell.errors import ModelError
from quell.image import Image, Modality
from quell.inference.contracts import Runtime
from quell.inference.kinds import KINDS, one_hot
from quell.inference.network_denoiser import NetworkDenoiser
from quell.models import registry
from quell.models.registry import default_card, find_card, list_cards, model_files
from quell.noise.spectrum import DESCRIPTOR_SIZE
from quell.training.card_texts import card_texts, checked_name
from quell.training.corruption import Corrupted
from quell.training.release import HALO, release
from quell.training.release import main as release_command
from quell.training.universal import (
    CHECKPOINT,
    LASTING,
    Options,
    Pair,
    Run,
    lasting,
    lasting_weight,
    losses,
    starting_weights,
)

CPU = torch.device("cpu")
OPTIONS = Options(batch=2, size=32, crops=2 * 20)


def smooth(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    field = ndimage.gaussian_filter(rng.standard_normal(shape), (0, 6, 6))
    return (field / field.std()).astype(np.float32)


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pack")
    rng = np.random.default_rng(0)
    index = []
    for modality, volume in (("CT", True), ("XR", False)):
        np.save(folder / f"{modality}.npy", 300 * smooth(rng, (4, 70, 60)))
        row = {"file": f"{modality}.npy", "modality": modality, "volume": volume}
        index.append(row | {"split": "train", "contrast": 1000.0, "noise": 5.0})
    (folder / "index.json").write_text(json.dumps(index))
    return folder


@pytest.fixture(scope="module")
def trained(pack: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(pack, tmp_path_factory.mktemp("run"), OPTIONS, CPU)
    run.train()
    return run


def total_loss(pair: Pair, pack: Path, folder: Path) -> float:
    """Return the loss on a fixed batch that no training saw."""
    batch = Run(pack, folder, Options(batch=8, size=32, seed=99), CPU)
    torch.manual_seed(7)
    crops = batch.corrupted(batch.batches[0])
    with torch.no_grad():
        image, level, spectrum = losses(crops, *pair(crops, torch.zeros(8, 1, dtype=torch.bool)))
    return float(image + 0.5 * level + 0.1 * spectrum)


def test_a_few_steps_lower_the_loss(trained: Run, pack: Path, tmp_path: Path) -> None:
    torch.manual_seed(OPTIONS.seed)
    before = total_loss(Pair(), pack, tmp_path)
    assert total_loss(trained.pair, pack, tmp_path) < 0.9 * before
    assert trained.progress == 1
    assert trained.step == 20


def test_a_run_that_was_stopped_ends_with_the_same_weights(trained: Run, pack: Path, tmp_path: Path) -> None:
    first = Run(pack, tmp_path, OPTIONS, CPU)
    for _ in range(9):
        first.advance(first.batches[first.step])
    first._save()
    # What follows the checkpoint is lost with the process.
    first.advance(first.batches[first.step])
    second = Run(pack, tmp_path, OPTIONS, CPU)
    assert second.step == 9
    second.train()
    assert second.step == trained.step
    for mine, other in ((second.pair, trained.pair), (second.average, trained.average)):
        for name, weights in mine.state_dict().items():
            assert torch.equal(weights, other.state_dict()[name]), name


def test_pieces_by_the_clock_end_with_the_same_weights(trained: Run, pack: Path, tmp_path: Path) -> None:
    steps = []
    for _ in range(OPTIONS.steps + 1):
        run = Run(pack, tmp_path, OPTIONS, CPU)
        done = run.train(minutes=1e-9)
        steps.append(run.step)
        if done:
            break
    # A piece takes at least one step, however short it is.
    assert steps == list(range(1, OPTIONS.steps + 1))
    for name, weights in run.pair.state_dict().items():
        assert torch.equal(weights, trained.pair.state_dict()[name]), name


def test_processes_that_draw_crops_change_nothing(trained: Run, pack: Path, tmp_path: Path) -> None:
    run = Run(pack, tmp_path, OPTIONS, CPU, workers=2)
    run.train()
    for name, weights in run.pair.state_dict().items():
        assert torch.equal(weights, trained.pair.state_dict()[name]), name


def test_a_larger_tier_begins_where_a_smaller_one_ended(trained: Run, pack: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    file = tmp_path / "weights.safetensors"
    save_file({name: w.contiguous() for name, w in trained.average.state_dict().items()}, file)
    wide = Run(pack, tmp_path / "run", replace(OPTIONS, tier="standard"), CPU, file)
    plain = Run(pack, tmp_path / "other", replace(OPTIONS, tier="standard"), CPU)
    crops = wide.corrupted(wide.batches[0])
    none = torch.zeros(2, 1, dtype=torch.bool)
    with torch.no_grad():
        small, large, new = (pair(crops, none)[0] for pair in (trained.average, wide.pair, plain.pair))
    # A little noise keeps the copies apart.
    assert (large - small).square().mean() < 0.1 * (new - small).square().mean()


def test_weights_of_a_larger_tier_or_of_something_else_begin_nothing(pack: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    file = tmp_path / "weights.safetensors"
    wide = {name: weights.contiguous() for name, weights in Pair("standard").state_dict().items()}
    for weights in (wide, {"other": torch.zeros(3)}):
        save_file(weights, file)
        with pytest.raises(ModelError, match="no weights to begin with"):
            starting_weights(file, Pair())
    file.write_bytes(b"something else")
    with pytest.raises(ModelError, match="no weights to begin with"):
        starting_weights(file, Pair())


def test_another_loss_is_minimised_on_the_same_batches(trained: Run, pack: Path, tmp_path: Path) -> None:
    seen = []

    def doubled(batch: Corrupted, *found: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        seen.append(batch.noisy)
        image, level, spectrum = losses(batch, *found)
        return 2 * image, level, spectrum

    other = Run(pack, tmp_path / "other", OPTIONS, CPU, loss=doubled)
    plain = Run(pack, tmp_path / "plain", OPTIONS, CPU)
    crops = other.batches[0]
    torch.manual_seed(3)
    twice = other.advance(crops)
    torch.manual_seed(3)
    once = plain.advance(crops)
    assert twice == pytest.approx((2 * once[0], *once[1:]), rel=1e-5)
    torch.manual_seed(3)
    plain.step = 0
    assert torch.equal(seen[0], plain.corrupted(crops).noisy)


def test_another_seed_ends_with_other_weights(trained: Run, pack: Path, tmp_path: Path) -> None:
    other = Run(pack, tmp_path, Options(batch=2, size=32, crops=2, seed=1), CPU)
    other.train()
    assert not torch.equal(other.pair.estimator.bank, trained.pair.estimator.bank)


def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one(
    trained: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (trained.folder / CHECKPOINT).read_bytes()

    def fail(state: object, file: Path) -> None:
        Path(file).write_bytes(b"half a checkpoint")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        trained._save()
    assert (trained.folder / CHECKPOINT).read_bytes() == before


def test_the_rate_rises_and_falls(pack: Path, tmp_path: Path) -> None:
    run = Run(pack, tmp_path, Options(crops=16 * 1000), CPU)
    rates = []
    for step in (0, 100, 200, 600, 999):
        run.step = step
        rates.append(run._rate())
    assert rates[0] < rates[1] < rates[2]
    assert rates[2] > rates[3] > rates[4]
    assert max(rates) <= run.options.rate
    assert rates[-1] < 0.02 * run.options.rate


def test_a_perfect_answer_has_no_loss(pack: Path, tmp_path: Path) -> None:
    from quell.noise.grid import block_mean

    run = Run(pack, tmp_path, OPTIONS, CPU)
    batch = run.corrupted(run.batches[0])
    truth = batch.noisy[:, 1:2] - batch.clean
    found = losses(batch, truth, block_mean(batch.level.log(), 8), batch.descriptor)
    assert [float(loss) for loss in found] == pytest.approx([0, 0, 0], abs=1e-6)
    worse = losses(batch, truth + batch.level, block_mean(batch.level.log(), 8) + 0.5, batch.descriptor + 1)
    assert float(worse[0]) > 0.3
    assert [float(loss) for loss in worse[1:]] == pytest.approx([0.5, 1.0], abs=1e-4)


@pytest.fixture
def released(trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Release the run into a folder of weights of its own, known to the registry."""
    pytest.importorskip("onnx", reason="ONNX is not installed")
    monkeypatch.setattr(registry, "WEIGHTS", tmp_path)
    list_cards.cache_clear()
    yield release(trained.folder, "test", "0.1.0", tmp_path / "universal.test")
    list_cards.cache_clear()


def test_a_released_run_is_a_model_that_agrees_with_torch_in_every_engine(
    released: Path, trained: Run, onnx: Runtime, openvino: Runtime
) -> None:
    card = find_card("universal.test")
    files = model_files(card)
    assert default_card(Modality.MR) == card
    assert (card.version, card.halo) == ("0.1.0", HALO)
    assert card.training["crops"] == OPTIONS.crops
    assert card.training["seed"] == OPTIONS.seed
    assert card.parameters == sum(p.numel() for p in Pair().parameters())

    rng = np.random.default_rng(0)
    # Not the size that the export saw.
    stack = rng.standard_normal((1, card.slices, 40, 72)).astype(np.float32)
    kind = one_hot("MR")[None]
    told = np.concatenate([rng.standard_normal((1, DESCRIPTOR_SIZE)), kind], axis=1).astype(np.float32)
    pair = trained.average.eval()
    calls = {
        "denoiser": ({"normalised": stack, "condition": told}, pair.denoiser),
        "estimator": ({"scaled": stack[:, :1].copy(), "kind": kind}, pair.estimator),
    }
    for role, (inputs, module) in calls.items():
        with torch.no_grad():
            expected = module(*(torch.from_numpy(value) for value in inputs.values()))
        expected = expected if isinstance(expected, tuple) else (expected,)
        shapes = {name: value.shape for name, value in inputs.items()}
        for runtime in (onnx, openvino):
            found = runtime.load(files[role], shapes, 1, True)(*inputs.values())
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_allclose(one, other.numpy(), atol=1e-4)
    result = NetworkDenoiser(card, files, onnx).denoise(Image(stack[0], volume=True))
    assert np.isfinite(result.image.voxels).all()


def test_a_run_for_one_kind_of_image_has_a_name_and_words_of_its_own(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnx", reason="ONNX is not installed")
    monkeypatch.setattr("quell.training.release.WEIGHTS", tmp_path / "weights")
    run = Run(pack, tmp_path / "run", replace(OPTIONS, crops=2, kind="XR"), CPU)
    run.train()

    def command(*arguments: str) -> str:
        monkeypatch.setattr("sys.argv", ["release", *arguments])
        release_command()
        return capsys.readouterr().out

    told = command(str(run.folder), "--name", "x-ray", "--tag", "standard", "--version", "3.1.0")
    card = registry.read_card(tmp_path / "weights" / "x-ray.standard" / registry.CARD)
    assert told.strip() == str(tmp_path / "weights" / "x-ray.standard" / registry.CARD)
    assert (card.identifier, card.version) == ("x-ray.standard", "3.1.0")
    assert (card.modalities, card.specialises, card.kinds) == (("XR",), ("XR",), KINDS)
    assert "radiographs alone" in card.description and "--kind XR" in str(card.training["command"])
    assert not any("PET" in limit or "ltrasound" in limit for limit in card.limits)

    measured = {"command": "measure", "results": {"XR": {"0.1": {"network": [30.0, 0.9]}}}}
    (tmp_path / "own.json").write_text(json.dumps(measured | {"sha256": card.sha256}))
    command("--metrics", str(tmp_path / "own.json"), "--name", "x-ray", "--tag", "standard")
    card = registry.read_card(tmp_path / "weights" / "x-ray.standard" / registry.CARD)
    assert card.metrics["XR at 0.1: network, PSNR dB"] == 30.0

    # Without a name it has that of its kind, never that of the model of all kinds.
    command(str(run.folder))
    assert sorted(folder.name for folder in (tmp_path / "weights").iterdir()) == [
        "radiography.fast",
        "x-ray.standard",
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["RUN", "--name", "universal"], "a model for XR alone is not 'universal'"),
        (["RUN", "--name", "../other"], "small letters, digits and hyphens, not '../other'"),
        (["RUN", "--tag", "a.b"], "small letters, digits and hyphens, not 'a.b'"),
        (["nothing"], "holds no run of a training"),
        (["--metrics", "own.json", "--name", "none"], "not a model card"),
        ([], "name the folder of a run, --metrics or --strengths"),
    ],
)
def test_a_release_that_cannot_be_is_refused_in_one_line(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("quell.training.release.WEIGHTS", tmp_path / "weights")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "RUN").mkdir()
    torch.save({"options": {"kind": "XR"}}, tmp_path / "RUN" / CHECKPOINT)
    monkeypatch.setattr("sys.argv", ["release", *arguments])
    with pytest.raises(SystemExit) as ended:
        release_command()
    assert ended.value.code == 2
    assert words in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "weights").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_words_for_its_card(kind: str) -> None:
    texts, universal = card_texts(kind), card_texts()
    assert texts.modalities == (("NM",) if kind == "SPECT" else (kind,))
    assert {*texts.modalities} <= {*universal.modalities}
    assert texts.name != universal.name and checked_name("", "fast", kind) == texts.name
    said = " ".join((texts.description, texts.command, texts.remark, *texts.limits))
    assert "{" not in said and len({card_texts(one).name for one in KINDS}) == len(KINDS)


def test_the_released_weights_are_those_of_the_average(released: Path, trained: Run) -> None:
    from safetensors.torch import load_file

    weights = load_file(released.parent / "weights.safetensors")
    expected = trained.average.state_dict()
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in weights)
    assert not torch.equal(expected["estimator.bank"], trained.pair.state_dict()["estimator.bank"])


def test_what_is_wrong_with_both_noises_is_the_square_of_the_bias() -> None:
    torch.manual_seed(0)
    bias, noise = 0.1, 0.3
    error = bias + noise * torch.randn(4000, 1, 8, 8)
    found = lasting(error).mean()
    # Of its size, a little less where errors are large; noise alone gives nothing.
    assert 0.5 * bias**2 < found < bias**2
    assert abs(lasting(noise * torch.randn(4000, 1, 8, 8)).mean()) < 0.25 * bias**2


def test_an_error_that_lasts_counts_by_the_kind_of_image() -> None:
    kinds = torch.from_numpy(np.stack([one_hot(kind) for kind in ("PT", "PT", "CT", "CT", "", "")]))
    weights = lasting_weight(kinds)
    assert weights.shape == (3, 1, 1, 1)
    assert weights.ravel().tolist() == [LASTING["PT"], LASTING["CT"], 1.0]
