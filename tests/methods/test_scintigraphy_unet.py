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
from quell.methods.scintigraphy_unet import ScintigraphyConfig, ScintigraphyUNet, are_counts, thin  # noqa: E402
from quell.models.scaling import usual_scaling  # noqa: E402

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
    given, wanted = made(target=target, levels=(0.25,)).pair(counts)
    pixels = given.numel()
    assert abs(float(given.mean()) - mean) < 5 * math.sqrt(mean / 0.25 / pixels)
    assert abs(float(wanted.mean()) - mean) < 5 * math.sqrt(mean / 0.75 / pixels)
    covariance = float(((given - mean) * (wanted - mean)).mean())
    # Cov(k / p, c) = mean; Cov(k / p, (c - k) / (1 - p)) = 0. The error of a covariance is that of the
    # product of the two standard deviations, at most sqrt(mean / p * mean / (1 - p)), with 1.5 for tails.
    assert abs(covariance - shared * mean) < 5 * 1.5 * mean / math.sqrt(0.25 * 0.75 * pixels)


def test_all_levels_are_drawn_and_no_other() -> None:
    counts = torch.full((200, 1, 1, 1), 1e6)
    given, wanted = made(target="independent").pair(counts)
    # With k = p g of c counts the target is (c - k) / (1 - p); both together give p back.
    shares = ((counts - wanted) / (given - wanted)).flatten()
    kept = given.flatten() * shares
    found = {round(float(share), 2) for share, k in zip(shares, kept, strict=True) if k == k}
    assert {0.75, 0.5, 0.25, 0.1, 0.05} <= found


@pytest.mark.parametrize("factor", [0.01, 0.37, 250.0])
def test_the_unit_of_the_counts_does_not_matter(factor: float) -> None:
    module = made().exported().module.eval()
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
    "more", [{}, {"target": "independent"}, {"counts": "expected"}], ids=["published", "independent", "drawn"]
)
def test_the_loss_falls(more: dict[str, Any]) -> None:
    method, fabric = made(**more, steps=60), Fabric(accelerator="cpu", devices=1)
    method.setup(fabric)
    counts = bones()
    told = []
    for step in range(60):
        torch.manual_seed(step)
        told.append(method.step(batch(counts), step / 60, fabric)["denoiser"])
    # Levels are drawn anew at each step, so that single losses scatter.
    assert np.median(told[-15:]) < 0.5 * np.median(told[:5])


def test_runtimes_agree() -> None:
    runtime = pytest.importorskip("onnxruntime")
    openvino = pytest.importorskip("openvino")
    exported = made().exported()
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


def test_a_tile_with_its_halo_equals_the_whole() -> None:
    exported = made().exported()
    module, halo = exported.module.eval(), exported.halo
    start = -(-halo // exported.multiple) * exported.multiple
    image = torch.poisson(torch.full((1, 1, 8, 2 * start + 24), 4.0))
    with torch.no_grad():
        expected = module(image)[..., 16 + start : 24 + start]
        tile = module(image[..., 16:])[..., start : start + 8]
    np.testing.assert_allclose(tile.numpy(), expected.numpy(), atol=1e-5)
