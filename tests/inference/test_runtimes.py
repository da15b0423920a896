"""The engines agree with each other and say what is wrong."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from quell.errors import ModelError
from quell.image import Modality
from quell.inference.contracts import Runtime
from quell.inference.kinds import one_hot
from quell.inference.runtimes import make_runtime
from quell.models.registry import default_card, model_files
from quell.noise.spectrum import DESCRIPTOR_SIZE

SIDE = 64


@pytest.fixture(scope="module")
def files() -> dict[str, Path]:
    return model_files(default_card(Modality.CT))


@pytest.fixture(scope="module")
def inputs() -> dict[str, tuple[np.ndarray, ...]]:
    rng = np.random.default_rng(0)
    card = default_card(Modality.CT)
    stack = rng.standard_normal((1, card.slices, SIDE, SIDE)).astype(np.float32)
    spectrum = rng.normal(0, 0.3, (1, DESCRIPTOR_SIZE)).astype(np.float32)
    kind = (one_hot("CT", card.kinds)[None],) if card.kinds else ()
    told = np.concatenate([spectrum, *kind], axis=1)
    return {"denoiser": (stack, told), "estimator": (stack[:, :1].copy(), *kind)}


def names(values: tuple[np.ndarray, ...]) -> tuple[str, ...]:
    """Return the names of the inputs of a network: one slice is for the estimator."""
    told = bool(default_card(Modality.CT).kinds)
    if values[0].shape[1] == 1:
        return ("scaled", "kind") if told else ("scaled",)
    return "normalised", "condition" if told else "spectrum"


def outputs(
    runtime: Runtime, file: Path, values: tuple[np.ndarray, ...], exact: bool
) -> tuple[np.ndarray, ...]:
    shapes = {name: value.shape for name, value in zip(names(values), values, strict=True)}
    return runtime.load(file, shapes, 1, exact)(*values)


@pytest.mark.parametrize("role", ["denoiser", "estimator"])
def test_openvino_in_32_bits_agrees_with_onnx_runtime(
    role: str,
    onnx: Runtime,
    openvino: Runtime,
    files: dict[str, Path],
    inputs: dict[str, tuple[np.ndarray, ...]],
) -> None:
    one = outputs(onnx, files[role], inputs[role], exact=True)
    other = outputs(openvino, files[role], inputs[role], exact=True)
    assert len(one) == len(other)
    for first, second in zip(one, other, strict=True):
        assert first.shape == second.shape
        assert first.std() > 0
        np.testing.assert_allclose(first, second, atol=1e-4)


def test_the_short_float_costs_a_fiftieth_of_the_noise(
    onnx: Runtime, openvino: Runtime, files: dict[str, Path], inputs: dict[str, tuple[np.ndarray, ...]]
) -> None:
    (exact,) = outputs(onnx, files["denoiser"], inputs["denoiser"], exact=True)
    (short,) = outputs(openvino, files["denoiser"], inputs["denoiser"], exact=False)
    error = short - exact
    # Unit noise goes in; bfloat16 has 8 bits of precision.
    assert error.std() < 0.02
    assert np.abs(error).max() < 0.2


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_calls_from_several_threads_do_not_meet(
    engine: str,
    request: pytest.FixtureRequest,
    files: dict[str, Path],
    inputs: dict[str, tuple[np.ndarray, ...]],
) -> None:
    runtime: Runtime = request.getfixturevalue(engine)
    stack, told = inputs["denoiser"]
    shapes = dict(zip(names((stack, told)), (stack.shape, told.shape), strict=True))
    network = runtime.load(files["denoiser"], shapes, 1, False)
    gains = [1.0, 2.0, -1.0, 0.5, 3.0, -2.0]
    alone = [network(np.float32(g) * stack, told)[0] for g in gains]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda g: network(np.float32(g) * stack, told)[0], gains))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_a_file_that_is_no_network_is_a_model_error_of_one_line(
    engine: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    runtime: Runtime = request.getfixturevalue(engine)
    file = tmp_path / "denoiser.onnx"
    file.write_bytes(b"no network")
    with pytest.raises(ModelError, match=r"denoiser\.onnx") as caught:
        runtime.load(file, {"normalised": (1, 3, 8, 8)}, 1, False)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("engine", "device", "wrong"), [("tensorflow", "cpu", "engine"), ("auto", "tpu", "device")]
)
def test_unknown_names_are_refused_with_what_there_is(engine: str, device: str, wrong: str) -> None:
    with pytest.raises(ModelError, match=f"unknown {wrong}.*auto.*"):
        make_runtime(engine, device)


@pytest.mark.parametrize(
    ("engine", "name"), [("auto", "OpenVINO"), ("openvino", "OpenVINO"), ("onnx", "ONNX Runtime")]
)
def test_the_description_names_engine_device_and_precision(engine: str, name: str) -> None:
    if engine == "onnx":
        pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    described = make_runtime(engine, "cpu").description
    assert described.startswith(f"{name} CPU ")
    assert described.split()[-1] in ("f32", "bf16")


def test_without_openvino_onnx_runtime_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

    def fail(*arguments: object) -> None:
        raise ModelError("OpenVINO cannot be loaded")

    monkeypatch.setattr("quell.inference.openvino_runtime.OpenVINORuntime.__init__", fail)
    assert make_runtime("auto").description.startswith("ONNX Runtime")
    with pytest.raises(ModelError, match="OpenVINO cannot be loaded"):
        make_runtime("openvino")


def test_the_first_calls_may_come_from_two_threads_at_once() -> None:
    # The race is rare in one process, so it is looked for in many fresh ones, side by side.
    code = """
import numpy as np
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from quell.inference.openvino_runtime import OpenVINORuntime
from quell.models.registry import find_card, model_files
network = OpenVINORuntime(threads=2).load(
    model_files(find_card("universal.fast"))["estimator"], {"scaled": (1, 1, 32, 32)}, 2, True
)
start = Barrier(2)
def first(_):
    start.wait()
    return network(np.ones((1, 1, 32, 32), np.float32))
with ThreadPoolExecutor(2) as pool:
    list(pool.map(first, range(2)))
"""
    started = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(4)]
    try:
        assert [process.wait(timeout=120) for process in started] == [0] * 4
    finally:
        for process in started:
            process.kill()
