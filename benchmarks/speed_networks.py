"""Networks through Quell's engine, with slices side by side as `NetworkDenoiser` runs them.

As many streams as the process may use cores, and one slice more in hand: what is timed is a batch of slices,
divided by their number. Peers run in the same way, in the same engine and the same two precisions.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from speed_peak import count_macs
from torch import nn

from quell.errors import ModelError
from quell.inference.contracts import Runtime
from quell.inference.make import UNIVERSAL
from quell.inference.runtimes import make_runtime
from quell.inference.streams import cores
from quell.methods.contracts import Exported
from quell.models.registry import locate, model_files
from quell.networks.dncnn import DnCNN
from quell.networks.redcnn import REDCNN
from quell.noise.spectrum import DESCRIPTOR_SIZE
from quell.training.export import export_onnx

BATCH_SECONDS = 0.5
"""About how long a batch of a quick network takes."""

MOST_SLICES = 64
CHAIN_DEPTH = 10
CHAINS = ((64, 2), (128, 4), (256, 8))
"""Channels, and by what the side of the slice is divided: multiplications of a layer are the same in all."""

Shapes = Mapping[str, tuple[int, ...]]


class Streamed:
    """A network that has several slices in hand.

    Parameters
    ----------
    name : str
        Before the comma of the line of the record.
    file : Path
        ONNX file.
    shapes : mapping of str to tuple of int
        Of the inputs, for one slice.
    runtime : Runtime
    exact : bool
        In 32-bit floats; otherwise in the shortest precision that the engine has on this machine.
    often : bool
        See `speed_rounds.Contender`.

    Attributes
    ----------
    macs : int
        Multiply-accumulates of a slice.
    engine : str
        Engine and precision.
    """

    def __init__(
        self, name: str, file: Path, shapes: Shapes, runtime: Runtime, exact: bool, often: bool
    ) -> None:
        self.engine = f"{runtime.description.split()[0]} {precision(runtime, exact)}"
        self.name, self.often = f"{name}, {self.engine}", often
        self.macs = count_macs(file, shapes)
        self._streams = self._slices = cores()
        self._network = runtime.load(file, shapes, self._streams, exact)
        rng = np.random.default_rng(0)
        # One slice for each thread, as in the product: fresh memory for all would be timed as well.
        self._inputs = [
            tuple(rng.standard_normal(shape, np.float32) for shape in shapes.values())
            for _ in range(self._streams + 1)
        ]
        # Kept, since every thread has a request of its own, which is made at its first slice.
        self._pool = ThreadPoolExecutor(self._streams + 1)

    def warm_up(self) -> None:
        """Let every thread make its request; choose how many slices a batch has."""
        self._batch(self._streams + 1)
        if self.often:
            together = self._batch(self._streams) * self._streams
            rounds = int(np.clip(BATCH_SECONDS / together, 1, MOST_SLICES // self._streams))
            self._slices = max(rounds, 1) * self._streams

    def seconds(self) -> float:
        """Time a batch; return the seconds for a slice."""
        return self._batch(self._slices)

    def _batch(self, slices: int) -> float:
        def one(number: int) -> None:
            self._network(*self._inputs[number % len(self._inputs)])

        started = time.perf_counter()
        for _ in self._pool.map(one, range(slices)):
            pass
        return (time.perf_counter() - started) / slices


def precision(runtime: Runtime, exact: bool) -> str:
    """Return the precision in which an engine computes."""
    return "f32" if exact else runtime.description.split()[-1]


def both(name: str, file: Path, shapes: Shapes, runtime: Runtime, often: bool = False) -> list[Streamed]:
    """Return a network in the shortest precision and in 32 bits; once where these are the same."""
    exacts = {precision(runtime, exact): exact for exact in (False, True)}
    return [Streamed(name, file, shapes, runtime, exact, often) for exact in exacts.values()]


def universal(names: Mapping[str, str], side: int) -> list[Streamed]:
    """Return denoisers and estimators of models.

    Parameters
    ----------
    names : mapping of str to str
        Name or folder by what the record calls it.
    side : int
        Of a slice, in pixels.

    Raises
    ------
    ModelError
        If a model is of another kind.
    """
    runtime = make_runtime("openvino")
    found = []
    for called, place in names.items():
        card, folder = locate(place)
        if card.method != UNIVERSAL:
            raise ModelError(f"{called}: a network of the method {card.method}, not a universal one")
        files = model_files(card, folder)
        kinds = len(card.kinds)
        condition = "condition" if kinds else "spectrum"
        told = {"normalised": (1, card.slices, side, side), condition: (1, DESCRIPTOR_SIZE + kinds)}
        scaled = {"scaled": (1, 1, side, side), **({"kind": (1, kinds)} if kinds else {})}
        found += both(called, files["denoiser"], told, runtime, often=True)
        estimator = f"{called} noise estimator"
        found.append(Streamed(estimator, files["estimator"], scaled, runtime, exact=True, often=True))
    return found


def dncnn(width: int = 64, depth: int = 17) -> DnCNN:
    """Return DnCNN (Zhang et al. 2017) with random weights, which cost the same time."""
    network = DnCNN(1, width, depth).eval()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            # As the weights start, activations fade from layer to layer, in the end to numbers that are slow.
            nn.init.ones_(layer.weight)
    return network


def peers(folder: Path, side: int) -> list[Streamed]:
    """Return DnCNN-17 and RED-CNN (Chen et al. 2017) with random weights.

    Parameters
    ----------
    folder : Path
        For their files.
    side : int
        Of a slice, in pixels.
    """
    runtime = make_runtime("openvino")
    shapes = {"noisy": (1, 1, side, side)}
    networks = {"DnCNN-17": dncnn(), "RED-CNN": REDCNN().eval()}
    return [
        one
        for name, network in networks.items()
        for one in both(name, written(network, folder / f"{name}.onnx"), shapes, runtime)
    ]


def chains(folder: Path, side: int) -> list[Streamed]:
    """Return stacks of wide 3 x 3 convolutions on maps that stay in the cache; see `speed_peak`.

    Parameters
    ----------
    folder : Path
        For their files.
    side : int
        Of a slice, in pixels, of which the maps are a part.
    """
    runtime = make_runtime("openvino")
    found = []
    for width, part in CHAINS:
        size = side // part
        file = written(dncnn(width, CHAIN_DEPTH), folder / f"chain{width}.onnx")
        name = f"{CHAIN_DEPTH} convolutions of {width} channels at {size} x {size}"
        found += both(name, file, {"noisy": (1, 1, size, size)}, runtime, often=True)
    return found


def written(network: nn.Module, file: Path) -> Path:
    """Write a network of one slice as ONNX; return the file."""
    export_onnx(Exported(network), network, file)
    return file
