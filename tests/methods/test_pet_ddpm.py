"""The diffusion model: its forward process, its sampler, its training and its export."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from pydantic import ValidationError
from torch import Tensor, nn

from quell.image import Modality
from quell.methods.contracts import Batch, DataFacts
from quell.methods.pet_ddpm import PETDDPM, PETDDPMConfig
from quell.models.scaling import Scaling, ScalingKind
from quell.networks.ddim import DDIMSampler, add_noise, cosine_schedule, velocity
from quell.networks.diffusion_unet import DiffusionUNet

STEPS = 100


def facts(prior: bool = False) -> DataFacts:
    return DataFacts(
        Modality.PT,
        "Bq/ml",
        4,
        Scaling(kind=ScalingKind.MEAN),
        scale=1000.0,
        residual=(-900, 900),
        prior=prior,
    )


def batch(seed: int = 0, prior: bool = False, slices: int = 3, n: int = 4) -> Batch:
    torch.manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    places = 4 + 8 * torch.rand(n, 2)
    clean = torch.exp(-((y - places[:, :1, None]) ** 2 + (x - places[:, 1:, None]) ** 2) / 12)
    clean = (2 * clean)[:, None].expand(n, slices, 16, 16)
    noisy = clean + 0.3 * torch.randn(n, slices, 16, 16)
    told = clean if prior else None
    return Batch(noisy, clean, None, None, told, None, torch.full((n,), 0.25), torch.full((n,), 1000.0))


def method(prior: bool = False, **settings: object) -> PETDDPM:
    torch.manual_seed(0)
    return PETDDPM(PETDDPMConfig(**{**PETDDPM.tiny(), **settings}), facts(prior))


class Perfect(nn.Module):
    """Knows the image, and hence the noise in what it is shown."""

    def __init__(self, clean: Tensor, prediction: str) -> None:
        super().__init__()
        self.clean, self.prediction = clean.double(), prediction
        self.signal = cosine_schedule(STEPS)

    def forward(self, noised: Tensor, known: Tensor, steps: Tensor) -> Tensor:
        signal = self.signal[steps.long()]
        noise = (noised - signal.sqrt() * self.clean) / (1 - signal).sqrt()
        return velocity(self.clean, noise, signal) if self.prediction == "v" else noise


def test_schedule_falls_from_one_to_nothing() -> None:
    signal = cosine_schedule(1000)
    assert float(signal[0]) == 1.0
    assert bool((signal.diff() < 0).all())
    assert 0 < float(signal[-1]) < 1e-6
    # Half of the way, before the offset: cos^2(pi / 4).
    assert float(signal[500]) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("step", [1, 40, 90])
def test_forward_process_has_the_variance_of_the_schedule(step: int) -> None:
    torch.manual_seed(1)
    signal, clean, n = cosine_schedule(STEPS)[step], torch.tensor(2.0, dtype=torch.float64), 40_000
    noised = add_noise(clean, torch.randn(n, dtype=torch.float64), signal)
    wanted = float(1 - signal)
    # Five standard errors: of a mean, sigma / sqrt(n); of a variance, sigma^2 * sqrt(2 / n).
    assert float(noised.mean()) == pytest.approx(2 * math.sqrt(signal), abs=5 * math.sqrt(wanted / n))
    assert float(noised.var()) == pytest.approx(wanted, rel=5 * math.sqrt(2 / n))


@pytest.mark.parametrize("prediction", ["epsilon", "v"])
@pytest.mark.parametrize("few", [1, 3, 10])
def test_a_perfect_predictor_is_followed_to_the_image(prediction: str, few: int) -> None:
    torch.manual_seed(2)
    clean = torch.randn(1, 1, 8, 8, dtype=torch.float64)
    sampler = DDIMSampler(Perfect(clean, prediction), STEPS, few, prediction)
    found = sampler(torch.randn(1, 1, 8, 8, dtype=torch.float64), clean)
    torch.testing.assert_close(found, clean, rtol=0, atol=1e-6)


class Gaussian(nn.Module):
    """The best predictor where image ~ N(0, 1) and what is known is the image with noise `sigma`."""

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.variance, self.signal = sigma**2, cosine_schedule(1000)

    def forward(self, noised: Tensor, known: Tensor, steps: Tensor) -> Tensor:
        signal = self.signal[steps.long()]
        # Posterior of the image from two looks at it, and its prior.
        weight = 1 + 1 / self.variance + signal / (1 - signal)
        clean = (known / self.variance + signal.sqrt() * noised / (1 - signal)) / weight
        return velocity(clean, (noised - signal.sqrt() * clean) / (1 - signal).sqrt(), signal)


def test_spread_of_the_draws_is_that_of_the_posterior_and_grows_with_the_noise() -> None:
    torch.manual_seed(3)
    spreads = []
    for sigma in (0.3, 1.0, 3.0):
        known = torch.zeros(1, 1, 64, 64, dtype=torch.float64)
        sampler = DDIMSampler(Gaussian(sigma), 1000, 100, "v")
        spread = float(sampler(torch.randn(1, 1, 64, 64, dtype=torch.float64), known).std())
        # 4096 draws have a spread within 5 / sqrt(8192) = 6 %; a hundred steps are off by some percent.
        assert spread == pytest.approx(sigma / math.sqrt(1 + sigma**2), rel=0.12)
        spreads.append(spread)
    assert spreads == sorted(spreads)


def test_the_sampler_laid_out_equals_a_loop() -> None:
    torch.manual_seed(4)
    one = method(sampling_steps=4)
    for parameter in one.networks["denoiser"].parameters():
        nn.init.normal_(parameter, std=0.1)
    net, noisy, noise = one.networks["denoiser"], batch().noisy, torch.randn(4, 1, 16, 16)
    signal = cosine_schedule(1000)
    image, times = noise, [1000, 667, 334, 1]
    for now, then in zip(times, [*times[1:], 0], strict=True):
        told = net(image, noisy, torch.full((4,), now))
        root, rest = float(signal[now].sqrt()), float((1 - signal[now]).sqrt())
        clean, epsilon = root * image - rest * told, rest * image + root * told
        image = float(signal[then].sqrt()) * clean + float((1 - signal[then]).sqrt()) * epsilon
    wanted = noisy[:, 1:2] + one.unit * image
    torch.testing.assert_close(one.exported().module(noisy, noise), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("settings", [{}, {"prediction": "epsilon", "target": "image"}])
@pytest.mark.parametrize("prior", [False, True])
def test_loss_falls(prior: bool, settings: dict[str, object]) -> None:
    fabric, one = Fabric(accelerator="cpu", devices=1), method(prior, **settings)
    one.setup(fabric)
    told = []
    for step in range(30):
        drawn = batch(step, prior, n=16)
        told.append(one.step(drawn, step / 30, fabric)["denoiser"])
    assert np.mean(told[-8:]) < 0.8 * np.mean(told[:8])


def test_a_prediction_reaches_no_further_than_is_said() -> None:
    torch.manual_seed(5)
    net = DiffusionUNet(1, (4, 4, 4))
    nn.init.normal_(net.head.weight)
    size, reach, steps = 128, net.reach, torch.ones(1)
    image, known = torch.randn(1, 1, size, size), torch.randn(1, 1, size, size)
    whole = net(image, known, steps)
    low = 64 - reach
    part = (slice(None), slice(None), slice(None), slice(low, None))
    assert low >= 0 and low % net.multiple == 0
    torch.testing.assert_close(
        net(image[part], known[part], steps)[..., reach:], whole[..., 64:], rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("prior", [False, True])
def test_onnx_gives_the_same_in_both_engines(tmp_path: Path, prior: bool) -> None:
    import onnxruntime
    import openvino

    torch.manual_seed(6)
    one = method(prior)
    for parameter in one.networks["denoiser"].parameters():
        nn.init.normal_(parameter, std=0.1)
    exported = one.exported()
    assert (exported.prior, exported.samples, exported.slices) == (prior, 4, 3)
    names = ["noisy", *(["prior"] if prior else []), "noise"]
    example = [torch.randn(1, 1 if name == "noise" else 3, 16, 16) for name in names]
    axes = {name: {0: "n", 2: "y", 3: "x"} for name in [*names, "image"]}
    file = tmp_path / "model.onnx"
    torch.onnx.export(
        exported.module.eval(),
        tuple(example),
        str(file),
        input_names=names,
        output_names=["image"],
        dynamic_axes=axes,
        opset_version=17,
        dynamo=False,
    )
    inputs = [torch.randn(2, 1 if name == "noise" else 3, 24, 20) for name in names]
    with torch.no_grad():
        wanted = exported.module(*inputs).numpy()
    feed = {name: value.numpy() for name, value in zip(names, inputs, strict=True)}
    found = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"]).run(None, feed)[0]
    np.testing.assert_allclose(found, wanted, atol=1e-3)
    compiled = openvino.Core().compile_model(str(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    np.testing.assert_allclose(compiled(feed)[0], wanted, atol=1e-3)


@pytest.mark.parametrize(
    "settings", [{"slices": 2}, {"size": 18, "widths": (4, 4, 4)}, {"sampling_steps": 2000}, {"wrong": 1}]
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PETDDPMConfig(**settings)
