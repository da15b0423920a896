"""The noise that training adds is the noise that it says it adds."""

from __future__ import annotations

import pytest

# ruff: noqa: E402 - without torch the rooms below cannot be imported
torch = pytest.importorskip("torch", reason="torch is not installed")

from quell.noise.spectrum import colour, describe
from quell.training.corruption import Corrupted, corrupt, random_power

COUNT, SIDE = 480, 32
CPU = torch.device("cpu")


def clean_crops(count: int, side: int) -> torch.Tensor:
    """Return a step and a slope, which differ from slice to slice."""
    x = torch.linspace(-1, 1, side)
    pattern = (x[None, :] > 0.2) + 0.3 * x[:, None]
    return (pattern[None, None] * torch.tensor([0.9, 1.0, 1.1])[None, :, None, None]).repeat(count, 1, 1, 1)


def batch(count: int = COUNT, side: int = SIDE, own: float = 0.0, alone: bool = False) -> Corrupted:
    torch.manual_seed(0)
    sigma = torch.linspace(0.05, 0.2, count)
    return corrupt(clean_crops(count, side), torch.full((count,), own), sigma, torch.full((count,), alone))


@pytest.fixture(scope="module")
def plain() -> Corrupted:
    return batch()


def added(found: Corrupted) -> torch.Tensor:
    """Return the added noise of the middle slice in units of its level."""
    return (found.noisy[:, 1:2] - found.clean) / found.level


def test_the_standard_deviation_over_realisations_is_the_level_in_every_pixel(plain: Corrupted) -> None:
    seen = plain.valid.sum(dim=0)
    square = (added(plain).square() * plain.valid).sum(dim=0) / seen
    # Rounding to steps of up to 0.6 sigma, in 30 % of the crops, adds up to 1 % to the mean square.
    assert abs(square.mean() - 1) < 0.04
    assert (square - 1).abs().max() < 6 * (2 / seen.min()) ** 0.5


def test_the_level_holds_where_it_is_high_and_where_it_is_low(plain: Corrupted) -> None:
    share = plain.level / plain.level.mean(dim=(2, 3), keepdim=True)
    for region in (share > 1.3, share < 0.7):
        inside = region & (plain.valid > 0)
        assert inside.float().mean() > 0.03
        assert abs(added(plain)[inside].square().mean() - 1) < 0.12


def test_the_noise_has_mean_zero(plain: Corrupted) -> None:
    assert abs((added(plain) * plain.valid).mean()) < 0.02


def test_the_mean_level_of_a_crop_is_what_was_asked_for(plain: Corrupted) -> None:
    torch.testing.assert_close(
        plain.level.mean(dim=(1, 2, 3)), torch.linspace(0.05, 0.2, COUNT), atol=0, rtol=1e-4
    )


def test_own_noise_adds_in_squares(plain: Corrupted) -> None:
    other = batch(own=0.1)
    torch.testing.assert_close(other.level.square(), plain.level.square() + 0.1**2)
    assert torch.equal(other.noisy, plain.noisy)


def test_neighbours_share_none_or_up_to_six_tenths_of_their_noise(plain: Corrupted) -> None:
    clean = clean_crops(COUNT, SIDE)
    noise = (plain.noisy - clean) / plain.level * plain.valid
    whole = plain.valid.amin(dim=(1, 2, 3)) > 0
    middle = noise[whole, 1]
    found = []
    for side in (0, 2):
        product = (noise[whole, side] * middle).sum(dim=(1, 2))
        size = (noise[whole, side].square().sum(dim=(1, 2)) * middle.square().sum(dim=(1, 2))).sqrt()
        found.append(product / size)
    correlation = torch.stack(found)
    # On average 0.4 (how often) times 0.3 (the mean of 0 to 0.6).
    assert abs(correlation.mean() - 0.12) < 0.03
    assert torch.quantile(correlation, 0.95) > 0.35
    assert torch.quantile(correlation, 0.99) < 0.75
    assert torch.quantile(correlation.abs(), 0.4) < 0.1


def test_crops_that_stand_alone_have_equal_slices() -> None:
    found = batch(24, alone=True)
    for side in (0, 2):
        assert torch.equal(found.noisy[:, side], found.noisy[:, 1])
    assert not torch.equal(batch(24).noisy[:, 0], batch(24).noisy[:, 1])


def test_blanked_regions_are_constant_and_have_no_noise(plain: Corrupted) -> None:
    blanked = (plain.valid == 0).flatten(1)
    some = blanked.any(dim=1)
    assert 0.02 < some.float().mean() < 0.2
    for noisy, region in zip(plain.noisy[some], blanked[some], strict=True):
        values = noisy.flatten(1)[:, region]
        assert (values == values[0, 0]).all()


def test_the_clean_slice_is_the_middle_one_where_nothing_is_blanked(plain: Corrupted) -> None:
    clean = clean_crops(COUNT, SIDE)[:, 1:2]
    torch.testing.assert_close(plain.clean * plain.valid, clean * plain.valid)


def test_random_spectra_have_mean_one_and_are_symmetric() -> None:
    torch.manual_seed(0)
    power = random_power(50, 24, 32, CPU)
    assert power.shape == (50, 1, 24, 32)
    assert power.min() >= 0
    torch.testing.assert_close(power.mean(dim=(2, 3)), torch.ones(50, 1))
    opposite = power.flip(2, 3).roll((1, 1), (2, 3))
    torch.testing.assert_close(power, opposite)
    described = describe(power[:, 0])
    assert described.std(dim=0).min() > 0.05


def test_the_descriptor_is_that_of_the_periodogram() -> None:
    found = batch(64, 64)
    noise = added(found)[:, 0]
    measured = describe(torch.fft.fft2(noise).abs().square())
    # One realisation each: the error of a bin is about one over the root of its number of frequencies.
    # The median passes over the crops that were rounded or blanked.
    error = (measured - found.descriptor).abs().median(dim=0).values
    assert error.max() < 0.3
    spread = (found.descriptor - found.descriptor.median(dim=0).values).abs().median(dim=0).values
    assert spread[0] > 2 * error[0]


def test_coloured_noise_of_a_random_spectrum_is_described_by_it() -> None:
    torch.manual_seed(3)
    power = random_power(6, 48, 48, CPU)
    noise = colour(torch.randn(6, 150, 48, 48), power)
    measured = describe(torch.fft.fft2(noise).abs().square().mean(dim=1))
    torch.testing.assert_close(measured, describe(power[:, 0]), atol=0.08, rtol=0)
