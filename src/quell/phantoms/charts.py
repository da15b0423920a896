"""Test charts: bars, wedges, discs, stars, steps, ramps, lines, zone plates, constant areas."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from quell.image import FloatArray
from quell.phantoms.shapes import Canvas, new_canvas

_Chart = Callable[[np.random.Generator, FloatArray, FloatArray, float], FloatArray]


def draw_charts(rng: np.random.Generator, shape: tuple[int, int, int], distance: float) -> Canvas:
    """Draw charts in the cells of a random grid; they turn and shift slowly from slice to slice."""
    canvas = new_canvas(
        rng, shape, min(shape[1:]) * 0.5, distance=distance, bend=0.0, background=float(rng.uniform(0, 1))
    )
    drift = np.float32(0.12 * canvas.scale) * canvas.z[:, None, None]
    rows, columns = canvas.plane
    cells = int(rng.integers(1, 4))
    for i in range(cells):
        for j in range(cells):
            window = (
                slice(None),
                slice(i * rows // cells, (i + 1) * rows // cells),
                slice(j * columns // cells, (j + 1) * columns // cells),
            )
            middle = ((i + 0.5) * rows / cells, (j + 0.5) * columns / cells)
            y = canvas.y[window] * np.float32(canvas.scale) + np.float32((rows - 1) / 2 - middle[0])
            x = canvas.x[window] * np.float32(canvas.scale) + np.float32((columns - 1) / 2 - middle[1])
            half = min(rows, columns) / cells / 2
            low, high = rng.uniform(-0.5, 1.0, 2)
            angle = rng.uniform(0, np.pi)
            y, x = y + drift * np.float32(rng.uniform(-1, 1)), x + drift * np.float32(rng.uniform(-1, 1))
            cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
            chart = _CHARTS[int(rng.integers(len(_CHARTS) - (cells == 1)))](
                rng, cos * y - sin * x, sin * y + cos * x, half
            )
            canvas.values[window] = np.float32(low) + np.float32(high - low) * chart
    return canvas


def _edge(distance: FloatArray) -> FloatArray:
    covered: FloatArray = np.clip(np.float32(0.5) + distance, 0, 1)
    return covered


def _bars(rng: np.random.Generator, y: FloatArray, x: FloatArray, half: float) -> FloatArray:
    period = np.float32(np.exp(rng.uniform(np.log(4), np.log(max(half, 8)))))
    period = period * (1 + np.float32(rng.uniform(0, 0.6)) * np.clip(y / np.float32(half), -1, 1))
    from_edge = np.abs((x / period) % 1 - np.float32(0.5)) * period
    return _edge(from_edge - period / 4)


def _disc(rng: np.random.Generator, y: FloatArray, x: FloatArray, half: float) -> FloatArray:
    out = np.zeros_like(y)
    for k in range(rng.integers(1, 14)):
        r = np.float32(rng.uniform(0.5, half * 0.25))
        cy, cx = rng.uniform(-0.8, 0.8, 2) * half
        level = np.float32(rng.uniform(0.02, 1.0) if k else 1.0)
        cover = _edge(r - np.hypot(y - np.float32(cy), x - np.float32(cx)))
        out += cover * (level - out)
    return out


def _star(rng: np.random.Generator, y: FloatArray, x: FloatArray, half: float) -> FloatArray:
    spokes = int(rng.integers(6, 40))
    far = np.hypot(y, x)
    wave = np.sin(np.arctan2(y, x) * np.float32(spokes))
    width = far / np.float32(spokes)
    star = np.clip(np.float32(0.5) + np.arcsin(wave) * width, 0, 1)
    calm = np.clip(width * np.float32(2) - np.float32(1), 0, 1)
    return np.asarray(0.5 + (star - 0.5) * calm * _edge(np.float32(0.9 * half) - far), np.float32)


def _steps(rng: np.random.Generator, y: FloatArray, x: FloatArray, half: float) -> FloatArray:
    out = np.zeros_like(y)
    for place in rng.uniform(-half, half, int(rng.integers(1, 8))):
        out += np.float32(rng.uniform(-0.5, 0.5)) * _edge(x - np.float32(place))
    return out


def _ramp(rng: np.random.Generator, y: FloatArray, x: FloatArray, half: float) -> FloatArray:
    ramp = np.clip(0.5 + x / np.float32(2 * half * rng.uniform(0.3, 1)), 0, 1)
    return np.asarray(ramp * (_edge(y) if rng.random() < 0.5 else 1), np.float32)


def _wedge(rng: np.random.Generator, y: FloatArray, x: FloatArray, half: float) -> FloatArray:
    slope = np.float32(rng.uniform(0.02, 0.5))
    return _edge(np.minimum((x + np.float32(half)) * slope - np.abs(y), np.float32(half) - x))


def _lines(rng: np.random.Generator, y: FloatArray, x: FloatArray, half: float) -> FloatArray:
    out = np.zeros_like(y)
    for _ in range(rng.integers(1, 10)):
        angle, place = rng.uniform(0, np.pi), rng.uniform(-half, half)
        w = np.float32(rng.uniform(0.3, 2.5))
        far = np.abs(np.float32(np.cos(angle)) * y + np.float32(np.sin(angle)) * x - np.float32(place))
        np.maximum(out, np.float32(rng.uniform(0.1, 1)) * np.minimum(1, 2 * w) * _edge(w - far), out=out)
    return out


def _zone_plate(rng: np.random.Generator, y: FloatArray, x: FloatArray, half: float) -> FloatArray:
    fastest = rng.uniform(0.08, 0.25)
    far2 = y * y + x * x
    wave = np.cos(far2 * np.float32(np.pi * fastest / (half * 1.5)))
    rate = np.sqrt(far2) * np.float32(fastest / (half * 1.5))
    return np.asarray(0.5 + 0.5 * wave * np.clip((0.25 - rate) * 50, 0, 1), np.float32)


def _flat(rng: np.random.Generator, y: FloatArray, x: FloatArray, half: float) -> FloatArray:
    return np.full_like(y, np.float32(rng.random()))


_CHARTS: tuple[_Chart, ...] = (_bars, _disc, _star, _steps, _ramp, _wedge, _lines, _zone_plate, _flat)
