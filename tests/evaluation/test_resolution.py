"""Widths of points and lines, contrast of small inserts, and a denoiser's resolution by task."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from quell.errors import InputError, QuellError
from quell.evaluation.contrast_recovery import contrast_recovery, contrasts
from quell.evaluation.point_spread import line_widths, point_widths, widths
from quell.evaluation.resolution import Scene, recovery_by_task, transfer_by_task
from quell.filters.registry import find_filter
from quell.image import Geometry, Image
from quell.phantoms.uniform import Insert, disc_coverage

FWHM = 2 * np.sqrt(2 * np.log(2))
FWTM = 2 * np.sqrt(2 * np.log(10))


@pytest.mark.parametrize("offset", [0.0, 0.2, 0.5])
@pytest.mark.parametrize(("sigma", "within"), [(3.0, 0.006), (1.3, 0.03)])
def test_widths_of_a_gaussian_peak(offset: float, sigma: float, within: float) -> None:
    x = np.arange(41) - 20 - offset
    found = widths(7 + 5 * np.exp(-(x**2) / (2 * sigma**2)), 0.4, background=7)
    assert found.fwhm == pytest.approx(FWHM * sigma * 0.4, rel=within)
    assert found.fwtm == pytest.approx(FWTM * sigma * 0.4, rel=2 * within)


def test_points_and_lines_have_the_width_of_their_blur() -> None:
    y, x = np.indices((60, 60))
    point = 100 * np.exp(-((y - 30.2) ** 2) / (2 * 2.0**2) - (x - 24.7) ** 2 / (2 * 3.0**2)) + 4
    along_y, along_x = point_widths(point, (28, 27), (1.5, 2.0), background=4)
    assert along_y.fwhm == pytest.approx(FWHM * 2 * 1.5, rel=0.01)
    assert along_x.fwhm == pytest.approx(FWHM * 3 * 2.0, rel=0.01)
    line = np.exp(-((x - 30 - 0.02 * y) ** 2) / (2 * 2.5**2))
    found = line_widths(line, 0, 2.0)
    assert len(found) == 60 and np.mean(found, axis=0)[0] == pytest.approx(FWHM * 2.5 * 2, rel=0.01)
    assert line_widths(line.T, 1, 2.0) == found


def test_a_profile_that_ends_too_soon_has_no_width() -> None:
    x = np.arange(-3, 4)
    found = widths(np.exp(-(x**2) / (2 * 2.0**2)))
    assert found.fwhm == pytest.approx(FWHM * 2, rel=0.05) and np.isnan(found.fwtm)
    for profile in (np.arange(9.0), np.zeros(9), np.array([0, np.nan, 0])):
        with pytest.raises(QuellError):
            widths(profile)
    with pytest.raises(QuellError, match="outside"):
        point_widths(np.ones((9, 9)), (30, 30), (1, 1))


INSERTS = (
    Insert((40.0, 40.0), 1.5, 20.0),
    Insert((40.0, 120.0), 4.0, 20.0),
    Insert((120.0, 80.0), 12.0, 20.0),
)


def scene(inserts: tuple[Insert, ...] = INSERTS, side: int = 160) -> np.ndarray:
    return 50 + sum(i.contrast * disc_coverage((side, side), i.radius, i.centre) for i in inserts)


def test_the_truth_recovers_itself() -> None:
    for insert in INSERTS:
        # Pixels that an edge crosses hold a mixture: 1 - (mixed part), exactly what their cover says.
        cover = disc_coverage((160, 160), insert.radius, insert.centre)
        expected = insert.contrast * (cover**2).sum() / cover.sum()
        assert contrasts(scene()[None], insert)[0] == pytest.approx(expected)


def test_blur_takes_more_of_small_inserts(rng: np.random.Generator) -> None:
    noisy = scene() + 4 * rng.standard_normal((12, 160, 160))
    smooth = gaussian_filter(noisy, (0, 1.5, 1.5))
    found = contrast_recovery(smooth, INSERTS, noisy)
    kept = [one.kept.value for one in found if one.kept is not None]
    assert kept[0] < kept[1] < kept[2] and kept[0] < 0.6 and kept[2] > 0.9
    # What a Gaussian leaves is known: the same ratio without noise.
    for one in found:
        both = [contrasts(v[None], one.insert)[0] for v in (gaussian_filter(scene(), 1.5), scene())]
        assert one.kept is not None and one.kept.low - 0.01 < both[0] / both[1] < one.kept.high + 0.01
        assert one.recovery.groups == 12


def test_a_bilateral_filter_takes_the_faint_and_leaves_the_strong(rng: np.random.Generator) -> None:
    strong, faint = Insert((40.0, 40.0), 2.0, 100.0), Insert((40.0, 100.0), 2.0, 5.0)
    voxels = scene((strong, faint), 140) + 10 * rng.standard_normal((60, 140, 140))
    image = Image(voxels.astype(np.float32), geometry=Geometry((1, 1, 1), known=True))
    rows = recovery_by_task(find_filter("bilateral"), [Scene(image, (strong, faint), 0.5, sigma=10.0)])
    kept = [row.recovery.kept for row in rows]
    assert kept[0] is not None and kept[1] is not None
    # Contrasts of ten and of half a noise level: what cannot be told from noise goes with it.
    assert kept[0].value > 0.9 > 0.65 > kept[1].value


def test_the_transfer_of_a_gaussian_filter_by_task(rng: np.random.Generator) -> None:
    inserts = (Insert((40.0, 40.0), 12.0, 50.0), Insert((40.0, 110.0), 12.0, 200.0))
    truth = gaussian_filter(scene(inserts, 150), (1.0, 1.0))
    voxels = truth + 5 * rng.standard_normal((6, 150, 150))
    image = Image(voxels.astype(np.float32), geometry=Geometry((1, 0.5, 0.5), known=True))
    rows = transfer_by_task(find_filter("gaussian", width=1.5), [Scene(image, inserts, 1.0)], margin=10)
    assert [(r.insert, r.dose) for r in rows] == [(inserts[0], 1.0), (inserts[1], 1.0)]
    for row in rows:
        # Variances of Gaussians add; the pixel adds one of a twelfth.
        expected = np.sqrt((1.0 + 1 / 12) / (1.0 + 1 / 12 + 1.5**2)) - 1
        assert row.change50 == pytest.approx(100 * expected, abs=4)
        assert row.change10 < -30


def test_what_cannot_be_measured_is_told() -> None:
    with pytest.raises(QuellError, match="on every side"):
        contrasts(np.zeros((1, 50, 50)), Insert((10.0, 10.0), 3.0, 1.0))
    with pytest.raises(QuellError, match="shapes differ"):
        contrast_recovery(np.zeros((2, 90, 90)), INSERTS, np.zeros((1, 90, 90)))
    with pytest.raises(QuellError, match="stack"):
        contrasts(np.zeros((50, 50)), INSERTS[0])
    tall = Image(np.zeros((1, 90, 90), np.float32), geometry=Geometry((1, 2, 1), known=True))
    with pytest.raises(InputError, match="square pixels"):
        transfer_by_task(find_filter("gaussian"), [Scene(tall, INSERTS[:1], 1.0)])
