"""ONNX Runtime: the alternative engine, in 32-bit floats."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quell.errors import ModelError
from quell.image import FloatArray
from quell.inference.contracts import Network


class OnnxRuntime:
    """Run ONNX files through ONNX Runtime.

    Parameters
    ----------
    device : str
        ``"auto"`` or ``"cpu"`` (the processor), ``"gpu"`` (CUDA).
    threads : int, optional
        Processor threads; all cores when not given.

    Raises
    ------
    ModelError
        If ONNX Runtime is not installed or has no such device.
    """

    def __init__(self, device: str = "auto", threads: int | None = None) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise ModelError("ONNX Runtime is not installed: pip install 'quell[onnx]'") from error
        self._module: Any = onnxruntime
        self._provider = "CUDAExecutionProvider" if device == "gpu" else "CPUExecutionProvider"
        self._threads = threads or 0
        if self._provider not in onnxruntime.get_available_providers():
            raise ModelError("ONNX Runtime has no CUDA here; use --device cpu")

    @property
    def description(self) -> str:
        """Engine, device and precision."""
        return f"ONNX Runtime {'GPU' if 'CUDA' in self._provider else 'CPU'} f32"

    def load(self, file: Path, shapes: Mapping[str, tuple[int, ...]], streams: int, exact: bool) -> Network:
        """Load a network; see `quell.inference.contracts.Runtime.load`."""
        options = self._module.SessionOptions()
        options.intra_op_num_threads = max(1, self._threads // streams) if self._threads else 0
        options.log_severity_level = 3
        try:
            session = self._module.InferenceSession(str(file), options, providers=[self._provider])
        except Exception as error:
            reason = " ".join(str(error).split())
            raise ModelError(f"{file.name}: ONNX Runtime cannot load it: {reason}") from error
        names = list(shapes)

        def run(*inputs: FloatArray) -> tuple[FloatArray, ...]:
            return tuple(session.run(None, dict(zip(names, inputs, strict=True))))

        return run
