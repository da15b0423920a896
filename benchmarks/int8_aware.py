"""Training with the rounding to 8 bits in place, so that the weights make up for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from quell.inference.kinds import KINDS
from quell.noise.spectrum import DESCRIPTOR_SIZE
from quell.training.release import export
from quell.training.universal import Options, Pair, Run

KINDS_OF_CONVOLUTION = (nn.Conv2d, nn.ConvTranspose2d)


@dataclass(frozen=True)
class Range:
    """The 8 bits of one activation.

    Attributes
    ----------
    tensor : str
        Its name in the network.
    scale : float
        A step.
    zero : int
        The step that stands for 0, of 0 to 255.
    """

    tensor: str
    scale: float
    zero: int


def ranges(file: Path) -> list[Range | None]:
    """Return the range of the input of each convolution of a network, in order; None for those in floats."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(file)).graph
    values = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    found: list[Range | None] = []
    for node in graph.node:
        if node.op_type not in ("Conv", "ConvTranspose"):
            continue
        short = makers.get(node.input[0])
        if short is None or short.op_type != "DequantizeLinear":
            found.append(None)
            continue
        scale, zero = (values[name] for name in short.input[1:3])
        found.append(Range(makers[short.input[0]].input[0], float(scale), int(zero)))
    return found


def rounded(values: Tensor, scale: Tensor | float, lowest: float, highest: float) -> Tensor:
    """Return values in whole steps from the lowest to the highest; the gradient passes the rounding by.

    Parameters
    ----------
    values : Tensor
    scale : Tensor or float
        Of a step.
    lowest, highest : float
        In steps. What lies beyond is cut off, and has no gradient.
    """
    steps = (values / scale).clamp(lowest, highest)
    return scale * (steps + (steps.round() - steps).detach())


class RoundedWeights(nn.Module):
    """Weights in 8 bits by output channel, symmetric.

    Parameters
    ----------
    axis : int
        Of the output channels.
    """

    def __init__(self, axis: int) -> None:
        super().__init__()
        self._others = [k for k in range(4) if k != axis]

    def forward(self, weight: Tensor) -> Tensor:
        """Return weights that 8 bits can hold."""
        scale = weight.detach().abs().amax(dim=self._others, keepdim=True).clamp(min=1e-12) / 127
        return rounded(weight, scale, -127, 127)


def convolutions(pair: Pair) -> list[nn.Module]:
    """Return the convolutions of the denoiser in the order in which they run."""
    found: list[nn.Module] = []
    hooks = [
        one.register_forward_pre_hook(lambda module, inputs: found.append(module))
        for one in pair.denoiser.modules()
        if isinstance(one, KINDS_OF_CONVOLUTION)
    ]
    with torch.no_grad():
        slices = pair.denoiser.config["slices"]
        pair.denoiser(torch.zeros(1, slices, 32, 32), torch.zeros(1, DESCRIPTOR_SIZE + len(KINDS)))
    for hook in hooks:
        hook.remove()
    return found


def round_everything(pair: Pair, found: Sequence[Range | None]) -> None:
    """Put the rounding of weights and inputs into the convolutions that have a range."""
    for module, one in zip(convolutions(pair), found, strict=True):
        if one is None:
            continue
        axis = 1 if isinstance(module, nn.ConvTranspose2d) else 0
        parametrize.register_parametrization(module, "weight", RoundedWeights(axis))

        def before(module: nn.Module, inputs: tuple[Tensor], one: Range = one) -> tuple[Tensor]:
            # In the 16 bits of the training a step would be rounded twice.
            return (rounded(inputs[0].float(), one.scale, -one.zero, 255 - one.zero),)

        module.register_forward_pre_hook(before)


def train_aware(
    pack: Path, weights: Path, folder: Path, options: Options, found: Sequence[Range | None]
) -> Path:
    """Train weights on with the rounding in place, and write the denoiser in floats.

    The estimator stays as it is.

    Returns
    -------
    Path
        An ONNX file that is to be quantised with the same ranges.
    """
    run = Run(pack, folder, options, torch.device("cpu"), weights)
    run.pair.estimator.requires_grad_(False)
    for pair in (run.pair, run.average):
        round_everything(pair, found)
    run.train(told=lambda line: print(f"  aware: {line}", flush=True))
    plain = Pair(options.tier)
    plain.load_state_dict(_without_rounding(run.average.state_dict()))
    target = folder / "model"
    target.mkdir(parents=True, exist_ok=True)
    export(plain, target)
    return target / "denoiser.onnx"


def _without_rounding(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.replace("parametrizations.weight.original", "weight"): one for name, one in state.items()}


def overrides(found: Sequence[Range | None]) -> dict[str, Any]:
    """Return ranges as ONNX Runtime takes them."""
    return {
        one.tensor: [{"scale": np.array(one.scale, np.float32), "zero_point": np.array(one.zero, np.uint8)}]
        for one in found
        if one is not None
    }
