"""The Wasserstein game: its penalty, its turns, its features of our own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

# ruff: noqa: E402 - without torch the rooms below cannot be imported
torch = pytest.importorskip("torch", reason="torch is not installed")

from paired_runs import assert_engines_agree, draw, facts_of_data, falls, reach, tile_error, train, weights
from pydantic import ValidationError

from quell.methods.base import plain
from quell.methods.shared.perception import frozen
from quell.methods.wgan_perceptual import WganPerceptualConfig, WganPerceptualMethod
from quell.networks.prior_autoencoder import FeatureEncoder
from quell.networks.wasserstein import WassersteinCritic, WassersteinGenerator, gradient_penalty


def make(**changes: Any) -> WganPerceptualMethod:
    torch.manual_seed(0)
    return WganPerceptualMethod(
        WganPerceptualConfig(**{**WganPerceptualMethod.tiny(), **changes}), facts_of_data()
    )


@pytest.mark.parametrize("slope", [1.0, 0.5, 3.0])
def test_the_penalty_of_a_linear_critic_is_the_squared_distance_of_its_slope_from_one(slope: float) -> None:
    direction = torch.randn(1, 1, 8, 8)
    direction *= slope / direction.norm()
    penalty = gradient_penalty(
        lambda images: (images * direction).sum(dim=(1, 2, 3)), torch.randn(4, 1, 8, 8)
    )
    assert float(penalty) == pytest.approx((slope - 1) ** 2, abs=1e-6)


def test_the_penalty_teaches_the_critic_a_slope_of_one() -> None:
    torch.manual_seed(0)
    critic = WassersteinCritic(size=16, width=2)
    optimiser = torch.optim.Adam(critic.parameters(), lr=1e-2)
    real, fake = torch.zeros(8, 1, 16, 16), torch.full((8, 1, 16, 16), 0.5)
    for _ in range(80):
        optimiser.zero_grad()
        score, penalty = critic(fake, real)
        (score + 10 * penalty).backward()
        optimiser.step()
    # The distance of the two images is 0.5 * 16; a critic of slope 1 cannot tell them further apart. A mean
    # penalty of g lets the slope be off by its root.
    score, penalty = critic(fake, real)
    assert 0.8 * 8 < float(-score.detach()) < (1 + float(penalty.detach()) ** 0.5 + 0.05) * 8


def test_the_generator_has_eight_convolutions_and_the_critic_two_full_layers() -> None:
    generator, critic = WassersteinGenerator(), WassersteinCritic()
    assert sum(p.numel() for p in generator.parameters()) == 9 * (32 + 6 * 32**2 + 32)
    pairs = ((1, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256))
    convolutions = sum(9 * a * b + b for a, b in pairs)
    assert sum(p.numel() for p in critic.parameters()) == convolutions + (8 * 8 * 256 + 1) * 1024 + 1025


def test_each_turn_sees_crops_of_its_own() -> None:
    method = make(critic_steps=4, batch=3)
    assert (method.stage(0.0).name, method.stage(0.0).batch) == ("prior", 3)
    assert (method.stage(0.5).name, method.stage(0.5).batch) == ("train", 15)
    method = make(critic_steps=4, batch=3)
    batch = draw((1, 32, 32), 15, 0)
    assert [name for name, _ in method.later_losses(batch)] == ["critic"] * 4 + ["denoiser"]


def test_features_have_unit_variance_and_the_frozen_encoder_learns_nothing() -> None:
    torch.manual_seed(0)
    encoder = FeatureEncoder(4)
    image = 0.01 * torch.randn(8, 1, 32, 32)
    for features in encoder(image):
        torch.testing.assert_close(
            features.var(dim=(0, 2, 3)), torch.ones(features.shape[1]), rtol=0.1, atol=0
        )
    encoder.eval()
    image.requires_grad_()
    frozen(encoder, image)[-1].square().mean().backward()
    assert image.grad is not None and image.grad.abs().max() > 0
    assert all(p.grad is None for p in encoder.parameters())


def test_the_prior_is_trained_first_and_stands_still_then() -> None:
    method = make(steps=80, prior_share=0.5, prior_rate=1e-2)
    clean = draw((1, 32, 32), 16, 99).clean

    def error() -> float:
        return float((plain(method.networks["prior"])(clean)[0] - clean).square().mean().detach())

    untrained = error()
    assert [list(losses) for losses in train(method, 40)] == [["prior"]] * 40
    assert error() < 0.7 * untrained
    before = weights(plain(method.networks["prior"]))
    means = plain(method.networks["prior"]).encoder.unit[0].running_mean.clone()
    start = weights(plain(method.networks["denoiser"]))
    later = train(method, 2, first=40)
    torch.testing.assert_close(weights(plain(method.networks["prior"])), before, rtol=0, atol=0)
    torch.testing.assert_close(
        plain(method.networks["prior"]).encoder.unit[0].running_mean, means, rtol=0, atol=0
    )
    assert not torch.equal(weights(plain(method.networks["denoiser"])), start)
    assert list(later[0]) == ["content", "critic", "denoiser"]


def test_thirty_steps_bring_the_features_nearer() -> None:
    assert falls(train(make(prior_share=0.2, prior_rate=1e-2), 30), "content") < 0.9


def test_going_on_from_a_state_is_exact() -> None:
    whole, part = make(steps=6, prior_share=0.5), make(steps=6, prior_share=0.5)
    train(whole, 6)
    train(part, 4)
    again = make(steps=6, prior_share=0.5)
    train(again, 1)
    again.restore(part.state())
    train(again, 2, first=4)
    for name in ("prior", "denoiser", "critic"):
        same = [weights(plain(method.networks[name])) for method in (whole, again)]
        torch.testing.assert_close(same[0], same[1], rtol=0, atol=0)


def test_engines_agree(tmp_path: Path) -> None:
    assert_engines_agree(make(slices=3).exported(), tmp_path)


def test_a_tile_with_its_halo_equals_the_whole() -> None:
    exported = make().exported()
    assert tile_error(exported) < 1e-5
    assert reach(exported) == exported.halo == 8


@pytest.mark.parametrize(
    "wrong", [{"slices": 2}, {"size": 42}, {"prior_share": 0.0}, {"steps": 5}, {"penalty": -1}]
)
def test_settings_that_cannot_work_are_refused(wrong: Any) -> None:
    with pytest.raises(ValidationError):
        WganPerceptualConfig(**wrong)
