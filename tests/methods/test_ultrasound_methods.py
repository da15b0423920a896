"""The three methods for speckle: that they learn, go on where they were left, and run in any engine."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from pydantic import ValidationError

from quell.errors import QuellError
from quell.image import Modality
from quell.methods.base import BaseMethod
from quell.methods.contracts import Batch, DataFacts
from quell.methods.shared.boosting import Booster, BoostingConfig, conformal_margin, linear_start
from quell.methods.ultrasound_cnn import UltrasoundCNN
from quell.methods.ultrasound_cnn_gbm import UltrasoundCNNGBM
from quell.methods.ultrasound_gbm import UltrasoundGBM
from quell.models.scaling import usual_scaling
from quell.networks.boosted_speckle import BoostedSpeckle
from quell.networks.speckle_features import Bank

pytest.importorskip("lightgbm", reason="LightGBM is not installed")

METHODS = (UltrasoundCNN, UltrasoundGBM, UltrasoundCNNGBM)
FACTS = DataFacts(Modality.US, "arbitrary", 4, usual_scaling(Modality.US), sigma=0.09, mean=0.35)


def draw(seed: int, count: int = 2, size: int = 32, clean: bool = True) -> Batch:
    """Return discs in log-compressed Rayleigh speckle of 5.57 dB, 60 dB being 1."""
    torch.manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    middle = size * torch.rand(count, 2, 1, 1)
    inside = torch.hypot(y - middle[:, 0], x - middle[:, 1]) < size / 4
    truth = (0.35 + 0.15 * inside)[:, None]
    echo = 10 * torch.log10(-torch.log(torch.rand_like(truth) + 1e-6)) / 60
    noisy = torch.round(255 * (truth + echo + 0.04).clamp(0, 1)) / 255
    ones = torch.ones(count)
    return Batch(noisy, truth if clean else None, None, None, None, None, ones, ones)


def made(kind: type[BaseMethod], **changes: Any) -> tuple[Any, Fabric]:
    torch.manual_seed(0)
    method: Any = kind(kind.Config(**(kind.tiny() | changes)), FACTS)  # type: ignore[attr-defined]
    fabric = Fabric(accelerator="cpu", devices=1)
    method.setup(fabric)
    return method, fabric


def train(method: Any, fabric: Fabric, first: int, last: int) -> list[float]:
    found = []
    for step in range(first, last):
        batch = draw(step)
        torch.manual_seed(1000 + step)
        told = method.step(batch, step / method.config.steps, fabric)
        found.append(next(iter(told.values())))
    return found


def error(method: Any) -> float:
    batch = draw(99, count=8)
    with torch.no_grad():
        told = method.exported().module(batch.noisy)
    image = told[0] if isinstance(told, tuple) else told
    return float(((image - batch.clean) ** 2).mean())


@pytest.mark.parametrize("kind", METHODS)
def test_a_short_training_lowers_the_error(kind: type[BaseMethod]) -> None:
    method, fabric = made(kind)
    batch = draw(99, count=8)
    train(method, fabric, 0, method.config.steps)
    assert error(method) < 0.8 * float(((batch.noisy - batch.clean) ** 2).mean())


@pytest.mark.parametrize("kind", METHODS)
@pytest.mark.parametrize("left", [3, 19, 28])
def test_a_training_that_is_taken_up_again_ends_the_same(kind: type[BaseMethod], left: int) -> None:
    straight, fabric = made(kind)
    train(straight, fabric, 0, 30)
    before, fabric = made(kind)
    train(before, fabric, 0, left)
    # As a checkpoint keeps it: tensors and plain values only.
    buffer = BytesIO()
    torch.save(before.state(), buffer)
    buffer.seek(0)
    after, fabric = made(kind)
    after.restore(torch.load(buffer, weights_only=True))
    train(after, fabric, left, 30)
    one, other = straight.exported().module.state_dict(), after.exported().module.state_dict()
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("kind", METHODS)
def test_onnx_gives_the_same_in_both_engines(kind: type[BaseMethod], tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    openvino = pytest.importorskip("openvino")
    method, fabric = made(kind)
    if kind is not UltrasoundCNN:
        small = Bank(srad=2, search=1, patch=3, width=0.5, frost=3, sigma=23.0)
        network = method.boosting.module.network
        method.boosting.module = BoostedSpeckle(
            small,
            method.boosting.module.image.count,
            3,
            interval=method.config.boosting.interval,
            network=network,
        )
    train(method, fabric, 0, 30)
    exported, file = method.exported(), tmp_path / "speckle.onnx"
    torch.onnx.export(
        exported.module,
        (draw(0).noisy,),
        file,
        opset_version=17,
        dynamo=False,
        input_names=["noisy"],
        output_names=list(exported.outputs),
        dynamic_axes={name: {0: "n", 2: "y", 3: "x"} for name in ("noisy", *exported.outputs)},
    )
    noisy = draw(7, count=1, size=48).noisy[:, :, :40]
    with torch.no_grad():
        told = exported.module(noisy)
    expected = [one.numpy() for one in (told if isinstance(told, tuple) else (told,))]
    session = onnxruntime.InferenceSession(file)
    compiled = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    answer = compiled(noisy.numpy())
    for found in (session.run(None, {"noisy": noisy.numpy()}), [answer[i] for i in range(len(expected))]):
        for one, other in zip(found, expected, strict=True):
            # A feature that is rounded across a threshold moves a pixel by a leaf: rare, and small.
            assert np.mean(np.abs(one - other) > 1e-4) < 0.002
            assert np.abs(one - other).max() < (1e-4 if kind is UltrasoundCNN else 0.03)


@pytest.mark.parametrize("network", [False, True])
def test_boosting_never_raises_the_training_loss(network: bool) -> None:
    method, fabric = made(UltrasoundCNNGBM if network else UltrasoundGBM)
    gather = method.config.boosting.gather
    first = method.config.network_steps if network else 0
    count = method.boosting.module.image.count
    told = train(method, fabric, 0, first + gather + count)
    # The mean of a leaf, times a share below one, lowers squares or leaves them.
    assert np.all(np.diff(told[first + gather :]) <= 1e-12)
    booster = method.boosting.boosters["image"]
    assert booster.loss < np.mean((booster.start - booster.target) ** 2)


def test_quantiles_cover_what_they_should() -> None:
    rng = np.random.default_rng(4)
    features = rng.uniform(0, 1, (8000, 3)).astype(np.float32)
    spread = 0.2 + features[:, 0].astype(np.float64)
    target = spread * rng.normal(size=len(features))
    config = BoostingConfig(depth=3, fewest=100, shrink=0.2)
    half = slice(0, 6000)
    for quantile in (0.05, 0.95):
        start = np.full(6000, np.quantile(target[half], quantile))
        booster = Booster(features[half], target[half], start, config, quantile)
        for _ in range(40):
            booster.grow()
        seen = np.full(2000, start[0]) + sum(tree.predict(features[6000:]) for tree in booster.trees)
        below = np.array(target[6000:] < seen)
        # Four binomial standard deviations of 2000 values (0.02), and 0.01 that trees learn by heart.
        assert below.mean() == pytest.approx(quantile, abs=0.03)
        for part in (features[6000:, 0] < 0.4, features[6000:, 0] > 0.6):
            # 800 values, 0.031; one quantile for all would be off by 0.05 and 0.06 here.
            assert below[part].mean() == pytest.approx(quantile, abs=0.045)


def test_quantiles_are_grown_on_pixels_that_the_image_has_not_seen() -> None:
    method, fabric = made(UltrasoundGBM)
    train(method, fabric, 0, 30)
    image, lower = (method.boosting.boosters[name].features for name in ("image", "lower"))
    kept = method.boosting.watch.features
    parts = [{row.tobytes() for row in part} for part in (image, lower, kept)]
    assert all(parts) and not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
    noisy = draw(50).noisy
    with torch.no_grad():
        told, low, high = method.exported().module(noisy)
    assert (low <= high).all()
    assert float(((low < told) & (told < high)).float().mean()) > 0.9


def test_the_conformal_margin_covers_new_values_whatever_the_interval_was() -> None:
    rng = np.random.default_rng(1)
    repeats, n, level = 200, 400, 0.9
    covered = []
    for _ in range(repeats):
        # Half of what it should be, and not in the middle.
        old, new = rng.normal(0, 1, n), rng.normal(0, 1, n)
        margin = conformal_margin(old, np.full(n, -0.5), np.full(n, 1.1), level)
        covered.append(np.mean((new >= -0.5 - margin) & (new <= 1.1 + margin)))
    # Between level and level + 1 / (n + 1); each of the two samples scatters by sqrt(0.09 / n).
    assert np.mean(covered) == pytest.approx(level, abs=4 * (2 * 0.09 / n / repeats) ** 0.5 + 1 / n)
    wide = conformal_margin(old, np.full(n, -9.0), np.full(n, 9.0), level)
    assert wide < 0
    assert np.mean(np.abs(old) <= 9 + wide) == pytest.approx(level, abs=2 / n)


@pytest.mark.parametrize("kind", [UltrasoundGBM, UltrasoundCNNGBM])
def test_the_interval_covers_patients_that_were_kept_back(kind: type[BaseMethod]) -> None:
    method, fabric = made(kind)
    for step in range(30):
        train_on = replace(draw(step), patient=torch.tensor([step % 3, 3]))
        torch.manual_seed(1000 + step)
        method.step(train_on, step / 30, fabric)
    watch = method.boosting.watch
    kept = [one.target[one.kept] for one in method.boosting.gathered]
    assert np.array_equal(watch.target, torch.cat(kept).numpy())
    low, high = (method.boosting._kept_ends[name] for name in ("lower", "upper"))
    base, bias = method.boosting._base, method.boosting.module.bias
    left = method.boosting._kept_ends["target"]
    inside = (left >= low - base["lower"] + float(bias[1])) & (left <= high - base["upper"] + float(bias[2]))
    assert 0.9 <= inside.mean() + 1e-6 < 0.9 + 2 / len(left) + 1e-3


def test_trees_that_do_not_help_others_are_left_out() -> None:
    method, fabric = made(UltrasoundCNNGBM)
    torch.manual_seed(5)
    for step in range(method.config.network_steps, 30):
        batch = replace(draw(step), patient=torch.tensor([0, 3]))
        if len(method.boosting.gathered) < method.config.boosting.gather:
            # Of patients that train, the network errs up; of those that are kept back, down.
            method._freeze()
            seen = method.boosting.module.network(batch.noisy)
            batch = replace(batch, clean=seen + torch.tensor([0.1, -0.1]).reshape(2, 1, 1, 1))
        method.trained = method.config.network_steps
        method.step(batch, step / 30, fabric)
    assert len(method.boosting.boosters["image"].trees) == method.config.trees
    assert method.boosting.watch.best == 0
    noisy = draw(40).noisy
    with torch.no_grad():
        module = method.exported().module
        torch.testing.assert_close(module(noisy)[0], module.network(noisy))


@pytest.mark.parametrize("kind", [UltrasoundGBM, UltrasoundCNNGBM])
def test_a_clock_that_ends_early_leaves_time_for_the_interval(kind: type[BaseMethod]) -> None:
    method, fabric = made(kind, steps=500)
    for step in range(40):
        method.step(draw(step), step / 40, fabric)
    assert len(method.boosting.boosters["lower"].trees) > 0
    assert method.boosting.watch.losses


def test_the_network_does_not_learn_from_who_is_kept_back() -> None:
    ends = []
    for level in (0.2, 0.9):
        method, fabric = made(UltrasoundCNNGBM)
        batch = replace(draw(0), patient=torch.tensor([0, 3]))
        other = batch.clean.clone()
        other[1] = level
        method.step(replace(batch, clean=other), 0.0, fabric)
        ends.append(torch.cat([p.flatten() for p in method.networks["denoiser"].parameters()]))
    assert torch.equal(*ends)


def test_linear_start_finds_a_line() -> None:
    rng = np.random.default_rng(2)
    features = rng.normal(size=(500, 4)).astype(np.float32)
    features[:, 3] = 5.0  # A constant one must not break it.
    target = features[:, :3].astype(np.float64) @ [1.0, -2.0, 0.5] + 7
    weight, bias = linear_start(features, target, ridge=1e-9)
    np.testing.assert_allclose(features @ weight + bias, target, atol=1e-5)
    assert weight[3] == 0


def test_network_is_frozen_before_the_boosting() -> None:
    method, fabric = made(UltrasoundCNNGBM)
    train(method, fabric, 0, 30)
    image = draw(3).noisy
    with torch.no_grad():
        before = method.exported().module(image)[0]
        for parameter in method.networks["denoiser"].parameters():
            parameter.add_(1.0)
        after = method.exported().module(image)[0]
    assert torch.equal(before, after)


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (UltrasoundCNN, {"widths": (8, 8), "blocks": (1,)}),
        (UltrasoundCNN, {"slices": 2}),
        (UltrasoundCNN, {"size": 33}),
        (UltrasoundGBM, {"steps": 20_000}),
        (UltrasoundGBM, {"steps": 10}),
        (UltrasoundCNNGBM, {"steps": 100}),
    ],
)
def test_settings_that_cannot_work_are_refused(kind: type[BaseMethod], wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        kind.Config(**wrong)


@pytest.mark.parametrize("kind", METHODS)
def test_clean_images_are_asked_for(kind: type[BaseMethod]) -> None:
    method, fabric = made(kind)
    with pytest.raises(QuellError, match="clean"):
        method.step(draw(0, clean=False), 0.0, fabric)
