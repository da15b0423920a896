"""Pictures and plots show the numbers that they are given."""

from __future__ import annotations

import base64
import doctest
import io
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image as PilImage

from quell.evaluation.report import figures, wording
from quell.evaluation.report.figures import level_svg, nice_step, spectrum_svg
from quell.evaluation.report.pictures import DETAIL, Panel, detail_box, plates, to_data_uri, to_grey
from quell.evaluation.report.record import NoiseSummary


def decode(panel: Panel) -> np.ndarray:
    data = base64.b64decode(panel.uri.removeprefix("data:image/png;base64,"))
    return np.asarray(PilImage.open(io.BytesIO(data)))


def test_the_window_runs_from_black_to_white() -> None:
    values = np.array([[-1000, -160, 40, 240, 3000, np.nan]], dtype=np.float32)
    assert to_grey(values, -160, 240).tolist() == [[0, 0, 128, 255, 255, 0]]


def test_no_difference_is_mid_grey_and_signs_are_symmetric(make_picture: Any) -> None:
    picture = make_picture(300, 300, aspect=1.0)
    same = type(picture)(picture.after, picture.after, picture.window, 60.0)
    (whole, _) = plates(same, "HU")
    assert np.unique(decode(whole.panels[2])).tolist() == [128]
    forth = to_grey(picture.before - picture.after, -60, 60).astype(int)
    back = to_grey(picture.after - picture.before, -60, 60).astype(int)
    assert np.abs(forth + back - 255).max() <= 1


def test_before_and_after_share_the_window(make_picture: Any) -> None:
    (plate,) = plates(make_picture(), "HU")
    before, after, difference = plate.panels
    assert (before.low, before.high) == (after.low, after.high) == ("−160", "240")
    assert (difference.low, difference.middle, difference.high) == ("−60.0", "0", "+60.0")


@pytest.mark.parametrize("aspect", [0.5, 1.0, 2.5])
def test_pixels_are_shown_in_their_proportion(make_picture: Any, aspect: float) -> None:
    (plate,) = plates(make_picture(40, 60, aspect=aspect), "HU")
    for panel in plate.panels:
        assert panel.height / panel.width == pytest.approx(aspect * 40 / 60, rel=0.01)
        assert decode(panel).shape == (panel.height, panel.width)


def test_small_slices_are_enlarged_and_large_ones_reduced_and_it_is_said(make_picture: Any) -> None:
    (small,) = plates(make_picture(64, 64), "HU")
    assert small.panels[0].width == 512
    assert "64 × 64 pixels, enlarged 8 times" in small.scale
    large, _ = plates(make_picture(40, 2048), "HU")
    assert large.panels[0].width == 1024
    assert "reduced to 50 %" in large.scale


def test_the_detail_is_where_most_was_removed(make_picture: Any) -> None:
    picture = make_picture(400, 300)
    after = picture.before.copy()
    after[250:258, 100:108] -= 500
    rows, columns, height, width = detail_box(type(picture)(picture.before, after, (-1e4, 1e4), 60.0))
    assert (height, width) == (DETAIL, DETAIL)
    assert rows <= 250 and rows + height >= 258
    assert columns <= 100 and columns + width >= 108


def test_what_was_removed_outside_the_window_does_not_count(make_picture: Any) -> None:
    picture = make_picture(400, 300, window=(-1e4, 1e4))
    before, after = picture.before.copy(), picture.before.copy()
    before[:100] = -3000
    after[:100] = 0
    after[380, 280] += 50
    row, *_ = detail_box(type(picture)(before, after, (-1000, 1000), 60.0))
    assert row + DETAIL > 380


@pytest.mark.parametrize("size", [(256, 256), (300, 96), (257, 400), (40, 900)])
def test_the_detail_lies_inside_and_is_marked_there(make_picture: Any, size: tuple[int, int]) -> None:
    whole, detail = plates(make_picture(*size), "HU")
    assert whole.marked is not None
    left, top, width, height = whole.marked
    assert min(left, top) >= 0
    assert max(left + width, top + height) <= 100 + 1e-9
    assert "nearest" in detail.scale


