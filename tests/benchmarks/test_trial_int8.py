"""Rounding to 8 bits is what it says, in torch and in ONNX."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("onnx", reason="ONNX is not installed")
pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

from quell.noise.spectrum import DESCRIPTOR_SIZE  # noqa: E402
from quell.training.release import export  # noqa: E402
from quell.training.universal import Pair  # noqa: E402

Script = Callable[[str], ModuleType]
Shared = dict[str, np.ndarray]


def test_rounding_is_at_most_half_a_step_and_cuts_off(script: Script) -> None:
    rounded = script("int8_aware").rounded
    values = torch.linspace(-3, 3, 301, requires_grad=True)
    found = rounded(values, 0.1, -20, 20)
    inside = values.detach().abs() <= 2
    assert float((found - values).detach()[inside].abs().max()) <= 0.05 + 1e-6
    assert float(found.detach().abs().max()) == pytest.approx(2)
    found.sum().backward()
    assert values.grad is not None
    # The gradient passes the rounding by, and ends where values are cut off.
    assert torch.equal(values.grad[~inside], torch.zeros_like(values.grad[~inside]))
    assert values.grad[values.detach().abs() < 1.99] == pytest.approx(1)


def test_weights_have_255_steps_for_every_output(script: Script) -> None:
    torch.manual_seed(0)
    for axis in (0, 1):
        weight = torch.randn(4, 5, 3, 3) * torch.logspace(-3, 3, 4 + axis).reshape(
            [-1 if k == axis else 1 for k in range(4)]
        )
        found = script("int8_aware").RoundedWeights(axis)(weight)
        others = [k for k in range(4) if k != axis]
        step = weight.abs().amax(dim=others, keepdim=True) / 127
        assert bool(((found - weight).abs() <= 0.5 * step * (1 + 1e-4)).all())
        assert bool((((found / step) - (found / step).round()).abs() < 1e-3).all())


@pytest.fixture
def exported(tmp_path: Path) -> tuple[Pair, Path, list[Shared]]:
    torch.manual_seed(1)
    pair = Pair().eval()
    export(pair, tmp_path)
    rng = np.random.default_rng(0)
    size = pair.denoiser.config["condition_size"]
    assert size > DESCRIPTOR_SIZE
    inputs = [
        {
            "normalised": rng.standard_normal((1, 3, 64, 64)).astype(np.float32),
            "condition": rng.standard_normal((1, size)).astype(np.float32),
        }
        for _ in range(4)
    ]
    return pair, tmp_path / "denoiser.onnx", inputs


def onnx_outputs(file: Path, inputs: Shared) -> list[np.ndarray]:
    """Return what each convolution of a network gives."""
    import onnx
    import onnxruntime

    model = onnx.load(str(file))
    names = [node.output[0] for node in model.graph.node if node.op_type in ("Conv", "ConvTranspose")]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return [np.asarray(one) for one in session.run(names, inputs)]


def torch_outputs(aware: ModuleType, pair: Pair, told: list[torch.Tensor]) -> list[np.ndarray]:
    """Return the same of the denoiser in torch."""
    found: list[np.ndarray] = []
    hooks = [
        one.register_forward_hook(lambda module, inputs, output: found.append(output.numpy()))
        for one in aware.convolutions(pair)
    ]
    with torch.no_grad():
        pair.denoiser(*told)
    for hook in hooks:
        hook.remove()
    return found


def test_sums_get_what_was_not_rounded(
    script: Script, exported: tuple[Pair, Path, list[Shared]], tmp_path: Path
) -> None:
    import onnx

    _, file, inputs = exported
    script("int8_networks").quantise(file, tmp_path / "short.onnx", inputs, False, "MinMax")
    nodes = onnx.load(str(tmp_path / "short.onnx")).graph.node
    made = {name: node.op_type for node in nodes for name in node.output}
    for node in nodes:
        short = [made.get(name) == "DequantizeLinear" for name in node.input]
        assert any(short) == (node.op_type in ("Conv", "ConvTranspose")), node.name


def test_torch_rounds_as_the_quantised_network_does(
    script: Script, exported: tuple[Pair, Path, list[Shared]], tmp_path: Path
) -> None:
    aware, networks = script("int8_aware"), script("int8_networks")
    pair, file, inputs = exported
    total = len(networks.convolutions(file))
    assert total == len(aware.convolutions(pair))
    short = tmp_path / "short.onnx"
    networks.quantise(file, short, inputs, True, "MinMax")
    assert networks.quantised_convolutions(file) == 0
    assert networks.quantised_convolutions(short) == total - 2
    found = aware.ranges(short)
    assert [one is None for one in found] == [True, *[False] * (total - 2), True]
    expected = onnx_outputs(short, inputs[0])
    told = [torch.from_numpy(one) for one in inputs[0].values()]
    floats = torch_outputs(aware, pair, told)
    aware.round_everything(pair, found)
    mine = torch_outputs(aware, pair, told)
    # The same ranges and steps. Further on, steps that fall to the other side here and there add up.
    for k in range(1, 4):
        off = np.abs(mine[k] - expected[k]).mean()
        assert off < 0.1 * np.abs(floats[k] - expected[k]).mean()
    again = tmp_path / "again.onnx"
    networks.quantise(file, again, inputs[:1], True, "MinMax", aware.overrides(found))
    assert aware.ranges(again) == found


def test_a_variant_is_near_only_where_nothing_loses(script: Script) -> None:
    int8 = script("int8")
    rows = [
        {"of": "a", "psnr_db": {int8.SHORT: 30.0, int8.WHOLE: 30.1}},
        {"of": "b", "psnr_db": {int8.SHORT: 30.0, int8.WHOLE: 29.9}},
        {"of": "nothing", "psnr_db": {int8.SHORT: None, int8.WHOLE: None}},
    ]
    times = {int8.SHORT: 20.0, int8.WHOLE: 10.0}
    found = int8.verdict(int8.WHOLE, rows, times)
    assert (found["near"], found["worst_lost_db"], found["times_as_fast"]) == (False, 0.1, 2.0)
    assert int8.why_not_aware({int8.WHOLE: found}) == ""
    assert "no faster" in int8.why_not_aware({int8.WHOLE: {**found, "times_as_fast": 0.9}})
    assert int8.WHOLE in int8.why_not_aware({int8.WHOLE: int8.verdict(int8.WHOLE, rows[:1], times)})


def test_instructions_are_those_of_the_system(script: Script, tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("flags\t\t: fpu avx2 avx512f avx512_vnni\nmodel: avx512_bf16\n")
    assert script("int8").instructions(file) == ["avx2", "avx512f", "avx512_vnni"]
    assert script("int8").instructions(tmp_path / "none") == []
