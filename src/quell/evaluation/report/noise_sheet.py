"""The noise of a series as a picture: image, level map, spectrum in the plane and around the circle."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, isfinite

import numpy as np
import numpy.typing as npt
from PIL import Image as PilImage
from PIL import ImageDraw, ImageFont

from quell.evaluation.report import wording
from quell.evaluation.report.figures import nice_step
from quell.evaluation.report.noise_record import NoiseRecord, SpectrumNumbers
from quell.evaluation.report.pictures import to_grey
from quell.image import FloatArray

SIDE = 330
"""Longest side of a panel in pixels."""

_MARGIN, _HEAD, _FOOT, _AXIS = 22, 62, 44, 58
_WIDTH = 4 * SIDE + 5 * _MARGIN + 3 * _AXIS
_INK, _PALE, _CURVE = (30, 30, 30), (215, 215, 215), (33, 110, 140)
_COLOURS = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
_NOTHING = (235, 235, 235)

Colour = tuple[int, int, int]
_Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


@dataclass(frozen=True, eq=False)
class Shown:
    """The slice that is drawn.

    Attributes
    ----------
    pixels : ndarray of float32, shape (y, x)
        In the units of the image.
    window : tuple of float
        Display limits.
    level : ndarray of float32, shape (y, x)
        Local standard deviation; 0 where there is none.
    aspect : float
        Height of a pixel over its width.
    caption : str
    """

    pixels: FloatArray
    window: tuple[float, float]
    level: FloatArray
    aspect: float
    caption: str


def draw_sheet(record: NoiseRecord, shown: Shown) -> PilImage.Image:
    """Draw the noise of a series on one sheet, in RGB."""
    sheet = PilImage.new("RGB", (_WIDTH, _HEAD + SIDE + _FOOT), "white")
    draw = ImageDraw.Draw(sheet)
    say(draw, (_MARGIN, 10), _headline(record), 17)
    _image(sheet, _MARGIN, shown)
    left = 2 * _MARGIN + SIDE
    _level(sheet, left, shown, record.units)
    left += SIDE + _AXIS + _MARGIN
    if record.spectrum is None:
        say(draw, (left, _HEAD), "no spectrum: too little is plain", 13)
        return sheet
    _plane(sheet, left, record.spectrum, record.units)
    _radial(sheet, left + SIDE + _AXIS + _MARGIN + _AXIS // 2, record.spectrum, record.units)
    return sheet


def _headline(record: NoiseRecord) -> str:
    level = (
        f"noise {wording.quantity(record.level.median, record.units)}" if record.level else "no noise found"
    )
    return f"{record.name}   {record.modality}   {level} (median of the local standard deviation)"


def _image(sheet: PilImage.Image, left: int, shown: Shown) -> None:
    grey = PilImage.fromarray(to_grey(shown.pixels, *shown.window)).convert("RGB")
    low, high = (wording.number(limit) for limit in shown.window)
    _panel(sheet, left, grey, shown.aspect, f"{shown.caption}, {low} to {high}")


def _level(sheet: PilImage.Image, left: int, shown: Shown, units: str) -> None:
    some = shown.level[shown.level > 0]
    top = _round_up(float(np.percentile(some, 99))) if some.size else 1.0
    coloured = _coloured(shown.level / top)
    coloured[shown.level <= 0] = _NOTHING
    box = _panel(sheet, left, PilImage.fromarray(coloured), shown.aspect, "local standard deviation")
    _scale(sheet, box, 0.0, top, wording.unit(units))


def _plane(sheet: PilImage.Image, left: int, spectrum: SpectrumNumbers, units: str) -> None:
    power = np.array(spectrum.power_2d)
    top = float(power.max()) or 1.0
    edges = [0.5 / step for step in spectrum.spacing]
    words = f"noise power, fx and fy to {wording.number(edges[1])} / {spectrum.length}"
    picture = PilImage.fromarray(_coloured(power / top)).resize((SIDE, SIDE), PilImage.Resampling.BICUBIC)
    box = _panel(sheet, left, picture, 1.0, words)
    _scale(sheet, box, 0.0, top, _density(units, spectrum.length))


@dataclass(frozen=True)
class Curve:
    """One radial spectrum of a plot; `mark` is its first moment, drawn as an upright line."""

    frequency: tuple[float, ...]
    power: tuple[float, ...]
    colour: Colour
    mark: float
    words: str


def _radial(sheet: PilImage.Image, left: int, spectrum: SpectrumNumbers, units: str) -> None:
    words = f"mean {wording.number(spectrum.first_moment)}"
    curve = Curve(spectrum.frequency, spectrum.power, _CURVE, spectrum.first_moment, words)
    draw = ImageDraw.Draw(sheet)
    say(draw, (left, _HEAD - 20), f"radial mean, {_density(units, spectrum.length)}", 13)
    plot_spectra(draw, (left, _HEAD + 14, SIDE - _AXIS // 2, SIDE - 50), (curve,), spectrum.length)


def plot_spectra(
    draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], curves: tuple[Curve, ...], length: str
) -> None:
    """Draw radial spectra over common axes.

    Parameters
    ----------
    draw : ImageDraw
    box : tuple of int
        Left, top, width and height of the area between the axes, in pixels; labels lie outside.
    curves : tuple of Curve
    length : str
        Frequencies are per this length.
    """
    left, upper, width, height = box
    bottom = upper + height
    top = max(max(curve.power) for curve in curves) or 1.0
    right = max(curve.frequency[-1] for curve in curves)
    step, across = nice_step(top, 4), nice_step(right, 5)
    top = step * ceil(top / step - 1e-9)

    def place(f: float, p: float) -> tuple[float, float]:
        return left + width * f / right, bottom - height * p / top

    for k in range(round(top / step) + 1):
        (x0, y), (x1, _) = place(0, k * step), place(right, k * step)
        draw.line((x0, y, x1, y), fill=_PALE)
        say(draw, (x0 - 6, y), _tick(k * step, step), 12, anchor="rm")
    for k in range(int(right / across + 1e-6) + 1):
        x, y = place(k * across, 0)
        draw.line((x, y, x, y + 4), fill=_INK)
        say(draw, (x, y + 6), _tick(k * across, across), 12, anchor="ma")
    for k, curve in enumerate(curves):
        mark = place(curve.mark, 0)[0]
        draw.line((mark, upper, mark, bottom), fill=curve.colour)
        draw.line(
            [place(f, p) for f, p in zip(curve.frequency, curve.power, strict=True)], curve.colour, width=3
        )
        say(draw, (left + width, upper + 4 + 16 * k), curve.words, 12, fill=curve.colour, anchor="ra")
    say(draw, (left + width / 2, bottom + 24), f"frequency, 1/{length}", 12, anchor="ma")


def _tick(value: float, step: float) -> str:
    """Return the label of an axis; very large and very small ones with an exponent."""
    return wording.tick(value, step) if 1e-3 <= step < 1e5 else f"{value:.1e}"


def _panel(
    sheet: PilImage.Image, left: int, picture: PilImage.Image, aspect: float, words: str
) -> tuple[int, int, int, int]:
    """Paste a picture, scaled to a panel, under its caption; return its box."""
    width, height = float(picture.width), picture.height * float(np.clip(aspect, 0.1, 10.0))
    factor = SIDE / max(width, height)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    reduced = size[0] < picture.width or size[1] < picture.height
    way = PilImage.Resampling.BOX if reduced else PilImage.Resampling.NEAREST
    sheet.paste(picture.resize(size, way), (left, _HEAD))
    say(ImageDraw.Draw(sheet), (left, _HEAD - 20), words, 13)
    return left, _HEAD, left + size[0], _HEAD + size[1]


def _scale(sheet: PilImage.Image, box: tuple[int, int, int, int], low: float, high: float, unit: str) -> None:
    """Draw a scale of colours beside a panel."""
    draw = ImageDraw.Draw(sheet)
    _, top, right, bottom = box
    bar = _coloured(np.linspace(1, 0, bottom - top)[:, None] * np.ones((1, 12)))
    sheet.paste(PilImage.fromarray(bar), (right + 6, top))
    for share in (0.0, 0.5, 1.0):
        value = low + share * (high - low)
        anchor = {0.0: "ld", 0.5: "lm", 1.0: "la"}[share]
        say(draw, (right + 22, bottom - share * (bottom - top)), wording.number(value), 12, anchor=anchor)
    say(draw, (right, bottom + 6), unit, 12, anchor="ma")


def _coloured(shares: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """Return colours from dark blue at 0 to yellow at 1, shape (..., 3)."""
    stops = np.linspace(0, 1, len(_COLOURS))
    inside = np.clip(np.nan_to_num(shares), 0, 1)
    channels = [np.interp(inside, stops, [colour[k] for colour in _COLOURS]) for k in range(3)]
    colours: npt.NDArray[np.uint8] = np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
    return colours


def _density(units: str, length: str) -> str:
    unit = wording.unit(units)
    if "/" in unit or "." in unit:
        unit = f"({unit})"
    return f"{unit}² {length}²"


def _round_up(value: float) -> float:
    """Return the next multiple of a round step, so that a scale ends at a round number."""
    if not (isfinite(value) and value > 0):
        return 1.0
    step = nice_step(value, 4)
    return step * ceil(value / step - 1e-9)


def say(
    draw: ImageDraw.ImageDraw,
    place: tuple[float, float],
    words: str,
    size: int,
    fill: Colour = _INK,
    anchor: str = "la",
) -> None:
    """Write text; Pillow's own font has neither superscripts nor the minus sign."""
    font, small = _font(size), _font(round(0.7 * size))
    pieces = words.replace("\N{MINUS SIGN}", "-").split("²")
    widths = [draw.textlength(piece, font) for piece in pieces]
    raised = draw.textlength("2", small)
    whole = sum(widths) + raised * (len(pieces) - 1)
    x = place[0] - {"l": 0.0, "m": 0.5, "r": 1.0}[anchor[0]] * whole
    for k, (piece, width) in enumerate(zip(pieces, widths, strict=True)):
        draw.text((x, place[1]), piece, fill, font, f"l{anchor[1]}")
        x += width
        if k < len(pieces) - 1:
            draw.text((x, place[1] - 0.2 * size), "2", fill, small, f"l{anchor[1]}")
            x += raised


def _font(size: int) -> _Font:
    try:
        return ImageFont.load_default(size=size)
    except TypeError:
        # Pillow before 10.1 has one size.
        return ImageFont.load_default()
