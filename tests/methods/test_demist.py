"""The channel term: by Fourier transform as by templates, at the places asked for; and its method."""

from __future__ import annotations

import io
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
from quell.methods.demist import (  # noqa: E402
    Demist,
    DemistConfig,
    band_masks,
    channel_term,
    mean_band_power,
    places_within,
)
from quell.models.scaling import usual_scaling  # noqa: E402

FACTS = DataFacts(Modality.NM, "counts", 4, usual_scaling(Modality.NM), shape=(16, 32, 32))
SMALL: dict[str, Any] = {"widths": (4, 8), "size": 16, "slices": 8, "batch": 2}
NONE = float("nan")
FIRST, COUNT = 1 / 64, 4


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def templates(shape: tuple[int, int], centre: tuple[int, int]) -> Any:
    """Return the channels as images with their middle on a pixel: sums of cosines, without any FFT."""
    rows, columns = np.arange(shape[0]) - centre[0], np.arange(shape[1]) - centre[1]
    found = np.zeros((COUNT, *shape))
    for u in range(shape[0]):
        for v in range(shape[1]):
            f = (u if u <= shape[0] // 2 else u - shape[0]) / shape[0]
            g = (v if v <= shape[1] // 2 else v - shape[1]) / shape[1]
            radius = np.hypot(f, g)
            for k in range(COUNT):
                if FIRST * 2**k <= radius < FIRST * 2 ** (k + 1):
                    found[k] += np.cos(2 * np.pi * (f * rows[:, None] + g * columns)) / np.prod(shape)
    return found


def test_the_term_equals_inner_products_with_the_templates() -> None:
    shape = (64, 66)
    error = torch.randn(2, 5, *shape, dtype=torch.float64)
    points = torch.tensor([[[2.2, 20.0, 31.4], [NONE] * 3], [[0.0, 63.0, 0.0], [4.0, 7.0, 50.0]]])
    looked = [
        (0, (1, 2, 3), (20, 31)),
        (1, (0, 1), (63, 0)),
        (1, (3, 4), (7, 50)),
    ]  # slices outside of the volume do not count
    squares = []
    for item, slices, centre in looked:
        channels = templates(shape, centre)
        squares += [
            [float((u * error[item, z].numpy()).sum()) ** 2 for u in channels] for z in slices
        ]  # fmt: skip
    found = float(channel_term(error, points, FIRST, COUNT, reach=1))
    assert found == pytest.approx(np.mean(squares), rel=1e-5)


def test_a_small_crop_is_padded_so_that_no_band_is_empty() -> None:
    error = torch.zeros(1, 1, 16, 16, dtype=torch.float64)
    error[0, 0, 8, 8] = 1
    whole = torch.zeros(1, 1, 64, 64, dtype=torch.float64)
    whole[0, 0, 8, 8] = 1
    point = torch.tensor([[[0.0, 5.0, 9.0]]])
    for count in (1, 4):
        small, large = (float(channel_term(e, point, FIRST, count, reach=0)) for e in (error, whole))
        assert small > 0
        assert small == pytest.approx(large)


def test_bands_are_disjoint_octaves() -> None:
    masks = band_masks((64, 96), FIRST, COUNT, torch.device("cpu"))
    assert masks.shape == (COUNT, 64, 96)
    assert float(masks.sum(dim=0).max()) == 1
    assert (masks.sum(dim=(1, 2)) > 0).all()
    assert float(masks[:, 0, 0].sum()) == 0  # the mean is no channel
    # All of 1/64 to 1/4 is in one of them: a ring of area pi (1/16 - 1/4096), to a row of pixels.
    area = float(masks.sum()) / (64 * 96)
    assert area == pytest.approx(np.pi * (1 / 16 - 1 / 4096), rel=0.03)


def test_everywhere_equals_a_point_on_every_pixel() -> None:
    error = torch.randn(1, 1, 64, 64, dtype=torch.float64)
    z, y, x = torch.meshgrid(torch.arange(1), torch.arange(64), torch.arange(64), indexing="ij")
    points = torch.stack((z, y, x), dim=-1).reshape(1, -1, 3).double()
    one_by_one = np.mean(
        [
            float(channel_term(error, points[:, start : start + 512], FIRST, COUNT, reach=0))
            for start in range(0, 4096, 512)
        ]
    )
    assert float(mean_band_power(error, FIRST, COUNT)) == pytest.approx(one_by_one, rel=1e-6)


def test_the_term_is_local() -> None:
    """An error far from the defect costs less than the same at it; everywhere, both cost the same."""
    near, far = torch.zeros(2, 1, 1, 64, 64)
    near[0, 0, 20, 20] = far[0, 0, 50, 52] = 1
    point = torch.tensor([[[0.0, 20.0, 20.0]]])
    close, away = (float(channel_term(e, point, FIRST, COUNT, reach=0)) for e in (near, far))
    assert away < 0.01 * close
    assert float(mean_band_power(near, FIRST, COUNT)) == pytest.approx(
        float(mean_band_power(far, FIRST, COUNT)), rel=1e-5
    )


def test_without_points_the_term_is_zero_and_can_be_learned_from() -> None:
    error = torch.randn(1, 2, 16, 16, requires_grad=True)
    points = torch.tensor([[[NONE, 3.0, 3.0], [0.0, 99.0, 3.0]]])
    term = channel_term(error, points, FIRST, COUNT)
    term.backward()
    assert float(term.detach()) == 0
    assert error.grad is not None and float(error.grad.abs().max()) == 0


def test_places_lie_within_the_object() -> None:
    clean = torch.zeros(3, 4, 8, 8)
    clean[:, 1:3, 2:5, 6] = 1
    for item, places in enumerate(places_within(clean, 20).long()):
        assert all(float(clean[item, z, y, x]) == 1 for z, y, x in places)
    assert places_within(-torch.ones(1, 2, 4, 4)).shape == (1, 1, 3)


def volumes(points: bool = True) -> Batch:
    _, y, x = torch.meshgrid(torch.arange(8), torch.arange(16), torch.arange(16), indexing="ij")
    radius = torch.hypot(y - 7.5, x - 7.5)
    clean = torch.exp(-((radius - 5) ** 2) / 2).repeat(2, 1, 1, 1).float()
    clean[1, :, 2:5, 6:10] *= 0.5
    noisy = clean + 0.4 * torch.randn(clean.shape)
    at = torch.tensor([[[NONE] * 3], [[4.0, 3.0, 8.0]]]) if points else None
    return Batch(noisy, clean, None, None, None, at, torch.full((2,), 0.25), torch.ones(2))


def made(**more: Any) -> Demist:
    return Demist(DemistConfig(**{**SMALL, **more}), FACTS)


@pytest.mark.parametrize(
    "more",
    [{}, {"weight": 0.0}, {"locations": "all"}, {"locations": "random-in-mask"}],
    ids=["defects", "agnostic", "all", "random"],
)
def test_the_loss_falls(more: dict[str, Any]) -> None:
    method, fabric = made(**more, steps=3000, rate=1e-2), Fabric(accelerator="cpu", devices=1)
    method.setup(fabric)
    data = volumes()
    told = []
    for step in range(50):
        torch.manual_seed(step)
        told.append(method.step(data, 0.1, fabric)["denoiser"])
    assert np.mean(told[-3:]) < 0.6 * told[0]


def test_the_weight_adds_the_term_and_nothing_else() -> None:
    data = volumes()
    values = []
    for weight in (0.0, 1.0, 3.0):
        torch.manual_seed(1)
        ((_, loss),) = made(weight=weight).losses(data, 0.0)
        values.append(float(loss.detach()))
    assert values[1] > values[0]
    assert values[2] - values[0] == pytest.approx(3 * (values[1] - values[0]), rel=1e-4)


def test_missing_data_is_told() -> None:
    with pytest.raises(QuellError, match="places of the defects"):
        list(made().losses(volumes(points=False), 0.0))
    with pytest.raises(QuellError, match="normal dose"):
        list(made().losses(replace(volumes(), clean=None), 0.0))
    with pytest.raises(QuellError, match="one slice"):
        Demist(DemistConfig(**SMALL), replace(FACTS, shape=(1, 64, 64)))
    assert len(list(made(weight=0.0).losses(volumes(points=False), 0.0))) == 1


@pytest.mark.parametrize(
    "wrong",
    [{"size": 20}, {"slices": 12}, {"widths": ()}, {"channels": 7}, {"weight": -1.0}, {"locations": "here"}],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DemistConfig(**wrong)


def test_runtimes_agree() -> None:
    runtime = pytest.importorskip("onnxruntime")
    openvino = pytest.importorskip("openvino")
    exported = made().exported()
    module = exported.module.eval()
    torch.nn.init.normal_(module.head.weight)
    stream = io.BytesIO()
    axes = {0: "n", 2: "z", 3: "y", 4: "x"}
    torch.onnx.export(
        module, (torch.rand(1, 1, 8, 8, 8),), stream, opset_version=17, dynamo=False, input_names=["noisy"],
        output_names=["image"], dynamic_axes={"noisy": axes, "image": axes},
    )  # fmt: skip
    volume = torch.rand(1, 1, 6, 10, 12)
    with torch.no_grad():
        expected = module(volume).numpy()
    session = runtime.InferenceSession(stream.getvalue(), providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {"noisy": volume.numpy()})
    np.testing.assert_allclose(got, expected, atol=1e-3)
    core = openvino.Core()
    read = core.read_model(stream.getvalue(), b"")
    compiled = core.compile_model(read, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    np.testing.assert_allclose(compiled({"noisy": volume.numpy()})[0], expected, atol=1e-3)
