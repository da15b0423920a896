"""A benchmark as one HTML page that needs nothing beside itself."""

from __future__ import annotations

import io
import math
from base64 import b64encode
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as PilImage

from quell.evaluation.benchmark.record import Benchmark, Detection, Gallery, Row, Table
from quell.evaluation.benchmark.scoring import COLUMNS, unit_of
from quell.evaluation.metrics.contracts import Direction
from quell.evaluation.metrics.statistics import Interval
from quell.evaluation.report import wording
from quell.evaluation.report.benchmark_figures import Dot, dots_svg
from quell.evaluation.report.benchmark_markdown import NAMES, about, cell, p_words, signed_cell
from quell.evaluation.report.html import environment
from quell.evaluation.report.pictures import to_grey
from quell.image import FloatArray

if TYPE_CHECKING:
    from jinja2 import Template

_ENLARGED = 256
_WITH_SIGN = ("bias", "shift")


@dataclass(frozen=True)
class Cell:
    """A number of a table: the value, and its interval in small print."""

    value: str
    ends: str = ""
    best: bool = False


@dataclass(frozen=True)
class Line:
    """A denoiser of a table as the page shows it."""

    name: str
    cells: tuple[Cell, ...]
    difference: Cell
    p: str
    first: bool
    failed: str


@dataclass(frozen=True)
class PictureView:
    """A picture with its title."""

    title: str
    uri: str
    width: int
    height: int


@dataclass(frozen=True)
class GalleryView:
    """Pictures in one window, and below them what is wrong with each."""

    caption: str
    window: tuple[str, str]
    limit: str
    images: tuple[PictureView, ...]
    differences: tuple[PictureView | None, ...]


@dataclass(frozen=True)
class TableView:
    """A table of the page."""

    title: str
    about: tuple[str, ...]
    heads: tuple[str, ...]
    first: str
    lines: tuple[Line, ...]
    gain: str
    shift: str
    gallery: GalleryView | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """A modality of the page."""

    anchor: str
    name: str
    tables: tuple[TableView, ...]
    detections: tuple[Detection, ...]


def render_benchmark(found: Benchmark) -> str:
    """Return the page: well-formed, with its style and pictures, referring to nothing outside."""
    kinds = dict.fromkeys(table.modality for table in found.tables)
    sections = tuple(
        Section(
            kind.value.lower(),
            NAMES[kind.value],
            tuple(_table(table) for table in found.tables if table.modality is kind),
            tuple(one for one in found.detections if one.modality is kind),
        )
        for kind in kinds
    )
    return _template().render(
        found=found,
        sections=sections,
        speed_plot=_speed_plot(found),
        minutes=f"{found.seconds / 60:.0f}",
        settings=[
            (row.denoiser, table.modality.value, f"{table.dose:g}", row.settings)
            for table in found.tables
            for row in table.rows
            if row.settings
        ],
    )


@cache
def _template() -> Template:
    made = environment()
    made.filters.update(cell=cell, signed_cell=signed_cell, p_words=p_words, number=wording.number)
    return made.get_template("benchmark.html.j2")


def _table(table: Table) -> TableView:
    good = [row for row in table.rows if not row.failed]
    first = table.rows[1].denoiser if len(table.rows) > 1 else ""
    heads = tuple(
        c.name + (f" ({unit_of(c, table.modality)})" if unit_of(c, table.modality) else "") for c in COLUMNS
    )
    told = [Dot(r.denoiser, r.values["shift"], r.denoiser == first) for r in good[1:]]
    return TableView(
        title=table.title,
        about=tuple(about(table)),
        heads=heads,
        first=first,
        lines=tuple(_line(row, first, good) for row in table.rows),
        gain=_gain(good, first),
        shift=dots_svg(told, "shift of the mean frequency of the noise, %", "Shift of the mean frequency"),
        gallery=None if table.gallery is None else _gallery(table.gallery),
        warnings=table.warnings,
    )


def _gain(rows: list[Row], first: str) -> str:
    dots = [Dot(row.denoiser, row.difference.mean) for row in rows if row.difference is not None and first]
    return dots_svg(dots, f"PSNR minus that of {first}, dB", "PSNR against the first denoiser")


def _line(row: Row, first: str, good: list[Row]) -> Line:
    if row.failed:
        return Line(row.denoiser, (), Cell(""), "", False, row.failed)
    cells = []
    for column in COLUMNS:
        found = row.values[column.key]
        value, _, ends = cell(found, column.digits, plus=column.key in _WITH_SIGN).partition(" ")
        best = column.key in ("psnr", "ssim", "rmse") and found.value == _best(good, column.key)
        cells.append(Cell(value, ends, best))
    told = row.difference
    value, _, ends = ("", "", "") if told is None else signed_cell(told.mean, 2).partition(" ")
    p = "" if told is None else p_words(told.p_holm)
    return Line(row.denoiser, tuple(cells), Cell(value, ends), p, row.denoiser == first, "")


def _best(rows: list[Row], key: str) -> float:
    column = next(c for c in COLUMNS if c.key == key)
    values = [row.values[key].value for row in rows]
    return min(values) if column.direction is Direction.LOWER else max(values)


def _gallery(gallery: Gallery) -> GalleryView:
    images, differences = [], {}
    for shot in gallery.shots:
        low, high = (-gallery.limit, gallery.limit) if shot.difference else gallery.window
        view = _picture(shot.title, shot.pixels, low, high, gallery.aspect)
        if shot.difference:
            differences[shot.title] = view
        else:
            images.append(view)
    return GalleryView(
        caption=gallery.caption,
        window=(wording.number(gallery.window[0]), wording.number(gallery.window[1])),
        limit=wording.number(gallery.limit),
        images=tuple(images),
        differences=tuple(differences.get(view.title) for view in images),
    )


def _picture(title: str, pixels: FloatArray, low: float, high: float, aspect: float) -> PictureView:
    """Return a picture with one pixel for each of the image; the page enlarges it."""
    rows, columns = pixels.shape
    stream = io.BytesIO()
    PilImage.fromarray(to_grey(np.asarray(pixels, np.float32), low, high)).save(stream, "PNG", optimize=True)
    uri = "data:image/png;base64," + b64encode(stream.getvalue()).decode("ascii")
    scale = _ENLARGED / max(rows * aspect, columns)
    return PictureView(title, uri, round(columns * scale), round(rows * aspect * scale))


def _speed_plot(found: Benchmark) -> str:
    dots = []
    for row in found.speed:
        at = row.milliseconds
        if at is not None and at.value > 0:
            ends = [math.log10(max(v, 1e-3)) if math.isfinite(v) else v for v in (at.value, at.low, at.high)]
            shown = Interval(ends[0], ends[1], ends[2], at.level, at.groups)
            dots.append(Dot(row.denoiser, shown, row is found.speed[0]))
    return dots_svg(dots, "log10 of the milliseconds for 512 × 512 pixels", "Time of every denoiser")
