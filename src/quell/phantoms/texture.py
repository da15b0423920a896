"""Random fields: the grain of tissue, slow shading, the bending of shapes."""

from __future__ import annotations

import numpy as np
from scipy import fft

from quell.image import FloatArray


def _weights(positions: FloatArray, length: float, rng: np.random.Generator) -> FloatArray:
    """Gaussian weights of knots at random phase, rows of unit length, shape (positions, knots)."""
    first = float(positions.min()) - length * (2.0 + rng.random())
    count = int((float(positions.max()) - first) / length) + 4
    knots = first + length * np.arange(count)
    weights = np.exp(-(((positions[:, None] - knots) / length) ** 2))
    normed: FloatArray = (weights / np.linalg.norm(weights, axis=1, keepdims=True)).astype(np.float32)
    return normed


def smooth_field(
    rng: np.random.Generator, z: FloatArray, shape: tuple[int, int], length: float
) -> FloatArray:
    """Draw a Gaussian random field of one correlation length, continuous in three dimensions.

    Parameters
    ----------
    rng : numpy.random.Generator
    z : ndarray, shape (slices,)
        Positions of the slices in pixels.
    shape : (rows, columns)
    length : float
        Correlation length in pixels; details are about twice as wide.

    Returns
    -------
    ndarray of float32, shape (slices, rows, columns)
        Mean 0, variance 1 (over draws).
    """
    rows, columns = shape
    along_z = _weights(np.asarray(z, np.float32), length, rng)
    along_y = _weights(np.arange(rows, dtype=np.float32), length, rng)
    along_x = _weights(np.arange(columns, dtype=np.float32), length, rng)
    knots = rng.standard_normal((along_z.shape[1], along_y.shape[1] * along_x.shape[1]), dtype=np.float32)
    planes = (along_z @ knots).reshape(len(along_z), along_y.shape[1], along_x.shape[1])
    return np.asarray(along_y @ planes @ along_x.T, np.float32)


def power_law_field(
    rng: np.random.Generator, z: FloatArray, shape: tuple[int, int], beta: float
) -> FloatArray:
    """Draw a field whose in-plane power falls as 1/f^beta, correlated along z.

    A detail of spatial frequency f survives to the next slice with correlation exp(-2 pi f dz),
    which is the isotropic choice: what is large in the plane is also long across it.

    Parameters
    ----------
    rng : numpy.random.Generator
    z : ndarray, shape (slices,)
        Positions of the slices in pixels.
    shape : (rows, columns)
    beta : float
        Exponent of the power spectrum: 0 is white, 3 to 4 is like real anatomy (Burgess,
        Med. Phys. 28:419, 2001).

    Returns
    -------
    ndarray of float32, shape (slices, rows, columns)
        Mean 0, standard deviation 1 in every slice.
    """
    rows, columns = shape
    f = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns)[None]).astype(np.float32)
    amplitude = np.maximum(f, 1.0 / max(shape)) ** np.float32(-beta / 2)
    amplitude[0, 0] = 0.0
    draws = rng.standard_normal((len(z), rows, f.shape[1], 2), dtype=np.float32).view(np.complex64)[..., 0]
    for k in range(1, len(z)):
        kept = np.exp(np.float32(-2 * np.pi * abs(float(z[k] - z[k - 1]))) * f)
        draws[k] = kept * draws[k - 1] + np.sqrt(1 - kept**2) * draws[k]
    field = fft.irfft2(draws * amplitude, s=shape, axes=(1, 2))
    spread = np.maximum(field.std(axis=(1, 2), keepdims=True), 1e-12)
    return np.asarray(field / spread, np.float32)
