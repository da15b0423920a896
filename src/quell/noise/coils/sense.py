"""SENSE: images from fewer lines by what several coils see, and how it spreads noise.

Pruessmann et al., Magn Reson Med 42 (1999) 952. Lines are left out along the rows of the picture: pixels
``y``, ``y + rows / acceleration`` and so on fall on one another. With acceleration 1 it is the optimal
combination of coils (Roemer et al., Magn Reson Med 16 (1990) 192).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from quell.image import FloatArray
from quell.noise.coils.array import Coils, Covariance


def unfolding(sensitivities: Coils, covariance: Covariance, acceleration: int) -> Coils:
    """Return the matrices that take folded pixels apart.

    Parameters
    ----------
    sensitivities : ndarray of complex64, shape (coils, rows, columns)
        Rows are a multiple of `acceleration`.
    covariance : ndarray, shape (coils, coils)
        Of the noise; only its shape counts.
    acceleration : int

    Returns
    -------
    ndarray of complex64, shape (acceleration, coils, rows / acceleration, columns)

    Raises
    ------
    ValueError
        If the rows cannot be folded, or there are fewer coils than pixels that fall on one another.
    """
    weighted, normal = _normal_equations(sensitivities, covariance, acceleration)
    solved = np.linalg.solve(normal, weighted)
    matrices: Coils = np.moveaxis(solved, (-2, -1), (0, 1)).astype(np.complex64)
    return matrices


def g_factor(sensitivities: Coils, covariance: Covariance, acceleration: int) -> FloatArray:
    """Return by how much more than the root of the acceleration the noise grows, shape (rows, columns).

    ``g = sqrt([(S^H C^-1 S)^-1]_jj [S^H C^-1 S]_jj)`` (Pruessmann et al. 1999, equation 23).
    """
    _, normal = _normal_equations(sensitivities, covariance, acceleration)
    square = np.diagonal(np.linalg.inv(normal), axis1=-2, axis2=-1) * np.diagonal(normal, axis1=-2, axis2=-1)
    g = np.sqrt(np.maximum(square.real, 1.0))
    rows, columns = sensitivities.shape[1:]
    spread: FloatArray = np.moveaxis(g, -1, 0).reshape(rows, columns).astype(np.float32)
    return spread


def noise_after(sensitivities: Coils, covariance: Covariance, acceleration: int) -> FloatArray:
    """Return the standard deviation of the real part of the image, shape (rows, columns).

    The covariance is that of the images of the coils when no line is left out; leaving out lines
    raises it by the acceleration.
    """
    _, normal = _normal_equations(sensitivities, covariance, acceleration)
    variance = acceleration * np.diagonal(np.linalg.inv(normal), axis1=-2, axis2=-1).real
    rows, columns = sensitivities.shape[1:]
    sigma: FloatArray = np.sqrt(np.moveaxis(variance, -1, 0).reshape(rows, columns)).astype(np.float32)
    return sigma


def unfold(folded: Coils, matrices: Coils) -> Coils:
    """Return the image behind the folded images of the coils.

    Parameters
    ----------
    folded : ndarray of complex64, shape (coils, rows / acceleration, columns)
    matrices : ndarray of complex64
        From `unfolding`.

    Returns
    -------
    ndarray of complex64, shape (rows, columns)
    """
    parts: Coils = (matrices * folded).sum(axis=1)
    return parts.reshape(-1, folded.shape[-1])


def _normal_equations(
    sensitivities: Coils, covariance: Covariance, acceleration: int
) -> tuple[npt.NDArray[np.complex128], npt.NDArray[np.complex128]]:
    """Return ``S^H C^-1`` (rows / R, columns, R, coils) and ``S^H C^-1 S`` (..., R, R)."""
    coils, rows, columns = sensitivities.shape
    if rows % acceleration:
        raise ValueError(f"{rows} rows cannot be folded {acceleration} times")
    if coils < acceleration:
        raise ValueError(f"{coils} coils cannot tell {acceleration} pixels apart")
    folded = sensitivities.reshape(coils, acceleration, rows // acceleration, columns).astype(np.complex128)
    seen = np.moveaxis(folded, (0, 1), (-1, -2))
    weighted = seen.conj() @ np.linalg.inv(covariance)
    return weighted, weighted @ np.swapaxes(seen, -1, -2)
