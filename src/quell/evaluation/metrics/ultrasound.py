"""Contrast and speckle in ultrasound: CNR, gCNR, equivalent number of looks, speckle SNR."""

from __future__ import annotations

import numpy as np

from quell.errors import QuellError
from quell.evaluation.metrics.contracts import Direction, Metric, Need, Sample, Values
from quell.image import Modality

RAYLEIGH_SNR = float(np.sqrt(np.pi / (4 - np.pi)))
"""Mean over standard deviation of the envelope of fully developed speckle, 1.91 (Burckhardt 1978)."""


def contrast_to_noise(region: Values, background: Values) -> float:
    """Return the contrast-to-noise ratio ``|m1 - m2| / sqrt(s1^2 + s2^2)``.

    Patterson and Foster 1983. For values on any scale; say which. Infinity where both regions are
    constant and differ.

    Parameters
    ----------
    region, background : ndarray
        The values of the pixels of either region.
    """
    noise = float(np.sqrt(np.var(region) + np.var(background)))
    difference = float(abs(np.mean(region) - np.mean(background)))
    if noise == 0:
        return 0.0 if difference == 0 else float("inf")
    return difference / noise


def generalised_contrast_to_noise(region: Values, background: Values, bins: int | None = None) -> float:
    """Return the gCNR: one minus the overlap of the two histograms.

    Rodriguez-Molares et al. 2020 (IEEE TUFFC 67:745). It is the share of right decisions of the best
    possible observer of single pixels, mapped to 0 to 1; unlike CNR it does not change with the
    dynamic range. Histograms have equal bins of ranks, so that it is the same on any monotone scale.

    Parameters
    ----------
    region, background : ndarray
        The values of the pixels of either region.
    bins : int, optional
        By default the cube root of the number of pixels of the smaller region. Regions of n pixels that
        are alike have a gCNR of about sqrt(bins / (pi n)), not 0.
    """
    count = bins or max(2, round(min(region.size, background.size) ** (1 / 3)))
    both = np.sort(np.concatenate([region.ravel(), background.ravel()]))
    ends = np.unique(both[np.linspace(0, both.size, count + 1)[1:-1].astype(int) - 1])
    shares = [
        np.bincount(np.searchsorted(ends, v.ravel()), minlength=ends.size + 1) / v.size
        for v in (region, background)
    ]
    return float(1 - np.minimum(*shares).sum())


def equivalent_looks(amplitude: Values) -> float:
    """Return the equivalent number of looks of a uniform region, ``mean^2 / variance`` of the intensity.

    1 for fully developed speckle (Lee 1986); more after smoothing. Infinity for constant values.

    Parameters
    ----------
    amplitude : ndarray
        Envelope, not log-compressed.
    """
    intensity = np.asarray(amplitude, np.float64) ** 2
    variance = float(intensity.var())
    return float("inf") if variance == 0 else float(intensity.mean() ** 2 / variance)


def speckle_snr(amplitude: Values) -> float:
    """Return mean over standard deviation of the envelope of a uniform region.

    1.91 for fully developed speckle (`RAYLEIGH_SNR`); infinity for constant values.
    """
    sd = float(np.std(amplitude))
    return float("inf") if sd == 0 else float(np.mean(amplitude)) / sd


def envelope(values: Values, decibel: float | None) -> Values:
    """Undo log compression.

    Parameters
    ----------
    values : ndarray
    decibel : float or None
        dB that one unit of the image stands for (dynamic range over span of values: 60 / 255 for an
        8-bit image of 60 dB); None for values that are amplitudes already.

    Returns
    -------
    ndarray
        Amplitude, the highest value being 1 where log compression was undone.
    """
    if decibel is None:
        return values
    if not decibel > 0:
        raise QuellError(f"dB per unit must be positive, got {decibel:g}")
    return np.asarray(10 ** ((values - values.max()) * (decibel / 20)), np.float64)


def _regions(sample: Sample) -> tuple[Values, Values]:
    background = sample.background
    return sample.test[sample.mask], sample.test[background] if background is not None else sample.test[:0]


def _cnr(sample: Sample) -> float:
    return contrast_to_noise(*_regions(sample))


def _gcnr(sample: Sample) -> float:
    return generalised_contrast_to_noise(*_regions(sample))


def _enl(sample: Sample) -> float:
    return equivalent_looks(envelope(sample.test[sample.mask], sample.decibel))


def _snr(sample: Sample) -> float:
    return speckle_snr(envelope(sample.test[sample.mask], sample.decibel))


_ONE = frozenset({Need.REGION})
_TWO = frozenset({Need.REGION, Need.BACKGROUND})
_US = (Modality.US,)

ULTRASOUND: tuple[Metric, ...] = (
    Metric("CNR", "", Direction.HIGHER, _cnr, _TWO, source="Patterson and Foster 1983"),
    Metric("gCNR", "", Direction.HIGHER, _gcnr, _TWO, source="Rodriguez-Molares et al. 2020"),
    Metric("ENL", "", Direction.HIGHER, _enl, _ONE, _US, source="Lee 1986"),
    Metric("speckle SNR", "", Direction.HIGHER, _snr, _ONE, _US, source="Burckhardt 1978"),
)
