"""The echogenicity that an ultrasound image shows after log compression, without speckle."""

from __future__ import annotations

import numpy as np

from quell.phantoms.shapes import Canvas, coverage, ellipsoid, new_canvas, paint, wobble
from quell.phantoms.texture import power_law_field
from quell.phantoms.tubes import along, tube_coverage


def draw_ultrasound(
    rng: np.random.Generator, shape: tuple[int, int, int], distance: float, *, sectors: bool = True
) -> Canvas:
    """Draw layered tissue with cysts, interfaces and shadows; 0 to about 1.5.

    Parameters
    ----------
    rng : numpy.random.Generator
    shape : (slices, rows, columns)
    distance : float
        Of neighbouring slices, pixels.
    sectors : bool
        Whether most images are cut to a sector.
    """
    scale = min(shape[1:]) * 0.5
    bend = rng.uniform(0.02, 0.08)
    canvas = new_canvas(rng, shape, scale, distance=distance, bend=bend, bend_length=0.4)
    _layers(rng, canvas)
    for _ in range(rng.integers(2, 12)):
        _inclusion(rng, canvas)
    canvas.values *= np.exp(np.float32(rng.uniform(0.05, 0.3)) * canvas.field(rng, rng.uniform(0.1, 0.5)))
    grain = power_law_field(rng, canvas.z * np.float32(scale), canvas.plane, rng.uniform(2.2, 3.5))
    canvas.values *= np.exp(np.float32(rng.uniform(0.02, 0.15)) * grain)
    for _ in range(rng.integers(1, 7)):
        _interface(rng, canvas)
    _shadows(rng, canvas)
    canvas.values *= np.exp(-np.float32(rng.uniform(0, 0.5)) * (canvas.y + 1))
    np.clip(canvas.values, 0, 1.5, out=canvas.values)
    if sectors:
        _sector(rng, canvas)
    return canvas


def _inclusion(rng: np.random.Generator, canvas: Canvas) -> None:
    """Paint an organ or an echo-free cyst; behind fluid the echoes are stronger."""
    r = float(np.exp(rng.uniform(np.log(0.02), np.log(0.35))))
    place = (float(rng.normal(0, 0.2)), float(rng.uniform(-0.7, 0.9)), float(rng.uniform(-0.9, 0.9)))
    radii = (1.5 * r, r * rng.uniform(0.5, 1), r)
    organ = ellipsoid(canvas, place, radii, angle=rng.normal(0, 0.5), outline=wobble(rng, 0.12))
    if organ is None:
        return
    cyst = rng.random() < 0.45
    paint(canvas, organ, 0.03 if cyst else float(rng.uniform(0.2, 0.9)), edge=rng.uniform(1, 4))
    if rng.random() < 0.5:
        rim = coverage(organ._replace(depth=1 - np.abs(organ.depth)), 2.0)
        facing = np.clip(
            np.abs(canvas.y[organ.window] - np.float32(place[1])) / np.float32(0.6 * r) - 0.5, 0, 1
        )
        canvas.values[organ.window] += np.float32(rng.uniform(0.1, 0.5)) * rim * facing
    if cyst:
        beside = (canvas.x - np.float32(place[2])) / np.float32(0.8 * r)
        behind = np.clip((canvas.y - np.float32(place[1] + radii[1])) * np.float32(canvas.scale / 3), 0, 1)
        fade = np.exp(-np.maximum(canvas.y - np.float32(place[1]), 0) * np.float32(1.5))
        canvas.values *= 1 + np.float32(rng.uniform(0, 0.5)) * behind * fade * np.clip(
            2 - 2 * beside**2, 0, 1
        )


def _layers(rng: np.random.Generator, canvas: Canvas) -> None:
    depth, value = -1.3, float(rng.uniform(0.3, 0.8))
    canvas.values += np.float32(value)
    while depth < 1.2:
        depth += rng.exponential(0.25) + 0.05
        step = rng.uniform(0.15, 0.85) - value
        value += step
        cover = np.clip(
            0.5 + (canvas.y - np.float32(depth)) * np.float32(canvas.scale / rng.uniform(1, 5)), 0, 1
        )
        canvas.values += np.float32(step) * cover


def _interface(rng: np.random.Generator, canvas: Canvas) -> None:
    """Add a curved sheet that is brightest where the beam meets it squarely, and fades to its ends."""
    t = np.linspace(-1, 1, 16)
    width, curve = rng.uniform(0.2, 1.0), rng.normal(0, 0.4)
    middle = (rng.uniform(-0.8, 0.8), rng.uniform(-0.7, 0.7))
    y = middle[0] + rng.normal(0, 0.3) * t * width + curve * (t * width) ** 2
    points = np.stack([0.0 * t, y, middle[1] + width * t], 1)
    radius = rng.uniform(0.5, 2.5) * (1.05 - t[:-1] ** 2) / canvas.scale
    sheet = tube_coverage(canvas, along(points, radius.astype(np.float32)), edge=2.0).max(axis=0)
    ends = np.clip(1 - ((canvas.x - np.float32(middle[1])) / np.float32(width)) ** 2, 0, 1)
    ripple = np.clip(1 + np.float32(0.4) * canvas.field(rng, 0.1), 0, 2)
    canvas.values += sheet * ends * ripple * np.float32(rng.uniform(0.2, 0.8))


def _shadows(rng: np.random.Generator, canvas: Canvas) -> None:
    """Darken bands along the beam, behind bone or gas; their flanks are soft."""
    for _ in range(rng.integers(0, 4)):
        x, y, half = rng.uniform(-0.9, 0.9), rng.uniform(-0.8, 0.5), rng.uniform(0.02, 0.2)
        along_beam = np.float32(x) * (1 + np.float32(rng.uniform(0, 0.3)) * (canvas.y - np.float32(y)))
        inward = np.float32(half) - np.abs(canvas.x - along_beam)
        flank = np.clip(inward * np.float32(canvas.scale / rng.uniform(4, 25)) + 0.5, 0, 1)
        below = np.clip((canvas.y - np.float32(y)) * np.float32(canvas.scale / 3), 0, 1)
        canvas.values *= 1 - np.float32(rng.uniform(0.3, 0.95)) * flank * below


def _sector(rng: np.random.Generator, canvas: Canvas) -> None:
    if rng.random() < 0.4:
        return
    rows, columns = canvas.plane
    apex = rng.uniform(0.05, 0.6) * rows
    y = np.arange(rows, dtype=np.float32)[:, None] + np.float32(apex)
    x = np.arange(columns, dtype=np.float32)[None] - np.float32((columns - 1) / 2)
    far = np.hypot(y, x)
    half = rng.uniform(0.45, 0.8)
    flank = (np.float32(half) - np.abs(np.arctan2(x, y))) * far
    inside = np.minimum(np.minimum(flank, far - np.float32(apex + 2)), np.float32(rows + apex - 2) - far)
    canvas.values *= np.clip(inside + 0.5, 0, 1)
