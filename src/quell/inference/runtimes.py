"""Choose the engine."""

from __future__ import annotations

from quell.errors import ModelError
from quell.inference.contracts import Runtime

ENGINES = ("auto", "openvino", "onnx")
DEVICES = ("auto", "cpu", "gpu")


def make_runtime(engine: str = "auto", device: str = "auto", threads: int | None = None) -> Runtime:
    """Return an engine by name.

    Parameters
    ----------
    engine : str
        One of `ENGINES`; ``"auto"`` is OpenVINO, or ONNX Runtime where OpenVINO cannot be loaded.
    device : str
        One of `DEVICES`.
    threads : int, optional
        Processor threads; all cores when not given.

    Raises
    ------
    ModelError
        If the name is unknown or the engine or the device is not there.
    """
    from quell.inference.onnx_runtime import OnnxRuntime
    from quell.inference.openvino_runtime import OpenVINORuntime

    check_names(engine, device)
    if engine == "onnx":
        return OnnxRuntime(device, threads)
    try:
        return OpenVINORuntime(device, threads)
    except ModelError as first:
        if engine == "openvino":
            raise
        try:
            return OnnxRuntime(device, threads)
        except ModelError:
            raise first from None


def check_names(engine: str, device: str) -> None:
    """Raise ModelError where an engine or a device has a name that is not known."""
    if engine not in ENGINES:
        raise ModelError(f"unknown engine {engine!r}: one of {', '.join(ENGINES)}")
    if device not in DEVICES:
        raise ModelError(f"unknown device {device!r}: one of {', '.join(DEVICES)}")
