"""Unit noise in every place, and the colour that it has: laws on noise of which all is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

# ruff: noqa: E402 - without torch the rooms below cannot be imported
torch = pytest.importorskip("torch", reason="torch is not installed")

from noise_alone import batch, facts, in_engines, trained

from quell.image import Modality
from quell.methods.base import middle
from quell.methods.gr2r import GR2R, GR2RConfig
from quell.methods.neighbor2neighbor import Neighbor2Neighbor
from quell.methods.noise2void import Noise2Void
from quell.methods.shared.noise_colour import Colour, ColourOf, make_colour
from quell.methods.shared.unit_noise import MULTIPLE, PutBack, UnitNoise, posterior
from quell.methods.unsure import Unsure, UnsureConfig
from quell.noise.spectrum import describe

SMOOTH = [1.5, 1.2, 1.0, 0.8, 0.5, 0.0, -0.8, -2.0, 0.0]
LYING = [-0.8, -0.2, 0.4, 0.6, 0.4, 0.1, -0.2, -0.3, 0.6]
KINDS: list[Any] = [Noise2Void, Neighbor2Neighbor, GR2R, Unsure]


def told(values: list[float], n: int) -> Any:
    return torch.tensor([values]).repeat(n, 1)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)


@pytest.mark.parametrize("values", [[0.0] * 9, SMOOTH, LYING], ids=["white", "smooth", "lying"])
def test_coloured_noise_has_the_spectrum_that_was_told_and_unit_variance(values: list[float]) -> None:
    noise = Colour()(torch.randn(16, 1, 128, 128), told(values, 16))
    found = describe(torch.fft.fft2(noise[:, 0]).abs().square().mean(dim=0))
    # The kernel ends after 17 pixels, which smoothes steps from ring to ring by some tenths.
    assert (found - torch.tensor(values)).abs().max() < 0.35
    # 262,144 pixels of which a tenth count as independent: a standard error of 0.9 %.
    assert float(noise.var()) == pytest.approx(1, abs=0.045)


def test_one_kernel_an_image_gives_the_same_noise() -> None:
    colour, white = Colour(), torch.randn(2, 1, 40, 64)
    each = torch.tensor([SMOOTH, LYING])
    torch.testing.assert_close(colour.quick(white, each), colour(white, each), atol=1e-5, rtol=0)


def test_the_covariance_is_that_of_the_noise() -> None:
    colour, each = Colour(), told(SMOOTH, 1)
    point = torch.zeros(1, 1, 64, 64)
    point[..., 32, 32] = 1
    wanted = colour.covariance(point, each)[0, 0]
    assert float(wanted[32, 32]) == pytest.approx(1, abs=1e-4)
    noise = colour(torch.randn(256, 1, 64, 64), told(SMOOTH, 256))
    for dy, dx in ((0, 1), (1, 0), (1, 1), (2, 0)):
        found = float((noise * noise.roll((dy, dx), (2, 3))).mean())
        # A million pixels, a tenth of them independent.
        assert float(wanted[32 + dy, 32 + dx]) == pytest.approx(found, abs=0.02)


def test_one_colour_has_the_autocorrelation_of_the_data() -> None:
    told_of = facts(modality=Modality.MR, correlation=(0.26, -0.19, 0.11))
    assert isinstance(make_colour(ColourOf.AUTO, facts()), Colour)
    colour = make_colour(ColourOf.AUTO, told_of)
    each = told([0.0] * 9, 16)
    noise = colour(torch.randn(16, 1, 128, 128), each)
    assert torch.equal(colour.quick(noise, each), colour(noise, each))
    for lag, wanted in enumerate((1.0, 0.26, -0.19, 0.11)):
        # 262,144 pixels, a fifth of them independent; the negative part of the spectrum is cut.
        assert float((noise[..., lag:] * noise[..., : 128 - lag]).mean()) == pytest.approx(wanted, abs=0.04)


@pytest.mark.parametrize("gain", [0.02, 0.2])
def test_noise_of_two_strengths_comes_to_unit_level(gain: float) -> None:
    strength = gain * torch.cat((torch.ones(64), 3 * torch.ones(64)))
    shade = torch.linspace(0, 2, 128).reshape(1, 1, -1, 1)
    noise = strength * torch.randn(2, 1, 128, 128)
    scaled = noise / UnitNoise()(shade + noise).level
    for half in (scaled[..., 8:56], scaled[..., 72:120]):
        # The estimator is right within about ten per cent.
        assert float(half.std()) == pytest.approx(1, abs=0.15)


def test_the_way_back_is_the_way_there_turned_round() -> None:
    stack = 3 + 0.1 * torch.randn(2, 3, 50, 70)
    unit = UnitNoise().of(stack)
    assert unit.stack.shape == stack.shape
    torch.testing.assert_close(unit.back(middle(unit.stack)), middle(stack), atol=1e-5, rtol=0)


def test_where_all_is_constant_there_is_no_noise_and_no_trouble() -> None:
    unit = UnitNoise()(torch.full((1, 1, 64, 64), -1.024))
    assert unit.stack.abs().max() < 1e-2


@pytest.mark.parametrize("doubt", [0.0, 1.0, 4.0])
def test_the_posterior_mean_has_the_least_error_that_a_share_of_the_pixel_can_have(doubt: float) -> None:
    clean = torch.zeros(8, 1, 128, 128)
    guess = clean + doubt**0.5 * torch.randn_like(clean)
    found = posterior(guess, clean + torch.randn_like(clean))
    # v / (1 + v) is that of the best share; v is found from 49 pixels, within a fifth of 1 + v.
    wanted = doubt / (1 + doubt)
    error = float((found - clean).square().mean())
    assert wanted - 0.02 < error < wanted + 0.06
    assert error < min(1.0, doubt + 0.06)


def test_a_guess_that_knows_nothing_leaves_the_image_as_it_is() -> None:
    class Nothing(torch.nn.Module):
        def forward(self, stack: Any) -> Any:
            return torch.zeros_like(stack[:, 1:2])

    stack = 30 * torch.randn(1, 3, 64, 64)
    done = PutBack(Nothing())(stack)
    assert float((done - stack[:, 1:2]).std()) < 0.1


def test_both_parts_of_local_noise_have_nothing_in_common() -> None:
    method = GR2R(GR2RConfig(width=2), facts(sigma=0.0))
    colour, products = Colour(), []
    descriptor = told(SMOOTH, 16)
    for _ in range(8):
        noise = 0.1 * colour(torch.randn(16, 1, 64, 64), descriptor)
        given = batch(method)
        given = type(given)(0.5 + noise, *[None] * 4, None, given.dose, given.scale)
        stack, second = method.parts(given)
        first = middle(stack)
        products.append(float((first * second).mean()))
        assert float(second.var() / first.var()) == pytest.approx(0.85 / 0.15, rel=0.25)
    # A level that is off by a tenth leaves a fifth of the variance in common; identity would leave all.
    assert abs(sum(products) / len(products)) < 0.25


def test_unsure_at_unit_noise_is_the_true_risk() -> None:
    method = Unsure(UnsureConfig(width=2), facts())
    net = torch.nn.Conv2d(1, 1, 5, padding=2, padding_mode="circular", bias=False)
    wrong, norms = [], []
    for _ in range(8):
        noise = torch.randn(16, 1, 64, 64)
        given = batch(method)
        given = type(given)(0.5 + 0.1 * noise, *[None] * 4, None, given.dose, given.scale)
        assert method.unit is not None
        unit = method.unit.of(given.noisy)
        clean = (0.5 - unit.mean) / unit.level
        with torch.no_grad():
            method.networks["denoiser"] = net
            (_, loss), *_ = list(method.losses(given, 0.0))
            risk = (net(unit.stack) - clean).square().mean() + (unit.stack - clean).square().mean()
        wrong.append(float(loss - risk))
        norms.append(float(risk))
    assert abs(sum(wrong)) < 0.15 * sum(norms)


@pytest.mark.parametrize("kind", KINDS, ids=[kind.facts.name for kind in KINDS])
def test_the_paper_s_own_way_is_a_setting(kind: Any) -> None:
    own, ours = (kind(kind.Config(**kind.tiny(), unit_noise=on), facts()) for on in (False, True))
    assert own.exported().multiple % MULTIPLE and ours.exported().multiple % MULTIPLE == 0


@pytest.mark.parametrize("kind", KINDS, ids=[kind.facts.name for kind in KINDS])
def test_a_weak_and_a_strong_image_are_learned_alike(kind: Any) -> None:
    """The loss in units of the noise is the same for an image and for a hundredth of it."""
    found = []
    for gain in (1.0, 0.01):
        torch.manual_seed(0)
        method = kind(kind.Config(**kind.tiny()), facts())
        given = batch(method)
        given = type(given)(gain * given.noisy, *[None] * 4, None, given.dose, given.scale)
        torch.manual_seed(1)
        found.append(float(next(iter(method.losses(given, 0.5)))[1].detach()))
    assert found[1] == pytest.approx(found[0], rel=0.3)


def test_gr2r_with_counts_runs_in_the_engines(tmp_path: Path) -> None:
    from quell.models.scaling import Scaling, ScalingKind

    counts = facts(units="counts", scaling=Scaling(kind=ScalingKind.MEAN), scale=20.0)
    method = GR2R(GR2RConfig(**GR2R.tiny(), law="poisson"), counts)
    trained(method, steps=2)
    exported = method.exported()
    # Rounding to whole events: a number halfway may fall to either side in another engine.
    for wanted, given in in_engines(exported, tmp_path, (32, 48)):
        for engine in given:
            off = (torch.as_tensor(engine) - wanted).abs()
            assert float((off < 1e-3).float().mean()) > 0.98
