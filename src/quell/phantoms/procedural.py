"""Endless noise-free anatomy: neighbouring slices of a body that never was, from a seed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from quell.image import FloatArray
from quell.phantoms.body import draw_body
from quell.phantoms.brain import draw_brain
from quell.phantoms.charts import draw_charts
from quell.phantoms.counts import draw_counts
from quell.phantoms.radiograph import draw_radiograph
from quell.phantoms.shapes import Canvas
from quell.phantoms.texture import power_law_field
from quell.phantoms.ultrasound import draw_ultrasound
from quell.phantoms.vessels import draw_vessels

_DRAW: dict[str, Callable[[np.random.Generator, tuple[int, int, int], float], Canvas]] = {
    "body": draw_body,
    "brain": draw_brain,
    "vessels": draw_vessels,
    "counts": draw_counts,
    "ultrasound": draw_ultrasound,
    "radiograph": draw_radiograph,
    "test": draw_charts,
}
STYLES: tuple[str, ...] = tuple(_DRAW)
_SHARE = (0.36, 0.16, 0.1, 0.12, 0.09, 0.09, 0.08)


def random_style(rng: np.random.Generator) -> str:
    """Draw one of `STYLES`, each with its share in training."""
    return str(rng.choice(STYLES, p=_SHARE))


def random_anatomy(
    rng: np.random.Generator,
    shape: tuple[int, int, int] = (3, 256, 256),
    style: str | None = None,
) -> FloatArray:
    """Draw neighbouring noise-free slices of one random anatomy.

    Parameters
    ----------
    rng : numpy.random.Generator
        The same state gives the same image.
    shape : (slices, rows, columns)
    style : str, optional
        One of `STYLES`; drawn at random when None.

    Returns
    -------
    ndarray of float32
        Arbitrary units in which a body has contrasts of order 1 (CT-like: HU/1000). Style
        ``"counts"`` is not negative.

    Raises
    ------
    ValueError
        If the style is unknown.
    """
    if style is None:
        style = random_style(rng)
    if style not in _DRAW:
        raise ValueError(f"unknown style {style!r}; known: {', '.join(STYLES)}")
    distance = float(np.exp(rng.uniform(np.log(0.5), np.log(6.0))))
    canvas = _DRAW[style](rng, shape, distance)
    values = canvas.values if style == "counts" else as_scanned(rng, canvas)
    if style in ("brain", "vessels", "test"):
        values = _window_level(rng, values)
    return np.ascontiguousarray(values, np.float32)


def as_scanned(rng: np.random.Generator, canvas: Canvas) -> FloatArray:
    """Return what was drawn with the fine texture of tissue, blurred as a scanner does."""
    return _point_spread(rng, _grain(rng, canvas))


def _grain(rng: np.random.Generator, canvas: Canvas) -> FloatArray:
    """Add fine texture whose strength differs from tissue to tissue (a random function of the value).

    Lung and spongy bone have more of it than soft tissue, the air around has none.
    """
    beta = float(rng.uniform(1.2, 3.5))
    field = power_law_field(rng, canvas.z * np.float32(canvas.scale), canvas.plane, beta)
    knots = np.array([-1.0, -0.9, -0.6, -0.2, -0.05, 0.0, 0.05, 0.1, 0.3, 0.7, 1.5], np.float32)
    most = 0.02 * rng.random() ** 1.5 * (rng.random() > 0.15)
    strength = most * rng.random(len(knots))
    strength[[1, 2, 8, 9, 10]] *= rng.uniform(1, 3)
    profile = np.interp(canvas.values, knots, strength).astype(np.float32)
    tissue = np.clip(np.abs(canvas.values - np.float32(canvas.background)) * np.float32(20), 0, 1)
    textured: FloatArray = canvas.values + field * profile * tissue
    return textured


def _point_spread(rng: np.random.Generator, values: FloatArray) -> FloatArray:
    """Blur as a scanner does, now and then with the edge enhancement of a sharp kernel."""
    sigma = float(rng.uniform(0.4, 1.2))
    blurred = ndimage.gaussian_filter(values, (0, sigma, sigma), truncate=3.0)
    if rng.random() < 0.2:
        wide = ndimage.gaussian_filter(blurred, (0, 1.5 * sigma, 1.5 * sigma), truncate=3.0)
        blurred += np.float32(rng.uniform(0.1, 0.5)) * (blurred - wide)
    return np.asarray(blurred, np.float32)


def _window_level(rng: np.random.Generator, values: FloatArray) -> FloatArray:
    """Vary gamma, contrast, offset and polarity."""
    low, high = float(values.min()), float(values.max())
    unit = (values - np.float32(low)) / np.float32(max(high - low, 1e-6))
    unit = unit ** np.float32(np.exp(rng.normal(0, 0.25)))
    if rng.random() < 0.25:
        unit = 1 - unit
    return np.asarray(unit * np.float32(rng.uniform(0.5, 2.0)) + np.float32(rng.normal(0, 0.4)), np.float32)
