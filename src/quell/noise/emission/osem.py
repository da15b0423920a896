"""Reconstruction by ordered-subsets expectation maximisation, for any projector and its transpose."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from quell.image import FloatArray

Operator = Callable[[FloatArray, int], FloatArray]
"""From an array and the number of a subset to an array."""

_LEAST = np.float32(1e-6)


def osem(
    counts: Sequence[FloatArray],
    background: Sequence[FloatArray] | None,
    forward: Operator,
    back: Operator,
    start: FloatArray,
    iterations: int,
    sensitivity: Sequence[FloatArray] | None = None,
) -> FloatArray:
    """Estimate the activity that makes measured counts most likely.

    One step with subset s is x <- x / A_s'1 * A_s'(y_s / (A_s x + b_s)) (Hudson and Larkin, IEEE Trans Med
    Imaging 13 (1994) 601; the background b as in Politte and Snyder, IEEE Trans Med Imaging 10 (1991)
    82). The arrays may have any shape that the operators agree on, such as many slices at a time.

    Parameters
    ----------
    counts : sequence of ndarray
        Measured counts of each subset.
    background : sequence of ndarray, optional
        Expected scatter and randoms of each subset.
    forward : callable
        ``forward(x, s)``: the counts expected in subset s from activity x.
    back : callable
        ``back(y, s)``: the transpose of it.
    start : ndarray
        Positive first guess. Left as it is.
    iterations : int
        Passes through all subsets.
    sensitivity : sequence of ndarray, optional
        ``back(1, s)`` of each subset; worked out where not given.

    Returns
    -------
    ndarray
        Shaped as `start`; 0 where no ray passes.
    """
    if sensitivity is None:
        sensitivity = [back(np.ones_like(y), s) for s, y in enumerate(counts)]
    inverse = [np.where(seen > _LEAST, 1 / np.maximum(seen, _LEAST), np.float32(0)) for seen in sensitivity]
    x = start.copy()
    for _ in range(iterations):
        for s in subset_order(len(counts)):
            ratio = forward(x, s)
            if background is not None:
                ratio += background[s]
            np.divide(counts[s], np.maximum(ratio, _LEAST, out=ratio), out=ratio)
            step = back(ratio, s)
            step *= inverse[s]
            x *= step
    return x


def subset_order(subsets: int) -> list[int]:
    """Return an order in which neighbours in time are far apart in angle."""
    golden = (np.sqrt(5) - 1) / 2
    order: list[int] = []
    place = 0.0
    for _ in range(subsets):
        left = [s for s in range(subsets) if s not in order]
        # Subsets lie on a circle: the last is the first's neighbour.
        distance = [min(abs(s - place), subsets - abs(s - place)) for s in left]
        order.append(left[int(np.argmin(distance))])
        place = (place + golden * subsets) % subsets
    return order