def test_png_holds_the_grey_values() -> None:
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert np.array_equal(decode(to_data_uri(grey)), grey)


def points(svg: str, kind: str, name: str) -> np.ndarray:
    found = re.search(rf'<polyline class="{kind} {name}" points="([^"]*)"', svg)
    assert found is not None
    return np.array([[float(v) for v in pair.split(",")] for pair in found[1].split()])


def test_half_the_level_is_a_quarter_of_the_power(make_series: Any) -> None:
    frequencies, power = (0.05, 0.15, 0.25, 0.35), (0.1, 0.2, 0.3, 0.4)
    series = make_series(
        noise_before=NoiseSummary(20, 1, 40, frequencies, power),
        noise_after=NoiseSummary(10, 1, 20, frequencies, power),
    )
    svg = spectrum_svg(series)
    base = figures._HEIGHT - figures._BOTTOM
    before, after = (base - points(svg, "line", name)[:, 1] for name in ("before", "after"))
    assert after / before == pytest.approx(0.25, rel=0.02)


def ring_shares(power: np.ndarray, edges: np.ndarray) -> tuple[float, ...]:
    """Return the share of each ring; the last one takes the corners."""
    axis = np.fft.fftfreq(power.shape[0])
    radius = np.hypot(axis[:, None], axis[None, :])
    inner = np.clip(np.digitize(radius, edges) - 1, 0, len(edges) - 2)
    shares = np.bincount(inner.ravel(), power.ravel(), minlength=len(edges) - 1)
    return tuple(shares / shares.sum())


@pytest.mark.parametrize("edges", [np.linspace(0, 0.5, 9), np.linspace(0, 0.7, 15), np.linspace(0, 0.6, 4)])
def test_white_noise_is_flat_and_its_integral_is_the_variance(edges: np.ndarray) -> None:
    shares = ring_shares(np.ones((512, 512)), edges)
    centres = tuple((edges[1:] + edges[:-1]) / 2)
    spectrum = figures.radial_spectrum(NoiseSummary(3.0, 1, 5, centres, shares))
    assert [power for _, power in spectrum] == pytest.approx([9.0] * len(centres), rel=0.02)


def test_frequencies_and_powers_are_in_mm_where_the_pixel_is_known() -> None:
    noise = NoiseSummary(3.0, 1, 5, (0.1, 0.3), (0.4, 0.6))
    for (f, p), (f_mm, p_mm) in zip(
        figures.radial_spectrum(noise), figures.radial_spectrum(noise, 0.5), strict=True
    ):
        assert f_mm == pytest.approx(f / 0.5)
        assert p_mm == pytest.approx(p * 0.25)


def test_the_axes_name_their_units(make_series: Any) -> None:
    assert "HU² mm²" in spectrum_svg(make_series())
    assert "cycles per mm" in spectrum_svg(make_series())
    assert "cycles per pixel" in spectrum_svg(make_series(spacing=None))
    assert "cycles per pixel" in spectrum_svg(make_series(spacing=(1.0, 0.5, 0.9)))


def test_the_level_lies_between_its_percentiles_and_after_left_of_before(make_series: Any) -> None:
    svg = level_svg(make_series())
    dots = [float(x) for x in re.findall(r'<circle[^>]* cx="([\d.]+)"', svg)]
    bars = [
        (float(a), float(b)) for a, b in re.findall(r'class="range[^>]* x1="([\d.]+)" x2="([\d.]+)"', svg)
    ]
    assert dots[1] < dots[0]
    for dot, (low, high) in zip(dots, bars, strict=True):
        assert low < dot < high


@pytest.mark.parametrize("highest", [1e-6, 0.03, 0.99, 1.0, 7.2, 48, 1e5])
def test_steps_of_an_axis_are_few_and_round(highest: float) -> None:
    step = nice_step(highest, 5)
    assert 2 <= highest / step <= 5.01
    assert float(f"{step:e}".split("e")[0]) in (1.0, 2.0, 5.0)


@pytest.mark.parametrize("module", [wording, figures])
def test_the_examples_in_the_docstrings_hold(module: Any) -> None:
    result = doctest.testmod(module)
    assert result.failed == 0
    assert result.attempted > 0
