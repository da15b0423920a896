"""The reconstruction of CAPAD: dynamic kernels, attention, the game, and that it says what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

# ruff: noqa: E402 - without torch the rooms below cannot be imported
torch = pytest.importorskip("torch", reason="torch is not installed")

from paired_runs import assert_engines_agree, draw, facts_of_data, falls, reach, tile_error, train, weights
from pydantic import ValidationError

from quell.methods.base import plain
from quell.methods.capad import CapadConfig, CapadMethod, attention_target, weighted_mean
from quell.methods.contracts import Fidelity
from quell.networks.content_aware import Modulation, filter_by_place


def make(**changes: Any) -> CapadMethod:
    torch.manual_seed(0)
    return CapadMethod(CapadConfig(**{**CapadMethod.tiny(), **changes}), facts_of_data())


def test_it_says_that_it_is_a_reconstruction() -> None:
    facts = CapadMethod.facts
    assert facts.fidelity is Fidelity.RECONSTRUCTION
    assert "RECONSTRUCTION" in facts.title and "RECONSTRUCTION" in (CapadMethod.__doc__ or "")
    assert "not available" in facts.source


def test_kernels_of_sum_one_keep_what_is_flat() -> None:
    kernels = torch.softmax(torch.randn(2, 25, 9, 11), dim=1)
    torch.testing.assert_close(
        filter_by_place(torch.full((2, 3, 9, 11), 7.0), kernels), torch.full((2, 3, 9, 11), 7.0)
    )


def test_the_same_kernel_everywhere_is_a_convolution() -> None:
    kernel, features = torch.randn(25), torch.randn(1, 2, 12, 12)
    found = filter_by_place(features, kernel.reshape(1, 25, 1, 1).expand(1, 25, 12, 12))
    weight = kernel.reshape(1, 1, 5, 5).expand(2, 1, 5, 5)
    wanted = torch.nn.functional.conv2d(features, weight, padding=2, groups=2)
    torch.testing.assert_close(found[:, :, 2:-2, 2:-2], wanted[:, :, 2:-2, 2:-2])


def test_a_silent_condition_modulates_nothing() -> None:
    modulation, features = Modulation(4, 6), torch.randn(1, 6, 5, 5)
    torch.nn.init.zeros_(modulation.scales.bias)
    torch.testing.assert_close(modulation(features, torch.zeros(1, 4, 5, 5)), features)


def test_attention_is_wanted_where_the_noise_is() -> None:
    clean = torch.zeros(2, 1, 8, 8)
    noise = torch.randn(2, 1, 8, 8)
    target = attention_target(clean + noise, clean)
    assert target.min() >= 0 and target.max() <= 1
    # The order is that of the noise, and its strength does not matter.
    below = target < 1
    torch.testing.assert_close(attention_target(clean + 9 * noise, clean), target)
    ratio = (target / noise.abs())[0][below[0]]
    torch.testing.assert_close(ratio, ratio[0].expand_as(ratio))
    root = noise[0].square().mean().sqrt()
    torch.testing.assert_close(ratio[0], 1 / (3 * root))
    assert attention_target(clean, clean).abs().max() == 0


def test_patches_with_attention_count_more() -> None:
    scores, attention = torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 16, 16)
    scores[0, 0, 0, 0], attention[:, :, :8, :8] = 1.0, 1.0
    assert float(weighted_mean(scores, attention)) == pytest.approx(2 / 5)
    assert float(weighted_mean(scores, torch.zeros_like(attention))) == pytest.approx(1 / 4)


def test_content_comes_first_and_falls() -> None:
    told = train(make(), 30)
    assert next(iter(told[-1])) == "content"
    assert {"content", "perceptual", "attention", "critic", "denoiser"} == set(told[-1])
    assert falls(told, "content") < 0.8


def test_attention_learns_where_the_noise_is() -> None:
    """With noise in one half only, and a prior that is right, the attention is higher there."""
    generator = plain(make().networks["denoiser"])
    optimiser = torch.optim.Adam(generator.attention.parameters(), lr=2e-2)
    half = torch.zeros(1, 1, 32, 32)
    half[..., 16:] = 1
    for step in range(40):
        batch = draw((1, 32, 32), 4, step)
        noisy = batch.clean + half * (batch.noisy - batch.clean)
        attention = torch.sigmoid(generator.attention((noisy - batch.clean).abs()))
        optimiser.zero_grad()
        torch.nn.functional.mse_loss(attention, attention_target(noisy, batch.clean)).backward()
        optimiser.step()
    features = [torch.zeros(4, 4 * 2**level, 32 // 2**level, 32 // 2**level) for level in range(3)]
    with torch.no_grad():
        told = generator(noisy, batch.clean, features)[1]
    assert told[..., 18:].mean() > 2 * told[..., :14].mean()


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
    method = make()
    train(method, 8)
    assert_engines_agree(method.exported(), tmp_path)


def test_a_tile_with_its_halo_equals_the_whole() -> None:
    exported = make().exported()
    assert tile_error(exported) < 1e-5
    assert 0.6 * exported.halo < reach(exported) <= exported.halo


@pytest.mark.parametrize("wrong", [{"slices": 3}, {"size": 42}, {"prior_share": 1.0}, {"adversarial": -1}])
def test_settings_that_cannot_work_are_refused(wrong: Any) -> None:
    with pytest.raises(ValidationError):
        CapadConfig(**wrong)
