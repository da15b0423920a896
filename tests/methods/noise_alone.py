"""Small batches with noise, and what the tests of learning without clean data do with them."""

from __future__ import annotations

import io
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.nn import functional

from quell.image import Modality
from quell.methods.contracts import Batch, DataFacts, Exported
from quell.models.scaling import Scaling, ScalingKind

SIGMA = 0.1


def facts(**changes: Any) -> DataFacts:
    """Return facts of CT with white noise of a tenth of a network unit."""
    scaling = Scaling(kind=ScalingKind.FIXED, scale=1000.0)
    told = DataFacts(Modality.CT, "HU", 4, scaling, scale=1000.0, sigma=SIGMA, mean=0.5)
    return replace(told, **changes)


def batch(method: Any, kind: str = "noisy", seed: int = 5) -> Batch:
    """Return smooth crops with noise, with a clean or a second image besides where it is asked for."""
    made, (slices, rows, columns) = method.stage(0.0).batch, method.stage(0.0).patch
    torch.manual_seed(seed)
    coarse = torch.rand(made, 1, max(rows // 16, 2), max(columns // 16, 2))
    clean = functional.interpolate(coarse, size=(rows, columns), mode="bilinear").repeat(1, slices, 1, 1)
    noisy, second = (clean + SIGMA * torch.randn_like(clean) for _ in range(2))
    ones = torch.ones(made)
    given = Batch(noisy, None, None, None, None, None, ones, 1000 * ones)
    return replace(
        given, clean=clean if kind == "clean" else None, second=second if kind == "second" else None
    )


def trained(method: Any, kind: str = "noisy", steps: int = 30) -> list[float]:
    """Train for some steps on one batch and return the first loss of each."""
    fabric = Fabric(accelerator="cpu", devices=1)
    method.setup(fabric)
    given, losses = batch(method, kind), []
    for step in range(steps):
        torch.manual_seed(step)
        told = method.step(given, step / steps, fabric)
        losses.append(next(iter(told.values())))
    return losses


def onnx_of(exported: Exported, inputs: tuple[Tensor, ...]) -> bytes:
    """Return the module as ONNX for images of any size."""
    held, names = io.BytesIO(), [f"in{i}" for i in range(len(inputs))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            exported.module.eval(),
            inputs,
            held,
            input_names=names,
            output_names=["out"],
            dynamic_axes={name: {2: "y", 3: "x"} for name in [*names, "out"]},
            opset_version=17,
            dynamo=False,
        )
    return held.getvalue()


def in_engines(exported: Exported, folder: Path, sizes: tuple[int, int]) -> list[tuple[Tensor, list[Any]]]:
    """Return, for two sizes of image, what torch gives and what ONNX Runtime and OpenVINO give."""
    import onnxruntime
    import openvino

    def inputs(side: int) -> tuple[Tensor, ...]:
        torch.manual_seed(side)
        stack = torch.rand(1, exported.slices, side, side + exported.multiple)
        return (stack, torch.randn_like(stack[:, :1])) if exported.samples else (stack,)

    file = folder / "model.onnx"
    file.write_bytes(onnx_of(exported, inputs(sizes[0])))
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    compiled = openvino.Core().compile_model(str(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = []
    for side in sizes:
        given = inputs(side)
        with torch.no_grad():
            wanted = exported.module.eval()(*given)
        arrays = [np.asarray(v) for v in given]
        one = session.run(None, {f"in{i}": v for i, v in enumerate(arrays)})[0]
        found.append((wanted, [one, compiled(arrays)[0]]))
    return found
