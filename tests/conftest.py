"""What tests of several rooms share: the model that ships, run by engines that compile it only once."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from quell.image import Image, Modality
from quell.inference.contracts import Network, Runtime
from quell.inference.network_denoiser import NetworkDenoiser
from quell.models.registry import default_card, model_files


class CompiledOnce:
    """A runtime that remembers what it compiled; `any_size` where one compilation fits all shapes."""

    def __init__(self, runtime: Runtime, any_size: bool) -> None:
        self._runtime, self._any_size = runtime, any_size
        self._networks: dict[object, Network] = {}

    @property
    def description(self) -> str:
        return self._runtime.description

    def load(self, file: Path, shapes: Mapping[str, tuple[int, ...]], streams: int, exact: bool) -> Network:
        # Networks of one name differ between models, hence the content.
        key = (file.read_bytes(), *(() if self._any_size else (tuple(shapes.items()), streams, exact)))
        if key not in self._networks:
            self._networks[key] = self._runtime.load(file, shapes, streams, exact)
        return self._networks[key]


@pytest.fixture(scope="session")
def onnx() -> Runtime:
    """Return ONNX Runtime, which computes in 32-bit floats."""
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    from quell.inference.onnx_runtime import OnnxRuntime

    return CompiledOnce(OnnxRuntime(threads=2), any_size=True)


@pytest.fixture(scope="session")
def openvino() -> Runtime:
    """Return OpenVINO, the engine that users get."""
    from quell.inference.openvino_runtime import OpenVINORuntime

    return CompiledOnce(OpenVINORuntime(), any_size=False)


@pytest.fixture(scope="session")
def build(onnx: Runtime) -> Callable[..., NetworkDenoiser]:
    """Return a maker of denoisers from the model that ships, in 32-bit floats unless told otherwise."""

    def make(
        runtime: Runtime = onnx, tile: int = 2048, streams: int = 2, **changes: object
    ) -> NetworkDenoiser:
        card = default_card(Modality.CT)
        changed = card.model_copy(update=changes)
        return NetworkDenoiser(changed, model_files(card), runtime, tile=tile, streams=streams)

    return make


@pytest.fixture(scope="session")
def exact(build: Callable[..., NetworkDenoiser]) -> NetworkDenoiser:
    """Return the model that ships in 32-bit floats."""
    return build()


@pytest.fixture(scope="session")
def fast(build: Callable[..., NetworkDenoiser], openvino: Runtime) -> NetworkDenoiser:
    """Return the model that ships as users get it: bfloat16 where the processor has it."""
    return build(openvino)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20)


def scene(rng: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    """Return a flat ground with a few smooth and sharp things on it, of contrast 1."""
    z, y, x = np.ogrid[tuple(slice(0, n) for n in shape)]
    disc = np.hypot(y - 0.4 * shape[1], x - 0.6 * shape[2]) < 0.2 * min(shape[1:])
    bump = np.exp(-((y - 0.7 * shape[1]) ** 2 + (x - 0.3 * shape[2]) ** 2) / (0.02 * shape[1] * shape[2] + 1))
    return (disc + 0.6 * bump + 0.05 * z).astype(np.float32)


@pytest.fixture
def noisy(rng: np.random.Generator) -> Callable[..., Image]:
    """Return a maker of noisy images: contrast 1, white noise of standard deviation `sigma`."""

    def make(*shape: int, sigma: float = 0.1, **fields: object) -> Image:
        noise = rng.standard_normal(shape).astype(np.float32)
        return Image(scene(rng, shape) + np.float32(sigma) * noise, **fields)

    return make


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real images; skip where it is not installed."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    path = Path(os.environ.get("QUELL_SHARED_DATA", beside))
    if not path.is_dir():
        pytest.skip("real images are not installed (set QUELL_SHARED_DATA)")
    return path
