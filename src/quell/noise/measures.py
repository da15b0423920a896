"""Numbers that a noise power spectrum is known by: radial curve, first moment, correlation, direction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quell.noise.contracts import NoiseSpectrum

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RadialSpectrum:
    """A spectrum averaged around the circle.

    Attributes
    ----------
    frequency : ndarray of float64, shape (k,)
        Middle of each ring, 1/mm (1/pixel where the spacing is unknown), from 0 to the lower of the
        two Nyquist frequencies.
    power : ndarray of float64, shape (k,)
        Mean power spectral density of each ring, units^2 mm^2.
    """

    frequency: Array
    power: Array


def frequencies(spectrum: NoiseSpectrum) -> tuple[Array, Array]:
    """Return fy (rows, 1) and fx (1, columns) of the cells of a spectrum, 1/mm."""
    (rows, columns), (dy, dx) = spectrum.power.shape, spectrum.spacing
    fy = np.fft.fftshift(np.fft.fftfreq(rows, dy))[:, None]
    fx = np.fft.fftshift(np.fft.fftfreq(columns, dx))[None, :]
    return fy, fx


def variance(spectrum: NoiseSpectrum) -> float:
    """Return the variance: the sum of the power times the area of a frequency cell, units^2."""
    rows, columns = spectrum.power.shape
    dy, dx = spectrum.spacing
    return float(spectrum.power.sum() / (rows * dy * columns * dx))


def radial(spectrum: NoiseSpectrum) -> RadialSpectrum:
    """Average a spectrum around the circle, in rings as wide as the larger side of a cell."""
    fy, fx = frequencies(spectrum)
    (rows, columns), (dy, dx) = spectrum.power.shape, spectrum.spacing
    step = max(1 / (rows * dy), 1 / (columns * dx))
    ring = np.rint(np.hypot(fy, fx) / step).astype(int).ravel()
    last = int(min(0.5 / dy, 0.5 / dx) / step + 1e-9)
    count = np.bincount(ring)[: last + 1]
    total = np.bincount(ring, spectrum.power.ravel())[: last + 1]
    return RadialSpectrum(np.arange(last + 1) * step, total / np.maximum(count, 1))


def first_moment(spectrum: NoiseSpectrum) -> float:
    """Return the mean frequency of the radial curve, 1/mm; 0 of an empty spectrum.

    ``sum(f NPS(f)) / sum(NPS(f))`` over the radial average, as AAPM TG-233 (2019) defines the
    average frequency of a noise power spectrum. White noise on pixels of side d has 0.25 / d.
    """
    curve = radial(spectrum)
    # Half of the ring around zero lies below zero, half of that at Nyquist above it.
    weight = np.ones(len(curve.power))
    weight[[0, -1]] = 0.5
    total = float((weight * curve.power).sum())
    return float((weight * curve.frequency * curve.power).sum()) / total if total > 0 else 0.0


def peak_frequency(spectrum: NoiseSpectrum) -> float:
    """Return the frequency above zero at which the radial curve is highest, 1/mm."""
    curve = radial(spectrum)
    return float(curve.frequency[1 + int(np.argmax(curve.power[1:]))]) if len(curve.power) > 1 else 0.0


def correlation(spectrum: NoiseSpectrum) -> Array:
    """Return the autocorrelation (rows, columns), lag zero in the middle; 1 there."""
    covariance = np.fft.ifft2(np.fft.ifftshift(spectrum.power)).real
    if covariance[0, 0] <= 0:
        return np.zeros_like(covariance)
    return np.asarray(np.fft.fftshift(covariance / covariance[0, 0]), np.float64)


def correlation_length(spectrum: NoiseSpectrum) -> float:
    """Return how far noise is alike, mm: the diameter of the disc of the noise-equivalent area.

    The noise-equivalent area is ``sum(S)^2 / sum(S^2)`` in the frequency plane turned over: the
    integral of the squared autocorrelation, which is the area over which an average counts as one
    sample. White noise has the area of a pixel.
    """
    power = spectrum.power
    cell = 1.0 / np.prod([n * d for n, d in zip(power.shape, spectrum.spacing, strict=True)])
    total = float(power.sum() * cell)
    if total <= 0:
        return 0.0
    area = float((power**2).sum() * cell) / total**2
    return float(2 * np.sqrt(area / np.pi))


def anisotropy(spectrum: NoiseSpectrum) -> float:
    """Return how much stronger noise varies along one axis than along the other; 1 where alike.

    The ratio of the principal second moments of the spectrum, larger over smaller, as lengths: the
    square root of the ratio of the eigenvalues of ``sum(S f f')``. Streaks and stretched grains
    raise it.
    """
    fy, fx = frequencies(spectrum)
    rows, columns = spectrum.power.shape
    fy, fx = (np.broadcast_to(f, (rows, columns)) for f in (fy, fx))
    # Only the disc below Nyquist, so that the square of the frequencies has no say.
    limit = min(0.5 / d for d in spectrum.spacing)
    power = np.where(np.hypot(fy, fx) <= limit, spectrum.power, 0.0)
    yy, xx, xy = ((power * a * b).sum() for a, b in ((fy, fy), (fx, fx), (fx, fy)))
    low, high = np.linalg.eigvalsh([[yy, xy], [xy, xx]])
    return float(np.sqrt(high / low)) if low > 0 else 1.0


def ramp_ratio(spectrum: NoiseSpectrum) -> float:
    """Return the power at low frequencies over that at the upper middle ones; 1 of white noise.

    The upper end is where the radial curve last reaches half of its height (lowest rings apart). The
    mean over the lowest third, without the ring around zero, is divided by the mean over the upper
    half. Filtered back-projection gives 0.3 to 0.8, since the ramp filter takes the low frequencies;
    iterative and learned reconstructions and smoothing give far more than 1.
    """
    power = radial(spectrum).power
    if len(power) < 6 or power.max() <= 0:
        return 1.0
    upper = int(np.nonzero(power >= 0.5 * power[3:].max())[0].max())
    low = power[1 : max(2, round(0.3 * upper) + 1)]
    high = power[round(0.5 * upper) : max(round(0.9 * upper), round(0.5 * upper) + 1)]
    return float(low.mean() / high.mean())


def is_ramp_like(spectrum: NoiseSpectrum) -> bool:
    """Say whether noise is that of filtered back-projection: little at low frequencies, a peak above.

    In images of patients leftover anatomy fills up the low frequencies, so that False does not prove
    an iterative or learned reconstruction; a `ramp_ratio` above `LOW_PASS` makes it likely.
    """
    return ramp_ratio(spectrum) < RAMP


RAMP = 0.85
"""Largest `ramp_ratio` of what is called ramp-like."""

LOW_PASS = 1.6
"""Least `ramp_ratio` of noise that falls from the lowest frequency on."""
