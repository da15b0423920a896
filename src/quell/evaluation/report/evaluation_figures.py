"""The plots and pictures of an evaluation's page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from html import escape

import numpy as np

from quell.evaluation.report import wording
from quell.evaluation.report.evaluation_record import NOISY, REFERENCE, TEST, NoiseFound, Shown
from quell.evaluation.report.figures import nice_step
from quell.evaluation.report.pictures import (
    DETAIL_FROM,
    ENLARGE_TO,
    REDUCE_TO,
    Panel,
    detail_box,
    to_data_uri,
    to_grey,
)
from quell.evaluation.report.record import Picture
from quell.image import FloatArray

ORDER = (NOISY, TEST, REFERENCE)
TITLES = {NOISY: "Noisy", TEST: "Test", REFERENCE: "Reference"}

_WIDTH, _HEIGHT = 460, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 26, 42
_ENLARGE_DETAIL = 4


@dataclass(frozen=True)
class Framed:
    """A picture of the page with its title and, in per cent, the squares drawn on it."""

    title: str
    panel: Panel
    difference: bool
    marks: tuple[tuple[float, float, float, float], ...] = ()


@dataclass(frozen=True)
class Stage:
    """Rows of pictures of one part of a slice; all images in one window, all differences on one scale."""

    title: str
    scale: str
    rows: tuple[tuple[Framed, ...], ...]
    enlarged: bool = False


def stages(shown: Shown) -> Iterator[Stage]:
    """Yield the whole slice and, of larger ones, the detail in which the test differs most."""
    rows, columns = next(iter(shown.images.values())).shape
    longest = max(rows, columns)
    factor = REDUCE_TO / longest if longest > REDUCE_TO else float(max(1, ENLARGE_TO // longest))
    yield Stage(
        title=wording.sentence(shown.caption),
        scale=_scale(factor, rows, columns),
        rows=_rows(shown, shown.images, factor),
    )
    if longest < DETAIL_FROM:
        return
    top, left, height, width = _detail(shown)
    part = {name: image[top : top + height, left : left + width] for name, image in shown.images.items()}
    cut = replace(shown, squares=())
    yield Stage(
        title="Detail: where the test differs most",
        scale=f"{height} × {width} pixels, enlarged {_ENLARGE_DETAIL} times (nearest)",
        rows=_rows(cut, part, _ENLARGE_DETAIL, smooth=False),
        enlarged=True,
    )


def spectra_svg(noise: NoiseFound, units: str) -> str:
    """Return the radial noise power spectra of the images of a case, or ``""`` where there are none."""
    curves = {name: noise.spectra[name] for name in ORDER if name in noise.spectra}
    highest = max((max(one.power) for one in curves.values()), default=0.0)
    if not (math.isfinite(highest) and highest > 0):
        return ""
    step = nice_step(highest, 4)
    top = step * math.ceil(highest / step)
    right = max(one.frequency[-1] for one in curves.values())
    parts = [_text(_LEFT - 50, 14, f"{wording.unit(units)}² {noise.length}²", "start")]
    for i in range(round(top / step) + 1):
        y = _y(i * step / top)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(_LEFT - 6, y + 4, wording.tick(i * step, step), "end"))
    across = nice_step(right, 6)
    for i in range(int(right / across + 1e-6) + 1):
        parts.append(_text(_x(across * i / right), _y(0) + 16, wording.tick(across * i, across), "middle"))
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(_text(middle, _HEIGHT - 6, f"cycles per {noise.length}", "middle"))
    for name, one in curves.items():
        points = " ".join(
            f"{_x(f / right):.1f},{_y(p / top):.1f}" for f, p in zip(one.frequency, one.power, strict=True)
        )
        parts.append(f'<polyline class="line {name}" points="{points}"/>')
    label = f"Radial noise power spectrum of {', '.join(curves)}"
    return (
        f'<svg class="plot" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(label)}">'
        + "".join(parts)
        + "</svg>"
    )


def _rows(
    shown: Shown, images: Mapping[str, FloatArray], factor: float, smooth: bool = True
) -> tuple[tuple[Framed, ...], ...]:
    aspect = float(np.clip(shown.aspect, 0.1, 10.0)) if np.isfinite(shown.aspect) else 1.0

    def framed(title: str, values: FloatArray, low: float, high: float, difference: bool) -> Framed:
        drawn = to_data_uri(to_grey(values, low, high), factor, aspect, smooth)
        say = wording.signed if difference else wording.number
        ends = (say(low), say((low + high) / 2), say(high))
        panel = replace(drawn, low=ends[0], middle=ends[1], high=ends[2])
        marks = () if difference else tuple(_percent(square, *values.shape) for square in shown.squares)
        return Framed(title, panel, difference, marks)

    names = [name for name in ORDER if name in images]
    first = tuple(framed(TITLES[name], images[name], *shown.window, False) for name in names)
    # Outlines on one picture only, so that the others stay as they are.
    first = (first[0], *(replace(one, marks=()) for one in first[1:]))
    second = tuple(
        framed(f"{TITLES[a]} − {TITLES[b].lower()}", images[a] - images[b], -shown.limit, shown.limit, True)
        for a, b in ((NOISY, REFERENCE), (TEST, REFERENCE), (NOISY, TEST))
        if a in images and b in images
    )
    return (first, second) if len(names) == 3 else ((*first, *second),)


def _detail(shown: Shown) -> tuple[int, int, int, int]:
    base = shown.images.get(REFERENCE, shown.images.get(NOISY))
    test = shown.images[TEST]
    return detail_box(Picture(test if base is None else base, test, shown.window, shown.limit))


def _percent(square: tuple[int, int, int], rows: int, columns: int) -> tuple[float, float, float, float]:
    y, x, side = square
    return 100 * x / columns, 100 * y / rows, 100 * side / columns, 100 * side / rows


def _scale(factor: float, rows: int, columns: int) -> str:
    size = f"{rows} × {columns} pixels"
    if factor > 1:
        return f"{size}, enlarged {factor:.0f} times (bicubic)"
    if factor < 1:
        return f"{size}, reduced to {100 * factor:.0f} % (its noise looks weaker than it is)"
    return size


def _x(share: float) -> float:
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _y(share: float) -> float:
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
