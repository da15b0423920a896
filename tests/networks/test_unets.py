"""The plain U-Nets: sizes, reach, what they start as, and the same output in every runtime."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from quell.networks.unet2d import UNet2d, doubled
from quell.networks.unet3d import UNet3d

KINDS: list[tuple[type[nn.Module], dict[str, Any], int]] = [
    (UNet2d, {"up": "linear"}, 2),
    (UNet2d, {"up": "transposed", "down": "maximum"}, 2),
    (UNet3d, {"up": "linear"}, 3),
    (UNet3d, {"up": "transposed"}, 3),
]


def made(kind: type[nn.Module], options: dict[str, Any], **more: Any) -> Any:
    torch.manual_seed(3)
    return kind(inputs=2, outputs=1, widths=(4, 6, 8), **options, **more).eval()


def test_doubled_widths() -> None:
    assert doubled(8, 4) == (8, 16, 32, 64)


@pytest.mark.parametrize(("kind", "options", "dimensions"), KINDS)
def test_output_has_the_size_of_the_input(
    kind: type[nn.Module], options: dict[str, Any], dimensions: int
) -> None:
    net = made(kind, options)
    size = (8, 12, 16)[-dimensions:]
    assert net.multiple == 4
    with torch.no_grad():
        assert net(torch.rand(2, 2, *size)).shape == (2, 1, *size)


@pytest.mark.parametrize(("kind", "options", "dimensions"), KINDS)
def test_a_residual_network_starts_as_the_identity(
    kind: type[nn.Module], options: dict[str, Any], dimensions: int
) -> None:
    net = made(kind, options, residual=True)
    image = torch.rand(1, 2, *(8, 8, 8)[-dimensions:])
    channel = 1 if dimensions == 2 else 0
    with torch.no_grad():
        assert torch.equal(net(image), image[:, channel : channel + 1])


@pytest.mark.parametrize(("kind", "options", "dimensions"), KINDS)
def test_nothing_beyond_the_halo_changes_the_output(
    kind: type[nn.Module], options: dict[str, Any], dimensions: int
) -> None:
    net = made(kind, options)
    length = 4 * (2 * net.halo // 4 + 3)
    image = torch.rand(1, 2, *(4, 4)[2 - dimensions + 1 :], length)
    image.requires_grad_(True)
    position = length // 2
    net(image)[..., position].sum().backward()
    assert image.grad is not None
    felt = image.grad.abs().flatten(0, -2).sum(0).nonzero().flatten() - position
    assert int(felt.abs().max()) <= net.halo
    # It must not be told twice as large as it is either.
    assert int(felt.abs().max()) > net.halo // 2


def test_what_cannot_be_is_refused() -> None:
    for kind in (UNet2d, UNet3d):
        with pytest.raises(ValueError, match="at least one level"):
            kind(widths=())
        with pytest.raises(ValueError, match="outputs must be 1"):
            kind(outputs=2, residual=True)


def exported(net: nn.Module, example: Tensor) -> bytes:
    axes = dict(enumerate(("n", "c", "z", "y", "x")))
    names = {0: "n"} | {i: axes[i + 5 - example.ndim] for i in range(2, example.ndim)}
    stream = io.BytesIO()
    torch.onnx.export(
        net, (example,), stream, opset_version=17, dynamo=False, input_names=["image"],
        output_names=["out"], dynamic_axes={"image": names, "out": names},
    )  # fmt: skip
    return stream.getvalue()


@pytest.mark.parametrize(("kind", "options", "dimensions"), KINDS)
def test_runtimes_agree(kind: type[nn.Module], options: dict[str, Any], dimensions: int) -> None:
    runtime = pytest.importorskip("onnxruntime")
    openvino = pytest.importorskip("openvino")
    net = made(kind, options)
    data = exported(net, torch.rand(1, 2, *(8, 8, 8)[-dimensions:]))
    image = torch.rand(1, 2, *(4, 12, 16)[-dimensions:])
    with torch.no_grad():
        expected = net(image).numpy()
    session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {"image": image.numpy()})
    np.testing.assert_allclose(got, expected, atol=1e-4)
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(data, b""), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    np.testing.assert_allclose(compiled({"image": image.numpy()})[0], expected, atol=1e-4)
