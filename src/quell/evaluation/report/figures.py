"""The report's small plots, drawn as SVG: the spectrum and the level of the noise, before and after."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from itertools import pairwise

from quell.evaluation.report import wording
from quell.evaluation.report.record import NoiseSummary, SeriesRecord

_WIDTH, _HEIGHT = 460, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 26, 42


def spectrum_svg(series: SeriesRecord) -> str:
    """Return the radial noise power spectrum before and after, or ``""`` where there is none.

    In the units of the field, e.g. HU² mm² over cycles per mm (ICRU report 87), where the size of
    a pixel is known; over cycles per pixel otherwise.
    """
    before, after = series.noise_before, series.noise_after
    if before is None or not _has_spectrum(before):
        return ""
    pixel = _pixel_size(series)
    curves = [("before", radial_spectrum(before, pixel))]
    if after is not None and _has_spectrum(after):
        curves.append(("after", radial_spectrum(after, pixel)))
    highest = max(y for _, points in curves for _, y in points)
    if not (math.isfinite(highest) and highest > 0):
        return ""
    step = nice_step(highest, 4)
    length = "mm" if pixel else "pixel"
    axes = _Axes(
        right=max(0.5, before.frequencies[-1]) / (pixel or 1.0), top=step * math.ceil(highest / step)
    )
    parts = [axes.grid(step, f"{wording.unit(series.units)}² {length}²", f"cycles per {length}")]
    parts += [axes.curve(points, name) for name, points in curves]
    label = f"Radial noise power spectrum {' and '.join(name for name, _ in curves)} denoising"
    return _svg("plot", _HEIGHT, label, parts)


def radial_spectrum(noise: NoiseSummary, pixel: float | None = None) -> list[tuple[float, float]]:
    """Return the mean noise power spectrum of each radial bin as (frequency, power density).

    The power of a bin over its area in the frequency plane: white noise is flat, and the integral
    over the plane is the variance. The last bin holds the corners of the plane as well, since all
    bins together hold all power.

    Parameters
    ----------
    noise : NoiseSummary
    pixel : float, optional
        Side of a pixel in mm. With it frequencies are cycles per mm and powers units² mm²; without
        it cycles per pixel and units² pixel².
    """
    scale = pixel or 1.0
    edges = [(a + b) / 2 for a, b in pairwise(noise.frequencies)]
    inside = [0.0, *(_disc_in_square(edge) for edge in edges), 1.0]
    areas = [max(b - a, 1e-9) for a, b in pairwise(inside)]
    return [
        (f / scale, noise.level**2 * scale**2 * share / area)
        for f, share, area in zip(noise.frequencies, noise.power, areas, strict=True)
    ]


def _disc_in_square(radius: float) -> float:
    """Return the area that a disc covers of the frequency plane, a square of side 1 cycle per pixel."""
    if radius <= 0.5:
        return math.pi * radius**2
    if radius >= math.sqrt(0.5):
        return 1.0
    segment = radius**2 * math.acos(0.5 / radius) - 0.5 * math.sqrt(radius**2 - 0.25)
    return math.pi * radius**2 - 4 * segment


def _pixel_size(series: SeriesRecord) -> float | None:
    """Return the side of a pixel in mm; None where it is unknown or not square."""
    if series.spacing is None:
        return None
    height, width = series.spacing[1:]
    square = height > 0 and abs(height - width) <= 0.01 * height
    return math.sqrt(height * width) if square and math.isfinite(height * width) else None


def level_svg(series: SeriesRecord) -> str:
    """Return the noise level before and after: dot at the median, bar from 5th to 95th percentile."""
    rows = [
        (name, noise)
        for name, noise in (("before", series.noise_before), ("after", series.noise_after))
        if noise
    ]
    highest = max((noise.level_p95 for _, noise in rows), default=0.0)
    if not (math.isfinite(highest) and highest > 0):
        return ""
    step = nice_step(highest, 5)
    top = step * math.ceil(highest / step)
    scale = (_WIDTH - 64 - _RIGHT) / top
    height = 34 * len(rows) + 40
    parts = []
    for i in range(round(top / step) + 1):
        x = 64 + i * step * scale
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="6" y2="{height - 34}"/>')
        parts.append(_text(x, height - 20, wording.tick(i * step, step), "middle"))
    parts.append(
        _text(
            (64 + _WIDTH - _RIGHT) / 2,
            height - 4,
            f"local standard deviation ({wording.unit(series.units)})",
            "middle",
        )
    )
    for i, (name, noise) in enumerate(rows):
        parts.append(_level_row(name, noise, 23 + 34 * i, scale))
    return _svg("plot", height, "Noise level before and after denoising", parts)


def nice_step(highest: float, ticks: int) -> float:
    """Return 1, 2 or 5 times a power of ten such that about `ticks` steps reach `highest`.

    Examples
    --------
    >>> nice_step(9.3, 5), nice_step(48, 4)
    (2.0, 20.0)
    """
    rough = highest / ticks
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= rough * 0.999)


class _Axes:
    """Maps frequency and power to the drawing."""

    def __init__(self, right: float, top: float) -> None:
        self.right, self.top = right, top

    def x(self, value: float) -> float:
        return _LEFT + value / self.right * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        return _HEIGHT - _BOTTOM - value / self.top * (_HEIGHT - _TOP - _BOTTOM)

    def grid(self, step: float, power: str, frequency: str) -> str:
        parts = [_text(_LEFT - 6, 12, power, "start")]
        for i in range(round(self.top / step) + 1):
            y = self.y(i * step)
            parts.append(
                f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            )
            parts.append(_text(_LEFT - 6, y + 4, wording.tick(i * step, step), "end"))
        across = nice_step(self.right, 6)
        for i in range(int(self.right / across + 1e-6) + 1):
            parts.append(
                _text(self.x(across * i), self.y(0) + 16, wording.tick(across * i, across), "middle")
            )
        parts.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 6, frequency, "middle"))
        return "".join(parts)

    def curve(self, points: Sequence[tuple[float, float]], name: str) -> str:
        line = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points)
        area = (
            f"{self.x(points[0][0]):.1f},{self.y(0):.1f} {line} {self.x(points[-1][0]):.1f},{self.y(0):.1f}"
        )
        return (
            f'<polygon class="area {name}" points="{area}"/><polyline class="line {name}" points="{line}"/>'
        )


def _has_spectrum(noise: NoiseSummary) -> bool:
    values = (*noise.frequencies, *noise.power)
    rising = all(a < b for a, b in pairwise((0.0, *noise.frequencies)))
    finite = math.isfinite(noise.level) and all(math.isfinite(v) for v in values)
    return len(noise.frequencies) == len(noise.power) > 1 and finite and rising


def _level_row(name: str, noise: NoiseSummary, y: float, scale: float) -> str:
    low, middle, high = (64 + max(0.0, v) * scale for v in (noise.level_p5, noise.level, noise.level_p95))
    return (
        _text(54, y + 4, name, "end")
        + f'<line class="range {name}" x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}"/>'
        + f'<circle class="dot {name}" cx="{middle:.1f}" cy="{y}" r="6"/>'
    )


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _svg(kind: str, height: int, label: str, parts: Sequence[str]) -> str:
    return (
        f'<svg class="{kind}" viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(label)}">'
        + "".join(parts)
        + "</svg>"
    )
