"""How near an image is to its reference, pixel by pixel: RMSE, MAE, PSNR, SSIM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from quell.errors import QuellError
from quell.evaluation.metrics.contracts import Direction, Metric, Need, Sample, Values, Window
from quell.image import BoolArray

SSIM_SIDE = 11
"""Side in pixels of the window of SSIM (Gaussian of 1.5 pixels cut at 3.5 standard deviations)."""


def clipped(values: Values, window: Window | None) -> Values:
    """Return the values as float64, those outside a window moved to its ends."""
    exact = np.asarray(values, np.float64)
    return exact if window is None else np.clip(exact, *window)


def rmse(
    reference: Values, test: Values, *, window: Window | None = None, mask: BoolArray | None = None
) -> float:
    """Return the root of the mean squared difference.

    Parameters
    ----------
    reference, test : ndarray, of one shape
    window : tuple of float, optional
        Both images are clipped to it first.
    mask : ndarray of bool, optional
        Pixels that count.

    Returns
    -------
    float
        In the units of the images.
    """
    return float(np.sqrt(np.mean(_error(reference, test, window, mask) ** 2)))


def mae(
    reference: Values, test: Values, *, window: Window | None = None, mask: BoolArray | None = None
) -> float:
    """Return the mean absolute difference; parameters as of `rmse`."""
    return float(np.mean(np.abs(_error(reference, test, window, mask))))


def psnr(reference: Values, test: Values, *, window: Window, mask: BoolArray | None = None) -> float:
    """Return the peak signal-to-noise ratio.

    ``10 log10(span^2 / MSE)``, with the span of the window as the peak. Equals
    ``skimage.metrics.peak_signal_noise_ratio`` of the clipped images with that data range.

    Parameters
    ----------
    reference, test : ndarray, of one shape
    window : tuple of float
        Both images are clipped to it first.
    mask : ndarray of bool, optional
        Pixels that count.

    Returns
    -------
    float
        In dB; infinity for equal images.
    """
    span, error = _span(window), rmse(reference, test, window=window, mask=mask)
    return float("inf") if error == 0 else float(20 * np.log10(span / error))


def ssim(reference: Values, test: Values, *, window: Window, mask: BoolArray | None = None) -> float:
    """Return the structural similarity of two slices.

    Wang et al. 2004 as its authors computed it: a Gaussian window of 1.5 pixels, K1 = 0.01, K2 = 0.03,
    population covariances. scikit-image does the work; without a mask the result is its own.

    Parameters
    ----------
    reference, test : ndarray, shape (y, x)
    window : tuple of float
        Both images are clipped to it first; its span is the data range.
    mask : ndarray of bool, shape (y, x), optional
        Pixels whose local similarity is averaged. The five pixels along the border never count, since
        their windows leave the image.

    Raises
    ------
    QuellError
        If the slice is smaller than the window of SSIM, scikit-image is not installed, or no pixel
        of the mask lies inside the border.
    """
    similarity = ssim_map(reference, test, window=window)
    border = (SSIM_SIDE - 1) // 2
    inside = (slice(border, -border), slice(border, -border))
    chosen = similarity[inside] if mask is None else similarity[inside][mask[inside]]
    if chosen.size == 0:
        raise QuellError(f"SSIM: no pixel of the region lies more than {border} pixels from the border")
    return float(chosen.mean(dtype=np.float64))


def ssim_map(reference: Values, test: Values, *, window: Window) -> Values:
    """Return the local structural similarity at every pixel, shape (y, x); see `ssim`."""
    try:
        from skimage.metrics import structural_similarity
    except ImportError as error:
        raise QuellError("SSIM needs scikit-image: pip install 'quell[lab]'") from error
    if min(reference.shape) < SSIM_SIDE:
        raise QuellError(f"SSIM needs slices of at least {SSIM_SIDE} x {SSIM_SIDE} pixels")
    compute: Callable[..., Any] = structural_similarity
    _, similarity = compute(
        clipped(reference, window),
        clipped(test, window),
        data_range=_span(window),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    return np.asarray(similarity, np.float64)


def by_slice(measure: Callable[..., float]) -> Callable[[Sample], float]:
    """Make a metric of slices out of a function of two slices: the mean over the slices with pixels."""

    def compute(sample: Sample) -> float:
        reference = sample.given(sample.reference)
        found = [
            measure(reference[z], sample.test[z], window=sample.window, mask=sample.mask[z])
            for z in range(len(sample.test))
            if sample.mask[z].any()
        ]
        return float(np.mean(found))

    return compute


def _whole(measure: Callable[..., float]) -> Callable[[Sample], float]:
    def compute(sample: Sample) -> float:
        reference = sample.given(sample.reference)
        return measure(reference, sample.test, window=sample.window, mask=sample.mask)

    return compute


def _error(reference: Values, test: Values, window: Window | None, mask: BoolArray | None) -> Values:
    if reference.shape != test.shape:
        raise QuellError(f"shapes differ: {reference.shape} and {test.shape}")
    error = clipped(test, window) - clipped(reference, window)
    return error if mask is None else error[mask]


def _span(window: Window) -> float:
    low, high = window
    if not high > low:
        raise QuellError(f"a window goes from a lower to a higher value, got {low:g} to {high:g}")
    return high - low


_PAIRED = frozenset({Need.REFERENCE, Need.WINDOW})
_WANG = "Wang et al. 2004, IEEE TIP 13:600"

FIDELITY: tuple[Metric, ...] = (
    Metric("PSNR", "dB", Direction.HIGHER, _whole(psnr), _PAIRED, source="10 log10(span^2 / MSE)"),
    Metric("SSIM", "", Direction.HIGHER, by_slice(ssim), _PAIRED, source=_WANG),
    Metric("RMSE", "image", Direction.LOWER, _whole(rmse), _PAIRED),
    Metric("MAE", "image", Direction.LOWER, _whole(mae), _PAIRED),
)
