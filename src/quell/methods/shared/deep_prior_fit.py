"""Fit an untrained network to one noisy image by L-BFGS, and stop before it fits the noise.

Nothing here looks at a truth: a fit ends when what it leaves is as strong as the noise, or when it begins to
tell left-out data worse.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

Judge = Callable[[Tensor], float]
"""From an image of the network to a figure that a stop is decided by; lower is later."""

_STUCK = 1e-7
"""Share of the loss that an iteration gains at least."""


@dataclass
class Fit:
    """What a fit did.

    Attributes
    ----------
    image : Tensor
        Of the iterate that was chosen, of the shape of the target.
    losses : list of float
        Mean squared error after 0, 1, ... rounds of iterations.
    figures : list of float
        What the judge said of them.
    iterations : int
        Of L-BFGS, up to the iterate that was chosen.
    evaluations : int
        Of the network, in all.
    reason : str
        Why it stopped.
    """

    image: Tensor
    losses: list[float] = field(default_factory=list)
    figures: list[float] = field(default_factory=list)
    iterations: int = 0
    evaluations: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Rule:
    """When to stop.

    Attributes
    ----------
    judge : callable or None
        None: after all iterations.
    level : float or None
        The first iterate whose figure is not above it is taken. None: the iterate with the lowest figure.
    patience : int
        Iterations without a lower figure after which it stops, where there is no level.
    """

    judge: Judge | None = None
    level: float | None = None
    patience: int = 20


def fit(
    network: nn.Module,
    known: Tensor,
    target: Tensor,
    weight: Tensor,
    rule: Rule,
    iterations: int,
    every: int = 2,
    history: int = 10,
    watch: Callable[[int, Tensor], None] | None = None,
) -> Fit:
    """Minimise the mean squared error of a network's image by L-BFGS with a strong-Wolfe line search.

    Parameters
    ----------
    network : nn.Module
    known : Tensor, shape (1, channels, [z,] y, x)
        Its input, which stays the same.
    target : Tensor, shape (1, 1, [z,] y, x)
    weight : Tensor, same shape
        1 where the target counts, 0 elsewhere.
    rule : Rule
    iterations : int
        The most that there are.
    every : int
        Iterations between two looks at the rule.
    history : int
        Pairs of vectors that L-BFGS keeps.
    watch : callable, optional
        Called with the number of iterations and the image of each look.
    """
    optimiser = torch.optim.LBFGS(
        network.parameters(),
        max_iter=every,
        max_eval=every * 5,
        history_size=history,
        tolerance_grad=0.0,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )
    total = weight.sum()
    calls = 0

    def closure() -> Tensor:
        nonlocal calls
        calls += 1
        optimiser.zero_grad()
        loss: Tensor = (weight * (network(known) - target) ** 2).sum() / total
        torch.autograd.backward(loss)
        return loss

    state = _Choice(rule, target)
    for done in range(0, iterations + 1, every):
        with torch.no_grad():
            image = network(known)
            loss = float((weight * (image - target) ** 2).sum() / total)
        if watch is not None:
            watch(done, image)
        if state.stop(done, image, loss) or done + every > iterations:
            break
        optimiser.step(closure)  # type: ignore[no-untyped-call]
    state.fit.evaluations = calls
    return state.fit


class _Choice:
    """The iterate that a rule has chosen so far."""

    def __init__(self, rule: Rule, target: Tensor) -> None:
        self.rule, self.best = rule, math.inf
        self.fit = Fit(torch.zeros_like(target), reason="all iterations were done")

    def stop(self, done: int, image: Tensor, loss: float) -> bool:
        """Take note of an iterate; return whether it was the last."""
        fit, rule = self.fit, self.rule
        if not math.isfinite(loss):
            fit.reason = "the loss was no number any more"
            return True
        stuck = bool(fit.losses) and loss > (1 - _STUCK) * fit.losses[-1]
        figure = loss if rule.judge is None else rule.judge(image)
        fit.losses.append(loss)
        fit.figures.append(figure)
        if figure < self.best:
            self.best, fit.image, fit.iterations = figure, image.detach().clone(), done
        if rule.level is not None and figure <= rule.level:
            fit.reason = "the residual is as strong as the noise"
        elif rule.level is None and rule.judge is not None and done - fit.iterations >= rule.patience:
            fit.reason = "left-out data were told no better"
        elif stuck:
            fit.reason = "the loss fell no further"
        else:
            return False
        return True
