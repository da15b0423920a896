"""The report's small plots, drawn as SVG: the spectrum and the level of the noise, before and after."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from itertools import pairwise

from quell.evaluation.report import wording
from quell.evaluation.report.record import NoiseSummary, SeriesRecord

_WIDTH, _HEIGHT = 460, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 14, 14, 42


def spectrum_svg(series: SeriesRecord) -> str:
    """Return the radial noise power spectrum before and after, or ``""`` where there is none.

    The ordinate is the density of the noise power in per cent of the whole power before, per
    0.1 cycles per pixel: the areas under the two curves compare as the noise powers do.
    """
    before, after = series.noise_before, series.noise_after
    if before is None or not _has_spectrum(before):
        return ""
    curves = [("before", _density(before, 1.0))]
    if after is not None and _has_spectrum(after) and before.level > 0:
        curves.append(("after", _density(after, (after.level / before.level) ** 2)))
    top = max((y for _, points in curves for _, y in points), default=0.0)
    right = max(x for _, points in curves for x, _ in points)
    if not (top > 0 and right > 0):
        return ""
    step = nice_step(top, 4)
    axes = _Axes(right=max(0.5, right), top=step * math.ceil(top / step))
    parts = [axes.grid(step)]
    parts += [axes.curve(points, name) for name, points in curves]
    return _svg("plot", _HEIGHT, "Radial noise power spectrum before and after denoising", parts)


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
    """Maps cycles per pixel and density to the drawing."""

    def __init__(self, right: float, top: float) -> None:
        self.right, self.top = right, top

    def x(self, value: float) -> float:
        return _LEFT + value / self.right * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        return _HEIGHT - _BOTTOM - value / self.top * (_HEIGHT - _TOP - _BOTTOM)

    def grid(self, step: float) -> str:
        base = self.y(0)
        parts = []
        for i in range(round(self.top / step) + 1):
            y = self.y(i * step)
            parts.append(
                f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            )
            parts.append(_text(_LEFT - 6, y + 4, wording.tick(i * step, step), "end"))
        for i in range(int(self.right / 0.1 + 1e-6) + 1):
            parts.append(_text(self.x(0.1 * i), base + 16, f"{0.1 * i:.1f}", "middle"))
        middle = (_LEFT + _WIDTH - _RIGHT) / 2
        parts.append(_text(middle, _HEIGHT - 6, "spatial frequency (cycles per pixel)", "middle"))
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
    return len(noise.frequencies) == len(noise.power) > 1 and all(math.isfinite(v) for v in values)


def _density(noise: NoiseSummary, factor: float) -> list[tuple[float, float]]:
    """Return (frequency, power per 0.1 cycles per pixel in per cent); bins may differ in width."""
    frequencies = noise.frequencies
    edges = [(a + b) / 2 for a, b in pairwise(frequencies)]
    edges = [2 * frequencies[0] - edges[0], *edges, 2 * frequencies[-1] - edges[-1]]
    widths = [max(b - a, 1e-9) for a, b in pairwise(edges)]
    return [
        (f, 100 * factor * share * 0.1 / width)
        for f, share, width in zip(frequencies, noise.power, widths, strict=True)
    ]


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
