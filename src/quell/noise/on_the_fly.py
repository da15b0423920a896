"""Noise laws that cost one pass over the pixels, for training on the fly.

Each takes white or coloured unit noise and gives the noisy image; what the image would be on the
average and its local standard deviation come from functions beside it, so that training knows its
truth exactly. Written against the Python array API: the same code runs on NumPy and, in training,
on torch and a GPU.
"""

from __future__ import annotations

import math
from typing import Any

import array_api_compat

LOG_SPECKLE_SD = 5.570
"""Standard deviation of fully developed log-compressed speckle, dB: ``10 / ln 10 * pi / sqrt 6``."""

LOG_SPECKLE_MEAN = -2.507
"""Mean of the logarithm of exponentially distributed intensity of mean 1, dB: ``-10 gamma / ln 10``."""


def rician(signal: Any, sigma: Any, real: Any, imaginary: Any) -> Any:
    """Return the magnitude of a signal with complex Gaussian noise.

    Parameters
    ----------
    signal : array, shape (..., y, x)
        Not negative.
    sigma : array, broadcastable to the signal
        Standard deviation of the real and of the imaginary part, in the units of the signal.
    real, imaginary : array, shape (..., y, x)
        Independent noise of unit variance; may be coloured.

    Notes
    -----
    Gudbjartsson and Patz, "The Rician distribution of noisy MRI data", Magn Reson Med 34 (1995) 910.
    """
    return ((signal + sigma * real) ** 2 + (sigma * imaginary) ** 2) ** 0.5


def rician_moments(signal: Any, sigma: Any) -> tuple[Any, Any]:
    """Return mean and standard deviation of the Rician distribution.

    Parameters
    ----------
    signal, sigma : array
        As for `rician`; sigma above 0.

    Returns
    -------
    mean : array
        ``sigma sqrt(pi/2) ((1 + 2 y) I0(y) + 2 y I1(y)) exp(-y)`` with ``y = signal^2 / (4 sigma^2)``;
        to 1e-6 of sigma.
    sd : array
        ``sqrt(signal^2 + 2 sigma^2 - mean^2)``; 0.655 sigma where there is no signal.
    """
    y = (signal / sigma) ** 2 / 4
    i0, i1 = scaled_bessel(y)
    mean = sigma * (math.sqrt(math.pi / 2) * ((1 + 2 * y) * i0 + 2 * y * i1))
    xp = array_api_compat.array_namespace(mean)
    variance = signal**2 + 2 * sigma**2 - mean**2
    # The difference of two large squares: above 20 sigma the limit is the better number.
    return mean, xp.where(y > 100, sigma + 0 * mean, xp.abs(variance) ** 0.5)


def scaled_bessel(y: Any) -> tuple[Any, Any]:
    """Return ``exp(-y) I0(y)`` and ``exp(-y) I1(y)`` for y >= 0.

    Polynomials of Abramowitz and Stegun, "Handbook of Mathematical Functions" (1964), 9.8.1 to 9.8.4;
    relative error below 1e-6.
    """
    xp = array_api_compat.array_namespace(y)
    small = xp.where(y < 3.75, y, 3.75 + 0 * y)
    t = (small / 3.75) ** 2
    decay = xp.exp(-small)
    i0_small = decay * _polynomial(t, _I0_SMALL)
    i1_small = decay * small * _polynomial(t, _I1_SMALL)
    large = xp.where(y < 3.75, 3.75 + 0 * y, y)
    u, root = 3.75 / large, large**0.5
    i0_large, i1_large = _polynomial(u, _I0_LARGE) / root, _polynomial(u, _I1_LARGE) / root
    return xp.where(y < 3.75, i0_small, i0_large), xp.where(y < 3.75, i1_small, i1_large)


_I0_SMALL = (1.0, 3.5156229, 3.0899424, 1.2067492, 0.2659732, 0.0360768, 0.0045813)
_I1_SMALL = (0.5, 0.87890594, 0.51498869, 0.15084934, 0.02658733, 0.00301532, 0.00032411)
_I0_LARGE = (
    *(0.39894228, 0.01328592, 0.00225319, -0.00157565, 0.00916281),
    *(-0.02057706, 0.02635537, -0.01647633, 0.00392377),
)
_I1_LARGE = (
    *(0.39894228, -0.03988024, -0.00362018, 0.00163801, -0.01031555),
    *(0.02282967, -0.02895312, 0.01787654, -0.00420059),
)


def _polynomial(t: Any, coefficients: tuple[float, ...]) -> Any:
    value = 0 * t + coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        value = value * t + coefficient
    return value


def log_speckle(real: Any, imaginary: Any) -> Any:
    """Return fully developed speckle after log compression, mean 0 and variance 1.

    Parameters
    ----------
    real, imaginary : array, shape (..., y, x)
        Independent noise of unit variance with the spectrum of the point-spread function: the parts
        of the echo of many scatterers.

    Notes
    -----
    The logarithm of an exponential variate (Fisher-Tippett law; Wagner et al., "Statistics of speckle
    in ultrasound B-scans", IEEE Trans Sonics Ultrason 30 (1983) 156): long dark tails, short bright ones.
    """
    xp = array_api_compat.array_namespace(real)
    intensity = (real**2 + imaginary**2) / 2
    decibels = 10 / math.log(10) * xp.log(intensity + 1e-12)
    return (decibels - LOG_SPECKLE_MEAN) / LOG_SPECKLE_SD


def log_speckle_power(power: Any) -> Any:
    """Return the power spectrum of log-compressed speckle from that of the echo.

    The covariance of the logarithm of a Rayleigh envelope is ``Li2(|rho|^2) / 4`` for echoes of
    correlation rho; its leading term, ``|rho|^2``, carries the shape.

    Parameters
    ----------
    power : array, shape (..., y, x)
        Of the echo, in the order of an FFT, mean 1.

    Returns
    -------
    array, shape (..., y, x)
        Mean 1.
    """
    xp = array_api_compat.array_namespace(power)
    covariance = xp.real(xp.fft.ifftn(power + 0j, axes=(-2, -1)))
    found = xp.real(xp.fft.fftn(covariance**2 + 0j, axes=(-2, -1)))
    found = xp.where(found > 0, found, 0 * found)
    return found / xp.mean(found, axis=(-2, -1), keepdims=True)


def proportional(mean: Any, share: Any, noise: Any) -> Any:
    """Return reconstructed activity: log-normal around its mean, SD a fixed share of it.

    Parameters
    ----------
    mean : array, shape (..., y, x)
        Not negative.
    share : array, broadcastable to the mean
        Standard deviation over mean, above 0.
    noise : array, shape (..., y, x)
        Unit variance, with the grain of the reconstruction.

    Notes
    -----
    Barrett, Wilson and Tsui, "Noise properties of the EM algorithm: I. Theory", Phys Med Biol 39
    (1994) 833: log-normal, SD proportional to the mean.
    """
    xp = array_api_compat.array_namespace(mean)
    spread = xp.log(1 + share**2) ** 0.5
    return mean * xp.exp(spread * noise - spread**2 / 2)
