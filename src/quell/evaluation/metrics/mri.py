"""Signal-to-noise ratio in MRI, and the bias where there is little signal."""

from __future__ import annotations

import numpy as np

from quell.errors import QuellError
from quell.evaluation.metrics.contracts import Direction, Metric, Need, Sample, Values
from quell.image import BoolArray, Modality

LOW_SIGNAL = 3.0
"""Signal below this many noise levels is low: there a magnitude image lies above the truth by 6 % and
more (Gudbjartsson and Patz 1995)."""


def snr(values: Values) -> float:
    """Return mean over standard deviation of a uniform region; infinity for constant values."""
    sd = float(np.std(values, ddof=1)) if values.size > 1 else 0.0
    return float("inf") if sd == 0 else float(np.mean(values)) / sd


def snr_of_pair(first: Values, second: Values) -> float:
    """Return the signal-to-noise ratio of a region from two acquisitions.

    Mean of both over the standard deviation of their difference divided by sqrt(2): NEMA MS 1, method 1.
    Shading and anatomy cancel.

    Parameters
    ----------
    first, second : ndarray
        The same pixels in either acquisition.
    """
    if first.shape != second.shape:
        raise QuellError(f"the two acquisitions have shapes {first.shape} and {second.shape}")
    sd = float(np.std(first - second, ddof=1)) / np.sqrt(2)
    mean = float(np.mean(first) + np.mean(second)) / 2
    return float("inf") if sd == 0 else mean / sd


def low_signal_bias(reference: Values, test: Values, sigma: float, mask: BoolArray) -> float:
    """Return the mean difference where the reference has little signal, in noise levels.

    The magnitude of complex noise has a floor of 1.25 noise levels; a denoiser that only averages keeps
    it and turns black into grey.

    Parameters
    ----------
    reference : ndarray
        Noise-free signal, or one with far less noise.
    test : ndarray
    sigma : float
        Noise level of one channel (real or imaginary) in the noisy image.
    mask : ndarray of bool

    Raises
    ------
    QuellError
        If no pixel has a signal below `LOW_SIGNAL` noise levels.
    """
    if not sigma > 0:
        raise QuellError(f"the noise level must be positive, got {sigma:g}")
    low = mask & (reference < LOW_SIGNAL * sigma)
    if not low.any():
        raise QuellError(f"no pixel of the region has a signal below {LOW_SIGNAL:g} noise levels")
    return float(np.mean(test[low] - reference[low])) / sigma


def _snr(sample: Sample) -> float:
    return snr(sample.test[sample.mask])


def _low(sample: Sample) -> float:
    sigma = sample.sigma if sample.sigma is not None else 0.0
    return low_signal_bias(sample.given(sample.reference), sample.test, sigma, sample.mask)


MRI: tuple[Metric, ...] = (
    Metric("SNR", "", Direction.HIGHER, _snr, frozenset({Need.REGION}), (Modality.MR,), "NEMA MS 1"),
    Metric(
        *("low-signal bias", "noise levels", Direction.ZERO, _low),
        *(frozenset({Need.REFERENCE, Need.SIGMA}), (Modality.MR,)),
        source="Gudbjartsson and Patz 1995, MRM 34:910",
    ),
)
