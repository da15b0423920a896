"""Channels are what their formulas say, on any spacing and about any centre."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import eval_laguerre

from quell.errors import QuellError
from quell.evaluation.observers.channels import (
    Channels,
    annular_frequency,
    dense_difference_of_gaussians,
    difference_of_gaussians,
    gabor,
    laguerre_gauss,
    sparse_difference_of_gaussians,
)

BUILDERS = [
    lambda shape, **where: laguerre_gauss(shape, 8.0, **where),
    gabor,
    dense_difference_of_gaussians,
    sparse_difference_of_gaussians,
    annular_frequency,
]


def test_laguerre_gauss_channels_are_those_of_the_formula() -> None:
    width, spacing = 6.0, (0.7, 0.7)
    channels = laguerre_gauss((61, 61), width, 5, spacing=spacing)
    axis = (np.arange(61) - 30) * 0.7
    x = 2 * math.pi * (axis[:, None] ** 2 + axis**2) / width**2
    for j, plane in enumerate(channels.weights):
        expected = math.sqrt(2) / width * np.exp(-x / 2) * eval_laguerre(j, x)
        # A sum over pixels stands for the integral.
        np.testing.assert_allclose(plane, expected * 0.7, atol=1e-6)


def test_laguerre_gauss_channels_are_orthonormal() -> None:
    matrix = laguerre_gauss((81, 81), 14.0, 8).matrix
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(8), atol=1e-6)


def test_difference_of_gaussians_is_that_of_the_formula_in_frequency() -> None:
    side, first = 257, 0.03
    channels = difference_of_gaussians((side, side), first, 1.5, 1.67, 3)
    f = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side))
    for j, plane in enumerate(channels.weights):
        s = first * 1.5**j
        expected = np.exp(-(f**2) / (2 * (1.67 * s) ** 2)) - np.exp(-(f**2) / (2 * s**2))
        found = np.fft.fft2(np.fft.ifftshift(plane)).real
        # What lies beyond half a cycle per pixel folds back.
        np.testing.assert_allclose(found / found.max(), expected / expected.max(), atol=1e-3)


def test_annular_channels_pass_their_ring_of_frequencies_only() -> None:
    side = 256
    channels = annular_frequency((side, side), edges=(0.1, 0.2, 0.3))
    f = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side))
    for plane, (low, high) in zip(channels.weights, ((0.1, 0.2), (0.2, 0.3)), strict=True):
        power = np.abs(np.fft.fft2(plane)) ** 2
        assert power[(f >= low) & (f < high)].sum() > 0.95 * power.sum()


def test_gabor_channels_pass_their_band_in_their_direction() -> None:
    side = 128
    channels = gabor((side, side), edges=(0.1, 0.2), orientations=4, phases=(0.0,))
    fy, fx = np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None]
    for plane, angle in zip(channels.weights, np.arange(4) * np.pi / 4, strict=True):
        power = np.abs(np.fft.fft2(plane)) ** 2
        strongest = np.unravel_index(power.argmax(), power.shape)
        at = np.array([fy[strongest[0], 0], fx[0, strongest[1]]])
        assert np.hypot(*at) == pytest.approx(0.15, abs=0.01)
        assert abs(at @ [np.sin(angle), np.cos(angle)]) == pytest.approx(np.hypot(*at), rel=0.01)


@pytest.mark.parametrize("build", BUILDERS)
def test_channels_follow_the_centre(build: Callable[..., Channels]) -> None:
    middle, moved = build((41, 41)), build((41, 41), centre=(18.0, 23.0))
    ours, theirs = middle.weights[:, 12:28, 12:28], moved.weights[:, 10:26, 15:31]
    # The scale to unit length sees what the border cuts off; the shape does not.
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one / np.abs(one).max(), other / np.abs(other).max(), atol=1e-9)


@pytest.mark.parametrize("build", BUILDERS[1:])
def test_defaults_in_pixels_do_not_depend_on_the_size_of_a_pixel(build: Callable[..., Channels]) -> None:
    one, other = build((31, 31)), build((31, 31), spacing=(0.4, 0.4))
    np.testing.assert_allclose(one.weights, other.weights, atol=1e-9)


def test_counts_are_those_of_the_literature() -> None:
    shape = (31, 31)
    assert [len(build(shape)) for build in BUILDERS] == [6, 40, 10, 3, 4]


def test_what_does_not_fit_is_refused() -> None:
    channels = laguerre_gauss((21, 21), 8.0)
    with pytest.raises(QuellError, match="do not fit"):
        channels.responses(np.zeros((3, 20, 20)))
    with pytest.raises(QuellError, match="not finite"):
        channels.responses(np.full((3, 21, 21), np.nan))
    with pytest.raises(ValueError, match="positive"):
        laguerre_gauss((21, 21), 0.0)
    with pytest.raises(ValueError, match="rise"):
        gabor((21, 21), edges=(0.2, 0.1))
