"""The losses on trial are what they say, and so is what they are judged by."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from quell.inference.kinds import one_hot  # noqa: E402
from quell.training.corruption import Corrupted  # noqa: E402
from quell.training.universal import losses  # noqa: E402

Script = Callable[[str], ModuleType]


@pytest.fixture
def batch() -> Corrupted:
    """Return four crops with white noise of level 0.5, one column of each blanked."""
    torch.manual_seed(0)
    clean = torch.rand(4, 1, 32, 32)
    noisy = (clean + 0.5 * torch.randn(4, 1, 32, 32)).expand(4, 3, 32, 32)
    weight = 1 + (clean > 0.9).float()
    weight[..., 0] = 0
    kind = torch.from_numpy(np.stack([one_hot("PT")] * 2 + [one_hot("CT")] * 2))
    return Corrupted(noisy, clean, torch.full_like(clean, 0.5), torch.zeros(4, 8), weight, kind)


def test_a_perfect_answer_costs_nothing_and_any_other_something(script: Script, batch: Corrupted) -> None:
    functions = script("loss_functions")
    truth = functions.true_noise(batch)
    for name, image in functions.IMAGE.items():
        assert float(image(batch, truth)) == pytest.approx(0, abs=1e-6), name
        assert float(image(batch, 0.5 * truth)) > 0.02, name


def test_the_released_loss_is_among_them(script: Script, batch: Corrupted) -> None:
    functions = script("loss_functions")
    found: Any = (0.3 * functions.true_noise(batch), torch.zeros(4, 1, 4, 4), batch.descriptor + 1)
    mine, released = functions.loss_named("lasting")(batch, *found), losses(batch, *found)
    assert [float(one) for one in mine] == pytest.approx([float(one) for one in released])
    stronger = functions.loss_named("lasting-strong")(batch, *found)
    less = functions.loss_named("tempered")(batch, *found)
    assert float(stronger[0] - less[0]) == pytest.approx(3 * float(released[0] - less[0]), rel=1e-4)


def test_the_frequency_weight_rises_from_nothing(script: Script) -> None:
    weight = script("loss_functions").frequency_weight(32, 24)
    assert weight[0, 0] == 0
    assert float(weight.mean()) == pytest.approx(1)
    assert (weight[0, :12].diff() > 0).all() and (weight[:16, 0].diff() > 0).all()


def test_fine_errors_cost_more_by_frequency(script: Script, batch: Corrupted) -> None:
    functions = script("loss_functions")
    truth, x = functions.true_noise(batch), torch.arange(32.0)
    coarse, fine = (0.1 * torch.sin(2 * torch.pi * cycles * x / 32) for cycles in (1, 13))
    plain = [float(functions.tempered(batch, truth + wave)) for wave in (coarse, fine)]
    costs = [float(functions.with_frequency(batch, truth + wave)) for wave in (coarse, fine)]
    assert plain[1] == pytest.approx(plain[0], rel=0.1)
    assert costs[1] - plain[1] > 3 * (costs[0] - plain[0])


def test_texture_counts_the_deviation_and_not_the_mean(script: Script, batch: Corrupted) -> None:
    functions = script("loss_functions")
    truth = functions.true_noise(batch)

    def term(noise: torch.Tensor) -> float:
        return float(functions.with_texture(batch, noise) - functions.tempered(batch, noise))

    assert term(truth + 0.2) == pytest.approx(0, abs=1e-4)
    # White noise of the level: its deviation in a square is about 1, half of it is lacking.
    assert term(0.5 * truth) == pytest.approx(0.5, rel=0.05)
    assert term(1.5 * truth) == pytest.approx(0.5, rel=0.05)


def test_contrast_that_is_halved_is_half_kept(script: Script) -> None:
    from quell.phantoms.uniform import Insert, disc_coverage

    cases = script("loss_cases")
    insert = Insert((30.0, 30.0), 3.0, 2.0)
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, (6, 61, 61))
    there = insert.contrast * disc_coverage((61, 61), insert.radius, insert.centre)
    value, error = cases.kept(noise + there / 2 - noise, noise + there - noise, [insert])
    assert value == pytest.approx(0.5)
    assert error == pytest.approx(0, abs=1e-9)
    value, error = cases.kept(noise + there / 2, noise + there, [insert])
    assert error > 0
    assert abs(value - 0.5) < 5 * error


def test_half_the_strength_is_half_way(script: Script) -> None:
    cases = script("loss_cases")
    noisy, denoised = np.ones((2, 3), np.float32), np.zeros((2, 3), np.float32)
    assert (cases.blended(noisy, denoised, 0.5) == 0.5).all()
    assert (cases.blended(noisy, denoised, 0) == noisy).all()


def test_inserts_of_ct_are_alike_and_do_not_change_the_noise(script: Script) -> None:
    stage = script("loss_cases").ct_stage(2)
    assert all(len({(i.radius, i.contrast) for i in some}) == 1 for some in stage.inserts.values())
    added = [m.voxels - p.voxels for p, m in zip(stage.plain, stage.marked, strict=True)]
    np.testing.assert_allclose(*added, atol=1e-2)
    for some in stage.inserts.values():
        for insert in some:
            y, x = (round(c) for c in insert.centre)
            # What the scanner leaves of it: some, and not more than there is.
            assert 0.2 * insert.contrast < added[0][1, y, x] < 1.1 * insert.contrast
