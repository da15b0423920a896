"""Biases of values: SUVpeak on spheres of known volume, relative and absolute differences."""

from __future__ import annotations

import numpy as np
import pytest

from quell.errors import InputError, QuellError
from quell.evaluation.metrics.bias import peak, percent, sphere_weights
from quell.evaluation.metrics.comparison import compare
from quell.evaluation.metrics.table import find_metric, measure
from quell.image import Geometry, Image, Modality

SPACING = (3.27, 4.0, 4.0)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 2.0, 2.0), SPACING, (5.0, 2.5, 2.5)])
def test_the_sphere_holds_one_cubic_centimetre(spacing: tuple[float, float, float]) -> None:
    weights = sphere_weights(spacing)
    assert weights.sum() * np.prod(spacing) == pytest.approx(1000, rel=0.02)
    assert weights.max() == 1 and np.array_equal(weights, weights[::-1, ::-1, ::-1])


def activity(centre: tuple[int, int, int], value: float, radius: float) -> np.ndarray:
    z, y, x = np.ogrid[:21, :32, :32]
    away = [(a - c) * s for a, c, s in zip((z, y, x), centre, SPACING, strict=True)]
    return 1 + (value - 1) * (away[0] ** 2 + away[1] ** 2 + away[2] ** 2 <= radius**2)


def test_a_peak_in_a_large_lesion_is_its_value() -> None:
    values = activity((10, 16, 16), 5, 20)
    assert peak(values, values > 2, SPACING) == pytest.approx(5)


def test_a_hot_voxel_does_not_make_a_peak() -> None:
    values = activity((10, 16, 16), 5, 20)
    values[10, 16, 16] = 100
    share = np.prod(SPACING) / 1000
    assert peak(values, values > 2, SPACING) == pytest.approx(5 + 95 * share, rel=0.02)


def test_the_peak_may_lie_off_the_hottest_voxel() -> None:
    values = np.ones((21, 32, 32))
    values[10, 8, 8] = 6
    values[8:13, 20:24, 20:24] = 4
    mask = np.ones(values.shape, bool)
    alone = np.zeros_like(mask)
    alone[10, 8, 8] = True
    assert peak(values, mask, SPACING) > 3 > peak(values, alone, SPACING)


def image(voxels: np.ndarray, modality: Modality, **fields: object) -> Image:
    geometry = Geometry(SPACING, known=True)
    return Image(voxels.astype(np.float32), modality, geometry=geometry, volume=True, **fields)


def test_suv_biases_of_a_scaled_image_are_its_scale() -> None:
    true = activity((10, 16, 16), 5, 20)
    regions = np.where(true > 2, 1, 0)
    test, reference = (image(f * true, Modality.PT, units="g/ml") for f in (0.9, 1))
    comparison = compare(test, reference, regions=regions)
    for name in ("SUVmean bias", "SUVmax bias", "SUVpeak bias", "count bias"):
        (score,) = measure(comparison, [find_metric(name)], "region")
        assert score.value == pytest.approx(-10, abs=1e-4), name


def test_an_offset_is_the_bias_in_hu() -> None:
    true = 40 + np.zeros((2, 16, 16))
    comparison = compare(image(true + 2.5, Modality.CT, units="HU"), image(true, Modality.CT, units="HU"))
    scores = measure(comparison, [find_metric("HU bias")])
    assert [s.value for s in scores] == pytest.approx([2.5, 2.5])


def test_what_the_peak_needs_is_told() -> None:
    true = activity((10, 16, 16), 5, 20)
    regions = np.where(true > 2, 1, 0)
    nowhere = Image(true.astype(np.float32), Modality.PT, volume=True)
    with pytest.raises(InputError, match="SUVpeak bias needs a known voxel spacing"):
        measure(compare(nowhere, nowhere, regions=regions), [find_metric("SUVpeak bias")], "region")
    known = image(true, Modality.PT)
    with pytest.raises(InputError, match="needs neighbouring slices"):
        comparison = compare(known, known, regions=regions)
        measure(comparison, [find_metric("SUVpeak bias")], "region and slice")


def test_a_share_of_nothing_is_refused() -> None:
    with pytest.raises(QuellError, match="needs a positive one"):
        percent(3, 0, "counts")
    with pytest.raises(QuellError, match="no voxels"):
        peak(np.ones((9, 9, 9)), np.zeros((9, 9, 9), bool), SPACING)
