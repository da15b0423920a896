"""The body in an image of activity, and the field around it."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy", reason="SciPy is not installed")

from quell.noise.emission.outline import body_outline, round_field


def trunk() -> np.ndarray:
    y, x = np.mgrid[:72, :96]
    body = np.hypot((y - 40) / 18, (x - 50) / 26) < 1
    lung = np.hypot(y - 38, x - 40) < 8
    return np.repeat((1.0 * (body & ~lung))[None], 4, axis=0).astype(np.float32)


def test_the_body_is_found_with_its_holes_filled_under_noise(rng: np.random.Generator) -> None:
    activity = trunk()
    noisy = activity * rng.gamma(8, 1 / 8, activity.shape) + 0.01 * rng.random(activity.shape)
    y, x = np.mgrid[:72, :96]
    truth = np.hypot((y - 40) / 18, (x - 50) / 26) < 1
    found = body_outline(noisy.astype(np.float32))
    # Smoothing over three pixels moves the border outwards by at most one.
    assert (found & truth).sum() > 0.99 * 4 * truth.sum()
    assert found.sum() < 1.12 * 4 * truth.sum()


def test_the_field_holds_the_body_and_gives_slices_back() -> None:
    activity = trunk()
    field = round_field(activity > 0)
    assert not field.cut and field.size < 72
    inside = field.embed(activity)
    assert inside.shape == (4, field.size, field.size)
    y, x = np.mgrid[: field.size, : field.size] - (field.size - 1) / 2
    assert inside[:, np.hypot(y, x) <= field.size / 2].sum() == activity.sum()
    assert np.array_equal(field.extract(inside), activity)


def test_a_cut_out_goes_on_as_its_mirror_image(rng: np.random.Generator) -> None:
    crop = rng.uniform(1, 2, (3, 20, 30)).astype(np.float32)
    field = round_field(crop > 0)
    assert field.cut and field.size >= np.hypot(20, 30)
    around = field.embed(crop)
    assert around.min() > 0
    assert np.array_equal(field.extract(around), crop)


def test_an_empty_image_has_a_field() -> None:
    assert round_field(np.zeros((2, 10, 12), bool)).size >= 16
