"""Task-based transfer function: how sharp an insert of a given contrast comes out.

Richard et al. 2012 (Med Phys 39:4115), Chen et al. 2014 (Med Phys 41:071911), AAPM TG-233: the profile across
the edge of a disc is gathered from all pixels around it (edge-spread function), its derivative is the
line-spread function, and the Fourier transform of that the transfer function.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quell.errors import QuellError
from quell.evaluation.metrics.contracts import Values
from quell.evaluation.metrics.statistics import Interval, bca_bounds
from quell.image import FloatArray

BINS_PER_PIXEL = 8
"""Bins of distance in a pixel."""

ENOUGH_CONTRAST = 15.0
"""Total contrast-to-noise ratio below which the transfer function is uncertain (Chen et al. 2014)."""

REPEATS = 200

_SMALLEST_RADIUS = 3.0
_FLAT, _FADED = 3.0, 6.0
_FWHM = 2.3548
_PADDED = 8


@dataclass(frozen=True, eq=False)
class TransferFunction:
    """How much of each frequency of an insert is left.

    Attributes
    ----------
    frequency : ndarray of float64, shape (n,)
        1/mm, from 0 to the Nyquist frequency of the pixels.
    value : ndarray of float64, shape (n,)
        1 at frequency 0.
    f50, f10 : Interval
        Where it falls to a half and to a tenth, 1/mm, with bootstrap intervals over the images; NaN
        where it never does below the Nyquist frequency.
    contrast : float
        Measured difference of insert and background, in the units of the image.
    noise : float
        Standard deviation of single pixels around the profile.
    contrast_to_noise : float
        Contrast over noise, times the root of the number of images (Chen et al. 2014).
    warnings : tuple of str
    """

    frequency: Values
    value: Values
    f50: Interval
    f10: Interval
    contrast: float
    noise: float
    contrast_to_noise: float
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class EdgeSpread:
    """The profile across the edge of a disc.

    Attributes
    ----------
    distance : ndarray of float64, shape (n,)
        From the edge in pixels, negative inside; evenly spaced.
    values : ndarray of float64, shape (images, n)
    noise : float
        Standard deviation of single pixels around the mean profile.
    """

    distance: Values
    values: Values
    noise: float


def task_transfer(
    images: FloatArray | Values,
    centre: tuple[float, float],
    radius: float,
    spacing: float = 1.0,
    *,
    margin: float | None = None,
    refine: bool = False,
    level: float = 0.95,
    seed: int = 0,
) -> TransferFunction:
    """Measure the transfer function at the edge of a round insert.

    Parameters
    ----------
    images : ndarray, shape (n, y, x)
        Slices or repeats that show the same insert at the same place.
    centre : tuple of float
        Row and column of its middle in pixels; pixel (0, 0) is centred at (0, 0).
    radius : float
        In pixels.
    spacing : float
        Side of a (square) pixel in mm.
    margin : float, optional
        How far from the edge the profile reaches, in pixels; by default as far as the radius. Nothing
        but background may lie within it.
    refine : bool
        Look for the centre near the given one; for phantoms whose place is known only roughly.
    level : float
        Nominal coverage of the intervals.
    seed : int

    Returns
    -------
    TransferFunction

    Raises
    ------
    QuellError
        If the insert is too small or leaves the image, a value is not finite, or the insert does not
        stand out.
    """
    stack = _checked(images, centre, radius, margin)
    if refine:
        centre = find_centre(stack.mean(axis=0), centre, radius)
    edge = edge_spread(stack, centre, radius, radius if margin is None else margin)
    contrast = _contrast(edge)
    if contrast == 0:
        raise QuellError("the insert has no contrast")
    line = _LineSpread(edge, radius, spacing)
    frequency, value = line.transfer(edge.values.mean(axis=0))
    f50, f10 = (_interval(edge.values, line, at, level, seed) for at in (0.5, 0.1))
    total = abs(contrast) / edge.noise * np.sqrt(len(stack)) if edge.noise > 0 else float("inf")
    warnings: tuple[str, ...] = ()
    if total < ENOUGH_CONTRAST:
        warnings = (
            f"The contrast-to-noise ratio of all {len(stack)} images together is {total:.1f}; below "
            f"{ENOUGH_CONTRAST:g} the transfer function is uncertain.",
        )
    return TransferFunction(frequency, value, f50, f10, contrast, edge.noise, total, warnings)


def edge_spread(
    images: FloatArray | Values, centre: tuple[float, float], radius: float, margin: float
) -> EdgeSpread:
    """Gather the profile across the edge of a disc from all pixels around it.

    Parameters
    ----------
    images : ndarray, shape (n, y, x)
    centre, radius, margin
        In pixels; the profile reaches the margin outwards, and inwards at most to the middle.
    """
    y, x = np.indices(images.shape[1:])
    away = np.hypot(y - centre[0], x - centre[1]) - radius
    near = (away > -min(margin, radius)) & (away < margin)
    distance, pixels = away[near], np.asarray(images[:, near], np.float64)
    index = np.floor((distance + margin) * BINS_PER_PIXEL).astype(int)
    counts = np.bincount(index)
    filled = counts > 0
    # The mean distance of the pixels of a bin, not its middle: few pixels lie unevenly in it.
    at = np.bincount(index, distance)[filled] / counts[filled]
    means = np.stack([np.bincount(index, one)[filled] / counts[filled] for one in pixels])
    first, last = np.ceil(at[0] * BINS_PER_PIXEL), np.floor(at[-1] * BINS_PER_PIXEL)
    grid = np.arange(first, last + 1) / BINS_PER_PIXEL
    profiles = np.stack([np.interp(grid, at, one) for one in means])
    residual = pixels - np.interp(distance, at, means.mean(axis=0))
    return EdgeSpread(grid, profiles, float(residual.std()))


def find_centre(pixels: Values, centre: tuple[float, float], radius: float) -> tuple[float, float]:
    """Return the centroid of a disc near a given place, in pixels.

    Pixels within 1.5 radii count by how much they differ from the background, up to its contrast.
    """
    y, x = np.indices(pixels.shape)
    for _ in range(5):
        away = np.hypot(y - centre[0], x - centre[1])
        ground = np.median(pixels[(away > 1.2 * radius) & (away < 1.5 * radius)])
        contrast = np.median(pixels[away < 0.5 * radius]) - ground
        if contrast == 0:
            return centre
        weight = np.where(away < 1.5 * radius, np.clip((pixels - ground) / contrast, 0, 1), 0)
        weight[weight < 0.3] = 0
        centre = float((weight * y).sum() / weight.sum()), float((weight * x).sum() / weight.sum())
    return centre


def crossing(frequency: Values, value: Values, level: float) -> float:
    """Return the lowest frequency at which a curve falls below a level, NaN where it never does."""
    below = np.flatnonzero(value < level)
    if below.size == 0 or below[0] == 0:
        return float("nan")
    i = int(below[0])
    share = (value[i - 1] - level) / (value[i - 1] - value[i])
    return float(frequency[i - 1] + share * (frequency[i] - frequency[i - 1]))


def _checked(
    images: FloatArray | Values, centre: tuple[float, float], radius: float, margin: float | None
) -> Values:
    stack = np.asarray(images, np.float64)
    if stack.ndim != 3:
        raise QuellError(f"a transfer function needs a stack of images, got shape {stack.shape}")
    if not np.isfinite(stack).all():
        raise QuellError("transfer function: values that are not finite (NaN or infinity)")
    if radius < _SMALLEST_RADIUS:
        raise QuellError(
            f"an insert {2 * radius:.1f} pixels wide is too small for a transfer function: "
            f"{2 * _SMALLEST_RADIUS:g} pixels at least (measure its contrast recovery instead)"
        )
    reach = radius + (radius if margin is None else margin)
    inside = all(reach <= c <= n - 1 - reach for c, n in zip(centre, stack.shape[1:], strict=True))
    if not inside:
        raise QuellError(f"the insert at {centre} needs {reach:.0f} pixels of image on every side")
    return stack


def _contrast(edge: EdgeSpread) -> float:
    """Return the value inside minus the value outside, over the outer quarters of the profile."""
    width = max(len(edge.distance) // 4, 1)
    mean = edge.values.mean(axis=0)
    return float(mean[:width].mean() - mean[-width:].mean())


def _interval(profiles: Values, line: _LineSpread, at: float, level: float, seed: int) -> Interval:
    """Return where the transfer function crosses a level, with an interval over the images."""
    number = len(profiles)

    def statistic(weights: Values) -> float:
        return crossing(*line.transfer(weights @ profiles / weights.sum()), at)

    value = statistic(np.ones(number))
    drawn = np.random.default_rng(seed).integers(0, number, (REPEATS, number))
    if number < 2 or not np.isfinite(value):
        return Interval(value, float("nan"), float("nan"), level, number)
    found = np.array([statistic(np.bincount(one, minlength=number).astype(float)) for one in drawn])
    without = np.array([statistic(np.ones(number) - np.eye(number)[i]) for i in range(number)])
    if not (np.isfinite(found).all() and np.isfinite(without).all()):
        return Interval(value, float("nan"), float("nan"), level, number)
    return Interval(value, *bca_bounds(value, found, without, level), level, number)


class _LineSpread:
    """From the profile across an edge to its transfer function, with one and the same taper."""

    def __init__(self, edge: EdgeSpread, radius: float, spacing: float) -> None:
        self._step, self._spacing = float(edge.distance[1] - edge.distance[0]), spacing
        place, width = _fit(edge)
        away = np.abs(edge.distance - place) / (_FWHM * width)
        fade = np.clip((away - _FLAT) / (_FADED - _FLAT), 0, 1)
        # The slope across the edge of a disc is that of a straight edge times sqrt(radius / distance from
        # the middle): the leading term of the Bessel functions in its Hankel transform.
        curvature = np.sqrt(np.maximum(edge.distance + radius, 0) / radius)
        self._weights = (0.5 + 0.5 * np.cos(np.pi * fade)) * curvature

    def transfer(self, profile: Values) -> tuple[Values, Values]:
        """Return frequencies (1/mm) and the transfer function."""
        line = np.gradient(profile) * self._weights
        size = _PADDED * len(line)
        spectrum = np.abs(np.fft.rfft(line, size))
        frequency = np.fft.rfftfreq(size, self._step)
        # The mean over a bin and the difference over two each weaken high frequencies as a sinc.
        blur = np.sinc(frequency * self._step) * np.sinc(2 * frequency * self._step)
        kept = frequency <= 0.5
        value: Values = (spectrum / spectrum[0] / blur)[kept]
        return frequency[kept].astype(np.float64) / self._spacing, value


def _fit(edge: EdgeSpread) -> tuple[float, float]:
    """Return place and standard deviation of the Gaussian edge that fits the mean profile best, in pixels."""
    from scipy.optimize import curve_fit
    from scipy.special import ndtr

    mean, reach = edge.values.mean(axis=0), float(np.abs(edge.distance).max())
    inside = -_contrast(edge)

    def step(r: Values, low: float, high: float, place: float, width: float) -> Values:
        return np.asarray(low + (high - low) * ndtr((r - place) / width), np.float64)

    bounds = ([-np.inf, -np.inf, -reach / 4, 0.2], [np.inf, np.inf, reach / 4, reach])
    start = (mean[0], mean[0] + inside, 0.0, min(1.0, reach / 2))
    try:
        found, _ = curve_fit(step, edge.distance, mean, start, bounds=bounds)
    except RuntimeError:
        return 0.0, 1.0
    return float(found[2]), float(found[3])
