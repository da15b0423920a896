"""The report as one HTML page that needs nothing beside itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from quell.errors import OutputError
from quell.evaluation.report import wording
from quell.evaluation.report.figures import level_svg, spectrum_svg
from quell.evaluation.report.json_report import relative, report_values, to_json
from quell.evaluation.report.pictures import Plate, plates
from quell.evaluation.report.record import Picture, SeriesRecord, Status, StudyRecord

if TYPE_CHECKING:
    from jinja2 import Environment, Template

_TEMPLATES = Path(__file__).with_name("templates")
_STEPS = {"read": "Reading", "estimate": "Noise estimate", "network": "Network", "write": "Writing"}
_MODALITIES = {
    "CT": "Computed tomography",
    "MR": "Magnetic resonance",
    "PT": "Positron emission tomography",
    "NM": "Nuclear medicine",
    "US": "Ultrasound",
    "XR": "Radiography",
    "OT": "Modality not stated",
}


@dataclass(frozen=True)
class Step:
    """One part of the time of a series."""

    key: str
    name: str
    seconds: float
    share: float
    """Per cent of the series."""


@dataclass(frozen=True)
class SeriesView:
    """What the page shows of one series; `record` holds the numbers as they are."""

    anchor: str
    record: SeriesRecord
    modality: str
    size: str
    noise_before: str
    noise_after: str
    change: str
    time: str
    time_per_slice: str
    plates: tuple[tuple[Plate, ...], ...]
    """For each picture the whole slice and, where there is one, its detail."""
    levels: str
    spectrum: str
    steps: tuple[Step, ...]
    files: tuple[tuple[str, int], ...]
    """Folder (or the file, where it is the only one) and number of files."""


def write_report(record: StudyRecord, folder: Path) -> tuple[Path, Path]:
    """Write ``report.html`` and ``report.json``.

    Each is complete or absent, and replaces the one of an earlier run.

    Parameters
    ----------
    record : StudyRecord
    folder : Path
        Made if absent.

    Returns
    -------
    tuple of Path
        The page and the numbers.

    Raises
    ------
    OutputError
        If they cannot be written.
    """
    from quell.formats.atomic import atomic_file

    texts = {
        "report.html": render_html(record, folder),
        "report.json": to_json(report_values(record, folder)),
    }
    for name, text in texts.items():
        try:
            with atomic_file(folder / name) as temporary:
                temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise OutputError(folder / name, error.strerror or str(error)) from error
    return folder / "report.html", folder / "report.json"


def render_html(record: StudyRecord, folder: Path) -> str:
    """Return the page of a run.

    It is well-formed XML as well, holds its style and its pictures, and refers to nothing outside.
    Whatever comes from a header is escaped.

    Parameters
    ----------
    record : StudyRecord
    folder : Path
        Where the page will lie; the written files are named relative to it.
    """
    views = [_view(i, series, folder) for i, series in enumerate(record.series, start=1)]
    page = _template().render(
        record=record,
        views=views,
        facts=_facts(record),
        title=_title(record),
        date=_date(record.started),
    )
    return "".join(c for c in page if _in_xml(c))


def environment() -> Environment:
    """Return what makes pages out of the templates of this folder: all that is put in is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _template() -> Template:
    made = environment()
    made.filters.update(
        number=wording.number,
        seconds=wording.seconds,
        plural=wording.plural,
        unit=wording.unit,
        quantity=wording.quantity,
        sentence=wording.sentence,
    )
    return made.get_template("study.html.j2")


def _view(index: int, series: SeriesRecord, folder: Path) -> SeriesView:
    before, after = series.noise_before, series.noise_after
    spent = sum(series.seconds.values())
    return SeriesView(
        anchor=f"series-{index}",
        record=series,
        modality=_MODALITIES.get(series.modality, series.modality),
        size=_size(series),
        noise_before=wording.quantity(before.level, series.units) if before else "",
        noise_after=wording.quantity(after.level, series.units) if after else "",
        change=wording.change(before.level, after.level) if before and after else "",
        time=wording.seconds(spent) if spent > 0 else "",
        time_per_slice=wording.seconds(spent / series.shape[0]) if spent > 0 and series.shape[0] > 1 else "",
        plates=tuple(
            tuple(plates(picture, series.units, _pixel(series, picture))) for picture in series.pictures
        ),
        levels=level_svg(series),
        spectrum=spectrum_svg(series),
        steps=_steps(series),
        files=_files(series, folder),
    )


def _size(series: SeriesRecord) -> str:
    words = f"{wording.shape(series.shape)} voxels"
    if series.spacing is not None:
        words += f", {wording.millimetres(series.spacing)}"
    return words


def _pixel(series: SeriesRecord, picture: Picture) -> tuple[float, float] | None:
    """Return height and width of the picture's pixels in mm, where it shows the slices as they are."""
    if series.spacing is None or picture.before.shape != series.shape[1:]:
        return None
    return series.spacing[1], series.spacing[2]


def _steps(series: SeriesRecord) -> tuple[Step, ...]:
    whole = sum(series.seconds.values())
    if whole <= 0:
        return ()
    return tuple(
        Step(key if key in _STEPS else "other", _STEPS.get(key, key), spent, 100 * spent / whole)
        for key, spent in series.seconds.items()
    )


def _files(series: SeriesRecord, folder: Path) -> tuple[tuple[str, int], ...]:
    names = [relative(file, folder) for file in series.files]
    if len(names) == 1:
        return ((names[0], 1),)
    folders = Counter(str(Path(name).parent.as_posix()) for name in names)
    return tuple((f"{name}/" if name != "." else "beside this report", n) for name, n in folders.items())


def _facts(record: StudyRecord) -> list[tuple[str, str]]:
    done = [series for series in record.series if series.status is Status.DONE]
    slices = sum(series.shape[0] for series in done)
    passed = sum(item.count for item in record.passed_over)
    return [
        ("Series denoised", f"{len(done)} of {len(record.series)}"),
        ("Slices", f"{slices:,}"),
        ("Files passed over", f"{passed:,}"),
        ("Time", wording.seconds(record.seconds)),
    ]


def _title(record: StudyRecord) -> str:
    planned = any(series.status is Status.PLANNED for series in record.series)
    return "Denoising plan" if planned else "Denoising report"


def _date(started: str) -> str:
    try:
        moment = datetime.fromisoformat(started)
    except ValueError:
        return started
    return f"{moment.day} {moment:%B %Y, %H:%M %Z}".strip()


def _in_xml(character: str) -> bool:
    """Return whether XML 1.0 (section 2.2) allows a character; headers may hold control characters."""
    code = ord(character)
    return code in (0x9, 0xA, 0xD) or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or code > 0xFFFF
