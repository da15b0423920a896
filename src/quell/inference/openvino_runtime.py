"""OpenVINO: the default engine, in bfloat16 where the processor has it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from quell.errors import ModelError
from quell.image import FloatArray
from quell.inference.contracts import Network

_FIRST_ARRAY = threading.Lock()


class OpenVINORuntime:
    """Run ONNX files through OpenVINO.

    Parameters
    ----------
    device : str
        ``"auto"`` (the processor), ``"cpu"`` or ``"gpu"``.
    threads : int, optional
        Processor threads; all cores when not given.

    Raises
    ------
    ModelError
        If OpenVINO cannot be loaded or has no such device.
    """

    def __init__(self, device: str = "auto", threads: int | None = None) -> None:
        self._core: Any = _load().Core()
        self._device = "GPU" if device == "gpu" else "CPU"
        self._threads = threads
        if not any(name.startswith(self._device) for name in self._core.available_devices):
            raise ModelError(f"OpenVINO finds no {self._device} here; use --device cpu")
        capabilities = self._core.get_property(self._device, "OPTIMIZATION_CAPABILITIES")
        fast = {"CPU": "BF16", "GPU": "FP16"}[self._device]
        self._short = {"BF16": "bf16", "FP16": "f16"}[fast] if fast in capabilities else "f32"

    @property
    def description(self) -> str:
        """Engine, device and precision."""
        return f"OpenVINO {self._device} {self._short}"

    def load(self, file: Path, shapes: Mapping[str, tuple[int, ...]], streams: int, exact: bool) -> Network:
        """Compile a network; see `quell.inference.contracts.Runtime.load`."""
        try:
            model = self._core.read_model(file)
            model.reshape({name: list(shape) for name, shape in shapes.items()})
            compiled = self._core.compile_model(model, self._device, self._options(streams, exact))
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise ModelError(f"{file.name}: OpenVINO cannot compile it: {reason}") from error
        return _Requests(compiled)

    def _options(self, streams: int, exact: bool) -> dict[str, str]:
        options = {
            "INFERENCE_PRECISION_HINT": "f32" if exact else self._short,
            "NUM_STREAMS": str(streams),
        }
        if self._device == "CPU" and self._threads:
            options["INFERENCE_NUM_THREADS"] = str(self._threads)
        return options


def _load() -> Any:
    """Import OpenVINO without its converter, which Quell does not use and which brings telemetry."""
    converter = "openvino.tools.ovc"
    hide = "openvino" not in sys.modules
    if hide:
        sys.modules[converter] = None  # type: ignore[assignment]
    try:
        import openvino
    except ImportError as error:
        raise ModelError(f"OpenVINO cannot be loaded: {error}") from error
    finally:
        if hide:
            sys.modules.pop(converter, None)
    # The binding looks NumPy up when it first meets an array, and two threads that do so at once
    # wait for each other for ever: one holds the interpreter's lock, the other the binding's.
    with _FIRST_ARRAY:
        openvino.Tensor(np.zeros(1, np.float32), shared_memory=True).data.copy()
    return openvino


class _Requests:
    """A compiled model with one inference request for each calling thread."""

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled
        self._local = threading.local()

    def __call__(self, *inputs: FloatArray) -> tuple[FloatArray, ...]:
        if not hasattr(self._local, "request"):
            self._local.request = self._compiled.create_infer_request()
        # Outputs are copied: the request reuses its buffers at the next call.
        results = self._local.request.infer(list(inputs), share_inputs=True)
        return tuple(results[output].copy() for output in self._compiled.outputs)
