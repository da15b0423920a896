"""What an X-ray detector does to quanta: it blurs them, and their noise less than their signal."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from quell.image import FloatArray
from quell.noise.flat import SIDE

Transfer = Callable[[FloatArray], npt.NDArray[np.float64]]
"""A function of the squared spatial frequency, in (cycles per mm)^2."""


def modulation_transfer(mtf50: float) -> Transfer:
    """Return the presampled modulation transfer function ``1 / (1 + (f / f50)^2)``.

    One number for the spread of light in a scintillator, the aperture of the pixel included; caesium
    iodide has about 1.2 to 1.6 cycles/mm, photostimulable phosphors less, selenium more.

    Parameters
    ----------
    mtf50 : float
        Frequency at which it is one half, cycles per mm; infinite for no blur.
    """

    def transfer(f2: FloatArray) -> npt.NDArray[np.float64]:
        return np.asarray(1 / (1 + f2 / mtf50**2), np.float64)

    return transfer


def quantum_noise_power(mtf50: float, white_share: float) -> Transfer:
    """Return the power spectrum of quantum noise over its value at frequency 0.

    ``(1 - w) MTF^2 + w``: between MTF squared (every quantum spreads alike) and white. The white share
    stands for what aliasing and the varying spread of single quanta add (Lubberts, J Opt Soc Am 58
    (1968) 1475).

    Parameters
    ----------
    mtf50 : float
        See `modulation_transfer`.
    white_share : float
        0 to 1.
    """
    mtf = modulation_transfer(mtf50)

    def transfer(f2: FloatArray) -> npt.NDArray[np.float64]:
        return (1 - white_share) * mtf(f2) ** 2 + white_share

    return transfer


def filtered(plane: FloatArray, transfer: Transfer, spacing: tuple[float, float]) -> FloatArray:
    """Multiply the Fourier transform of a plane, taken as periodic, with a function of the frequency.

    Parameters
    ----------
    plane : ndarray of float32, shape (y, x)
    transfer : callable
    spacing : tuple of float
        Pixel height and width, mm.
    """
    power = transfer(_squared_frequency(plane.shape[0], plane.shape[1], spacing)).astype(np.float32)
    return np.asarray(np.fft.irfft2(np.fft.rfft2(plane) * power, s=plane.shape), np.float32)


def padded(plane: FloatArray, margin: int) -> FloatArray:
    """Mirror a plane at its edges by at least `margin` pixels, to a size that transforms fast."""
    rows, columns = plane.shape
    below, right = (_fast_length(n + 2 * margin) - n - margin for n in (rows, columns))
    return np.pad(plane, ((margin, below), (margin, right)), mode="symmetric")


def cut(plane: FloatArray, shape: tuple[int, int], margin: int) -> FloatArray:
    """Take off what `padded` put around a plane of `shape`."""
    return plane[margin : margin + shape[0], margin : margin + shape[1]]


def reach(mtf50: float, spacing: tuple[float, float]) -> int:
    """Return how many pixels the blur reaches: there it has fallen to 1/1000 of its middle."""
    # In two dimensions the transform of 1 / (1 + (f / f50)^2) falls as exp(-2 pi f50 r).
    return int(np.clip(np.ceil(7 / (2 * np.pi * mtf50 * min(spacing))), 2, 128))


def block_response(transfer: Transfer, spacing: tuple[float, float]) -> tuple[float, float]:
    """Return what is left of noise in the standard deviation of blocks around their planes.

    Parameters
    ----------
    transfer : callable
        Power spectrum of the noise.
    spacing : tuple of float
        Pixel height and width, mm.

    Returns
    -------
    share : float
        Expected variance of a block of `quell.noise.flat.SIDE` pixels around its best plane, over the
        power at frequency 0 per pixel.
    freedom : float
        Degrees of freedom of that variance (Satterthwaite).
    """
    size = 8 * SIDE
    spectrum = np.broadcast_to(transfer(_squared_frequency(size, size, spacing)), (size, size // 2 + 1))
    correlation = np.fft.irfft2(spectrum, s=(size, size))
    y, x = np.mgrid[:SIDE, :SIDE].reshape(2, -1)
    covariance = correlation[y[:, None] - y, x[:, None] - x]
    plane = np.stack([np.ones(SIDE * SIDE), y, x], axis=1)
    rest = covariance - plane @ np.linalg.pinv(plane) @ covariance
    trace = float(np.trace(rest))
    return trace / (SIDE * SIDE - 3), trace**2 / float((rest * rest.T).sum())


def pixel_share(transfer: Transfer, spacing: tuple[float, float]) -> float:
    """Return the variance of a pixel over the power at frequency 0 per pixel."""
    return float(np.mean(transfer(_squared_frequency(256, 256, spacing, whole=True))))


def _squared_frequency(
    rows: int, columns: int, spacing: tuple[float, float], *, whole: bool = False
) -> FloatArray:
    """Return fy^2 + fx^2 in the order of an FFT; fx of a real FFT unless `whole`."""
    fy = np.fft.fftfreq(rows, spacing[0])[:, None]
    fx = (np.fft.fftfreq if whole else np.fft.rfftfreq)(columns, spacing[1])[None]
    return np.asarray(fy**2 + fx**2, np.float32)


def _fast_length(least: int) -> int:
    """Return the smallest number from `least` on that has no prime factor above 5."""
    while True:
        rest = least
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return least
        least += 1
