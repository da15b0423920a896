"""The loop: it can stop and go on anywhere, averages, sees what goes wrong, and waits for little."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric

from quell.methods.base import plain
from quell.methods.contracts import Stage
from quell.methods.redcnn import REDCNNMethod
from quell.training.averaging import Average
from quell.training.loop import Loop, TrainingStopped, fit, make_method, seed_of
from samples.synthetic_training import facts_for, pool_for

STEPS = 20


def method(**changes: Any) -> Any:
    config = REDCNNMethod.Config(**{**REDCNNMethod.tiny(), "steps": STEPS, **changes})
    return make_method(REDCNNMethod, config, facts_for(REDCNNMethod), 3)


def loop(pool: Any = None, **changes: Any) -> Loop:
    fabric = Fabric(accelerator="cpu", devices=1)
    made = method()
    made.setup(fabric)
    return Loop(made, pool or pool_for(REDCNNMethod), fabric, **{"seed": 3, "steps": STEPS, **changes})


def advance(one: Loop, count: int) -> list[float]:
    found = []
    for step in one.run():
        found.append(next(iter(step.losses.values())))
        if len(found) == count:
            break
    return found


def parameters(one: Loop) -> list[torch.Tensor]:
    return [p.detach().clone() for net in one.method.networks.values() for p in net.parameters()]


def test_going_on_gives_the_very_weights_of_not_stopping() -> None:
    whole, first, second = loop(), loop(), loop()
    losses = advance(whole, STEPS)
    told = advance(first, 10)
    second.restore(first.state())
    assert told + advance(second, 10) == losses
    for mine, theirs in zip(parameters(whole), parameters(second), strict=True):
        assert torch.equal(mine, theirs)
    for name, weights in whole.average.weights.items():
        for key, value in weights.items():
            assert torch.equal(value, second.average.weights[name][key])


def test_another_seed_gives_other_weights() -> None:
    one, other = loop(), loop(seed=4)
    assert advance(one, 2) != advance(other, 2)


def test_the_loss_falls() -> None:
    losses = advance(loop(steps=60), 40)
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


def test_the_average_is_the_mean_of_the_weights_that_it_met() -> None:
    # keep = n / (9 + n) for the n-th of all steps and decay 1: closed form by the recursion itself.
    net = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        net.weight.fill_(0.0)
    average = Average({"net": net}, 0.5)
    expected = 0.0
    for step in range(1, 30):
        with torch.no_grad():
            net.weight.fill_(float(step))
        average.update({"net": net}, step)
        keep = min(0.5, step / (9 + step))
        expected = keep * expected + (1 - keep) * step
    assert float(average.weights["net"]["weight"]) == pytest.approx(expected, rel=1e-5)


def test_applied_weights_are_taken_back() -> None:
    one = loop()
    advance(one, 3)
    before = parameters(one)
    with one.average.applied(one.method):
        held = one.method.networks["denoiser"].state_dict()
        for key, value in one.average.weights["denoiser"].items():
            assert torch.equal(held[key], value)
        assert one.method.networks["denoiser"] is plain(one.method.networks["denoiser"])
    assert all(torch.equal(a, b) for a, b in zip(before, parameters(one), strict=True))


def test_a_loss_that_is_no_number_stops_with_its_step() -> None:
    one = loop()
    advance(one, 2)
    with torch.no_grad():
        next(one.method.networks["denoiser"].parameters()).fill_(float("nan"))
    kept = {k: v.clone() for k, v in one.average.weights["denoiser"].items()}
    with pytest.raises(TrainingStopped, match="step 3"):
        advance(one, 1)
    assert one.step == 2
    assert all(torch.equal(kept[k], v) for k, v in one.average.weights["denoiser"].items())


def test_the_clock_ends_it_where_minutes_are_given() -> None:
    one = loop(steps=10**6, minutes=1 / 120)
    begun = time.perf_counter()
    told = [step.progress for step in one.run()]
    assert 0.4 < time.perf_counter() - begun < 3
    assert told == sorted(told) and told[-1] == 1 and 1 < len(told) < 10**4


def test_a_clock_of_its_own_counts_for_the_minutes() -> None:
    ticks = iter(range(10**6))
    one = loop(steps=10**6, minutes=1.0, clock=lambda: 6.0 * next(ticks))
    # One reading at the beginning and one in every step, six seconds apart: ten steps are a minute.
    assert [round(step.progress, 6) for step in one.run()] == pytest.approx([n / 10 for n in range(1, 11)])


def test_the_next_batch_is_drawn_while_the_network_learns() -> None:
    class Slow:
        def draw(self, stage: Stage, seed: tuple[int, ...]) -> Any:
            time.sleep(0.03)
            return pool_for(REDCNNMethod).draw(stage, seed)

    one = loop(pool=Slow())
    learn = one.method.step

    def slower(*told: Any) -> Any:
        time.sleep(0.06)
        return learn(*told)

    one.method.step = slower
    steps = list(one.run())
    # The first has nothing drawn ahead.
    assert sum(s.waited for s in steps[1:]) < 0.1 * sum(s.seconds for s in steps[1:])
    assert all(s.samples == 4 for s in steps)


def test_stop_ends_it_behind_the_step() -> None:
    one = loop()
    for step in one.run():
        if step.number == 4:
            one.stop()
    assert one.step == 4


def test_a_bare_training_leaves_the_averaged_weights() -> None:
    made = method()
    done = fit(made, pool_for(REDCNNMethod), steps=8, seed=3)
    assert done.steps == 8 and 0 <= done.waited < 1
    one = loop(steps=8)
    advance(one, 8)
    held = plain(made.networks["denoiser"]).state_dict()
    for key, value in one.average.weights["denoiser"].items():
        assert torch.equal(held[key], value)


def test_seeds_of_neighbours_are_far_apart() -> None:
    seeds = {seed_of(0, rank, step) for rank in range(4) for step in range(100)}
    assert len(seeds) == 400 and max(seeds) > 2**60 and min(seeds) < 2**58
