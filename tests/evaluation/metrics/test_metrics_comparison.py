"""What may be compared, what may not, and that tables hold every slice and region."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from quell.errors import InputError, QuellError
from quell.evaluation.metrics.comparison import compare, default_window
from quell.evaluation.metrics.table import METRICS, find_metric, fitting_metrics, measure, summarise
from quell.image import Geometry, Image, Modality

SHAPE = (3, 64, 64)


@pytest.fixture
def images(rng: np.random.Generator) -> tuple[Image, Image, Image]:
    """Return reference (5 HU of noise), test (8 HU) and noisy image (20 HU)."""
    y, x = np.mgrid[:64, :64]
    clean = np.broadcast_to(np.where(np.hypot(y - 32, x - 32) < 20, 60.0, 0.0), SHAPE)
    geometry = Geometry((2.0, 0.8, 0.8), known=True)

    def make(name: str, sigma: float) -> Image:
        voxels = clean + sigma * rng.standard_normal(SHAPE)
        return Image(voxels.astype(np.float32), Modality.CT, "HU", geometry, volume=True, name=name)

    return make("full", 5), make("denoised", 8), make("low", 20)


def changed(image: Image, **fields: object) -> Image:
    return replace(image, name="other", **fields)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"voxels": np.zeros((2, 64, 64), np.float32)}, "shape"),
        ({"units": "arbitrary"}, "is in arbitrary"),
        ({"modality": Modality.MR}, "is MR"),
        ({"geometry": Geometry((2.0, 0.9, 0.9), known=True)}, "mm"),
        ({"geometry": Geometry((2.0, 0.8, 0.8), (0.0, 0.0, 5.0), known=True)}, "elsewhere in space"),
        ({"voxels": np.full(SHAPE, np.nan, np.float32)}, "not finite"),
        ({"voxels": np.full(SHAPE, np.inf, np.float32)}, "not finite"),
    ],
)
def test_what_does_not_belong_together_is_refused(
    images: tuple[Image, Image, Image], change: dict[str, object], told: str
) -> None:
    reference, test, _ = images
    with pytest.raises(InputError, match=f"other: .*{told}"):
        compare(test, changed(reference, **change))


def test_unknown_geometry_and_modality_pass(images: tuple[Image, Image, Image]) -> None:
    reference, test, _ = images
    found = compare(test, replace(reference, geometry=Geometry(), modality=Modality.UNKNOWN))
    known = compare(test, reference)
    assert found.remarks == known.remarks
    assert len(list(found.samples("slice"))) == len(list(known.samples("slice"))) > 0


def test_a_reference_noisier_than_the_test_is_refused(images: tuple[Image, Image, Image]) -> None:
    full, denoised, low = images
    assert compare(denoised, full).remarks == ()
    with pytest.raises(InputError, match="low: the reference is noisier than the test"):
        compare(denoised, low)
    assert "part of every error" in compare(denoised, low, noisy_reference=True).remarks[0]


def test_with_the_noisy_image_a_smoother_test_is_allowed(images: tuple[Image, Image, Image]) -> None:
    full, denoised, low = images
    smoother = denoised.with_voxels(0.2 * denoised.voxels)
    assert "part of every error" in compare(smoother, full, low).remarks[0]
    with pytest.raises(InputError, match="noisier than the noisy"):
        compare(smoother, low, full)


def test_a_reference_without_noise_is_never_too_noisy() -> None:
    y, x = np.mgrid[:128, :128]
    clean = np.where((y // 16 + x // 24) % 2, 100.0, 0.0)[None]
    blurred = gaussian_filter(clean, (0, 3, 3))
    sharp, soft = (Image(v.astype(np.float32), name="x") for v in (clean, blurred))
    assert compare(soft, sharp).remarks == ()


def test_windows(images: tuple[Image, Image, Image]) -> None:
    full, denoised, _ = images
    assert compare(denoised, full).window == (-160, 240)
    assert compare(denoised, full, window=(0, 1)).window == (0, 1)
    magnitude = Image(np.arange(SHAPE[0] * 64 * 64, dtype=np.float32).reshape(SHAPE))
    assert default_window(magnitude) == pytest.approx(
        (0.005 * magnitude.voxels.max(), 0.995 * 12287), rel=1e-3
    )
    with pytest.raises(InputError, match="empty"):
        compare(denoised, full, window=(3, 3))


@pytest.mark.parametrize(
    ("regions", "background", "told"),
    [
        (np.zeros(SHAPE), None, "whole numbers"),
        (np.zeros((1, 2, 3), int), None, "shape"),
        (np.zeros(SHAPE, int), 4, "background"),
        (None, 1, "needs a map"),
    ],
)
def test_maps_of_regions_that_do_not_fit_are_refused(
    images: tuple[Image, Image, Image], regions: np.ndarray | None, background: int | None, told: str
) -> None:
    with pytest.raises(InputError, match=told):
        compare(images[1], images[0], regions=regions, background=background)


def test_every_slice_and_every_region_has_its_score(images: tuple[Image, Image, Image]) -> None:
    full, denoised, low = images
    regions = np.zeros(SHAPE, int)
    regions[:, 24:40, 24:40] = 1
    regions[1:, :10, :10] = 2
    regions[:, 50:, 50:] = 9
    comparison = compare(denoised, full, low, regions=regions, names={1: "rod"}, background=9)
    rmse, cnr, noise = (find_metric(name) for name in ("RMSE", "cnr", "noise SD"))
    assert [s.slice for s in measure(comparison, [rmse])] == [0, 1, 2]
    scores = measure(comparison, [rmse, cnr, noise], "region")
    assert [(s.metric, s.region) for s in scores][:2] == [("RMSE", "rod"), ("RMSE", "region 2")]
    found = {(s.metric, s.region): s.value for s in scores}
    assert found["noise SD", "rod"] == pytest.approx(8, rel=0.1)
    assert found["CNR", "rod"] == pytest.approx(60 / (8 * np.sqrt(2)), rel=0.1)
    assert len(measure(comparison, [rmse], "region and slice")) == 5


def test_padding_takes_no_part(images: tuple[Image, Image, Image]) -> None:
    full, denoised, _ = images
    padding = np.zeros(SHAPE, bool)
    padding[:, :, :20] = True
    voxels = np.where(padding, np.float32(-3000), denoised.voxels)
    covered = replace(full, padding=padding)
    with_hole = measure(compare(replace(denoised, voxels=voxels), covered), [find_metric("MAE")])
    without = measure(compare(denoised, covered), [find_metric("MAE")])
    assert [s.value for s in with_hole] == [s.value for s in without]


def test_all_metrics_that_fit_can_be_measured_and_summed_up(images: tuple[Image, Image, Image]) -> None:
    full, denoised, low = images
    regions = np.zeros(SHAPE, int)
    regions[:, 12:52, 12:52] = 1
    comparison = compare(denoised, full, low, regions=regions)
    names = {m.name for m in fitting_metrics(comparison, "region")}
    assert {"PSNR", "SSIM", "VIF", "noise reduction", "HU bias"} <= names
    assert not {"CNR", "SUVmax bias", "SNR", "count bias"} & names
    assert "noise SD" not in {m.name for m in fitting_metrics(comparison, "slice")}
    scores = measure(comparison, fitting_metrics(comparison, "region"), "region and slice")
    summaries = {s.metric.name: s for s in summarise(scores)}
    assert set(summaries) == names
    assert summaries["PSNR"].parts == 3 and summaries["PSNR"].mean.low <= summaries["PSNR"].mean.value


def test_a_metric_that_is_defined_nowhere_says_why(images: tuple[Image, Image, Image]) -> None:
    regions = np.zeros(SHAPE, int)
    regions[:, :3] = 1
    comparison = compare(images[1], images[0], regions=regions)
    with pytest.raises(QuellError, match="from the border"):
        measure(comparison, [find_metric("SSIM")], "region")
    with pytest.raises(QuellError, match="unknown metric 'sharpness'"):
        find_metric("sharpness")


def test_names_are_unique_and_units_are_given() -> None:
    assert len({m.name.lower() for m in METRICS}) == len(METRICS)
    assert {m.unit for m in METRICS} <= {"dB", "%", "", "image", "noise levels"}
