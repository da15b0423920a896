"""Tuning: what moves and what does not, where it starts, what it learns from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

# ruff: noqa: E402 - without torch the rooms below cannot be imported
torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("lightning_fabric", reason="Lightning Fabric is not installed")
pytest.importorskip("safetensors", reason="safetensors is not installed")

import yaml
from noise_alone import batch, facts, in_engines, onnx_of, trained

from quell.errors import QuellError
from quell.image import Image, Modality
from quell.methods.noise2noise import Noise2Noise
from quell.methods.shared.transfer_base import Units, read_run
from quell.methods.shared.transfer_parts import layers_in_order
from quell.methods.shared.universal_module import load_universal
from quell.methods.transfer import Transfer
from quell.models.scaling import Scaling, ScalingKind
from quell.networks.low_rank import adapt, merge
from quell.networks.small_unet import SmallUNet

UNIVERSAL = "universal.fast"


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder as a training leaves it."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    settings = {**Noise2Noise.tiny(), "width": 4}
    method = Noise2Noise(Noise2Noise.Config(**settings), facts())
    trained(method, "second", steps=10)
    (folder / "config.yaml").write_text(
        yaml.safe_dump({"name": "noise2noise", "method": settings, "data": {}, "run": {}})
    )
    state = method.state()
    torch.save({"method": state, "average": state["networks"], "step": 10}, folder / "best.pt")
    return folder


def make(
    base: Path | str, correlation: tuple[float, ...] = (), scaling: Scaling | None = None, **changes: Any
) -> Transfer:
    torch.manual_seed(1)
    config = Transfer.Config(base=str(base), **{"batch": 2, "size": 64, "steps": 30, **changes})
    told = (
        facts(correlation=correlation) if scaling is None else facts(correlation=correlation, scaling=scaling)
    )
    return Transfer(config, told)


def outputs(method: Transfer, slices: int) -> torch.Tensor:
    torch.manual_seed(3)
    with torch.no_grad():
        done: torch.Tensor = method.exported().module.eval()(torch.rand(1, slices, 64, 64))
    return done


@pytest.mark.parametrize("mode", ["frozen", "adapter", "full"])
def test_every_mode_starts_as_the_base(run: Path, mode: str) -> None:
    net = SmallUNet(width=4)
    net.load_state_dict(read_run(run)[2]["denoiser"])
    torch.manual_seed(3)
    with torch.no_grad():
        wanted = net(torch.rand(1, 1, 64, 64))
    torch.testing.assert_close(outputs(make(run, mode=mode), 1), wanted, atol=1e-6, rtol=0)


@pytest.mark.parametrize("base", ["run", UNIVERSAL])
@pytest.mark.parametrize("mode", ["frozen", "adapter", "full"])
def test_only_what_the_mode_says_moves(run: Path, base: str, mode: str) -> None:
    method = make(run if base == "run" else base, mode=mode, rate=1e-2)
    module = method.exported().module
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    trained(method, "clean", steps=3)
    moved = {name for name, p in module.named_parameters() if not torch.equal(p, before[name])}
    if mode == "frozen":
        last = "leave" if base == "run" else "denoiser.head"
        assert moved == {f"{last}.weight", f"{last}.bias"}
    elif mode == "adapter":
        assert moved and all("parametrizations.weight.0." in name for name in moved)
    else:
        fixed = {name for name in before if name.startswith("estimator.")}
        assert moved.isdisjoint(fixed) and len(moved) > 0.9 * len(before.keys() - fixed)


def test_layers_are_listed_as_they_run(run: Path) -> None:
    told = make(run, mode="full").exported()
    layers = layers_in_order(told)
    assert layers[0] is told.module.first[0] and layers[-1] is told.module.leave
    assert len(layers) == 11


def test_adapters_change_nothing_at_first_and_merge_into_plain_weights() -> None:
    torch.manual_seed(0)
    net, image = SmallUNet(width=4), torch.rand(1, 1, 32, 32)
    keys = set(net.state_dict())
    with torch.no_grad():
        before = net(image)
        added = adapt(net, 3)
        assert torch.equal(net(image), before)
        for parameter in added:
            torch.nn.init.normal_(parameter, std=0.2)
        tuned = net(image)
        assert not torch.allclose(tuned, before, atol=1e-2)
        merge(net)
        torch.testing.assert_close(net(image), tuned, atol=1e-5, rtol=0)
    assert set(net.state_dict()) == keys


def test_adapters_are_of_the_rank_that_is_asked_for() -> None:
    net = SmallUNet(width=8)
    before = net.third[0].weight.detach().clone()
    for parameter in adapt(net, 2):
        torch.nn.init.normal_(parameter)
    merge(net)
    assert torch.linalg.matrix_rank((net.third[0].weight.detach() - before).flatten(1), atol=1e-3) == 2


def test_adapters_are_plain_weights_in_onnx(run: Path) -> None:
    import onnx

    image = torch.rand(1, 1, 32, 32)
    kinds = []
    for mode in ("full", "adapter"):
        method = make(run, mode=mode, rate=1e-2)
        trained(method, "clean", steps=2)
        graph = onnx.load_from_string(onnx_of(method.exported(), (image,))).graph
        kinds.append([node.op_type for node in graph.node])
    assert kinds[0] == kinds[1]


@pytest.mark.parametrize("base", ["run", UNIVERSAL])
def test_the_engines_give_what_torch_gives(run: Path, base: str, tmp_path: Path) -> None:
    method = make(run if base == "run" else base, rate=1e-2)
    trained(method, "clean", steps=2)
    for wanted, given in in_engines(method.exported(), tmp_path, (64, 96)):
        for engine in given:
            torch.testing.assert_close(torch.as_tensor(engine), wanted, atol=1e-3, rtol=0)


@pytest.mark.parametrize("kind", ["clean", "second", "noisy"])
def test_the_universal_model_is_tuned_by_whatever_there_is(kind: str) -> None:
    losses = trained(make(UNIVERSAL, rate=3e-3, noisy_loss="unsure"), kind, steps=20)
    assert sum(losses[-5:]) < 0.995 * sum(losses[:5])


@pytest.mark.parametrize("kind", ["clean", "second", "noisy"])
def test_a_run_is_tuned_by_whatever_there_is(run: Path, kind: str) -> None:
    losses = trained(make(run, rate=2e-2), kind)
    assert sum(losses[-5:]) < sum(losses[:5])


def test_the_universal_module_is_the_denoiser_that_ships(build: Any) -> None:
    torch.manual_seed(0)
    clean = np.asarray(batch(make(UNIVERSAL), "clean").noisy[0, 1], np.float32)
    image = Image(100 + 40 * clean[None], Modality.MR)
    wanted = build().denoise(image, strength=1.0).image.voxels[0]
    stack = torch.as_tensor(np.repeat(image.voxels, 3, axis=0))[None]
    with torch.no_grad():
        done = load_universal(UNIVERSAL, "MR").eval()(stack)[0, 0]
    # The denoiser keeps to the range of the image.
    done = done.clamp(float(image.voxels.min()), float(image.voxels.max()))
    torch.testing.assert_close(done, torch.as_tensor(np.array(wanted)), atol=0.02, rtol=0)


def test_gain_and_offset_go_through_the_universal_module() -> None:
    torch.manual_seed(0)
    module, stack = load_universal(UNIVERSAL).eval(), torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        done, other = module(stack), module(5 * stack + 2)
        level, louder = module.level(stack), module.level(5 * stack)
    torch.testing.assert_close(other, 5 * done + 2, atol=1e-3, rtol=0)
    torch.testing.assert_close(louder, 5 * level, atol=0, rtol=1e-3)


def test_other_units_are_turned_into_those_of_the_base(run: Path) -> None:
    same, other = make(run), make(run, scaling=Scaling(offset=-1024.0, scale=4096.0))
    # One network unit of the base is 1000 HU from 0, one of the data 4096 HU from -1024.
    torch.manual_seed(0)
    hounsfield = 500 * torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        wanted = 1000 * same.exported().module(hounsfield / 1000)
        found = 4096 * other.exported().module((hounsfield + 1024) / 4096) - 1024
    torch.testing.assert_close(found, wanted, atol=0.01, rtol=0)
    given = batch(other)
    turned = Units(4.096, -1.024).batch(given)
    torch.testing.assert_close(turned.noisy, 4.096 * given.noisy - 1.024)
    torch.testing.assert_close(turned.scale, given.scale / 4.096)


def test_a_scale_that_differs_from_image_to_image_is_refused(run: Path) -> None:
    with pytest.raises(QuellError, match="image to image"):
        make(run, scaling=Scaling(kind=ScalingKind.RANGE))


def test_a_base_that_is_none_is_refused(tmp_path: Path, run: Path) -> None:
    with pytest.raises(QuellError, match="no folder of a run"):
        make("universal.none")
    with pytest.raises(QuellError, match="no finished run"):
        make(tmp_path)
    (tmp_path / "config.yaml").write_text("name: noise2noise\n")
    (tmp_path / "best.pt").write_bytes(b"nothing")
    with pytest.raises(QuellError, match="no run that can be read"):
        make(tmp_path)
    torch.save({"average": torch.load(run / "best.pt")["average"]}, tmp_path / "best.pt")
    with pytest.raises(QuellError, match="do not fit"):
        make(tmp_path)


def test_correlated_noise_alone_is_for_unsure_or_refused(run: Path) -> None:
    assert "multiplier" in make(run, (0.5, 0.02)).networks
    assert "multiplier" not in make(run).networks
    wide = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4)
    with pytest.raises(QuellError, match="correlated over 6 pixels"):
        trained(make(run, wide), "noisy", steps=1)
    trained(make(run, wide), "clean", steps=1)


def test_a_size_that_the_base_cannot_read_is_refused() -> None:
    with pytest.raises(QuellError, match="multiple of 32"):
        make(UNIVERSAL, size=48)


def test_a_tuned_run_can_be_resumed(run: Path) -> None:
    one, other = make(run), make(run)
    trained(one, "clean", steps=2)
    trained(other, "clean", steps=1)
    other.restore(one.state())
    for name, value in one.exported().module.state_dict().items():
        assert torch.equal(value, other.exported().module.state_dict()[name])
