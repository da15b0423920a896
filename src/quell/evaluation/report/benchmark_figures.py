"""The plots of a benchmark, drawn as SVG: a dot and an interval for every denoiser."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from quell.evaluation.metrics.statistics import Interval
from quell.evaluation.report import wording
from quell.evaluation.report.figures import nice_step

_WIDTH, _LEFT, _RIGHT, _ROW, _FOOT = 560, 170, 16, 22, 42


@dataclass(frozen=True)
class Dot:
    """A line of a plot.

    Attributes
    ----------
    name : str
    value : Interval
    strong : bool
        Drawn in the colour of the first denoiser.
    """

    name: str
    value: Interval
    strong: bool = False


def dots_svg(dots: Sequence[Dot], axis: str, label: str) -> str:
    """Return a plot of values with their intervals, a line at zero; ``""`` where there is nothing to draw."""
    ends = [v for d in dots for v in (d.value.low, d.value.value, d.value.high) if math.isfinite(v)]
    if not ends:
        return ""
    low, high = min(0.0, *ends), max(0.0, *ends)
    if high - low <= 0:
        high = low + 1.0
    step = nice_step(high - low, 6)
    low, high = step * math.floor(low / step), step * math.ceil(high / step)
    scale = (_WIDTH - _LEFT - _RIGHT) / (high - low)
    height = _ROW * len(dots) + _FOOT + 8

    def x(value: float) -> float:
        return _LEFT + (value - low) * scale

    parts = [_grid(low, high, step, x(low), scale, height), _zero(x(0.0), height)]
    parts += [_line(dot, 8 + _ROW * i + _ROW / 2, x) for i, dot in enumerate(dots)]
    parts.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, height - 4, axis, "middle"))
    return (
        f'<svg class="dots" viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(label)}">'
        + "".join(parts)
        + "</svg>"
    )


def _grid(low: float, high: float, step: float, start: float, scale: float, height: int) -> str:
    parts = []
    for i in range(round((high - low) / step) + 1):
        x = start + i * step * scale
        value = low + i * step
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{height - _FOOT}"/>')
        parts.append(_text(x, height - _FOOT + 15, wording.tick(value + 0.0, step), "middle"))
    return "".join(parts)


def _zero(x: float, height: int) -> str:
    return f'<line class="zero" x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{height - _FOOT}"/>'


def _line(dot: Dot, y: float, place: Callable[[float], float]) -> str:
    kind = "strong" if dot.strong else "plain"
    parts = [_text(_LEFT - 10, y + 4, dot.name, "end")]
    at = dot.value
    if math.isfinite(at.low) and math.isfinite(at.high):
        one, other = place(at.low), place(at.high)
        parts.append(f'<line class="range {kind}" x1="{one:.1f}" x2="{other:.1f}" y1="{y}" y2="{y}"/>')
    if math.isfinite(at.value):
        parts.append(f'<circle class="dot {kind}" cx="{place(at.value):.1f}" cy="{y}" r="4.5"/>')
    return "".join(parts)


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
