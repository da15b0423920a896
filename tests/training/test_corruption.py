"""The noise that training adds is the noise that it says it adds."""

from __future__ import annotations

import pytest

# ruff: noqa: E402 - without torch the rooms below cannot be imported
torch = pytest.importorskip("torch", reason="torch is not installed")

from quell.inference.kinds import KINDS
from quell.noise.spectrum import DESCRIPTOR_SIZE, describe
from quell.training.corruption import Corrupted, Scanned, corrupt, insert_faint
from quell.training.laws import Law

COUNT, SIDE = 480, 32
CPU = torch.device("cpu")


def clean_crops(count: int, side: int) -> torch.Tensor:
    """Return a step and a slope, which differ from slice to slice."""
    x = torch.linspace(-1, 1, side)
    pattern = (x[None, :] > 0.2) + 0.3 * x[:, None]
    return (pattern[None, None] * torch.tensor([0.9, 1.0, 1.1])[None, :, None, None]).repeat(count, 1, 1, 1)


def nothing_faint(clean: torch.Tensor, sigma: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return clean, torch.zeros_like(clean[:, :1])


def batch(count: int = COUNT, side: int = SIDE, own: float = 0.0, alone: bool = False) -> Corrupted:
    """Return crops without faint discs, so that what was there before is known."""
    torch.manual_seed(0)
    sigma = torch.linspace(0.05, 0.2, count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("quell.training.corruption.insert_faint", nothing_faint)
        return corrupt(
            clean_crops(count, side), torch.full((count,), own), sigma, torch.full((count,), alone)
        )


def valid(found: Corrupted) -> torch.Tensor:
    """Return 0 where the crop is blanked and 1 elsewhere."""
    return (found.weight > 0).to(found.weight)


@pytest.fixture(scope="module")
def plain() -> Corrupted:
    return batch()


def added(found: Corrupted) -> torch.Tensor:
    """Return the added noise of the middle slice in units of its level."""
    return (found.noisy[:, 1:2] - found.clean) / found.level


def test_the_standard_deviation_over_realisations_is_the_level_in_every_pixel(plain: Corrupted) -> None:
    seen = valid(plain).sum(dim=0)
    square = (added(plain).square() * valid(plain)).sum(dim=0) / seen
    # Rounding to steps of up to 0.6 sigma, in 30 % of the crops, adds up to 1 % to the mean square.
    assert abs(square.mean() - 1) < 0.04
    assert (square - 1).abs().max() < 6 * (2 / seen.min()) ** 0.5


def test_the_level_holds_where_it_is_high_and_where_it_is_low(plain: Corrupted) -> None:
    share = plain.level / plain.level.mean(dim=(2, 3), keepdim=True)
    for region in (share > 1.3, share < 0.7):
        inside = region & (valid(plain) > 0)
        assert inside.float().mean() > 0.03
        assert abs(added(plain)[inside].square().mean() - 1) < 0.12


def test_the_noise_has_mean_zero(plain: Corrupted) -> None:
    assert abs((added(plain) * valid(plain)).mean()) < 0.02


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
    noise = (plain.noisy - clean) / plain.level * valid(plain)
    whole = valid(plain).amin(dim=(1, 2, 3)) > 0
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
    blanked = (valid(plain) == 0).flatten(1)
    some = blanked.any(dim=1)
    assert 0.02 < some.float().mean() < 0.2
    for noisy, region in zip(plain.noisy[some], blanked[some], strict=True):
        values = noisy.flatten(1)[:, region]
        assert (values == values[0, 0]).all()


def test_the_clean_slice_is_the_middle_one_where_nothing_is_blanked(plain: Corrupted) -> None:
    clean = clean_crops(COUNT, SIDE)[:, 1:2]
    torch.testing.assert_close(plain.clean * valid(plain), clean * valid(plain))


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


def test_faint_discs_are_in_half_of_the_crops_and_their_contrast_is_a_few_sigma() -> None:
    torch.manual_seed(1)
    sigma = torch.linspace(0.01, 1.0, 600)
    clean = torch.zeros(600, 3, 40, 40)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("quell.training.corruption._FAINT", 1)
        changed, faint = insert_faint(clean, sigma)
    assert faint.min() >= 0 and faint.max() <= 1
    touched = faint.amax(dim=(1, 2, 3)) > 0
    # 600 draws: a standard error of 0.02.
    assert abs(touched.float().mean() - 0.5) < 0.08
    # In the middle slice the disc is whole, so that its contrast is the quotient.
    middle = changed[:, 1:2] / sigma[:, None, None, None]
    contrast = (middle / faint.clamp(min=1e-6)).abs()[faint > 0.5]
    assert contrast.min() > 0.2 - 1e-3 and contrast.max() < 3 + 1e-3
    assert contrast.min() < 0.3 and contrast.max() > 2
    assert (middle[faint > 0.5] > 0).float().mean() == pytest.approx(0.5, abs=0.15)
    assert torch.equal(changed[~touched], clean[~touched])


def test_faint_discs_fade_towards_the_neighbours_and_differ_between_crops() -> None:
    torch.manual_seed(2)
    changed, _ = insert_faint(torch.zeros(200, 3, 32, 32), torch.ones(200))
    size = changed.square().sum(dim=(2, 3)).sqrt()
    some = size[:, 1] > 0.1
    assert (size[some][:, [0, 2]] <= size[some][:, 1:2] + 1e-4).all()
    assert size[some][:, 1].std() > 0.1 * size[some][:, 1].mean()


def test_an_error_counts_more_where_something_faint_is_and_nowhere_else() -> None:
    count = 100
    clean, sigma, none = torch.zeros(count, 3, 32, 32), torch.full((count,), 0.1), torch.zeros(count)
    torch.manual_seed(3)
    _, faint = insert_faint(clean, sigma)
    torch.manual_seed(3)
    found = corrupt(clean, none, sigma, none.bool())
    inside = found.weight > 0
    torch.testing.assert_close(found.weight[inside], (1 + 2 * faint)[inside])
    assert (found.weight > 1.5).any() and (found.weight == 1).any() and (found.weight == 0).any()
    # The discs belong to the truth.
    assert found.clean[(faint > 0.5) & inside].abs().min() > 0


def scanned_batch() -> tuple[Scanned, torch.Tensor, Corrupted]:
    """Return crops of which every second one was scanned beforehand."""
    torch.manual_seed(4)
    count = 120
    clean = clean_crops(count, 32)
    scanned = Scanned(
        clean + 0.1 * torch.randn_like(clean),
        torch.full((count, 1, 32, 32), 0.1),
        torch.full((count, DESCRIPTOR_SIZE), 7.0),
        torch.linspace(0, 1, 32).expand(count, 1, 32, 32),
    )
    law = torch.tensor([int(Law.MADE)] * 2 + [int(Law.GENERAL)] * 2).repeat(count // 4)
    none = torch.zeros(count)
    found = corrupt(clean, none, torch.full((count,), 0.3), none.bool(), law, scanned=scanned)
    return scanned, clean, found


def test_crops_that_were_scanned_beforehand_keep_object_level_and_descriptor() -> None:
    scanned, clean, found = scanned_batch()
    made = torch.arange(len(clean)) % 4 < 2
    assert torch.equal(found.clean[made], clean[made, 1:2])
    assert torch.equal(found.level[made], scanned.level[made])
    assert torch.equal(found.descriptor[made], scanned.descriptor[made])
    # An error counts four times where a lesion is.
    torch.testing.assert_close(found.weight[made], 1 + 3 * scanned.focus[made])
    # Some are rounded, by at most half of a step of 0.6 of the noise.
    apart = (found.noisy - scanned.noisy)[made].abs()
    assert apart.max() <= 0.5 * 0.6 * 0.1 + 1e-6
    kept = apart.amax(dim=(1, 2, 3)) == 0
    assert 0.5 < kept.float().mean() < 0.9


def test_crops_with_noise_on_the_fly_take_nothing_from_those_that_were_scanned() -> None:
    _, clean, found = scanned_batch()
    drawn = torch.arange(len(clean)) % 4 >= 2
    assert not (found.descriptor[drawn] == 7).all(dim=1).any()
    torch.testing.assert_close(found.level[drawn].mean(dim=(1, 2, 3)), torch.full((60,), 0.3))
    assert (found.weight[drawn] > 1).any()
    assert not torch.equal(found.clean[drawn], clean[drawn, 1:2])


def test_two_and_two_crops_differ_in_their_noise_alone() -> None:
    torch.manual_seed(5)
    count = 400
    clean = torch.rand(count // 2, 3, 32, 32).repeat_interleave(2, 0)
    law = torch.tensor([int(Law.GENERAL), int(Law.RICIAN), int(Law.COUNTS), int(Law.SPECKLE)])
    law = law.repeat(count // 8).repeat_interleave(2)
    none = torch.zeros(count)
    found = corrupt(clean, none, torch.full((count,), 0.2), none.bool(), law)
    for same in (found.clean, found.level, found.weight, found.descriptor):
        torch.testing.assert_close(same[::2], same[1::2])
    noise = (found.noisy[:, 1:2] - found.clean) / found.level * (found.weight > 0)
    one, other = noise[::2], noise[1::2]
    # Speckle is skewed and counts are few; independent they are all the same.
    alike = (one * other).mean() / (one.square().mean() * other.square().mean()).sqrt()
    assert abs(alike) < 0.03


def test_the_kind_is_passed_on_and_nothing_is_said_without_one() -> None:
    none, clean = torch.zeros(4), clean_crops(4, 16)
    told = torch.eye(len(KINDS))[:4]
    assert torch.equal(corrupt(clean, none, none + 0.1, none.bool(), kind=told).kind, told)
    assert not corrupt(clean, none, none + 0.1, none.bool()).kind.any()
