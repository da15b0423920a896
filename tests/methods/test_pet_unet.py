"""The U-Net from low-count to full-count PET: training, residual, prior, export."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from pydantic import ValidationError
from torch import nn

from quell.errors import QuellError
from quell.image import Modality
from quell.methods.contracts import Batch, DataFacts
from quell.methods.pet_unet import PETUNet, PETUNetConfig
from quell.models.scaling import Scaling, ScalingKind


def method(prior: bool = False, **settings: object) -> PETUNet:
    torch.manual_seed(0)
    data = DataFacts(Modality.PT, "Bq/ml", 4, Scaling(kind=ScalingKind.MEAN), prior=prior)
    return PETUNet(PETUNetConfig(**{**PETUNet.tiny(), **settings}), data)


def batch(seed: int, prior: bool = False, noise: float = 0.5, n: int = 8) -> Batch:
    torch.manual_seed(seed)
    edge = torch.randint(4, 12, (n, 1, 1, 1))
    clean = 1.0 + (torch.arange(16).expand(n, 3, 16, 16) > edge).float()
    noisy = clean + noise * torch.randn(n, 3, 16, 16)
    told = clean if prior else None
    return Batch(noisy, clean, None, None, told, None, torch.full((n,), 0.25), torch.ones(n))


def train(one: PETUNet, prior: bool, steps: int = 30, noise: float = 0.5) -> list[float]:
    fabric = Fabric(accelerator="cpu", devices=1)
    one.setup(fabric)
    return [one.step(batch(k, prior, noise), k / steps, fabric)["denoiser"] for k in range(steps)]


@pytest.mark.parametrize("prior", [False, True])
def test_loss_falls(prior: bool) -> None:
    told = train(method(prior), prior)
    assert np.mean(told[-5:]) < 0.8 * np.mean(told[:5])


def test_it_starts_as_the_identity_on_the_middle_slice() -> None:
    for prior in (False, True):
        one, drawn = method(prior), batch(0)
        told = (drawn.noisy, drawn.clean) if prior else (drawn.noisy,)
        torch.testing.assert_close(one.exported().module(*told), drawn.noisy[:, 1:2])


def test_the_right_prior_is_better_than_that_of_another() -> None:
    one = method(True, steps=60, rate=3e-2, widths=(16, 16))
    train(one, True, 60, 4.0)
    module, drawn = one.exported().module, batch(99, True, 4.0, n=64)
    assert drawn.clean is not None
    centre = drawn.clean[:, 1:2]
    with torch.no_grad():
        right, wrong = (
            float((module(drawn.noisy, prior) - centre).abs().mean())
            for prior in (drawn.clean, drawn.clean.roll(1, 0))
        )
    assert right < wrong - 0.02


def test_a_missing_prior_is_told() -> None:
    with pytest.raises(QuellError, match="prior"):
        train(method(True), False, 1)


@pytest.mark.parametrize("prior", [False, True])
def test_onnx_gives_the_same_in_both_engines(tmp_path: Path, prior: bool) -> None:
    import onnxruntime
    import openvino

    one = method(prior, widths=(4, 6, 8))
    for parameter in one.networks["denoiser"].parameters():
        nn.init.normal_(parameter, std=0.1)
    exported, file = one.exported(), tmp_path / "model.onnx"
    names = ["noisy", "prior"][: 1 + prior]
    torch.onnx.export(
        exported.module.eval(),
        tuple(torch.randn(1, 3, 16, 16) for _ in names),
        str(file),
        input_names=names,
        output_names=["image"],
        dynamic_axes={name: {0: "n", 2: "y", 3: "x"} for name in [*names, "image"]},
        opset_version=17,
        dynamo=False,
    )
    inputs = [torch.randn(2, 3, 24, 20) for _ in names]
    with torch.no_grad():
        wanted = exported.module(*inputs).numpy()
    feed = {name: value.numpy() for name, value in zip(names, inputs, strict=True)}
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, feed)[0], wanted, atol=1e-3)
    compiled = openvino.Core().compile_model(str(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    np.testing.assert_allclose(compiled(feed)[0], wanted, atol=1e-3)


def test_a_tile_with_its_halo_equals_the_whole_there() -> None:
    one = method(widths=(4, 4, 4))
    nn.init.normal_(one.networks["denoiser"].inner.head.weight)
    exported, image = one.exported(), torch.randn(1, 3, 16, 96)
    start = 48 - exported.multiple * -(-exported.halo // exported.multiple)
    assert start >= 0
    with torch.no_grad():
        whole = exported.module(image)[..., 48:]
        tile = exported.module(image[..., start:])[..., 48 - start :]
    torch.testing.assert_close(tile, whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("settings", [{"slices": 4}, {"size": 18, "widths": (4, 4, 4)}, {"widths": ()}])
def test_settings_that_cannot_work_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PETUNetConfig(**settings)
