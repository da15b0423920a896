"""What is left of the structure of a reference: visual information fidelity, edges."""

from __future__ import annotations

import numpy as np

from quell.errors import QuellError
from quell.evaluation.metrics.contracts import Direction, Metric, Need, Values, Window
from quell.evaluation.metrics.fidelity import by_slice, clipped
from quell.image import BoolArray

_SCALES = 4
_SMALLEST = 41
"""The four scales and their windows of 17, 9, 5 and 3 pixels leave nothing of a smaller slice."""

_VISUAL_NOISE = 2.0
"""Variance of the noise of the eye for values from 0 to 255, as in the authors' code."""

_EDGES = 0.9
_TINY = 1e-10


def vif(reference: Values, test: Values, *, window: Window, mask: BoolArray | None = None) -> float:
    """Return the visual information fidelity of a slice, in the pixel domain.

    Sheikh and Bovik 2006 (IEEE TIP 15:430), the multi-scale pixel version of the authors (``vifp_mscale``):
    the information that an eye with noise of variance 2 gets from the test over that from the reference,
    summed over four scales. 1 for equal images; above 1 where contrast was enhanced.

    Parameters
    ----------
    reference, test : ndarray, shape (y, x)
    window : tuple of float
        Both are clipped to it and mapped to 0 to 255.
    mask : ndarray of bool, shape (y, x), optional
        Pixels that count; in the coarser scales every second one of them.
    """
    low, high = window
    if min(reference.shape) < _SMALLEST:
        raise QuellError(f"VIF needs slices of at least {_SMALLEST} x {_SMALLEST} pixels")
    a, b = ((clipped(v, window) - low) * (255 / (high - low)) for v in (reference, test))
    inside = np.ones(a.shape, bool) if mask is None else mask
    kept = total = 0.0
    for scale in range(_SCALES):
        side = 2 ** (_SCALES - scale) + 1
        if scale:
            a, b = _local(a, side)[::2, ::2], _local(b, side)[::2, ::2]
            inside = _cut(inside, side)[::2, ::2]
        information = _information(a, b, side)
        chosen = _cut(inside, side)
        kept += float(information[0][chosen].sum())
        total += float(information[1][chosen].sum())
    if total < _TINY:
        # A reference without any structure has no information to lose.
        return 1.0 if kept < _TINY else float("inf")
    return kept / total


def edge_preservation(
    reference: Values, test: Values, *, window: Window | None = None, mask: BoolArray | None = None
) -> float:
    """Return the edge preservation index of a slice.

    Sattar et al. 1997 (IEEE TIP 6:888): the correlation of the two images after a Laplacian. 1 for equal
    edges, 0 where nothing but noise is left of them. Sensitive to what noise remains.

    Parameters
    ----------
    reference, test : ndarray, shape (y, x)
    window : tuple of float, optional
        Both images are clipped to it first.
    mask : ndarray of bool, shape (y, x), optional
        Pixels that count.
    """
    from scipy.ndimage import laplace

    inside = np.ones(reference.shape, bool) if mask is None else mask
    a, b = (laplace(clipped(v, window), mode="nearest")[inside] for v in (reference, test))
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a**2).sum() * (b**2).sum()))
    if size == 0:
        return 1.0 if np.array_equal(a, b) else 0.0
    return float((a * b).sum() / size)


def edge_gradient(
    reference: Values, test: Values, *, window: Window | None = None, mask: BoolArray | None = None
) -> float:
    """Return how much of the steepness of the reference's edges a slice has.

    The gradient of the test along that of the reference, over the gradient of the reference, at its
    steepest tenth: ``sum(t . r) / sum(r . r)`` with Gaussian derivatives of 1 pixel. 1 for kept edges,
    below 1 for blurred, above 1 for sharpened ones. Noise that has nothing to do with the edges adds
    nothing on average.

    Parameters
    ----------
    reference, test : ndarray, shape (y, x)
    window : tuple of float, optional
        Both images are clipped to it first.
    mask : ndarray of bool, shape (y, x), optional
        Pixels that count.
    """
    inside = np.ones(reference.shape, bool) if mask is None else mask
    a, b = _gradient(clipped(reference, window)), _gradient(clipped(test, window))
    steep = (a**2).sum(axis=0)
    chosen = inside & (steep >= np.quantile(steep[inside], _EDGES)) & (steep > 0)
    if not chosen.any():
        return 1.0
    return float((a * b).sum(axis=0)[chosen].sum() / steep[chosen].sum())


def _gradient(values: Values) -> Values:
    from scipy.ndimage import gaussian_filter

    orders = ((1, 0), (0, 1))
    return np.stack([gaussian_filter(values, 1.0, order=order, mode="nearest") for order in orders])


def _information(a: Values, b: Values, side: int) -> tuple[Values, Values]:
    """Return what the eye gets of the test and of the reference at one scale, in nats per pixel."""
    mean_a, mean_b = _local(a, side), _local(b, side)
    var_a = np.maximum(_local(a * a, side) - mean_a**2, 0)
    var_b = np.maximum(_local(b * b, side) - mean_b**2, 0)
    covariance = _local(a * b, side) - mean_a * mean_b
    gain = covariance / (var_a + _TINY)
    rest = var_b - gain * covariance
    flat_a, flat_b = var_a < _TINY, var_b < _TINY
    gain[flat_a | flat_b] = 0
    rest[flat_a] = var_b[flat_a]
    rest[flat_b] = 0
    # An inverted edge carries no information of the reference.
    inverted = gain < 0
    rest[inverted] = var_b[inverted]
    gain[inverted] = 0
    rest = np.maximum(rest, _TINY)
    kept = np.log1p(gain**2 * var_a / (rest + _VISUAL_NOISE))
    total = np.log1p(np.where(flat_a, 0, var_a) / _VISUAL_NOISE)
    return kept, total


def _local(values: Values, side: int) -> Values:
    """Average with a Gaussian window of `side` pixels and a standard deviation of a fifth of it."""
    from scipy.ndimage import correlate1d

    at = np.arange(side) - side // 2
    weights = np.exp(-(at**2) / (2 * (side / 5) ** 2))
    weights /= weights.sum()
    rows = correlate1d(values, weights, axis=0, mode="nearest")
    return np.asarray(_cut(correlate1d(rows, weights, axis=1, mode="nearest"), side))


def _cut(values: Values | BoolArray, side: int) -> Values | BoolArray:
    """Leave out the border at which a window of `side` pixels leaves the image."""
    border = side // 2
    return values[border:-border, border:-border]


_PAIRED = frozenset({Need.REFERENCE, Need.WINDOW})

STRUCTURE: tuple[Metric, ...] = (
    Metric("VIF", "", Direction.HIGHER, by_slice(vif), _PAIRED, source="Sheikh and Bovik 2006"),
    Metric(
        *("edge preservation", "", Direction.HIGHER, by_slice(edge_preservation), _PAIRED),
        source="Sattar et al. 1997",
    ),
    Metric(
        *("edge gradient", "", Direction.ONE, by_slice(edge_gradient), _PAIRED),
        source="projection of gradients at the steepest tenth of the reference",
    ),
)
