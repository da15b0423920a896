"""The laws that depend on the signal: mean and level over realisations are what they say."""

from __future__ import annotations

import numpy as np
import pytest

# ruff: noqa: E402 - without torch the rooms below cannot be imported
torch = pytest.importorskip("torch", reason="torch is not installed")

from quell.inference.kinds import KINDS
from quell.noise.spectrum import describe, frequency_axes, normalised
from quell.phantoms.procedural import random_style
from quell.training.laws import Law, by_law, draw_kind, draw_law

COUNT, SIDE = 600, 32


def signal() -> torch.Tensor:
    """Return a step on a slope; its lowest value is not 0."""
    x = torch.linspace(0, 1, SIDE)
    pattern = 0.6 * (x[None, :] > 0.5) + 0.3 * x[:, None] + 0.2
    return pattern.repeat(COUNT, 3, 1, 1)


def low_pass() -> torch.Tensor:
    fy, fx = (torch.from_numpy(axis) for axis in frequency_axes(SIDE, SIDE))
    return normalised(torch.exp(-((fy / 0.2) ** 2) - (fx / 0.25) ** 2))[None, None].repeat(COUNT, 1, 1, 1)


@pytest.fixture(scope="module", params=[Law.RICIAN, Law.COUNTS, Law.ACTIVITY, Law.SPECKLE])
def made(request: pytest.FixtureRequest) -> tuple[Law, tuple[torch.Tensor, ...]]:
    torch.manual_seed(0)
    return request.param, by_law(request.param, signal(), torch.full((COUNT,), 0.1), low_pass())


def test_the_mean_over_realisations_is_the_mean(made: tuple[Law, tuple[torch.Tensor, ...]]) -> None:
    noisy, mean, level, _ = made[1]
    # All slices are realisations; four standard errors and, for 3072 pixels, a little more.
    error = (noisy - mean).mean(dim=(0, 1)) / level.mean(dim=(0, 1)) * (3 * COUNT) ** 0.5
    assert error.abs().max() < 5.5
    assert abs(error.mean()) < 1


def test_the_deviation_over_realisations_is_the_level(made: tuple[Law, tuple[torch.Tensor, ...]]) -> None:
    law, (noisy, mean, level, _) = made
    ratio = (noisy - mean).square().mean(dim=(0, 1)).sqrt() / level.mean(dim=(0, 1))
    # Below a tenth of a count the level is a floor, not the deviation.
    inside = ratio[2:] if law is Law.COUNTS else ratio
    assert abs(inside.mean() - 1) < 0.03
    assert (inside - 1).abs().max() < 0.25


def test_the_level_is_about_what_was_asked_for(made: tuple[Law, tuple[torch.Tensor, ...]]) -> None:
    assert 0.06 < made[1][2].mean() < 0.14


def test_the_spectrum_is_that_of_the_noise(made: tuple[Law, tuple[torch.Tensor, ...]]) -> None:
    noisy, mean, level, power = made[1]
    noise = (noisy - mean) / level
    periodogram = torch.fft.fft2(noise[:, 0]).abs().square().mean(dim=0)
    measured, told = describe(periodogram), describe(power[0, 0])
    assert (measured - told).abs()[:6].max() < 0.35


def test_counts_are_counts() -> None:
    torch.manual_seed(0)
    noisy, mean, level, _ = by_law(Law.COUNTS, signal(), torch.full((COUNT,), 0.1), low_pass())
    low = mean.amin()
    # In units of a count the variance is the mean and all values are whole.
    per_unit = (mean - low)[0, 0, -1, -1] / level[0, 0, -1, -1] ** 2
    counts = (noisy - low) * per_unit
    assert (counts - counts.round()).abs().max() < 1e-2


def test_every_kind_gets_the_general_law_now_and_then_and_its_own_often() -> None:
    rng = np.random.default_rng(0)
    for kind, own in [
        ("CT", Law.STREAKS),
        ("MR", Law.RICIAN),
        ("ultrasound", Law.SPECKLE),
        ("XR", Law.GENERAL),
    ]:
        drawn = [draw_law(rng, kind, has_sectors=True) for _ in range(300)]
        assert {own, Law.GENERAL} >= set(drawn) >= {Law.GENERAL}
        assert own in drawn
    assert Law.STREAKS not in {draw_law(rng, "CT", has_sectors=False) for _ in range(100)}


@pytest.mark.parametrize(
    ("reference", "law", "shown"),
    [
        ("CT", Law.STREAKS, {"CT"}),
        ("CT", Law.GENERAL, {"CT"}),
        ("body", Law.STREAKS, {"CT"}),
        ("body", Law.GENERAL, {"CT"}),
        ("brain", Law.RICIAN, {"MR"}),
        ("brain", Law.GENERAL, {"MR"}),
        ("counts", Law.COUNTS, {"NM"}),
        ("counts", Law.ACTIVITY, {"PT", "SPECT"}),
        ("counts", Law.GENERAL, {"PT", "SPECT", "NM"}),
        ("ultrasound", Law.SPECKLE, {"US"}),
        ("ultrasound", Law.GENERAL, {"US"}),
        ("radiograph", Law.GENERAL, {"XR"}),
        ("vessels", Law.GENERAL, set(KINDS)),
        ("XR", Law.GENERAL, {"XR"}),
    ],
)
def test_a_crop_shows_what_its_law_and_its_reference_say_or_nothing_in_one_of_eight(
    reference: str, law: Law, shown: set[str]
) -> None:
    rng = np.random.default_rng(5)
    drawn = [draw_kind(rng, reference, law) for _ in range(800)]
    assert {*drawn} == {"", *shown}
    # 800 draws: a standard error of 0.012.
    assert drawn.count("") / 800 == pytest.approx(1 / 8, abs=0.045)


def test_every_style_of_a_phantom_has_a_law_of_its_own_or_a_kind() -> None:
    rng = np.random.default_rng(6)
    for style in {random_style(rng) for _ in range(300)}:
        law = draw_law(rng, style, has_sectors=True)
        assert {draw_kind(rng, style, law) for _ in range(50)} <= {"", *KINDS}
