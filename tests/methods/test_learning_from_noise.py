"""The methods that need no clean image: they learn, they resume, they run in the engines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

# ruff: noqa: E402 - without torch the rooms below cannot be imported
torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("lightning_fabric", reason="Lightning Fabric is not installed")

from lightning_fabric import Fabric
from noise_alone import SIGMA, batch, facts, in_engines, trained
from pydantic import ValidationError

from quell.errors import QuellError
from quell.methods.gr2r import GR2R, GR2RConfig
from quell.methods.neighbor2neighbor import Neighbor2Neighbor
from quell.methods.noise2noise import Noise2Noise, swapped
from quell.methods.noise2void import Noise2Void
from quell.methods.registry import find_method
from quell.methods.unsure import Unsure

KINDS: list[Any] = [Noise2Noise, Neighbor2Neighbor, Noise2Void, GR2R, Unsure]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=KINDS, ids=[kind.facts.name for kind in KINDS])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


def data(kind: Any) -> str:
    return "second" if kind is Noise2Noise else "noisy"


def make(kind: Any, correlation: tuple[float, ...] = (), **changes: Any) -> Any:
    torch.manual_seed(0)
    return kind(kind.Config(**{**kind.tiny(), **changes}), facts(correlation=correlation))


def test_each_is_found_by_its_name(kind: Any) -> None:
    assert find_method(kind.facts.name) is kind


def test_thirty_steps_lower_the_loss(kind: Any) -> None:
    losses = trained(make(kind), data(kind))
    assert sum(losses[-5:]) < 0.97 * sum(losses[:5])


def test_what_is_learned_is_nearer_to_the_clean_image(kind: Any) -> None:
    method = make(kind, steps=80, batch=4)
    trained(method, data(kind), steps=80)
    clean = batch(method, "clean")
    told = method.exported()
    given = (clean.noisy, torch.randn_like(clean.noisy)) if told.samples else (clean.noisy,)
    with torch.no_grad():
        done = sum(told.module.eval()(*given) for _ in range(max(1, told.samples)))
    error = (done / max(1, told.samples) - clean.clean).square().mean()
    assert float(error) < 0.6 * SIGMA**2


def test_a_resumed_training_is_the_same(kind: Any) -> None:
    one, other = make(kind), make(kind)
    fabric = Fabric(accelerator="cpu", devices=1)
    for method in (one, other):
        method.setup(fabric)
    given, before = batch(one, data(kind)), []
    for step in range(4):
        if step == 2:
            other.restore(one.state())
        torch.manual_seed(step)
        before.append(one.step(given, step / 30, fabric))
    torch.manual_seed(2)
    assert other.step(given, 2 / 30, fabric) == before[2]


@pytest.mark.parametrize("correlation", [(), (0.5, 0.02)], ids=["white", "correlated"])
def test_the_engines_give_what_torch_gives(kind: Any, correlation: tuple[float, ...], tmp_path: Path) -> None:
    method = make(kind, correlation)
    trained(method, data(kind), steps=3)
    told = method.exported()
    side = 8 * told.multiple
    for wanted, given in in_engines(told, tmp_path, (side, side + 2 * told.multiple)):
        for engine in given:
            torch.testing.assert_close(torch.as_tensor(engine), wanted, atol=1e-3, rtol=0)


@pytest.mark.parametrize("network", ["unet", "dncnn", "small"])
def test_a_tile_with_its_halo_is_the_whole_there(network: str) -> None:
    method = make(Noise2Noise, network=network, width=3, slices=3)
    told = method.exported()
    torch.manual_seed(1)
    for parameter in told.module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    start, size, halo = 32, 16, told.halo
    stack = torch.rand(1, 3, 96, 96)
    cut = slice(start - halo, start + size + halo)
    with torch.no_grad():
        whole, tile = told.module(stack), told.module(stack[..., cut, cut])
    inner = slice(start, start + size)
    scale = float(whole.abs().max())
    torch.testing.assert_close(
        tile[..., halo : halo + size, halo : halo + size] / scale,
        whole[..., inner, inner] / scale,
        atol=1e-5,
        rtol=0,
    )
    assert halo % told.multiple == 0


def test_neighbouring_slices_are_seen(kind: Any) -> None:
    method = make(kind, slices=3)
    losses = trained(method, data(kind), steps=2)
    assert all(loss == loss for loss in losses)
    told = method.exported()
    assert told.slices == 3
    stack = torch.rand(1, 3, 32, 32, requires_grad=True)
    given = (stack, torch.zeros(1, 1, 32, 32)) if told.samples else (stack,)
    told.module(*given).sum().backward()
    assert bool(stack.grad[:, 0].abs().max() > 0)


def test_the_default_network_has_its_cost() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    method = Noise2Noise(Noise2Noise.Config(), facts())
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        method.networks["denoiser"](torch.zeros(1, 1, 64, 64))
    assert 10 < counter.get_total_flops() / 2 / 64**2 / 1000 < 20


def test_without_biases_the_network_commutes_with_a_gain() -> None:
    method = make(Noise2Noise, bias=False)
    image = torch.rand(1, 1, 32, 32)
    net = method.networks["denoiser"]
    with torch.no_grad():
        torch.testing.assert_close(net(7 * image), 7 * net(image), atol=1e-4, rtol=1e-4)


def test_noise2noise_learns_in_both_directions() -> None:
    method = make(Noise2Noise, batch=64)
    given = batch(method, "second")
    source, target = swapped(given)
    forth = (source == given.noisy).flatten(1).all(dim=1)
    back = (source == given.second).flatten(1).all(dim=1)
    assert bool((forth ^ back).all()) and bool(forth.any()) and bool(back.any())
    assert torch.equal(source + target, given.noisy + given.second)


def test_noise2noise_says_when_there_is_no_second_image() -> None:
    with pytest.raises(QuellError, match="two noisy images"):
        trained(make(Noise2Noise), "noisy", steps=1)


def test_gr2r_refuses_a_correlated_law_that_has_none() -> None:
    with pytest.raises(QuellError, match="correlated"):
        make(GR2R, (0.5, 0.02), law="poisson", level=1.0)


def test_gr2r_averages_five_draws_or_none() -> None:
    assert make(GR2R).exported().samples == 5
    assert make(GR2R, draws=0).exported().samples == 0


def test_gr2r_in_use_is_corrupted_as_in_training() -> None:
    torch.manual_seed(0)
    method = make(GR2R, (0.6, 0.25, 0.02), unit_noise=False)
    told = method.exported()
    told.module.network = torch.nn.Identity()
    flat = torch.zeros(8, 1, 128, 128)
    with torch.no_grad():
        used = told.module(flat, torch.randn_like(flat))
    trained_with, _ = method.recorruption.split(flat, *method.source.of(batch(method)))
    for distance in range(3):
        moments = [(v[..., distance:] * v[..., : 128 - distance]).mean() for v in (used, trained_with)]
        # 131,072 pixels of which about a fifth count as independent: five standard errors.
        assert float(moments[0] - moments[1]) == pytest.approx(0, abs=5 * 2**0.5 * 0.0018 / 26000**0.5 * 1.5)


@pytest.mark.parametrize(
    ("config", "wrong"),
    [
        (GR2RConfig, {"alpha": 1.0}),
        (GR2RConfig, {"law": "laplace"}),
        (Noise2Void.Config, {"cell": 1}),
        (Unsure.Config, {"probe": 0}),
        (Noise2Noise.Config, {"slices": 2}),
        (Noise2Noise.Config, {"witdh": 3}),
    ],
)
def test_settings_that_cannot_work_are_refused(config: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        config(**wrong)
