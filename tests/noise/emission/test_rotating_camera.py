"""The rotating camera: its transpose, its attenuation, its blur and the way it turns."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy", reason="SciPy is not installed")

from quell.noise.emission.rotating_camera import RotatingCamera, rotating_camera

SIZE = 33
ANGLES = np.deg2rad(np.arange(12) * 30.0)
SHARP = np.zeros(SIZE)


def camera(
    sigmas: np.ndarray = SHARP,
    attenuation: np.ndarray | None = None,
    angles: np.ndarray = ANGLES,
    slices: int = 9,
) -> RotatingCamera:
    return rotating_camera((SIZE, SIZE, slices), angles, 3, sigmas, 1.0, attenuation)


def point(y: int, x: int, slices: int = 9) -> np.ndarray:
    volume = np.zeros((SIZE, SIZE, slices), np.float32)
    volume[y, x, slices // 2] = 1
    return volume


def test_back_is_the_transpose_of_forward(rng: np.random.Generator) -> None:
    attenuation = 0.1 * rng.random((SIZE, SIZE, 9), np.float32)
    turning = camera(np.linspace(2, 0.7, SIZE), attenuation)
    for subset in range(3):
        x = rng.random((SIZE, SIZE, 9), np.float32)
        y = rng.random((4, SIZE, 9), np.float32)
        there = np.vdot(turning.forward(x, subset).astype(float), y)
        back = np.vdot(x, turning.back(y, subset).astype(float))
        assert there == pytest.approx(back, rel=1e-5)


def test_the_camera_is_linear(rng: np.random.Generator) -> None:
    turning = camera(np.full(SIZE, 1.0), np.full((SIZE, SIZE, 9), 0.05, np.float32))
    first, second = rng.random((2, SIZE, SIZE, 9), np.float32)
    both = turning.forward(2 * first + 3 * second, 1)
    apart = 2 * turning.forward(first, 1) + 3 * turning.forward(second, 1)
    assert both == pytest.approx(apart, rel=1e-4)


def test_no_count_is_lost_on_the_way(rng: np.random.Generator) -> None:
    volume = np.zeros((SIZE, SIZE, 9), np.float32)
    volume[9:24, 9:24] = rng.random((15, 15, 9))
    turning = camera()
    for view in range(12):
        assert turning.project(volume, view).sum() == pytest.approx(volume.sum(), rel=1e-5)


def test_a_point_goes_around_the_axis_as_seen_from_the_camera() -> None:
    # At the patient's left: to the right from in front, in the middle from the left, to the left from behind.
    middle, turning = SIZE // 2, camera()
    profile = [turning.project(point(middle, middle + 10), view).sum(axis=1) for view in (0, 3, 6)]
    place = [float((p * (np.arange(SIZE) - middle)).sum()) for p in profile]
    assert place == pytest.approx([10, 0, -10], abs=1e-3)


def test_photons_of_a_point_are_lost_along_their_way_to_the_camera() -> None:
    middle, mu = SIZE // 2, 0.08
    radius = 13.0
    place = np.arange(SIZE) - middle
    body = (np.hypot(place[:, None], place) <= radius).astype(np.float32)
    turning = camera(attenuation=np.repeat(mu * body[:, :, None], 9, axis=2))
    for view, y, x, depth in ((0, -8, 0, 5), (6, -8, 0, 21), (3, 0, 5, 8), (9, 0, 5, 18), (0, 0, 0, 13)):
        seen = turning.project(point(middle + y, middle + x), view).sum()
        # From the middle of its voxel to the rim, which lies half a voxel beyond the last centre.
        assert seen == pytest.approx(np.exp(-mu * (depth + 0.5)), rel=0.02)


def test_blur_grows_with_the_distance_from_the_camera() -> None:
    pixel, radius = 6.4, 180.0
    near = (np.arange(SIZE) - SIZE // 2) * pixel
    sigmas = (3.5 + 0.039 * (radius - near)) / np.sqrt(8 * np.log(2)) / pixel
    # Odd angles, so that points fall between the pixels of the turned grid in all ways.
    angles = np.deg2rad(np.arange(40) * 9.0 + 2.3)
    turning = camera(sigmas, angles=angles, slices=25)
    middle, place = SIZE // 2, np.arange(SIZE)
    # Not on the axis: there every turn meets the same point.
    for depth in (-8, -3, 8):
        across, along = [], []
        for view, angle in enumerate(angles):
            y, x = np.rint(middle - depth * np.cos(angle)), np.rint(middle + depth * np.sin(angle))
            seen = turning.project(point(int(y), int(x), 25), view)
            for profile, found in ((seen.sum(axis=1), across), (seen.sum(axis=0), along)):
                at = place[: len(profile)]
                mean = (profile * at).sum() / profile.sum()
                found.append((profile * (at - mean) ** 2).sum() / profile.sum())
        law = sigmas[middle + depth]
        # Along z nothing is interpolated; across, the interpolation is taken off on the average.
        assert np.sqrt(np.mean(along)) == pytest.approx(law, rel=0.02)
        assert np.sqrt(np.mean(across)) == pytest.approx(law, rel=0.06)


def test_a_map_that_is_not_kept_attenuates_alike(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    attenuation = 0.1 * rng.random((SIZE, SIZE, 9), np.float32)
    kept = camera(attenuation=attenuation).project(point(10, 12), 4)
    monkeypatch.setattr("quell.noise.emission.rotating_camera._KEPT_BYTES", 0)
    assert np.array_equal(camera(attenuation=attenuation).project(point(10, 12), 4), kept)


def test_bad_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="square"):
        rotating_camera((8, 9, 3), ANGLES, 3, np.zeros(8))
