"""A wider network does at first what the narrower one did."""

from __future__ import annotations

import pytest

# ruff: noqa: E402 - without torch the rooms below cannot be imported
torch = pytest.importorskip("torch", reason="torch is not installed")

from quell.errors import ModelError
from quell.networks.noise_estimator import NoiseEstimator
from quell.networks.universal_unet import UniversalUNet
from quell.training.widening import widened


def network(widths: tuple[int, ...], told: int = 16) -> UniversalUNet:
    """Return a denoiser that listens to what it is told, as a trained one does."""
    made = UniversalUNet(widths=widths, condition_size=told, blocks=(1, 2, 1))
    for weights in made.parameters():
        torch.nn.init.normal_(weights, std=0.1)
    return made


def state(made: torch.nn.Module, prefix: str = "denoiser.") -> dict[str, torch.Tensor]:
    return {prefix + name: weights for name, weights in made.state_dict().items()}


def grown(old: UniversalUNet, new: UniversalUNet, noise: float = 0.0) -> UniversalUNet:
    weights = widened(state(old), state(new), noise)
    new.load_state_dict({name.removeprefix("denoiser."): value for name, value in weights.items()})
    return new


@pytest.mark.parametrize("wide", [(16, 32, 64), (24, 48, 96), (17, 33, 70), (40, 32, 130)])
def test_the_function_stays_the_same_without_noise(wide: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    old = network((16, 32, 64)).double()
    new = grown(old, network(wide).double())
    stack, told = torch.randn(2, 3, 32, 40).double(), torch.randn(2, 16).double()
    with torch.no_grad():
        expected = old(stack, told)
        torch.testing.assert_close(new(stack, told), expected, rtol=1e-9, atol=1e-9)
    assert expected.std() > 0.01


def test_a_little_noise_keeps_the_copies_apart_and_changes_little() -> None:
    torch.manual_seed(1)
    old = network((8, 8, 8))
    new = grown(old, network((16, 16, 16)), noise=0.02)
    first = new.encoder[0][0].first.weight
    assert not torch.equal(first[:8], first[8:])
    stack, told = torch.randn(2, 3, 32, 32), torch.randn(2, 16)
    with torch.no_grad():
        error = new(stack, told) - old(stack, told)
        assert error.std() < 0.2 * old(stack, told).std()


def test_what_was_not_told_before_has_weights_of_zero() -> None:
    torch.manual_seed(2)
    old = network((4, 6, 8), told=9)
    new = grown(old, network((4, 6, 8)))
    assert not new.condition[0].weight[:, 9:].any()
    stack, told = torch.randn(1, 3, 16, 16), torch.randn(1, 16)
    with torch.no_grad():
        torch.testing.assert_close(new(stack, told), old(stack, told[:, :9]))


def test_layers_that_were_not_there_begin_with_zero_and_those_that_do_not_grow_stay_as_they_are() -> None:
    torch.manual_seed(3)
    estimator = NoiseEstimator()
    old = state(network((4, 6, 8))) | state(estimator, "estimator.")
    new = dict(old) | state(network((8, 12, 16)))
    del old["estimator.kind.weight"]
    found = widened(old, new)
    assert not found["estimator.kind.weight"].any()
    for name, weights in old.items():
        if name.startswith("estimator.") or name.startswith("denoiser.condition.0"):
            assert torch.equal(found[name], weights), name


@pytest.mark.parametrize("wide", [(8, 16, 16), (4, 6), (3, 12, 16)])
def test_weights_that_are_too_many_are_refused(wide: tuple[int, ...]) -> None:
    old = network((8, 16, 32)) if len(wide) == 3 else network((4, 6, 8))
    new = UniversalUNet(widths=wide, blocks=(1,) * len(wide))
    with pytest.raises(ModelError, match="cannot begin"):
        widened(state(old), state(new))
