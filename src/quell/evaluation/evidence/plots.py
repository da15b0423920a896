"""Plots of the evidence report as SVG: curves with their intervals, and level lines."""

from __future__ import annotations

import math
from html import escape

from quell.evaluation.evidence.record import Curve, Plot
from quell.evaluation.report import wording
from quell.evaluation.report.figures import nice_step

_WIDTH, _HEIGHT = 460, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 16, 26, 42


class _Frame:
    """Maps values to the drawing."""

    def __init__(self, plot: Plot) -> None:
        xs = [x for curve in plot.curves for x in curve.x]
        ys = [
            end
            for curve in plot.curves
            for q in curve.y
            for end in (q.value, q.low, q.high)
            if math.isfinite(end)
        ]
        ys += [level for level, _ in plot.references]
        self.log = plot.log_x
        self.xs = sorted(set(xs)) or [0.0, 1.0]
        low, high = self._of(self.xs[0]), self._of(self.xs[-1])
        pad = 0.06 * ((high - low) or 1.0) if plot.dots else 0.0
        self.left = low - pad if plot.dots or self.log else min(0.0, low)
        self.right = high + pad
        bottom, top = min([0.0, *ys]), max([*ys, 1e-12])
        self.step = nice_step(max(top - bottom, 1e-12), 5)
        self.bottom = self.step * math.floor(bottom / self.step + 1e-9)
        self.top = self.step * math.ceil(top / self.step - 1e-9)

    def _of(self, value: float) -> float:
        return math.log10(value) if self.log else value

    def x(self, value: float) -> float:
        span = (self.right - self.left) or 1.0
        return _LEFT + (self._of(value) - self.left) / span * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        share = (value - self.bottom) / ((self.top - self.bottom) or 1.0)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def plot_svg(plot: Plot) -> str:
    """Return a plot as SVG, with intervals as bands (curves) or bars (single points)."""
    frame = _Frame(plot)
    parts = [*_axes(plot, frame), *_references(plot, frame)]
    for k, curve in enumerate(plot.curves):
        shift = 5.0 * (k - (len(plot.curves) - 1) / 2) if plot.dots else 0.0
        parts += _curve(curve, frame, plot.dots, shift)
    return (
        f'<svg class="plot" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(plot.title)}">'
        + "".join(parts)
        + "</svg>"
    )


def _axes(plot: Plot, frame: _Frame) -> list[str]:
    parts = [_text(4, 14, plot.y_label, "start")]
    for k in range(round((frame.top - frame.bottom) / frame.step) + 1):
        value = frame.bottom + k * frame.step
        y = frame.y(value)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(_LEFT - 6, y + 4, _tick(value, frame.step), "end"))
    for value in _ticks(plot, frame):
        parts.append(_text(frame.x(value), _HEIGHT - _BOTTOM + 16, f"{value:g}", "middle"))
    parts.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 6, plot.x_label, "middle"))
    return parts


def _tick(value: float, step: float) -> str:
    if abs(value) >= 1e5 or (value and step < 1e-3):
        return f"{value:.1e}"
    return wording.tick(value, step).replace("-", "\N{MINUS SIGN}")


def _ticks(plot: Plot, frame: _Frame) -> list[float]:
    if plot.dots:
        return frame.xs
    step = nice_step(frame.right or 1.0, 6)
    return [step * k for k in range(int(frame.right / step + 1e-6) + 1)]


def _references(plot: Plot, frame: _Frame) -> list[str]:
    parts = []
    for level, words in plot.references:
        y = frame.y(level)
        parts.append(
            f'<line class="bar-line" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        parts.append(_text(_WIDTH - _RIGHT - 2, y - 4, words, "end"))
    return parts


def _curve(curve: Curve, frame: _Frame, dots: bool, shift: float) -> list[str]:
    points = [
        (frame.x(x) + shift, q) for x, q in zip(curve.x, curve.y, strict=True) if math.isfinite(q.value)
    ]
    if not points:
        return []
    line = " ".join(f"{x:.1f},{frame.y(q.value):.1f}" for x, q in points)
    parts = [f'<polyline class="line {curve.role}" points="{line}"/>']
    known = [(x, q) for x, q in points if math.isfinite(q.low) and math.isfinite(q.high)]
    if dots:
        parts += [
            f'<line class="error {curve.role}" x1="{x:.1f}" x2="{x:.1f}" '
            f'y1="{frame.y(q.low):.1f}" y2="{frame.y(q.high):.1f}"/>'
            for x, q in known
        ]
        parts += [
            f'<circle class="dot {curve.role}" cx="{x:.1f}" cy="{frame.y(q.value):.1f}" r="4"/>'
            for x, q in points
        ]
    elif known:
        there = [f"{x:.1f},{frame.y(q.high):.1f}" for x, q in known]
        back = [f"{x:.1f},{frame.y(q.low):.1f}" for x, q in reversed(known)]
        parts.append(f'<polygon class="area {curve.role}" points="{" ".join(there + back)}"/>')
    return parts


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
