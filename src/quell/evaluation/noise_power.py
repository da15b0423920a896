"""Noise power spectrum and noise maps, from repeated acquisitions and from single images.

AAPM TG-233 (2019) and IEC 62220-1: square regions, a trend taken off each, the squared Fourier transform
averaged and scaled so that its integral is the variance. Unlike the two, regions are tapered by default
(Welch 1967): a region cut out of an image leaks power from where there is much to where there is little,
which for the ramp-like noise of CT is 4 % of the peak for 32 pixels and 3 % for 64, and 1.6 % with the taper.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from quell.errors import QuellError
from quell.evaluation.metrics.contracts import Values
from quell.image import BoolArray, FloatArray
from quell.noise.contracts import NoiseSpectrum
from quell.noise.measures import radial

SIDE = 64
SMALLEST = 16


@dataclass(frozen=True, eq=False)
class Periodograms:
    """The power of the noise in groups of square regions.

    A group is one slice or one acquisition; where there is only one slice, each of its regions is a group.
    Intervals are drawn over groups, since the regions of one overlap.

    Attributes
    ----------
    power : ndarray of float64, shape (groups, side, side)
        Mean over the regions of a group, as in `NoiseSpectrum`: zero frequency in the middle, units^2 mm^2.
    spacing : tuple of float
        Pixel height and width in mm.
    regions : ndarray of int, shape (groups,)
        How many regions each group has.
    """

    power: Values
    spacing: tuple[float, float]
    regions: npt.NDArray[np.intp]

    def mean(self) -> NoiseSpectrum:
        """Return the noise power spectrum: the mean over all regions."""
        power = np.average(self.power, axis=0, weights=self.regions)
        return NoiseSpectrum(power, self.spacing, int(self.regions.sum()))

    def radial(self) -> tuple[Values, Values]:
        """Return frequencies in 1/mm and the radial power of each group, (rings,) and (groups, rings).

        The ring at zero, which the detrending emptied, is left out.
        """
        curves = [radial(NoiseSpectrum(power, self.spacing, 1)) for power in self.power]
        return curves[0].frequency[1:], np.stack([curve.power[1:] for curve in curves])


def periodograms_of_regions(
    pixels: FloatArray | Values,
    spacing: tuple[float, float] = (1.0, 1.0),
    mask: BoolArray | None = None,
    *,
    side: int = SIDE,
    step: int | None = None,
    trend: int = 2,
    taper: bool = True,
) -> Periodograms:
    """Measure the power of the noise in plain regions of single images.

    Parameters
    ----------
    pixels : ndarray, shape (z, y, x)
    spacing : tuple of float
        Pixel height and width in mm.
    mask : ndarray of bool, shape (y, x) or (z, y, x), optional
        Where the object is plain; only regions that lie wholly inside are used. Everywhere by default.
    side : int
        Side of a region in pixels; the resolution in frequency is one over it.
    step : int, optional
        Distance of the regions; half of their side by default.
    trend : int
        Order of the polynomial that is taken off each region: 0 the mean, 1 a plane, 2 a paraboloid
        (IEC 62220-1). It takes along the noise below about one cycle per region.
    taper : bool
        Fade the regions out to their borders (Hann). Without it the procedure is that of TG-233 to the
        letter, and the integral is the variance of the regions exactly, not only on average.

    Raises
    ------
    QuellError
        If no region fits in, or a value is not finite.
    """
    stack = _checked(pixels, 3)
    inside = np.ones(stack.shape, np.bool_) if mask is None else np.broadcast_to(mask, stack.shape)
    corners = _corners(inside, side, step or max(side // 2, 1))
    alone = corners[0][0] == corners[-1][0]
    power, counts = [], []
    for z, places in groupby(corners, lambda corner: corner[0]):
        regions = np.stack([stack[z, y : y + side, x : x + side] for _, y, x in places])
        each = _power(_without_trend(regions.astype(np.float64), trend), spacing, taper)
        power.append(each if alone else each.mean(axis=0, keepdims=True))
        counts += [1] * len(each) if alone else [len(each)]
    return Periodograms(np.concatenate(power), spacing, np.array(counts))


def periodograms_of_repeats(
    repeats: FloatArray | Values,
    spacing: tuple[float, float] = (1.0, 1.0),
    mask: BoolArray | None = None,
    *,
    side: int = SIDE,
    step: int | None = None,
    trend: int = 0,
    taper: bool = True,
) -> Periodograms:
    """Measure the power of the noise from repeated acquisitions of one object, plain or not.

    The mean over the repeats is taken off, and the power multiplied by n / (n - 1), which gives back
    what the mean took along.

    Parameters
    ----------
    repeats : ndarray, shape (n, z, y, x) or (n, y, x)
        At least two, better ten and more.
    spacing, mask, side, step
        As of `periodograms_of_regions`.
    trend : int
        Order of the polynomial that is taken off each region besides; for drifts between the repeats.
        A negative one leaves even the mean, so that the power at zero frequency is that of the noise.
    taper : bool
        As of `periodograms_of_regions`.
    """
    stack = _checked(repeats, 3 if np.ndim(repeats) == 3 else 4)
    stack = stack[:, None] if stack.ndim == 3 else stack
    count = len(stack)
    if count < 2:
        raise QuellError("noise from repeats needs at least two acquisitions")
    inside = np.ones(stack.shape[1:], np.bool_) if mask is None else np.broadcast_to(mask, stack.shape[1:])
    corners = _corners(inside, side, step or max(side // 2, 1))
    mean = stack.mean(axis=0, dtype=np.float64)
    power = []
    for one in stack:
        noise = one - mean
        regions = np.stack([noise[z, y : y + side, x : x + side] for z, y, x in corners])
        power.append(_power(_without_trend(regions, trend), spacing, taper).mean(axis=0))
    scaled = np.stack(power) * (count / (count - 1))
    return Periodograms(scaled, spacing, np.full(count, len(corners)))


def sd_map(repeats: FloatArray | Values) -> Values:
    """Return the standard deviation at every voxel over repeated acquisitions.

    Parameters
    ----------
    repeats : ndarray, shape (n, ...)
        At least two; the standard error of the result is one part in sqrt(2 (n - 1)).
    """
    if len(repeats) < 2:
        raise QuellError("a map of standard deviations needs at least two acquisitions")
    return np.asarray(np.std(repeats, axis=0, ddof=1, dtype=np.float64), np.float64)


def _checked(pixels: FloatArray | Values, dimensions: int) -> npt.NDArray[Any]:
    stack = np.asarray(pixels)
    if stack.ndim != dimensions:
        raise QuellError(f"noise power needs stacks of slices, got an array of shape {stack.shape}")
    if not np.isfinite(stack).all():
        raise QuellError("noise power: values that are not finite (NaN or infinity)")
    return stack


def _corners(inside: npt.NDArray[np.bool_], side: int, step: int) -> list[tuple[int, int, int]]:
    """Return slice, row and column of the first pixel of every region that lies wholly inside."""
    if side < SMALLEST:
        raise QuellError(f"noise power needs regions of at least {SMALLEST} pixels a side, got {side}")
    depth, rows, columns = inside.shape
    found = [
        (z, y, x)
        for z in range(depth)
        for y in range(0, rows - side + 1, step)
        for x in range(0, columns - side + 1, step)
        if inside[z, y : y + side, x : x + side].all()
    ]
    if not found:
        raise QuellError(f"noise power: no plain region of {side} x {side} pixels; choose a smaller side")
    return found


def _without_trend(regions: Values, order: int) -> Values:
    if order < 0:
        return regions
    basis = _polynomials(regions.shape[-1], order)
    flat = regions.reshape(len(regions), -1)
    return np.asarray((flat - (flat @ basis) @ basis.T).reshape(regions.shape), np.float64)


@lru_cache(maxsize=8)
def _polynomials(side: int, order: int) -> Values:
    """Return an orthonormal basis of the polynomials of y and x up to an order, (side^2, terms)."""
    t = np.linspace(-1, 1, side)
    y, x = np.meshgrid(t, t, indexing="ij")
    terms = [y**i * x**j for i in range(order + 1) for j in range(order + 1 - i)]
    return np.asarray(np.linalg.qr(np.stack([term.ravel() for term in terms], axis=1))[0], np.float64)


def _power(regions: Values, spacing: tuple[float, float], taper: bool) -> Values:
    side = regions.shape[-1]
    faded = regions * _taper(side) if taper else regions
    transformed = np.fft.fftshift(np.fft.fft2(faded), axes=(-2, -1))
    scale = spacing[0] * spacing[1] / side**2
    return np.asarray(np.abs(transformed) ** 2 * scale, np.float64)


def _taper(side: int) -> Values:
    """Return a Hann window whose square has the mean 1, (side, side)."""
    fade = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(side) + 0.5) / side)
    window = np.outer(fade, fade)
    return np.asarray(window / np.sqrt((window**2).mean()), np.float64)
