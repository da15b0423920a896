"""Short trainings on drawn pairs, exports in two engines, tiles against the whole."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from quell.image import Modality
from quell.methods.contracts import Batch, DataFacts, Exported
from quell.models.scaling import usual_scaling

torch.set_num_threads(1)


def facts_of_data(**changes: Any) -> DataFacts:
    """Return what a method is told of drawn CT images with noise of 50 HU."""
    told: dict[str, Any] = {
        "modality": Modality.CT,
        "units": "HU",
        "items": 4,
        "scaling": usual_scaling(Modality.CT),
        "scale": 1000.0,
        "sigma": 0.05,
        "residual": (-155.0, 155.0),
        "shape": (8, 64, 64),
    }
    return DataFacts(**{**told, **changes})


def draw(
    patch: tuple[int, int, int], batch: int, seed: int, scale: float = 1000.0, sigma: float = 50.0
) -> Batch:
    """Return crops of discs of random contrast with white noise of `sigma` HU."""
    generator = torch.Generator().manual_seed(seed)
    slices, rows, columns = patch
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    place = torch.rand(batch, 4, 1, 1, 1, generator=generator)
    distance = torch.hypot(y - place[:, 0] * rows, x - place[:, 1] * columns)
    clean = 400 * (place[:, 2] - 0.5) + 300 * place[:, 3] * torch.sigmoid(rows / 4 - distance)
    clean = clean.expand(batch, slices, rows, columns)
    noisy = clean + sigma * torch.randn(clean.shape, generator=generator)
    ones = torch.ones(batch)
    return Batch(noisy / scale, clean / scale, None, None, None, None, ones, scale * ones)


def train(method: Any, steps: int, scale: float = 1000.0, first: int = 0) -> list[dict[str, float]]:
    """Train from step `first` on; return the losses of each step."""
    fabric = Fabric(accelerator="cpu", devices=1)
    if not first:
        method.setup(fabric)
    told = []
    for step in range(first, first + steps):
        torch.manual_seed(step)
        progress = step / method.config.steps
        stage = method.stage(progress)
        told.append(dict(method.step(draw(stage.patch, stage.batch, step, scale), progress, fabric)))
    return told


def falls(told: list[dict[str, float]], name: str, count: int = 5) -> float:
    """Return the last values of a loss over its first ones."""
    values = [losses[name] for losses in told if name in losses]
    return float(np.mean(values[-count:]) / np.mean(values[:count]))


def run_engines(
    exported: Exported, folder: Path, shape: tuple[int, int]
) -> tuple[list[Any], list[Any], list[Any]]:
    """Return the outputs of torch, ONNX Runtime and OpenVINO for a shape that the export did not see."""
    import onnxruntime
    import openvino

    file, module = folder / "denoiser.onnx", exported.module.eval()
    size = {2: "y", 3: "x"}
    names = {"noisy": size, **dict.fromkeys(exported.outputs, size)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (torch.zeros(1, exported.slices, 64, 64),),
            str(file),
            input_names=["noisy"],
            output_names=list(exported.outputs),
            dynamic_axes=names,
            opset_version=17,
            dynamo=False,
        )
    noisy = draw((exported.slices, *shape), 1, 5).noisy
    with torch.no_grad():
        out = module(noisy)
    plain = [one.numpy() for one in (out if isinstance(out, tuple) else (out,))]
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    one = session.run(None, {"noisy": noisy.numpy()})
    core = openvino.Core()
    told = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = core.compile_model(core.read_model(str(file)), "CPU", told)
    two = [compiled([noisy.numpy()])[number] for number in range(len(plain))]
    return plain, one, two


def assert_engines_agree(exported: Exported, folder: Path, shape: tuple[int, int] = (48, 80)) -> None:
    """Compare torch, ONNX Runtime and OpenVINO."""
    plain, one, two = run_engines(exported, folder, shape)
    assert len(plain) == len(one) == len(exported.outputs)
    for a, b, c in zip(plain, one, two, strict=True):
        assert a.shape == (1, 1, *shape)
        np.testing.assert_allclose(b, a, atol=1e-3)
        np.testing.assert_allclose(c, a, atol=1e-3)


def tile_error(exported: Exported, tile: int = 16) -> float:
    """Return the largest difference between the whole and a tile with its halo."""
    unit = exported.multiple
    around = -(-exported.halo // unit) * unit
    side = tile + 4 * around
    side += -side % unit
    noisy = draw((exported.slices, side, side), 1, 3).noisy
    start = 2 * around
    ends, kept = slice(start - around, start + tile + around), slice(start, start + tile)
    inner = slice(around, around + tile)
    with torch.no_grad():
        whole = first_output(exported.module.eval()(noisy))
        part = first_output(exported.module(noisy[:, :, ends, ends].contiguous()))
    return float((part[:, :, inner, inner] - whole[:, :, kept, kept]).abs().max())


def reach(exported: Exported) -> int:
    """Return how far the pixels lie that an output pixel depends on, over the pixels of one cell."""
    unit = exported.multiple
    side = 3 * exported.halo
    side += -side % unit
    centre = side // 2 // unit * unit
    noisy = draw((exported.slices, side, side), 1, 3).noisy.requires_grad_()
    out = first_output(exported.module.eval()(noisy))
    furthest = 0
    for offset in range(unit):
        place = centre + offset
        (gradient,) = torch.autograd.grad(out[0, 0, place, place], noisy, retain_graph=True)
        seen = gradient[0].abs().sum(dim=0).nonzero()
        furthest = max(furthest, int((seen - place).abs().max()))
    return furthest


def first_output(out: Any) -> Tensor:
    """Return the image of what a network gives."""
    image: Tensor = out[0] if isinstance(out, tuple) else out
    return image


def weights(network: nn.Module) -> Tensor:
    """Return all parameters as one vector."""
    return torch.cat([p.detach().flatten() for p in network.parameters()])
