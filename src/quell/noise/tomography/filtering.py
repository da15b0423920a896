"""Filtered back-projection with a band-limited ramp."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from quell.image import FloatArray
from quell.noise.tomography.geometry import ParallelGeometry
from quell.noise.tomography.kernels import Kernel
from quell.noise.tomography.loops import Engine
from quell.noise.tomography.projector import back_project

OVERSAMPLING = 2
"""Samples for each bin between which the back-projector interpolates."""

_AT_A_TIME = 64


def filtered_back_projection(
    sinogram: FloatArray, geometry: ParallelGeometry, kernel: Kernel | None = None, engine: Engine = "auto"
) -> FloatArray:
    """Reconstruct a slice.

    Parameters
    ----------
    sinogram : ndarray of float32, shape (views, bins)
        Line integrals.
    geometry : ParallelGeometry
    kernel : Kernel, optional
        Apodisation of the ramp; by default none up to the Nyquist frequency of the bins.
    engine : {"auto", "numba", "numpy"}

    Returns
    -------
    ndarray of float32, shape (rows, columns)
        1/mm, at the pixel centres.
    """
    if sinogram.shape != (geometry.views, geometry.bins):
        raise ValueError(f"the geometry is for {(geometry.views, geometry.bins)}, not {sinogram.shape}")
    filtered = filter_views(sinogram, geometry.pitch, kernel)
    return back_project(filtered, geometry, engine, OVERSAMPLING)


def filter_views(sinogram: FloatArray, pitch: float, kernel: Kernel | None = None) -> FloatArray:
    """Filter every view and interpolate it, band-limited, to `OVERSAMPLING` samples for each bin.

    Parameters
    ----------
    sinogram : ndarray of float32, shape (views, bins)
    pitch : float
        Distance of the bins, mm.
    kernel : Kernel, optional

    Returns
    -------
    ndarray of float32, shape (views, bins * OVERSAMPLING)
        Sample ``i`` belongs to the place of bin ``i / OVERSAMPLING``. The blur of linear
        interpolation between the samples is made up for.
    """
    views, bins = sinogram.shape
    response = _response(bins, pitch, kernel)
    length = 2 * (len(response) - 1)
    out = np.empty((views, bins * OVERSAMPLING), np.float32)
    # A few views at a time stay in the cache.
    for first in range(0, views, _AT_A_TIME):
        part = slice(first, first + _AT_A_TIME)
        spectrum = np.fft.rfft(sinogram[part], length, axis=1)
        spectrum *= response
        out[part] = np.fft.irfft(spectrum, length * OVERSAMPLING, axis=1)[:, : bins * OVERSAMPLING]
    return out


@lru_cache(maxsize=8)
def _response(bins: int, pitch: float, kernel: Kernel | None) -> FloatArray:
    """Return the response of ramp, kernel and interpolation at the frequencies of a padded view.

    The ramp is the transform of its band-limited impulse response (Kak and Slaney, Principles of
    Computerized Tomographic Imaging, eq. 3.61): sampling ``|f|`` itself would lose the mean.
    """
    length = fast_length(2 * bins)
    n = np.fft.fftfreq(length, 1 / length)
    impulse = np.zeros(length)
    impulse[0] = 1 / (4 * pitch)
    odd = np.abs(n) % 2 == 1
    impulse[odd] = -1 / (np.pi**2 * n[odd] ** 2 * pitch)
    ramp = np.fft.rfft(impulse).real
    f = np.fft.rfftfreq(length, pitch)
    interpolation = np.sinc(f * pitch / OVERSAMPLING) ** 2
    apodisation: npt.NDArray[np.float64] = np.ones(len(f)) if kernel is None else kernel.response(f)
    return np.asarray(OVERSAMPLING * ramp * apodisation / interpolation, np.float32)


def fast_length(least: int) -> int:
    """Return the smallest even number of at least `least` whose prime factors are 2, 3 and 5."""
    length = least + least % 2
    while True:
        rest = length
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return length
        length += 2
