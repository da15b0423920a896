"""What the engine reaches on this machine at best, and which share of it a network reaches.

The peak of a precision is the best rate of all that was timed in it, in multiply-accumulates per second: of
chains of wide 3 x 3 convolutions on maps that stay in the cache, which run with the same streams and in the
same rounds as the networks, and of the networks themselves. Nothing can thus lie above the peak. What the
processor could do without an engine lies a little higher, and is not measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from quell.inference.runtimes import make_runtime


class Counted(Protocol):
    """A network whose multiply-accumulates are known; see `speed_networks.Streamed`."""

    name: str
    engine: str
    macs: int


class Peak(NamedTuple):
    """The best rate in a precision.

    Attributes
    ----------
    gmac_per_s : float
        10^9 multiply-accumulates per second.
    of : str
        What reached it.
    """

    gmac_per_s: float
    of: str


def rates(networks: Sequence[Counted], milliseconds: Mapping[str, float]) -> dict[str, float]:
    """Return 10^9 multiply-accumulates per second of each network by name.

    Parameters
    ----------
    networks : sequence of Counted
    milliseconds : mapping of str to float
        For a slice, by name.
    """
    return {one.name: one.macs / milliseconds[one.name] / 1e6 for one in networks}


def peaks(networks: Sequence[Counted], milliseconds: Mapping[str, float]) -> dict[str, Peak]:
    """Return the best rate of each engine and precision; see `rates`."""
    found = rates(networks, milliseconds)
    engines = dict.fromkeys(one.engine for one in networks)
    return {
        engine: max(Peak(found[one.name], one.name) for one in networks if one.engine == engine)
        for engine in engines
    }


def shares(networks: Sequence[Counted], milliseconds: Mapping[str, float]) -> dict[str, float]:
    """Return what part of the peak of its engine and precision each network reaches, by name; see `rates`."""
    found, best = rates(networks, milliseconds), peaks(networks, milliseconds)
    return {one.name: found[one.name] / best[one.engine].gmac_per_s for one in networks}


def count_macs(file: Path, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Count the multiply-accumulates of convolutions and matrix products of an ONNX file.

    Parameters
    ----------
    file : Path
    shapes : mapping of str to tuple of int
        Of its inputs.

    Returns
    -------
    int
        With those on the zeros around an image, which engines compute as well.
    """
    # Loads OpenVINO without the parts that are not wanted.
    make_runtime("openvino")
    import openvino

    model = openvino.Core().read_model(file)
    model.reshape({name: list(shape) for name, shape in shapes.items()})
    return sum(_macs(node) for node in model.get_ordered_ops())


def _macs(node: Any) -> int:
    kind = node.get_type_name()
    if kind not in ("Convolution", "GroupConvolution", "MatMul") and "ConvolutionBackprop" not in kind:
        return 0
    first, second = (tuple(node.input(number).get_shape()) for number in (0, 1))
    out = tuple(node.output(0).get_shape())
    if kind == "MatMul":
        return prod(out) * first[-2 if node.get_attributes()["transpose_a"] else -1]
    # Every weight is used once for each place: of the result, or of the input where that is spread out.
    places = first if "Backprop" in kind else out
    return places[0] * prod(places[2:]) * prod(second)
