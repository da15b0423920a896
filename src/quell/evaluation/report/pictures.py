"""Slices as pictures for the report: PNG inside the page, before, after and difference alike."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image as PilImage

from quell.evaluation.report import wording
from quell.evaluation.report.record import Picture
from quell.image import FloatArray

ByteArray = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int]
"""Top, left, height and width in pixels."""

ENLARGE_TO = 512
"""Slices whose longer side is shorter are enlarged by a whole factor up to this many pixels."""
REDUCE_TO = 1024
"""Slices whose longer side is longer are reduced to it: a radiograph would make the page huge."""
DETAIL = 96
"""Side of the enlarged detail in pixels of the source."""
DETAIL_FROM = 256
"""Slices whose longer side is shorter need no detail: they are enlarged as a whole."""
_ENLARGE_DETAIL = 5


@dataclass(frozen=True)
class Panel:
    """One picture of the page.

    Attributes
    ----------
    role : str
        ``"before"``, ``"after"`` or ``"difference"``.
    uri : str
        The PNG as a data URI.
    width, height : int
        In pixels of the PNG.
    low, middle, high : str
        What black, mid-grey and white stand for.
    """

    role: str
    uri: str
    width: int
    height: int
    low: str
    middle: str
    high: str


@dataclass(frozen=True)
class Plate:
    """A row of the page: the same part of a slice before, after, and what was removed.

    Attributes
    ----------
    title, scale : str
        What is shown, and how its pixels were enlarged or reduced for display.
    panels : tuple of Panel
    units : str
    marked : tuple of float or None
        Detail marked in these pictures: left, top, width, height in per cent.
    """

    title: str
    scale: str
    panels: tuple[Panel, ...]
    units: str
    marked: tuple[float, float, float, float] | None = None


def plates(picture: Picture, units: str, pixel: tuple[float, float] | None = None) -> Iterator[Plate]:
    """Yield the whole slice, and for larger slices the detail from which most was removed.

    The detail is chosen where the mean square of the difference is largest, because an anatomy
    that went with the noise would be found there.

    Parameters
    ----------
    picture : Picture
    units : str
    pixel : tuple of float, optional
        Height and width of a pixel in mm.
    """
    rows, columns = picture.before.shape
    box = detail_box(picture) if max(rows, columns) >= DETAIL_FROM else None
    factor = _display_factor(rows, columns)
    yield Plate(
        title=wording.sentence(picture.caption) or "Slice",
        scale=_scale_words(factor, rows, columns, pixel),
        panels=_panels(picture, (0, 0, rows, columns), factor, units),
        units=units,
        marked=None if box is None else _percent(box, rows, columns),
    )
    if box is not None:
        yield Plate(
            title="Detail: where most was removed",
            scale=f"{box[2]} × {box[3]} pixels, enlarged {_ENLARGE_DETAIL} times (nearest)",
            panels=_panels(picture, box, _ENLARGE_DETAIL, units, smooth=False),
            units=units,
        )


def detail_box(picture: Picture, side: int = DETAIL) -> Box:
    """Return the square in which the mean square of the difference is largest.

    Only pixels inside the display window count: the noise of air says nothing about a finding.
    """
    before = np.nan_to_num(picture.before)
    rows, columns = before.shape
    height, width = min(side, rows), min(side, columns)
    difference = np.nan_to_num(picture.before - picture.after)
    visible = (before > picture.window[0]) & (before < picture.window[1])
    # Sums over all squares at once, as differences of a table of running sums.
    table = np.zeros((rows + 1, columns + 1))
    table[1:, 1:] = (np.where(visible, difference, 0).astype(np.float64) ** 2).cumsum(axis=0).cumsum(axis=1)
    lower = table[height:] - table[: rows - height + 1]
    power = lower[:, width:] - lower[:, : columns - width + 1]
    row, column = np.unravel_index(int(np.argmax(power)), power.shape)
    return int(row), int(column), height, width


def to_grey(values: FloatArray, low: float, high: float) -> ByteArray:
    """Return grey values from 0 at `low` to 255 at `high`; voxels without a value are black."""
    if not high > low:
        high = low + 1.0
    shares = (values.astype(np.float64) - low) / (high - low)
    return np.rint(255 * np.clip(np.nan_to_num(shares, nan=0.0), 0, 1)).astype(np.uint8)


def to_data_uri(grey: ByteArray, factor: float = 1.0, aspect: float = 1.0, smooth: bool = True) -> Panel:
    """Return `grey`, scaled by `factor` and stretched to square pixels, as a PNG in a data URI."""
    rows, columns = grey.shape
    size = (max(1, round(columns * factor)), max(1, round(rows * factor * aspect)))
    image = PilImage.fromarray(grey)
    if size != image.size:
        image = image.resize(size, _filter(size, image.size, smooth))
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=6)
    uri = "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
    return Panel("", uri, size[0], size[1], "", "", "")


def _filter(size: tuple[int, int], before: tuple[int, int], smooth: bool) -> PilImage.Resampling:
    if size[0] < before[0] or size[1] < before[1]:
        return PilImage.Resampling.BOX
    return PilImage.Resampling.BICUBIC if smooth else PilImage.Resampling.NEAREST


def _panels(
    picture: Picture, box: Box, factor: float, units: str, smooth: bool = True
) -> tuple[Panel, Panel, Panel]:
    top, left, height, width = box
    part = (slice(top, top + height), slice(left, left + width))
    before, after = picture.before[part], picture.after[part]
    limit = abs(picture.difference_limit) or 1.0

    def panel(role: str, values: FloatArray, low: float, high: float) -> Panel:
        drawn = to_data_uri(to_grey(values, low, high), factor, _aspect(picture), smooth)
        marks = (
            wording.signed(value) if role == "difference" else wording.number(value)
            for value in (low, (low + high) / 2, high)
        )
        return Panel(role, drawn.uri, drawn.width, drawn.height, *marks)

    return (
        panel("before", before, *picture.window),
        panel("after", after, *picture.window),
        panel("difference", before - after, -limit, limit),
    )


def _aspect(picture: Picture) -> float:
    # A header may claim anything; beyond this the picture would be a line.
    return float(np.clip(picture.aspect, 0.1, 10.0)) if np.isfinite(picture.aspect) else 1.0


def _display_factor(rows: int, columns: int) -> float:
    longest = max(rows, columns)
    if longest > REDUCE_TO:
        return REDUCE_TO / longest
    return float(max(1, ENLARGE_TO // longest))


def _scale_words(factor: float, rows: int, columns: int, pixel: tuple[float, float] | None) -> str:
    size = f"{rows} × {columns} pixels"
    if pixel is not None:
        size += f" of {wording.millimetres(pixel)}"
    if factor > 1:
        return f"{size}, enlarged {factor:.0f} times (bicubic)"
    if factor < 1:
        return f"{size}, reduced to {100 * factor:.0f} % (its noise looks weaker than it is)"
    return size


def _percent(box: Box, rows: int, columns: int) -> tuple[float, float, float, float]:
    top, left, height, width = box
    return 100 * left / columns, 100 * top / rows, 100 * width / columns, 100 * height / rows
