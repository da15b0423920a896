"""Resampled counts: what is drawn, what is refused, and that the U-Net learns and leaves the house whole."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lightning_fabric import Fabric  # noqa: E402
from pydantic import ValidationError  # noqa: E402

from quell.errors import QuellError  # noqa: E402
from quell.image import Modality  # noqa: E402
from quell.methods.contracts import Batch, DataFacts  # noqa: E402
from quell.methods.scintigraphy_unet import (  # noqa: E402
    LEVELS,
    ScintigraphyConfig,
    ScintigraphyUNet,
    are_counts,
    thin,
)
from quell.models.scaling import usual_scaling  # noqa: E402
from quell.networks.blend_unet import SIGMAS, BlendUNet  # noqa: E402

FACTS = DataFacts(Modality.NM, "counts", 4, usual_scaling(Modality.NM), shape=(1, 64, 64))
SMALL: dict[str, Any] = {"width": 6, "depth": 3, "size": 32, "batch": 4}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def made(**more: Any) -> ScintigraphyUNet:
    return ScintigraphyUNet(ScintigraphyConfig(**{**SMALL, **more}), FACTS)


def batch(counts: Any, scale: float = 10.0) -> Batch:
    ones = torch.ones(len(counts))
    return Batch(counts / scale, counts / scale, None, None, None, None, ones, scale * ones)


def bones(n: int = 4) -> Any:
    """Draw bars of 30 counts on 3, with Poisson noise."""
    y = torch.arange(32.0)
    expected = 3 + 27 * (torch.sin(y[:, None] * 0.6 + torch.arange(n)[:, None, None]) > 0.3).float()
    return torch.poisson(expected.expand(n, 32, 32))[:, None]


@pytest.mark.parametrize("share", [0.75, 0.5, 0.25, 0.1, 0.05])
def test_thinned_counts_keep_the_mean_and_are_independent_of_the_rest(share: float) -> None:
    mean, n = 20.0, 200_000
    counts = torch.poisson(torch.full((n,), mean))
    kept = thin(counts, torch.tensor(share))
    rest = counts - kept
    # Poisson(share * mean): five standard errors of a mean, of a variance, of a correlation.
    low = share * mean
    assert abs(float(kept.mean()) - low) < 5 * math.sqrt(low / n)
    assert abs(float(kept.var()) - low) < 5 * math.sqrt((2 * low**2 + low) / n)
    both = torch.stack((kept, rest))
    assert abs(float(torch.corrcoef(both)[0, 1])) < 5 / math.sqrt(n)


@pytest.mark.parametrize(("target", "shared"), [("published", 1.0), ("independent", 0.0)])
def test_only_the_independent_target_shares_no_noise_with_the_input(target: str, shared: float) -> None:
    mean, n = 12.0, 400
    counts = torch.poisson(torch.full((n, 1, 32, 32), mean))
    given, wanted, _ = made(target=target, levels=(0.25,)).pair(counts)
    pixels = given.numel()
    assert abs(float(given.mean()) - mean) < 5 * math.sqrt(mean / 0.25 / pixels)
    assert abs(float(wanted.mean()) - mean) < 5 * math.sqrt(mean / 0.75 / pixels)
    covariance = float(((given - mean) * (wanted - mean)).mean())
    # Cov(k / p, c) = mean; Cov(k / p, (c - k) / (1 - p)) = 0. The error of a covariance is that of the
    # product of the two standard deviations, at most sqrt(mean / p * mean / (1 - p)), with 1.5 for tails.
    assert abs(covariance - shared * mean) < 5 * 1.5 * mean / math.sqrt(0.25 * 0.75 * pixels)


@pytest.mark.parametrize("target", ["published", "independent"])
def test_what_cannot_be_known_counts_alike_at_all_levels(target: str) -> None:
    method, mean = made(target=target), 30.0
    given, wanted, share = method.pair(torch.poisson(torch.full((400, 1, 40, 40), mean)))
    # What is left where the expected counts are known: E[c | k] = k + (1 - p) mean, or the mean itself.
    best = share * given + (1 - share) * mean if target == "published" else torch.full_like(wanted, mean)
    left = (method.weight(share) * (wanted - best).square()).mean((1, 2, 3)) / mean
    # A variance of 1600 values is known to sqrt(2 / 1600) = 3.5 %.
    assert float((left / left.mean() - 1).abs().max()) < 5 * 0.036
    assert float(method.weight(torch.tensor(method.config.levels)).mean()) == pytest.approx(1)
    assert torch.equal(made(even=False).weight(share), torch.ones_like(share))


def test_all_levels_are_drawn_and_no_other() -> None:
    counts = torch.full((200, 1, 1, 1), 1e6)
    given, wanted, told = made(target="independent").pair(counts)
    # With k = p g of c counts the target is (c - k) / (1 - p); both together give p back.
    shares = ((counts - wanted) / (given - wanted)).flatten()
    kept = given.flatten() * shares
    assert set(told.flatten().tolist()) == set(torch.tensor(LEVELS).tolist())
    found = {round(float(share), 2) for share, k in zip(shares, kept, strict=True) if k == k}
    assert {0.75, 0.5, 0.25, 0.1, 0.05} <= found


@pytest.mark.parametrize("output", ["blend", "image"])
@pytest.mark.parametrize("factor", [0.01, 0.37, 250.0])
def test_the_unit_of_the_counts_does_not_matter(factor: float, output: str) -> None:
    method = made(output=output)
    # Where nothing is learned yet, nothing is said of the blurs.
    torch.nn.init.normal_(method.networks["denoiser"].unet.head.weight, 0, 0.3)
    module = method.exported().module.eval()
    image = bones(1)
    with torch.no_grad():
        np.testing.assert_allclose(
            module(image * factor).numpy(), factor * module(image).numpy(), rtol=1e-3, atol=1e-4 * factor
        )


def test_the_output_is_never_negative() -> None:
    with torch.no_grad():
        assert float(made().exported().module.eval()(bones(2)).min()) >= 0


def test_what_is_no_count_is_refused() -> None:
    with pytest.raises(QuellError, match="give it raw counts"):
        ScintigraphyUNet(ScintigraphyConfig(**SMALL), replace(FACTS, units="Bq/ml"))
    for wrong in (bones() * 1.37, bones() - 5.0):
        with pytest.raises(QuellError, match="no raw counts"):
            next(iter(made().losses(batch(wrong), 0.0)))
    with pytest.raises(QuellError, match="full counts"):
        next(iter(made().losses(replace(batch(bones()), clean=None), 0.0)))


def test_counts_survive_the_way_through_network_units() -> None:
    counts = torch.arange(0, 60_000, 7).float()
    scale = torch.tensor(123.456)
    back = counts / scale * scale
    assert are_counts(back)
    assert torch.equal(back.round(), counts)
    assert not are_counts(back + 0.3)
    assert not are_counts(back - 1)


def test_expectations_are_told_from_images_that_are_no_counts() -> None:
    expected = 3 + 10 * torch.rand(4, 1, 32, 32)
    dose = torch.full((4,), 0.25)
    kept = torch.poisson(expected * 0.25)
    scale = 7.3
    drawn = replace(batch(expected, scale), noisy=kept / 0.25 / scale, dose=dose)
    counts = made().full_counts(expected, drawn)
    assert are_counts(counts)
    assert float(((counts - expected) ** 2 / expected).mean()) == pytest.approx(1, abs=5 * 2**0.5 / 64)
    with pytest.raises(QuellError, match="no raw counts"):
        made(counts="measured").full_counts(expected, drawn)
    filtered = replace(drawn, noisy=drawn.noisy * 0.93)
    with pytest.raises(QuellError, match="no raw counts"):
        made().full_counts(expected, filtered)
    measured = torch.poisson(expected)
    assert torch.equal(made().full_counts(measured, filtered), measured)


@pytest.mark.parametrize(
    "wrong",
    [{"levels": ()}, {"levels": (0.5, 1.0)}, {"slices": 3}, {"size": 36, "depth": 5}, {"target": "both"}],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ScintigraphyConfig(**wrong)


@pytest.mark.parametrize(
    "more",
    [{}, {"target": "independent"}, {"counts": "expected"}, {"output": "image"}],
    ids=["published", "independent", "drawn", "image"],
)
def test_the_loss_falls(more: dict[str, Any]) -> None:
    method, fabric = made(**more, steps=60, rate=3e-3, even=False), Fabric(accelerator="cpu", devices=1)
    method.setup(fabric)
    counts = bones()
    told = []
    for step in range(60):
        torch.manual_seed(step)
        told.append(method.step(batch(counts), step / 60, fabric)["denoiser"])
    # Levels are drawn anew at each step, so that single losses scatter.
    # A blend begins with what the blurs can do.
    assert np.median(told[-15:]) < (0.5 if "output" in more else 0.7) * np.median(told[:5])


@pytest.mark.parametrize("output", ["blend", "image"])
def test_runtimes_agree(output: str) -> None:
    runtime = pytest.importorskip("onnxruntime")
    openvino = pytest.importorskip("openvino")
    method = made(output=output)
    torch.nn.init.normal_(method.networks["denoiser"].unet.head.weight, 0, 0.3)
    exported = method.exported()
    module = exported.module.eval()
    stream = io.BytesIO()
    axes = {0: "n", 2: "y", 3: "x"}
    torch.onnx.export(
        module, (bones(1),), stream, opset_version=17, dynamo=False, input_names=["noisy"],
        output_names=["image"], dynamic_axes={"noisy": axes, "image": axes},
    )  # fmt: skip
    image = torch.poisson(torch.full((1, 1, 8 * exported.multiple, 5 * exported.multiple), 4.0))
    with torch.no_grad():
        expected = module(image).numpy()
    session = runtime.InferenceSession(stream.getvalue(), providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {"noisy": image.numpy()})
    np.testing.assert_allclose(got, expected, atol=1e-3)
    core = openvino.Core()
    read = core.read_model(stream.getvalue(), b"")
    compiled = core.compile_model(read, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    np.testing.assert_allclose(compiled({"noisy": image.numpy()})[0], expected, atol=1e-3)


@pytest.mark.parametrize("output", ["blend", "image"])
def test_a_tile_with_its_halo_equals_the_whole(output: str) -> None:
    method = made(output=output)
    torch.nn.init.normal_(method.networks["denoiser"].unet.head.weight, 0, 0.3)
    exported = method.exported()
    module, halo, step = exported.module.eval(), exported.halo, exported.multiple
    start = -(-halo // step) * step
    image = torch.poisson(torch.full((1, 1, step, 2 * start + 3 * step), 4.0))
    with torch.no_grad():
        expected = module(image)[..., step + start : 2 * step + start]
        tile = module(image[..., step:])[..., start : start + step]
    np.testing.assert_allclose(tile.numpy(), expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("mean", [2.0, 40.0])
def test_the_worth_of_a_count_is_read_off_its_noise(mean: float) -> None:
    network, unit = BlendUNet((4, 8)), 0.37
    image = unit * torch.poisson(torch.full((1, 1, 160, 160), mean))
    worth = network.worth(image)
    # A square of 80 pixels holds the 6400 squares of differences that nearly all overlap with 24 others.
    assert float((worth / unit - 1).abs().max()) < 5 * (2 * 25 / 6400) ** 0.5
    assert float(worth.mean()) == pytest.approx(unit, rel=0.05)


def test_before_it_has_learned_it_is_the_mean_of_the_blurs() -> None:
    with torch.no_grad():
        flat = torch.full((1, 1, 32, 32), 7.0)
        torch.testing.assert_close(BlendUNet((4, 8))(flat), flat)
        point = torch.zeros(1, 1, 64, 64)
        point[..., 32, 32] = 9.0
        spread = BlendUNet((4, 8))(point)
    assert float(spread.sum()) == pytest.approx(9.0, rel=1e-4)
    assert float(spread[..., 32, 32]) > 9.0 / (len(SIGMAS) + 1)
