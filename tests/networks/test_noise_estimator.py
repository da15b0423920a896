"""The estimator obeys gain and offset by construction, before any training."""

from __future__ import annotations

import math

import pytest

# ruff: noqa: E402 - without torch the rooms below cannot be imported
torch = pytest.importorskip("torch", reason="torch is not installed")

from quell.inference.kinds import KINDS
from quell.networks.noise_estimator import BLOCK, FILTERS, NoiseEstimator

UNKNOWN = torch.zeros(1, len(KINDS))


@pytest.fixture(scope="module")
def estimator() -> NoiseEstimator:
    torch.manual_seed(0)
    return NoiseEstimator().eval()


@pytest.fixture
def scaled() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, 1, 64, 96, generator=generator)


def test_the_level_lies_on_the_grid_of_blocks(estimator: NoiseEstimator, scaled: torch.Tensor) -> None:
    with torch.no_grad():
        level, spectrum = estimator(scaled, UNKNOWN)
    assert level.shape == (2, 1, 64 // BLOCK, 96 // BLOCK)
    assert spectrum.shape == (2, 9)


@pytest.mark.parametrize("gain", [0.5, 2.0, 8.0])
def test_a_gain_adds_its_logarithm_to_the_level_and_leaves_the_spectrum(
    estimator: NoiseEstimator, scaled: torch.Tensor, gain: float
) -> None:
    with torch.no_grad():
        level, spectrum = estimator(scaled, UNKNOWN)
        other, same = estimator(gain * scaled, UNKNOWN)
    torch.testing.assert_close(other, level + math.log(gain), atol=2e-3, rtol=0)
    torch.testing.assert_close(same, spectrum, atol=2e-3, rtol=0)


@pytest.mark.parametrize("offset", [-5.0, 30.0])
def test_an_offset_changes_nothing(estimator: NoiseEstimator, scaled: torch.Tensor, offset: float) -> None:
    with torch.no_grad():
        level, spectrum = estimator(scaled, UNKNOWN)
        other, same = estimator(scaled + offset, UNKNOWN)
    torch.testing.assert_close(other, level, atol=2e-3, rtol=0)
    torch.testing.assert_close(same, spectrum, atol=2e-3, rtol=0)


def test_the_sign_of_an_image_has_no_say(estimator: NoiseEstimator, scaled: torch.Tensor) -> None:
    with torch.no_grad():
        for one, other in zip(estimator(scaled, UNKNOWN), estimator(-scaled, UNKNOWN), strict=True):
            torch.testing.assert_close(one, other)


def test_the_estimate_is_not_the_same_for_all_images(estimator: NoiseEstimator, scaled: torch.Tensor) -> None:
    smooth = torch.nn.functional.avg_pool2d(scaled, 5, stride=1, padding=2)
    with torch.no_grad():
        assert (estimator(scaled, UNKNOWN)[1] - estimator(smooth, UNKNOWN)[1]).abs().max() > 1e-3


def test_the_first_filters_are_orthogonal_and_blind_to_a_constant() -> None:
    bank = NoiseEstimator().bank.detach().flatten(1)
    gram = bank @ bank.T
    assert torch.linalg.matrix_rank(gram) == FILTERS
    torch.testing.assert_close(bank.sum(dim=1), torch.zeros(FILTERS), atol=1e-4, rtol=0)


def test_a_constant_image_gives_a_low_but_finite_level(estimator: NoiseEstimator) -> None:
    with torch.no_grad():
        level, spectrum = estimator(torch.full((1, 1, 32, 32), 3.0), UNKNOWN)
    assert torch.isfinite(level).all() and torch.isfinite(spectrum).all()
    assert level.max() < -5


def test_the_kind_has_no_say_before_training_and_has_one_once_it_was_learned(
    estimator: NoiseEstimator, scaled: torch.Tensor
) -> None:
    told = torch.eye(len(KINDS))[:1]
    learned = NoiseEstimator()
    learned.load_state_dict(estimator.state_dict())
    torch.nn.init.normal_(learned.kind.weight)
    with torch.no_grad():
        for plain, other in zip(estimator(scaled, UNKNOWN), estimator(scaled, told), strict=True):
            assert torch.equal(plain, other)
        # Nothing said is as before, whatever was learned of the kinds.
        for plain, silent in zip(estimator(scaled, UNKNOWN), learned(scaled, UNKNOWN), strict=True):
            assert torch.equal(plain, silent)
        assert not torch.allclose(learned(scaled, told)[0], learned(scaled, UNKNOWN)[0], atol=1e-3)
