"""The running average of the weights of all networks, which is what is validated and exported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from quell.methods.base import plain

Weights = dict[str, dict[str, Tensor]]
"""Weights and buffers of each network by name."""


class Average:
    """The mean of the last weights, worth a longer schedule (Polyak and Juditsky 1992).

    Parameters
    ----------
    networks : mapping of str to nn.Module
    keep : float
        Share of the old average that each step keeps; less in the first steps, whose weights should be
        forgotten. 0 follows the weights as they are.

    Notes
    -----
    Only parameters that are trained are averaged; buffers and frozen parameters are taken as they are.
    """

    def __init__(self, networks: Mapping[str, nn.Module], keep: float) -> None:
        self.keep = keep
        self.weights: Weights = weights_of(networks)

    def update(self, networks: Mapping[str, nn.Module], step: int) -> None:
        """Take the weights after a step (counted from 1) into the average."""
        keep = min(self.keep, step / (9 + step))
        mine: list[Tensor] = []
        now: list[Tensor] = []
        with torch.no_grad():
            for name, network in networks.items():
                bare, held = plain(network), self.weights[name]
                trained = {key for key, value in bare.named_parameters() if value.requires_grad}
                for key, value in bare.state_dict(keep_vars=False).items():
                    if key in trained and value.is_floating_point():
                        mine.append(held[key])
                        now.append(value)
                    else:
                        held[key].copy_(value)
            if mine:
                torch._foreach_lerp_(mine, now, 1 - keep)

    @contextmanager
    def applied(self, method: Any) -> Iterator[None]:
        """Give the networks of a method the averaged weights, without what Fabric wrapped around them.

        At the end they are as they were.
        """
        wrapped, own = method.networks, weights_of(method.networks)
        method.networks = {name: plain(network) for name, network in wrapped.items()}
        modes = {name: network.training for name, network in method.networks.items()}
        try:
            put(self.weights, method.networks)
            yield
        finally:
            put(own, method.networks)
            for name, network in method.networks.items():
                network.train(modes[name])
            method.networks = wrapped


def weights_of(networks: Mapping[str, nn.Module]) -> Weights:
    """Return copies of all weights and buffers."""
    return {
        name: {key: value.detach().clone() for key, value in plain(network).state_dict().items()}
        for name, network in networks.items()
    }


def put(weights: Mapping[str, Mapping[str, Tensor]], networks: Mapping[str, nn.Module]) -> None:
    """Load weights into networks."""
    for name, network in networks.items():
        plain(network).load_state_dict(dict(weights[name]))
