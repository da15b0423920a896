"""Shapes, cost and conditioning of the denoiser."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

# ruff: noqa: E402 - without torch the rooms below cannot be imported
torch = pytest.importorskip("torch", reason="torch is not installed")

from quell.image import Modality
from quell.inference.kinds import KINDS
from quell.models.registry import default_card
from quell.networks.universal_unet import ResidualBlock, UniversalUNet, denoiser_widths
from quell.noise.spectrum import DESCRIPTOR_SIZE

TOLD = DESCRIPTOR_SIZE + len(KINDS)
TINY = {"slices": 1, "widths": (4, 8), "blocks": (1, 1)}


@pytest.mark.parametrize("slices", [1, 3, 5])
@pytest.mark.parametrize("shape", [(16, 16), (8, 40)])
def test_one_slice_comes_out_of_any_number_at_the_same_size(slices: int, shape: tuple[int, int]) -> None:
    network = UniversalUNet(slices=slices, widths=(4, 8, 8), blocks=(1, 1, 1))
    with torch.no_grad():
        out = network(torch.randn(2, slices, *shape), torch.randn(2, TOLD))
    assert out.shape == (2, 1, *shape)
    assert out.std() > 0


def test_a_network_can_be_made_again_from_its_config() -> None:
    network = UniversalUNet(**TINY)
    again = UniversalUNet(**network.config)
    again.load_state_dict(network.state_dict())
    stack = torch.randn(1, network.config["slices"], 32, 32)
    told = torch.randn(1, TOLD)
    assert torch.equal(again(stack, told), network(stack, told))


def test_a_block_that_learned_nothing_passes_its_input() -> None:
    block = ResidualBlock(4)
    torch.nn.init.zeros_(block.second.weight)
    torch.nn.init.zeros_(block.second.bias)
    features = torch.randn(1, 4, 8, 8)
    assert torch.equal(block(features), features)


def test_what_it_is_told_has_no_say_before_training_and_has_one_after_a_step() -> None:
    torch.manual_seed(0)
    network = UniversalUNet(**TINY)
    image, target = torch.randn(2, 1, 16, 16), torch.randn(2, 1, 16, 16)
    told = torch.randn(2, 2, TOLD)
    with torch.no_grad():
        assert torch.equal(network(image, told[0]), network(image, told[1]))
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    (network(image, told[0]) - target).square().mean().backward()
    optimiser.step()
    with torch.no_grad():
        assert not torch.allclose(network(image, told[0]), network(image, told[1]), atol=1e-6)


def test_the_multiplications_are_those_counted_by_hand() -> None:
    from quell.training.release import kmac_per_pixel

    # Per pixel of the input; half the resolution has a quarter of the places, a quarter a sixteenth.
    stem = 6 * 6 * 1 * 4 / 4
    block = 2 * 3 * 3 * 4 * 4 / 4
    down = 2 * 2 * 4 * 8 / 16
    deep = 2 * 3 * 3 * 8 * 8 / 16
    up = 2 * 2 * 8 * 4 / 16
    head = 3 * 3 * 4 * 4 / 4
    total = stem + block + down + deep + up + block + head
    pair = SimpleNamespace(denoiser=UniversalUNet(**TINY))
    assert kmac_per_pixel(pair, 32) == pytest.approx(total / 1000)
    assert kmac_per_pixel(pair, 64) == pytest.approx(total / 1000)


def test_the_network_that_ships_has_the_cost_and_the_size_of_its_card() -> None:
    from quell.training.release import kmac_per_pixel
    from quell.training.universal import Pair

    card, pair = default_card(Modality.CT), Pair()
    assert card.parameters == sum(p.numel() for p in pair.parameters())
    assert card.kmac_per_pixel == pytest.approx(kmac_per_pixel(pair, 64), abs=0.01)
    assert card.kmac_per_pixel < 10
    assert card.multiple == 2 ** len(pair.denoiser.widths)
    assert card.slices == pair.denoiser.config["slices"]


@pytest.mark.parametrize("widths", [(4, 8), (16, 32, 64), (3, 5, 7, 9)])
def test_the_widths_are_read_off_the_weights(widths: tuple[int, ...]) -> None:
    network = UniversalUNet(widths=widths, blocks=(1,) * len(widths))
    assert denoiser_widths(network.state_dict(), prefix="") == widths
    assert denoiser_widths(network.state_dict()) == ()
