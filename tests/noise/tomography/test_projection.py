"""Projector, back-projector and filter against line integrals that are known exactly."""

from __future__ import annotations

import numpy as np
import pytest

from quell.noise.tomography.ellipses import Ellipse, draw_ellipses, ellipse_line_integrals
from quell.noise.tomography.filtering import fast_length, filter_views, filtered_back_projection
from quell.noise.tomography.geometry import ParallelGeometry, covering
from quell.noise.tomography.kernels import KERNELS, Kernel, noise_gain, ramp_power
from quell.noise.tomography.projector import back_project, project

GEOMETRY = covering((128, 128), 2.0, 2.0, 200)


def head() -> list[Ellipse]:
    """Return an object in the manner of Shepp and Logan, of contrast 1, 170 mm wide and 220 mm high."""
    table = (
        (0, 0, 110, 85, 0.0, 1.0),
        (-2, 0, 104, 80, 0.0, -0.6),
        (0, 27, 38, 14, 1.25, -0.2),
        (0, -27, 50, 20, 1.9, -0.2),
        (-42, 0, 30, 26, 0.0, 0.2),
        (60, 10, 9, 6, 0.5, 0.3),
        (75, -20, 4, 4, 0.0, 0.3),
    )
    return [Ellipse((y, x), (b, a), turn, value) for y, x, a, b, turn, value in table]


def smooth(image: np.ndarray, sigma: float = 1.0) -> np.ndarray:
    """Blur by a Gaussian of `sigma` pixels."""
    fy, fx = np.fft.fftfreq(image.shape[0])[:, None], np.fft.fftfreq(image.shape[1])
    transfer = np.exp(-2 * (np.pi * sigma) ** 2 * (fy**2 + fx**2))
    return np.fft.ifft2(np.fft.fft2(image) * transfer).real.astype(np.float32)


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    return draw_ellipses(head(), GEOMETRY, 8)


def error(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.sqrt(np.mean((found - expected) ** 2)))


@pytest.mark.parametrize(("size", "limit"), [(128, 0.008), (256, 0.004)])
def test_projector_gives_the_line_integrals_of_ellipses(size: int, limit: float) -> None:
    """What is left is the staircase of the pixels at steep edges: it goes with their size."""
    geometry = covering((size, size), 256 / size, 2.0, 60)
    exact = ellipse_line_integrals(head(), geometry)
    found = project(draw_ellipses(head(), geometry), geometry)
    assert error(found, exact) < limit * exact.max()
    assert found.sum() == pytest.approx(exact.sum(), rel=1e-3)


def test_each_view_holds_the_whole_object(truth: np.ndarray) -> None:
    mass = project(truth, GEOMETRY).sum(axis=1) * GEOMETRY.pitch
    np.testing.assert_allclose(mass, truth.sum() * GEOMETRY.spacing**2, rtol=2e-3)


def test_round_trip(truth: np.ndarray) -> None:
    smoothed = smooth(truth)
    assert error(filtered_back_projection(project(smoothed, GEOMETRY), GEOMETRY), smoothed) < 0.007


def test_exact_line_integrals_are_reconstructed(truth: np.ndarray) -> None:
    """A Gaussian kernel blurs by a Gaussian: exp(-2 (pi sigma f)^2) halves at f50."""
    sigma = 1.5
    kernel = Kernel(np.sqrt(np.log(2) / 2) / (np.pi * sigma * GEOMETRY.spacing), 2.0)
    found = filtered_back_projection(ellipse_line_integrals(head(), GEOMETRY), GEOMETRY, kernel)
    assert error(found, smooth(truth, sigma)) < 0.007


def test_mean_of_a_disc_is_kept() -> None:
    geometry = covering((96, 128), 1.5, 0.6, 240)
    disc = ellipse_line_integrals([Ellipse((6, -9), (50, 50), 0.0, 0.02)], geometry)
    found = filtered_back_projection(disc, geometry, Kernel(0.15, 2.0))
    y, x = np.mgrid[:96, :128] * 1.5 - np.array([71.25, 95.25])[:, None, None]
    inside = np.hypot(y - 6, x + 9)
    assert found[inside < 40].mean() == pytest.approx(0.02, rel=1e-3)
    assert np.abs(found[inside > 60]).max() < 2e-4


@pytest.mark.parametrize("shape", [(40, 40), (33, 50), (1, 7), (64, 20)])
def test_numba_and_numpy_agree(shape: tuple[int, int]) -> None:
    pytest.importorskip("numba")
    rng = np.random.default_rng(1)
    image = rng.random(shape, np.float32)
    geometry = covering(shape, 1.3, 0.9, 31)
    sinograms = [project(image, geometry, engine) for engine in ("numba", "numpy")]
    np.testing.assert_allclose(*sinograms, rtol=1e-4, atol=1e-5 * sinograms[0].max())
    images = [filtered_back_projection(sinograms[0], geometry, None, e) for e in ("numba", "numpy")]
    np.testing.assert_allclose(*images, atol=1e-5 * np.abs(images[0]).max())


