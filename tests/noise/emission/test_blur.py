"""Gaussian blur by matrices: the right width at every width, nothing gained, nothing wrapped."""

from __future__ import annotations

import numpy as np
import pytest

from quell.noise.emission.blur import SIGMA_OF_FWHM, blur_matrix, blur_slices


@pytest.mark.parametrize("sigma", [0.1, 0.4, 0.64, 0.66, 1.0, 3.0])
def test_a_point_gets_the_width_that_was_asked_for(sigma: float) -> None:
    line = blur_matrix(41, sigma)[20].astype(float)
    assert line.sum() == pytest.approx(1, abs=1e-6)
    assert (line * (np.arange(41) - 20) ** 2).sum() == pytest.approx(sigma**2, rel=0.02)


def test_the_matrix_is_its_own_transpose_and_loses_what_leaves_the_line() -> None:
    matrix = blur_matrix(12, 2.0)
    assert np.array_equal(matrix, matrix.T)
    assert matrix[:, 0].sum() < 0.7
    assert np.array_equal(blur_matrix(5, 0), np.eye(5, dtype=np.float32))


def test_full_width_at_half_maximum() -> None:
    line = blur_matrix(401, 100 * SIGMA_OF_FWHM)[200]
    assert line[150] / line[200] == pytest.approx(0.5, abs=0.01)


def test_slices_are_blurred_each_by_itself_and_in_each_direction() -> None:
    stack = np.zeros((2, 31, 31), np.float32)
    stack[0, 15, 15] = 1
    blurred = blur_slices(stack, (2.0, 1.0))
    place = np.arange(31) - 15
    assert not blurred[1].any()
    assert (blurred[0].sum(axis=1) * place**2).sum() == pytest.approx(4, rel=0.01)
    assert (blurred[0].sum(axis=0) * place**2).sum() == pytest.approx(1, rel=0.01)
