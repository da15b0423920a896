"""The channels through which a model observer sees: a few numbers for every image.

Frequencies and widths are in the unit of the spacing: with ``spacing=(1, 1)`` in pixels and cycles per
pixel, otherwise in mm and cycles per mm.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from quell.errors import QuellError
from quell.evaluation.observers.scores import Array

OCTAVES = (1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4)
"""Edges of the passbands of Gabor and annular channels, cycles per pixel."""


@dataclass(frozen=True, eq=False)
class Channels:
    """A set of channel functions.

    Attributes
    ----------
    kind : str
    weights : ndarray of float64, shape (channels, rows, columns)
        Each of unit length (its squares sum to 1), which changes nothing for the observer.
    parameters : mapping
        What they were made from; plain JSON.
    """

    kind: str
    weights: Array
    parameters: Mapping[str, float | int | str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def matrix(self) -> Array:
        """The channels as columns, shape (rows * columns, channels)."""
        return np.ascontiguousarray(self.weights.reshape(len(self), -1).T)

    def responses(self, images: npt.ArrayLike) -> Array:
        """Return what the channels make of images.

        Parameters
        ----------
        images : ndarray, shape (n, rows, columns)

        Returns
        -------
        ndarray of float64, shape (n, channels)

        Raises
        ------
        QuellError
            If the images are of another shape, or hold values that are not finite.
        """
        stack = np.asarray(images, np.float64)
        if stack.ndim != 3 or stack.shape[1:] != self.weights.shape[1:]:
            raise QuellError(f"channels of {self.weights.shape[1:]} do not fit images of {stack.shape}")
        if not np.isfinite(stack).all():
            raise QuellError("the images hold values that are not finite")
        seen: Array = stack.reshape(len(stack), -1) @ self.matrix
        return seen


def laguerre_gauss(
    shape: tuple[int, int],
    width: float,
    count: int = 6,
    *,
    spacing: tuple[float, float] = (1.0, 1.0),
    centre: tuple[float, float] | None = None,
) -> Channels:
    """Build Laguerre-Gauss channels, which suit a round signal at a known place.

    ``u_j(r) = sqrt(2) / a * exp(-pi r^2 / a^2) * L_j(2 pi r^2 / a^2)``, j = 0 ... count - 1, orthonormal
    in the plane (Barrett et al., Proc. SPIE 3340:27, 1998; Gallas & Barrett, J. Opt. Soc. Am. A 20:1725,
    2003).

    Parameters
    ----------
    shape : (rows, columns)
    width : float
        The width `a` of the Gaussian; about that of the signal.
    count : int
        Number of channels.
    spacing : (row, column)
        Size of a pixel.
    centre : (row, column), optional
        Where the signal is, in pixels; the middle by default.
    """
    _positive("the width of the channels", width)
    squared = _radius(shape, spacing, centre) ** 2
    x = 2 * math.pi * squared / width**2
    polynomials = [np.ones_like(x), 1 - x]
    for j in range(1, count - 1):
        # Abramowitz & Stegun 22.7.12.
        polynomials.append(((2 * j + 1 - x) * polynomials[j] - j * polynomials[j - 1]) / (j + 1))
    planes = math.sqrt(2) / width * np.exp(-x / 2) * np.stack(polynomials[:count])
    return _channels("Laguerre-Gauss", planes, spacing, width=width)


def gabor(
    shape: tuple[int, int],
    *,
    spacing: tuple[float, float] = (1.0, 1.0),
    edges: Sequence[float] | None = None,
    orientations: int = 5,
    phases: Sequence[float] = (0.0, math.pi / 2),
    centre: tuple[float, float] | None = None,
) -> Channels:
    """Build Gabor channels: bands of an octave, several directions, even and odd.

    ``exp(-4 ln 2 r^2 / w^2) * cos(2 pi f (x cos t + y sin t) + b)``, with f the middle of a band and
    ``w = 4 ln 2 / (pi * width of the band)`` (Wunderlich & Noo, IEEE Nucl. Sci.
    Symp. Conf. Rec. 2008, p. 2705: four octaves, five directions, two phases).

    Parameters
    ----------
    shape : (rows, columns)
    spacing : (row, column)
        Size of a pixel.
    edges : sequence of float, optional
        Edges of the bands; 1/64 to 1/4 cycles per pixel by default.
    orientations : int
        Directions, evenly spread over half a turn.
    phases : sequence of float
        Radians.
    centre : (row, column), optional
        In pixels; the middle by default.
    """
    y, x = _axes(shape, spacing, centre)
    limits = _bands(edges, spacing)
    planes = []
    for low, high in itertools.pairwise(limits):
        width, middle = 4 * math.log(2) / (math.pi * (high - low)), (low + high) / 2
        window = np.exp(-4 * math.log(2) * (x**2 + y**2) / width**2)
        for angle in np.arange(orientations) * math.pi / orientations:
            along = 2 * math.pi * middle * (x * math.cos(angle) + y * math.sin(angle))
            planes += [window * np.cos(along + phase) for phase in phases]
    return _channels("Gabor", np.stack(planes), spacing, orientations=orientations, phases=len(phases))


def dense_difference_of_gaussians(
    shape: tuple[int, int],
    *,
    spacing: tuple[float, float] = (1.0, 1.0),
    centre: tuple[float, float] | None = None,
) -> Channels:
    """Build the ten dense channels of Abbey & Barrett (s_1 = 0.005 cycles per pixel, 1.4, Q = 1.67)."""
    first = 0.005 / _pixel(spacing)
    return difference_of_gaussians(shape, first, 1.4, 1.67, 10, spacing=spacing, centre=centre)


def sparse_difference_of_gaussians(
    shape: tuple[int, int],
    *,
    spacing: tuple[float, float] = (1.0, 1.0),
    centre: tuple[float, float] | None = None,
) -> Channels:
    """Build the three sparse channels of Abbey & Barrett (s_1 = 0.015 cycles per pixel, 2, Q = 2)."""
    first = 0.015 / _pixel(spacing)
    return difference_of_gaussians(shape, first, 2.0, 2.0, 3, spacing=spacing, centre=centre)


def difference_of_gaussians(
    shape: tuple[int, int],
    first: float,
    ratio: float,
    factor: float,
    count: int,
    *,
    spacing: tuple[float, float] = (1.0, 1.0),
    centre: tuple[float, float] | None = None,
) -> Channels:
    """Build round band-pass channels that overlap, as cells of the eye do.

    ``C_j(f) = exp(-f^2 / (2 Q^2 s_j^2)) - exp(-f^2 / (2 s_j^2))``, ``s_j = s_1 * ratio^(j - 1)`` (Abbey &
    Barrett, J. Opt. Soc. Am. A 18:473, 2001); here as its inverse transform in the plane, so that the
    region need not hold a whole period.

    Parameters
    ----------
    shape : (rows, columns)
    first : float
        The width s_1 of the narrowest inner Gaussian, as a frequency.
    ratio : float
        From one channel to the next.
    factor : float
        The ratio Q of the two Gaussians of a channel, above 1.
    count : int
    spacing : (row, column)
        Size of a pixel.
    centre : (row, column), optional
        In pixels; the middle by default.
    """
    _positive("the frequency of the first channel", first)
    squared = _radius(shape, spacing, centre) ** 2

    def spread(s: float) -> Array:
        """Inverse Fourier transform of ``exp(-f^2 / (2 s^2))``."""
        return np.asarray(2 * math.pi * s**2 * np.exp(-2 * math.pi**2 * s**2 * squared))

    planes = [spread(factor * s) - spread(s) for s in first * ratio ** np.arange(count)]
    kind = "difference of Gaussians"
    return _channels(kind, np.stack(planes), spacing, first=first, ratio=ratio, factor=factor)


def annular_frequency(
    shape: tuple[int, int],
    *,
    spacing: tuple[float, float] = (1.0, 1.0),
    edges: Sequence[float] | None = None,
    centre: tuple[float, float] | None = None,
) -> Channels:
    """Build channels that are 1 in a ring of frequencies and 0 outside (also called square channels).

    In the plane ``(f2 J_1(2 pi f2 r) - f1 J_1(2 pi f1 r)) / r`` (Myers & Barrett, J. Opt. Soc. Am. A
    4:2447, 1987).

    Parameters
    ----------
    shape : (rows, columns)
    spacing : (row, column)
        Size of a pixel.
    edges : sequence of float, optional
        Edges of the rings; octaves from 1/64 to 1/4 cycles per pixel by default.
    centre : (row, column), optional
        In pixels; the middle by default.

    Raises
    ------
    QuellError
        If SciPy is not installed.
    """
    try:
        from scipy.special import j1
    except ImportError as error:
        raise QuellError("annular channels need SciPy: pip install 'quell[lab]'") from error
    radius = _radius(shape, spacing, centre)
    away = np.maximum(radius, 1e-9 * _pixel(spacing))
    limits = _bands(edges, spacing)
    discs = [edge * j1(2 * math.pi * edge * away) / away for edge in limits]
    return _channels("annular frequency", np.diff(np.stack(discs), axis=0), spacing, rings=len(limits) - 1)


def _channels(
    kind: str, planes: Array, spacing: tuple[float, float], **parameters: float | int | str
) -> Channels:
    """Scale channels to unit length and note what they are."""
    length = np.sqrt((planes**2).sum(axis=(1, 2), keepdims=True))
    known = {"count": len(planes), "row_spacing": spacing[0], "column_spacing": spacing[1], **parameters}
    return Channels(kind, planes / length, known)


def _axes(
    shape: tuple[int, int], spacing: tuple[float, float], centre: tuple[float, float] | None
) -> tuple[Array, Array]:
    """Return the distance of rows and columns from the centre, for broadcasting."""
    row, column = centre if centre is not None else ((shape[0] - 1) / 2, (shape[1] - 1) / 2)
    y = np.asarray((np.arange(shape[0]) - row) * spacing[0], np.float64)
    x = np.asarray((np.arange(shape[1]) - column) * spacing[1], np.float64)
    return y[:, None], x[None, :]


def _radius(
    shape: tuple[int, int], spacing: tuple[float, float], centre: tuple[float, float] | None
) -> Array:
    return np.asarray(np.hypot(*_axes(shape, spacing, centre)))


def _bands(edges: Sequence[float] | None, spacing: tuple[float, float]) -> list[float]:
    limits = [edge / _pixel(spacing) for edge in OCTAVES] if edges is None else list(edges)
    if len(limits) < 2 or limits[0] < 0 or any(a >= b for a, b in itertools.pairwise(limits)):
        raise ValueError(f"the edges of bands must rise from 0 or more, got {limits}")
    return limits


def _pixel(spacing: tuple[float, float]) -> float:
    return math.sqrt(spacing[0] * spacing[1])


def _positive(what: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"{what} must be positive, got {value:g}")