def test_narrow_detectors_see_a_part() -> None:
    """Bins beyond the image are empty; an image beyond the bins is cut off."""
    image = np.ones((32, 32), np.float32)
    narrow = ParallelGeometry(20, 11, 1.0, 32, 32, 1.0)
    assert not narrow.covers and covering((32, 32), 1.0, 1.0, 20).covers
    wide = ParallelGeometry(20, 101, 1.0, 32, 32, 1.0)
    for engine in ("auto", "numpy"):
        np.testing.assert_allclose(
            project(image, narrow, engine), project(image, wide, engine)[:, 45:56], rtol=1e-5
        )
        seen = back_project(np.ones((20, 11), np.float32), narrow, engine)
        assert seen[16, 16] == pytest.approx(np.pi, rel=1e-5) and seen[0, 0] < 1


def test_back_projection_is_the_transpose_of_projection() -> None:
    """Both interpolate linearly, in different places: the products agree to the pixel's scale."""
    rng = np.random.default_rng(2)
    image = smooth(rng.random((64, 64), np.float32), 2)
    geometry = covering((64, 64), 1.0, 1.0, 90)
    views = project(smooth(rng.random((64, 64), np.float32), 2), geometry)
    forward = float((project(image, geometry) * views).sum()) * np.pi / 90
    assert float((image * back_project(views, geometry)).sum()) == pytest.approx(forward, rel=2e-3)


@pytest.mark.parametrize("name", ["soft", "lung"])
def test_white_noise_gets_the_spectrum_of_the_kernel(name: str) -> None:
    """Variance, shape and first moment of the reconstructed noise follow the formula."""
    kernel = KERNELS[name]
    geometry = covering((128, 128), 0.6, 0.5, 256)
    rng = np.random.default_rng(3)
    fields = np.stack(
        [
            filtered_back_projection(rng.standard_normal((256, geometry.bins), np.float32), geometry, kernel)
            for _ in range(12)
        ]
    )
    # 12 fields of 128^2 pixels, one in three or so independent: 0.5 % for the variance.
    gain = noise_gain(kernel, 0.5, 256)
    assert fields.var() == pytest.approx(gain, rel=0.03)
    spectrum = (np.abs(np.fft.fft2(fields * np.outer(np.hanning(128), np.hanning(128)))) ** 2).mean(axis=0)
    fy = np.fft.fftfreq(128, 0.6)
    f = np.hypot(fy[:, None], fy)
    f = np.minimum(f, f.T)
    expected = ramp_power((128, 128), 0.6, kernel)
    ring = (f > 0.03) & (f < 0.8)
    moments = [(p * f)[ring].sum() / p[ring].sum() for p in (spectrum, expected)]
    assert moments[0] == pytest.approx(moments[1], rel=0.02)


def test_kernels_are_what_they_say() -> None:
    for kernel in KERNELS.values():
        assert kernel.response(0.0) == 1
        assert kernel.response(kernel.f50) == pytest.approx(0.5)
        assert kernel.response(kernel.f10) == pytest.approx(0.1)
    power = ramp_power((32, 32), 0.8, KERNELS["soft"])
    assert power.mean() == pytest.approx(1, rel=1e-5)
    np.testing.assert_allclose(power[1:, 1:], power[:0:-1, :0:-1], rtol=1e-5)


def test_filter_keeps_constants_out() -> None:
    """The ramp has no mean: far inside a wide plateau nothing is left but the ends' tails."""
    plateau = np.ones((1, 4000), np.float32)
    filtered = filter_views(plateau, 1.0)
    assert abs(float(filtered[0, 4000])) < 3 / (np.pi**2 * 2000)


def test_fast_lengths() -> None:
    assert [fast_length(n) for n in (2, 7, 13, 1025, 2064)] == [2, 8, 16, 1080, 2160]


@pytest.mark.parametrize(
    "bad",
    [
        lambda: ParallelGeometry(0, 1, 1, 1, 1, 1),
        lambda: ParallelGeometry(1, 1, 0, 1, 1, 1),
        lambda: ParallelGeometry(1, 1, 1, 1, 1, float("nan")),
        lambda: Kernel(0.0),
        lambda: project(np.zeros((3, 3), np.float32), GEOMETRY),
        lambda: filtered_back_projection(np.zeros((3, 3), np.float32), GEOMETRY),
    ],
)
def test_senseless_parameters_are_refused(bad: object) -> None:
    with pytest.raises(ValueError):
        bad()  # type: ignore[operator]
