"""Periodograms of small regions: tapered, free of trends, and right in their normalisation."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_KEPT = 0.4
"""Frequencies of which the removal of the trend leaves less than this share are extrapolated."""


def periodograms(regions: Array) -> Array:
    """Return the periodogram of each region around its best quadratic surface.

    A Hann window keeps the strong low frequencies of leftover structure from leaking into the others
    (Welch 1967); what a quadratic surface takes away of white noise is made up for.

    Parameters
    ----------
    regions : ndarray, shape (count, n, n)

    Returns
    -------
    ndarray, shape (count, n, n)
        In the order of an FFT; of noise, the mean over all frequencies is the variance.
    """
    n = regions.shape[-1]
    taper, surface = _taper(n), _surface(n)
    tapered = (regions * taper).reshape(len(regions), -1)
    tapered -= (tapered @ surface) @ surface.T
    power = np.abs(np.fft.fft2(tapered.reshape(-1, n, n))) ** 2 / (taper**2).sum()
    kept: Array = power / np.maximum(_left_by_trend(n), _KEPT / 8)
    return kept


def reliable(n: int) -> npt.NDArray[np.bool_]:
    """Return which frequencies of an n x n periodogram survive the removal of the trend."""
    known: npt.NDArray[np.bool_] = _left_by_trend(n) > _KEPT
    return known


def extrapolated(power: Array) -> Array:
    """Fill the lowest frequencies of a spectrum with a line through the rings around them."""
    n = power.shape[-1]
    known = reliable(n)
    ring = ring_index(n)
    means = [power[(ring == k) & known].mean() for k in (2, 3, 4)]
    slope, start = np.polyfit((2.0, 3.0, 4.0), means, 1)
    line = np.maximum(start + slope * radial_frequency(n) * n, 0.0)
    return np.where(known, power, line)


def autocovariance(power: Array) -> Array:
    """Return the autocovariance that belongs to a spectrum, the taper of the regions undone.

    The expectation of a tapered periodogram has the true autocovariance times that of the taper, so
    a division undoes it; only lags up to half the side are of use.
    """
    n = power.shape[-1]
    padded = np.abs(np.fft.fft2(_taper(n), (2 * n, 2 * n))) ** 2
    own = np.fft.ifft2(padded).real
    lags = np.fft.fftfreq(n, 1 / n).astype(int) % (2 * n)
    share = own[np.ix_(lags, lags)] / own[0, 0]
    found: Array = np.fft.ifft2(power).real / np.maximum(share, 0.05)
    return found


@lru_cache(maxsize=8)
def radial_frequency(n: int) -> Array:
    """Return the radial frequency of each cell, cycles per pixel, in the order of an FFT."""
    f = np.fft.fftfreq(n)
    return np.asarray(np.hypot(f[:, None], f[None, :]), np.float64)


def ring_index(n: int) -> npt.NDArray[np.intp]:
    """Return which ring of one cell's width each cell of an n x n spectrum belongs to."""
    return np.rint(radial_frequency(n) * n).astype(np.intp)


@lru_cache(maxsize=8)
def _taper(n: int) -> Array:
    window = np.hanning(n + 2)[1:-1]
    return np.outer(window, window)


@lru_cache(maxsize=8)
def _surface(n: int) -> Array:
    """Return an orthonormal basis (n * n, 6) of tapered quadratic surfaces."""
    y, x = np.mgrid[:n, :n].reshape(2, -1) / (n - 1) - 0.5
    terms = np.stack([np.ones_like(x), y, x, x * y, x**2, y**2], axis=1)
    basis, _ = np.linalg.qr(terms * _taper(n).reshape(-1, 1))
    return np.asarray(basis, np.float64)


@lru_cache(maxsize=8)
def _left_by_trend(n: int) -> Array:
    """Return the share of the power of white noise that the removal of the trend leaves."""
    taper = _taper(n)
    basis = _surface(n).T.reshape(-1, n, n)
    waves = np.fft.fft2(basis)
    crossed = np.fft.fft2(basis * taper**2)
    gram = np.einsum("ayx,byx->ab", basis * taper, basis * taper)
    both = np.einsum("ayx,ab,byx->yx", waves.conj(), gram, waves).real
    whole = (taper**2).sum()
    # |w (1 - Q Q') e|^2 for a wave e, pixel by pixel independent noise.
    removed = 2 * (waves.conj() * crossed).sum(axis=0).real - both
    return np.asarray(1 - removed / whole, np.float64)
