"""The circumference of a fetal head in a B-mode: an ellipse through the middle of the skull.

The measure is that of HC18 (van den Heuvel et al. 2018, PLoS ONE 13:e0200412), whose observers drew ellipses;
the way to it is ours: proposals from bright ridges (RANSAC, Fischler and Bolles 1981), judged by how much
skull lies along them, then a polar search for the ridge around the best, fitted again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from quell.errors import InputError
from quell.evaluation.ellipse import Ellipse, fit_ellipse
from quell.image import BoolArray, FloatArray, Geometry, Image, Modality

Array = npt.NDArray[np.float64]

_ANGLES = 180
_PROPOSALS = 1500
_ROUND = (0.5, 1.0)
"""Shortest over longest axis of what may be a head."""

_SIZES = (0.12, 0.75)
"""Half the longest axis over the longer side of the image."""

_SMOOTH = 4.0
"""Standard deviation of the smoothing before ridges are looked for, in pixels: about half a skull."""

_CAP = 0.985
"""Quantile of the strengths of ridges that counts as a full one."""

_SEARCH = (0.14, 0.08, 0.05, 0.04)
"""Reach of the polar searches, one after the other, as a share of the radius."""

_ALONG = 2.0
"""Standard deviation of the averaging along the ellipse, in steps of the angle."""

_FEWEST = 0.25


@dataclass(frozen=True)
class HeadFit:
    """A head that was found.

    Attributes
    ----------
    ellipse : Ellipse
    circumference : float
        In mm, or in pixels where their size is unknown.
    in_mm : bool
    support : float
        Share of the directions from the centre in which there is skull on the ellipse.
    """

    ellipse: Ellipse
    circumference: float
    in_mm: bool
    support: float


def measure_head(image: Image, seed: int = 0, scored: int = 0) -> HeadFit:
    """Fit an ellipse to the skull.

    Parameters
    ----------
    image : Image
    seed : int
        Of the proposals.
    scored : int
        The slice that is measured.

    Raises
    ------
    InputError
        If the slice is too small, or nothing in it looks like a skull.
    """
    pixels = image.voxels[scored].astype(np.float64)
    if min(pixels.shape) < 64 or not np.isfinite(pixels).all():
        raise InputError(image.name, "a head is looked for in slices of 64 pixels or more, of finite values")
    ridge = ridges(pixels)
    found = _best_proposal(ridge, np.random.default_rng(seed))
    if found is None:
        raise InputError(image.name, "nothing in it looks like a skull")
    for reach in _SEARCH:
        found = _refined(ridge, found, reach) or found
    support = float(np.mean(_sampled(ridge, found.points()) > 0.25))
    if support < _FEWEST:
        raise InputError(image.name, f"only {100 * support:.0f} % of a skull was found")
    known = image.geometry.known
    spacing = image.geometry.spacing[1:] if known else (1.0, 1.0)
    return HeadFit(found, found.circumference(spacing), known, support)


def ridges(pixels: Array) -> Array:
    """Return how much of a bright line each pixel lies on, from 0 to 1.

    Minus the lesser eigenvalue of the Hessian of the smoothed image, where it is a ridge (Frangi et al.
    1998), cut off at a high quantile of what is not zero.
    """
    from scipy.ndimage import gaussian_filter

    yy, xx, xy = (gaussian_filter(pixels, _SMOOTH, order=o) for o in ((2, 0), (0, 2), (1, 1)))
    half, root = (yy + xx) / 2, np.sqrt(((yy - xx) / 2) ** 2 + xy**2)
    strength = np.maximum(root - half, 0) - np.maximum(np.abs(half + root), 0)
    strength = np.maximum(strength, 0)
    real = strength > 0
    if not real.any():
        return np.zeros_like(pixels)
    # Bright ridges count, not those of the dark: the skull is white, whatever the gain.
    strength *= gaussian_filter(pixels, _SMOOTH) / max(float(pixels.max()), 1e-9)
    cap = float(np.quantile(strength[real], _CAP))
    return np.asarray(np.clip(strength / max(cap, 1e-12), 0, 1), np.float64)


def _best_proposal(ridge: Array, rng: np.random.Generator) -> Ellipse | None:
    """Return the best of the ellipses through five random points on strong ridges."""
    places = np.argwhere(ridge > 0.5)
    if len(places) < 50:
        return None
    chance = ridge[tuple(places.T)]
    picks = rng.choice(len(places), (_PROPOSALS, 6), p=chance / chance.sum())
    best, score = None, 0.0
    for pick in picks:
        found = fit_ellipse(places[pick].astype(np.float64))
        if found is not None and _plausible(found, ridge.shape):
            value = _score(ridge, found)
            best, score = (found, value) if value > score else (best, score)
    return best


def _plausible(found: Ellipse, shape: tuple[int, ...]) -> bool:
    long, short = found.axes
    inside = all(0.1 * n < place < 0.9 * n for place, n in zip(found.centre, shape, strict=True))
    sized = _SIZES[0] < long / max(shape) < _SIZES[1]
    return inside and sized and _ROUND[0] <= short / long <= _ROUND[1]


def _score(ridge: Array, found: Ellipse) -> float:
    """Return the mean strength along an ellipse, and along those sixths of it that face each other."""
    points = found.points()
    along = _sampled(ridge, points)
    # A line that crosses the ellipse has as much of it inside and outside.
    for share in (0.9, 1.1):
        along = along - 0.5 * _sampled(ridge, np.asarray(found.centre) + share * (points - found.centre))
    parts = along.reshape(6, -1).mean(axis=1)
    opposite = np.minimum(parts[:3], parts[3:])
    # A bright band of tissue covers one side; a skull has two.
    return float(along.mean() + opposite.mean())


def _sampled(values: Array, points: Array) -> Array:
    from scipy.ndimage import map_coordinates

    return np.asarray(map_coordinates(values, points.T, order=1, mode="constant"), np.float64)


def _refined(ridge: Array, found: Ellipse, reach: float) -> Ellipse | None:
    """Search along rays from the centre for the ridge near an ellipse, and fit one to what is found."""
    from scipy.ndimage import gaussian_filter1d

    shares = np.linspace(1 - reach, 1 + reach, 61)
    centre = np.asarray(found.centre)
    rays = centre + shares[:, None, None] * (found.points() - centre)
    # Near the ellipse before far from it, where both are as bright.
    nearness = 1 - 0.5 * (np.abs(shares - 1) / reach)[:, None]
    strength = _sampled(ridge, rays.reshape(-1, 2)).reshape(rays.shape[:2])
    # Speckle breaks the skull into grains; along the ellipse they make a line again.
    strength = nearness * gaussian_filter1d(strength, _ALONG, axis=1, mode="wrap")
    peak = strength.argmax(axis=0)
    column = np.arange(_ANGLES)
    points, held = rays[peak, column], strength[peak, column] > 0.3
    if held.sum() < _FEWEST * _ANGLES:
        return None
    return _trimmed(points[held])


def _trimmed(points: Array) -> Ellipse | None:
    """Fit, and again without the points that lie farther off than is usual."""
    found = fit_ellipse(points)
    for _ in range(4):
        if found is None:
            return None
        off = np.abs(found.radius_share(points) - 1)
        near = off <= max(2.5 * float(np.median(off)), 1e-3)
        found = fit_ellipse(points[near])
    return found


def draw_head(
    ellipse: Ellipse,
    shape: tuple[int, int] = (400, 480),
    spacing: float = 0.2,
    *,
    skull_mm: float = 1.6,
    skull_db: float = 18.0,
    brain_db: float = -12.0,
    gap: float = 0.15,
) -> Image:
    """Draw a head of known circumference as echo levels in dB, for `quell.noise.ultrasound`.

    Parameters
    ----------
    ellipse : Ellipse
        The middle of the skull.
    shape : tuple of int
        Rows and columns.
    spacing : float
        Of pixels, mm.
    skull_mm : float
        Thickness.
    skull_db, brain_db : float
        Against the tissue outside.
    gap : float
        Share of the skull, on either side, where beams run along it and get no echo.
    """
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    points = np.stack([rows.ravel(), columns.ravel()], 1).astype(np.float64)
    share = ellipse.radius_share(points).reshape(shape)
    distance = (share - 1) * ellipse.axes[1] * spacing
    level = np.where(share < 1, brain_db, 0.0)
    angle = np.arctan2(rows - ellipse.centre[0], columns - ellipse.centre[1])
    beside = np.minimum(np.abs(angle), np.pi - np.abs(angle)) < gap * np.pi
    skull: BoolArray = (np.abs(distance) < skull_mm / 2) & ~beside
    voxels: FloatArray = np.where(skull, skull_db, level)[None].astype(np.float32)
    return Image(voxels, Modality.US, "dB", Geometry((1.0, spacing, spacing), known=True), name="drawn head")
