"""UNAD: the distribution layer and its loss, the pre-training, the course of the training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

# ruff: noqa: E402 - without torch the rooms below cannot be imported
torch = pytest.importorskip("torch", reason="torch is not installed")

from paired_runs import assert_engines_agree, draw, facts_of_data, falls, reach, tile_error, train, weights
from pydantic import ValidationError

from quell.errors import QuellError
from quell.image import Modality
from quell.methods.base import plain
from quell.methods.unad import (
    NEIGHBOURS,
    PRETRAINING,
    UnadConfig,
    UnadMethod,
    make_bins,
    neighbour_loss,
)
from quell.models.scaling import usual_scaling
from quell.networks.redcnn_plus import (
    DistributionRegression,
    RedCNNPlus,
    distribution_focal_loss,
    expectation,
    spread,
)

SCALE = 4096.0


def make(data: Any = None, **changes: Any) -> UnadMethod:
    torch.manual_seed(0)
    facts = data or facts_of_data(scaling=UnadMethod.scaling(Modality.CT), scale=SCALE)
    return UnadMethod(UnadConfig(**{**UnadMethod.tiny(), **changes}), facts)


def test_the_network_has_the_authors_parameters() -> None:
    training, before = RedCNNPlus(96, 19), RedCNNPlus(96, 6)
    assert sum(p.numel() for p in training.parameters()) == 2_093_395
    # Thirteen channels less of 96 x 3 x 3 weights and a bias each.
    assert sum(p.numel() for p in before.parameters()) == 2_093_395 - 13 * (96 * 9 + 1)


@pytest.mark.parametrize("place", [0.3, 4.0, 7.75, 17.9])
def test_the_best_distribution_has_the_label_as_its_expectation(place: float) -> None:
    bins = torch.linspace(-160, 200, 19)
    label = bins[0] + place * (bins[1] - bins[0])
    left = int(place)
    chance = torch.zeros(19)
    chance[left], chance[left + 1] = 1 - (place - left), place - left
    # Log of 0 as the smallest number whose cross entropy counts for nothing.
    logits = chance.clamp(min=1e-20).log().reshape(1, 19, 1, 1).requires_grad_()
    torch.testing.assert_close(expectation(logits, bins.reshape(1, -1, 1, 1)).flatten()[0], label)
    loss = distribution_focal_loss(logits, label.reshape(1, 1, 1, 1), bins)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient.abs().max() < 1e-4
    # A cross entropy is never below the entropy of its target, and here it is that.
    entropy = -(chance[chance > 0] * chance[chance > 0].log()).sum()
    assert float(loss.detach()) == pytest.approx(float(entropy), abs=1e-3)
    moved = distribution_focal_loss(
        logits.clamp(min=-3) + torch.randn_like(logits), label.reshape(1, 1, 1, 1), bins
    )
    assert moved > loss


def test_differences_beyond_the_bins_count_for_the_last_ones() -> None:
    bins, logits = torch.linspace(-1, 1, 5), torch.randn(1, 5, 1, 1)
    far, end = (distribution_focal_loss(logits, torch.full((1, 1, 1, 1), v), bins) for v in (-9.0, -1.0))
    assert far == end
    first = torch.nn.functional.cross_entropy(logits, torch.zeros(1, 1, 1, dtype=torch.long))
    torch.testing.assert_close(end, first, rtol=1e-3, atol=1e-3)


def test_spread_of_two_points() -> None:
    bins = torch.linspace(-2, 2, 5).reshape(1, -1, 1, 1)
    # Chances of a quarter and three quarters at -1 and 2: standard deviation 3 sqrt(3) / 4.
    logits = torch.tensor([-99.0, 0.25, -99.0, -99.0, 0.75])
    logits[1], logits[4] = logits[1].log(), logits[4].log()
    found = spread(logits.reshape(1, 5, 1, 1), bins)
    assert float(found) == pytest.approx(3 * 3**0.5 / 4, rel=1e-6)


def test_bins_follow_the_residual_or_the_paper() -> None:
    facts = facts_of_data(residual=(-90.0, 120.0), scale=SCALE)
    fitted = make_bins(UnadConfig(), facts) * SCALE
    assert len(fitted) == 19
    torch.testing.assert_close(fitted[[0, -1]], torch.tensor([-90.0, 120.0]))
    published = make_bins(UnadConfig(bins="published"), facts) * SCALE
    torch.testing.assert_close(published.diff(), torch.full((18,), 20.0), rtol=1e-4, atol=1e-4)
    assert float(published[0]) == -160.0


@pytest.mark.parametrize(
    ("settings", "data", "why"),
    [
        ({}, {"residual": None}, "no clean ones"),
        ({}, {"residual": (0.0, 0.0)}, "do not differ"),
        ({"bins": "published"}, {"modality": Modality.MR}, "in HU"),
        ({"pretraining": 0.2}, {"shape": (6, 64, 64)}, "at least 7 slices"),
        ({}, {"shape": (8, 20, 64)}, "at least 21 rows"),
    ],
)
def test_data_that_cannot_work_is_refused(settings: Any, data: Any, why: str) -> None:
    with pytest.raises(QuellError, match=why):
        make(facts_of_data(**data), **settings)


@pytest.mark.parametrize(
    "wrong",
    [
        {"slices": 3},
        {"starts": (0.0, 0.5)},
        {"starts": (0.1, 0.5, 0.7, 0.85)},
        {"starts": (0.0, 0.7, 0.5, 0.85)},
        {"sizes": (20, 96, 128, 256)},
        {"pretraining": 1.0},
        {"bins": "mine"},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong: Any) -> None:
    with pytest.raises(ValidationError):
        UnadConfig(**wrong)


def test_neighbours_are_weighted_and_the_middle_is_not_predicted() -> None:
    stack = torch.randn(1, 7, 5, 5)
    wanted = stack[:, [3 + offset for offset in NEIGHBOURS]]
    assert neighbour_loss(wanted, stack) == 0
    # One wrong by 1 everywhere: its weight over six.
    losses = []
    for number in range(6):
        wrong = wanted.clone()
        wrong[:, number] += 1
        losses.append(float(neighbour_loss(wrong, stack)) * 6)
    assert losses == pytest.approx([0.1, 0.3, 1.0, 1.0, 0.3, 0.1])


def test_crops_grow_while_batches_shrink() -> None:
    method = UnadMethod(UnadConfig(width=4, pretraining=0.2), facts_of_data(shape=(8, 512, 200)))
    assert (method.stage(0).name, method.stage(0).batch, method.stage(0).patch) == (
        "neighbours",
        40,
        (7, 64, 64),
    )
    told = [method.stage(0.2 + 0.8 * share) for share in (1e-6, 0.5001, 0.7001, 0.8501)]
    assert [stage.batch for stage in told] == [160, 48, 24, 8]
    # No larger than the images.
    assert [stage.patch[1] for stage in told] == [64, 96, 128, 200]


def test_learning_rate_halves_once_as_published_or_again_and_again() -> None:
    data = facts_of_data()
    settings = {"width": 4, "pretraining": 0.0, "decay_every": 0.1}
    once, often = (UnadMethod(UnadConfig(**settings, decay=kind), data) for kind in ("published", "written"))
    assert [once.rate(p) for p in (0.05, 0.15, 0.95)] == [1.0, 0.5, 0.5]
    assert [often.rate(p) for p in (0.05, 0.15, 0.35)] == [1.0, 0.5, 0.125]


def test_pre_training_is_left_out_for_few_slices_and_said() -> None:
    few = make(facts_of_data(shape=(6, 64, 64)), pretraining=None)
    assert few.share == 0 and "7 slices" in few.notes[0] and "neighbours" not in few.networks
    assert make(pretraining=None).share == PRETRAINING


def test_the_weights_of_the_pre_training_go_into_the_training() -> None:
    method = make(pretraining=0.5, pretraining_rate=1e-3, rate=1e-9)
    told = train(method, 16)
    assert falls(told[:15], "neighbours") < 0.8
    learned, taken = plain(method.networks["neighbours"]), plain(method.networks["denoiser"]).backbone
    torch.testing.assert_close(weights(taken.encoder), weights(learned.encoder), rtol=0, atol=1e-6)
    torch.testing.assert_close(weights(taken.decoder), weights(learned.decoder), rtol=0, atol=1e-6)
    assert method.state()["handed_over"]


def test_going_on_across_the_end_of_the_pre_training_is_exact() -> None:
    settings = {"steps": 8, "pretraining": 0.5}
    whole, part = make(**settings), make(**settings)
    train(whole, 8)
    for stop in (3, 5):
        part = make(**settings)
        train(part, stop)
        again = make(**settings)
        train(again, 1)
        again.restore(part.state())
        train(again, 8 - stop, first=stop)
        same = [weights(plain(method.networks["denoiser"])) for method in (whole, again)]
        torch.testing.assert_close(same[0], same[1], rtol=0, atol=0)


def test_thirty_steps_lower_the_loss() -> None:
    assert falls(train(make(), 30, SCALE), "denoiser") < 0.95


def test_the_spread_learns_the_noise() -> None:
    """Where the residual is nothing but noise that cannot be foreseen, its deviation is what is left."""
    torch.manual_seed(1)
    bins = torch.linspace(-200, 200, 19).reshape(1, -1, 1, 1)
    logits = torch.zeros(1, 19, 1, 1, requires_grad=True)
    optimiser = torch.optim.Adam([logits], lr=0.05)
    residual = 50 * torch.randn(1, 1, 100, 100)
    for _ in range(300):
        optimiser.zero_grad()
        distribution_focal_loss(logits.expand(1, 19, 100, 100), residual, bins.flatten()).backward()
        optimiser.step()
    # Sharing a value between two bins adds at most a quarter of the squared distance of the bins.
    found = float(spread(logits, bins).detach()) ** 2
    assert 0.97 * 50**2 < found < 1.03 * (50**2 + (400 / 18) ** 2 / 4)


def test_engines_agree_on_image_and_spread(tmp_path: Path) -> None:
    method = make()
    train(method, 3, SCALE)
    assert method.exported().outputs == ("image", "spread")
    assert_engines_agree(method.exported(), tmp_path)


def test_a_tile_with_its_halo_equals_the_whole() -> None:
    exported = make(facts_of_data(residual=(-1e5, 1e5), scale=SCALE)).exported()
    assert tile_error(exported) < 1e-4
    assert reach(exported) == exported.halo == 21


def test_gain_and_weight_stand_for_other_numbers() -> None:
    """Images in 1 for 100 HU learn as those in 1 for 4096 HU do with the gain and the weight between them."""
    ratio = 40.96
    plain_data = facts_of_data(scale=100.0, shape=(8, 64, 64))
    small_data = facts_of_data(scale=SCALE, shape=(8, 64, 64), mean=0.0)
    one, other = make(plain_data), make(small_data, gain=ratio, image_weight=ratio**2)
    told = train(one, 3, 100.0), train(other, 3, SCALE)
    for a, b in zip(*told, strict=True):
        assert a["denoiser"] == pytest.approx(b["denoiser"], rel=1e-4)


def test_other_modalities_have_their_usual_scaling() -> None:
    assert UnadMethod.scaling(Modality.MR) == usual_scaling(Modality.MR)
    assert (UnadMethod.scaling(Modality.CT).offset, UnadMethod.scaling(Modality.CT).scale) == (
        -1024.0,
        4096.0,
    )


def test_the_untrained_network_adds_the_middle_of_the_bins() -> None:
    torch.manual_seed(0)
    network = DistributionRegression(RedCNNPlus(4, 19, bias=1.0), torch.linspace(-0.2, 0.3, 19))
    torch.nn.init.zeros_(network.backbone.output.weight)
    noisy = draw((1, 32, 32), 1, 0).noisy
    torch.testing.assert_close(network(noisy)[0] - noisy, torch.full_like(noisy, 0.05))
