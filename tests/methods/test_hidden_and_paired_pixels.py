"""What a network is shown of a pixel whose value it has to guess: nothing."""

from __future__ import annotations

import pytest

# ruff: noqa: E402 - without torch the rooms below cannot be imported
torch = pytest.importorskip("torch", reason="torch is not installed")

from noise_alone import facts

from quell.errors import QuellError
from quell.methods.neighbor2neighbor import Neighbor2Neighbor, Neighbor2NeighborConfig
from quell.methods.noise2void import Noise2Void, Noise2VoidConfig
from quell.methods.shared.blind_spots import WINDOW, cell_side, hide
from quell.methods.shared.pixel_pairs import OnLattices, PixelPairs, neighbour_loss, on_lattice
from quell.networks.small_unet import SmallUNet


@pytest.mark.parametrize("radius", [0, 1, 2])
def test_a_hidden_pixel_has_no_say_in_what_it_is_guessed_to_be(radius: int) -> None:
    torch.manual_seed(radius)
    noisy = torch.randn(2, 1, 48, 48, requires_grad=True)
    spots = hide(noisy, radius, cell_side(radius, 8))
    guessed = SmallUNet(width=4)(spots.hidden)
    found = spots.centres.nonzero()
    assert len(found) > 8
    for n, _, y, x in found[:: max(1, len(found) // 12)].tolist():
        (say,) = torch.autograd.grad(guessed[n, 0, y, x], noisy, retain_graph=True)
        square = say[n, 0, y - radius : y + radius + 1, x - radius : x + radius + 1]
        assert torch.equal(square, torch.zeros_like(square))
        assert say.abs().max() > 0


@pytest.mark.parametrize("radius", [0, 2])
def test_replacements_are_pixels_of_the_window_around(radius: int) -> None:
    torch.manual_seed(3)
    noisy = torch.arange(48.0 * 48).reshape(1, 1, 48, 48)
    spots = hide(noisy, radius, cell_side(radius, 8))
    reach = radius + WINDOW
    for _, _, y, x in spots.centres.nonzero().tolist():
        taken = int(spots.hidden[0, 0, y, x])
        dy, dx = abs(taken // 48 - y), abs(taken % 48 - x)
        assert radius < max(dy, dx) <= reach
    share = float((spots.hidden != noisy).float().mean() / spots.centres.float().mean())
    assert share == pytest.approx((2 * radius + 1) ** 2)


def test_every_pixel_far_from_the_border_is_hidden_now_and_then() -> None:
    torch.manual_seed(0)
    seen = sum(hide(torch.randn(64, 1, 16, 16), 0, 4).centres.sum(dim=0)[0] for _ in range(8))
    inner = seen[WINDOW:-WINDOW, WINDOW:-WINDOW]
    assert inner.min() > 0
    # Each pixel with about the same chance of one in sixteen: 32 of 512, five standard errors of 5.5.
    assert (inner.float() - 32).abs().max() < 28


@pytest.mark.parametrize(
    ("correlation", "radius"), [((), 0), ((0.05,), 0), ((0.4, 0.02), 1), ((0.5, 0.3, 0.2, 0.0), 3)]
)
def test_the_blind_spot_is_as_wide_as_the_noise_is_alike(correlation: tuple[float, ...], radius: int) -> None:
    assert Noise2Void(Noise2VoidConfig(width=2), facts(correlation=correlation)).radius == radius


def test_noise_alike_over_too_many_pixels_is_refused() -> None:
    wide = facts(correlation=(0.9, 0.8, 0.6, 0.4, 0.2, 0.05))
    with pytest.raises(QuellError, match=r"correlated over 5 pixels.*blind spot"):
        Noise2Void(Noise2VoidConfig(width=2), wide)
    with pytest.raises(QuellError, match=r"correlated over 5 pixels.*neighbours"):
        Neighbor2Neighbor(Neighbor2NeighborConfig(width=2), wide)
    with pytest.raises(QuellError, match="size"):
        Noise2Void(Noise2VoidConfig(width=2, size=8), facts())


def test_the_two_pixels_of_a_cell_are_neighbours() -> None:
    torch.manual_seed(0)
    place = torch.arange(32.0 * 32).reshape(1, 1, 32, 32)
    pairs = PixelPairs.draw(place)
    first, second = (pairs.take(place, which)[0, 0].long() for which in (0, 1))
    dy, dx = (first // 32 - second // 32).abs(), (first % 32 - second % 32).abs()
    assert torch.equal(dy + dx, torch.ones_like(dy))
    row, column = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
    for taken in (first, second):
        assert torch.equal(taken // 32 // 2, row) and torch.equal(taken % 32 // 2, column)


def test_all_eight_pairs_are_drawn_equally_often() -> None:
    torch.manual_seed(0)
    choice = PixelPairs.draw(torch.empty(1, 1, 400, 400)).choice
    counts = torch.bincount((4 * choice[:, 0] + choice[:, 1]).flatten(), minlength=16)
    drawn = counts[counts > 0].float()
    # 40,000 draws of one in eight: a standard deviation of 66.
    assert len(drawn) == 8 and (drawn - 5000).abs().max() < 5 * 66


@pytest.mark.parametrize(("correlation", "stride"), [((0.02,), 1), ((0.4, 0.02), 2), ((0.4, 0.2, 0.02), 3)])
def test_pairs_keep_the_distance_at_which_noise_is_not_alike(
    correlation: tuple[float, ...], stride: int
) -> None:
    torch.manual_seed(0)
    method = Neighbor2Neighbor(Neighbor2NeighborConfig(width=2, size=16), facts(correlation=correlation))
    side = method.stage(0.0).patch[1]
    assert method.stride == stride and side == 16 * stride
    place = torch.arange(float(side**2)).reshape(1, 1, side, side)
    coarse = on_lattice(place, stride, 8)
    pairs = PixelPairs.draw(coarse)
    taken = torch.cat([pairs.take(coarse, which).flatten() for which in (0, 1)]).long()
    y, x = taken // side, taken % side
    apart = torch.maximum((y[:, None] - y).abs(), (x[:, None] - x).abs())
    assert int(apart[~torch.eye(len(taken), dtype=torch.bool)].min()) == stride


@pytest.mark.parametrize("stride", [2, 3])
def test_a_network_that_does_nothing_does_nothing_on_sub_images(stride: int) -> None:
    class Middle(torch.nn.Module):
        def forward(self, stack: torch.Tensor) -> torch.Tensor:
            return stack[:, 1:2]

    stack = torch.randn(2, 3, 12, 18)
    assert torch.equal(OnLattices(Middle(), 3, stride)(stack), stack[:, 1:2])


def test_the_second_term_takes_away_what_two_pixels_differ_in_truth() -> None:
    torch.manual_seed(0)
    # Without noise a perfect denoiser errs by the slope of the image, which the second term forgives.
    slope = torch.arange(32.0).expand(1, 1, 32, 32).contiguous()
    plain = neighbour_loss(lambda stack: stack, slope, 0.0)
    ramped = neighbour_loss(lambda stack: stack, slope, 2.0)
    assert float(plain) > 0.3
    torch.manual_seed(1)
    loss = neighbour_loss(lambda stack: stack, slope, 1e6)
    assert float(loss) == pytest.approx(0, abs=1e-5)
    assert float(ramped) < float(plain)
