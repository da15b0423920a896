"""The page: well-formed, whole in itself, safe against what a header may hold."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from quell.errors import OutputError
from quell.evaluation.report.html import render_html, write_report
from quell.evaluation.report.record import NoiseSummary, SeriesRecord, Status
from quell.formats.contracts import PassedOver

HOSTILE = "<script>alert(1)</script>\"'&\x00\x1b[31m\ud800\n{{ 7 * 7 }}</title><!-- \N{SNOWMAN}"


def parse(page: str) -> ET.Element:
    """Return the page as a tree; well-formed XML is stricter than HTML asks for."""
    return ET.fromstring(page.removeprefix("<!DOCTYPE html>"))


def words(page: str) -> str:
    return " ".join("".join(parse(page).itertext()).split())


def failed(name: str = "Broken") -> SeriesRecord:
    return SeriesRecord(name, "DICOM", "US", "arbitrary", (30, 5, 5), Status.FAILED, reason="frame 12 is cut")


def test_the_page_says_everything(make_record: Any, make_series: Any, tmp_path: Path) -> None:
    text = words(render_html(make_record(make_series(), failed()), tmp_path))
    for part in (
        "RESEARCH USE ONLY",
        "1 of 2",
        "Abdomen",
        "3 × 40 × 60",
        "5 × 0.8 × 0.8 mm",
        "20.0 HU before, 8.00 HU after (−60 %)",
        "10.0 to 30.0",
        "universal.fast 1.2",
        "0123456789abcdef" * 4,
        "OpenVINO CPU bf16",
        "abdomen/ (3 files)",
        "12 voxels",
        "1 slice is missing",
        "The noise is stronger than in training",
        "frame 12 is cut",
        "a localizer",
        "truncated",
        "Network 400 ms",
        "Slice 1 of 3",
        "40 × 60 pixels of 0.8 × 0.8 mm, enlarged 8 times (bicubic)",
        "2 January 2026, 03:04 UTC+01:00",
        "Quell 0.1.0 on Xeon",
    ):
        assert part in text


def test_nothing_is_fetched_and_nothing_runs(make_record: Any, tmp_path: Path) -> None:
    page = render_html(make_record(), tmp_path)
    without_pictures = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]*", "", page)
    assert "http" not in without_pictures.replace("http-equiv", "")
    assert not re.search(r"//|@import|<script|<link|<iframe|\son[a-z]+=", without_pictures, re.IGNORECASE)
    tree = parse(page)
    sources = [element.get("src", "") for element in tree.iter() if "src" in element.attrib]
    assert sources and all(source.startswith("data:image/png;base64,") for source in sources)
    assert all(element.get("href", "#").startswith("#") for element in tree.iter())
    assert "url(" not in page


def test_every_link_has_its_target_and_no_id_is_twice(
    make_record: Any, make_series: Any, tmp_path: Path
) -> None:
    tree = parse(render_html(make_record(make_series(), make_series(), failed()), tmp_path))
    ids = [element.get("id") for element in tree.iter() if "id" in element.attrib]
    assert len(ids) == len(set(ids))
    targets = {element.get("href", "")[1:] for element in tree.iter("a")}
    targets |= {element.get("for") for element in tree.iter("label")}
    assert targets <= set(ids)


def test_every_picture_tells_what_it_shows(make_record: Any, tmp_path: Path) -> None:
    tree = parse(render_html(make_record(), tmp_path))
    texts = [image.get("alt", "") for image in tree.iter("img")]
    assert [text.split(":")[0] for text in texts] == ["Before", "After", "Removed (before − after)"]
    assert "black is −160, white is 240 HU" in texts[0]
    assert "black is −60.0, white is +60.0 HU" in texts[2]
    assert all(svg.get("aria-label") for svg in tree.iter("svg"))


def test_hostile_headers_stay_text(
    make_record: Any, make_series: Any, make_picture: Any, tmp_path: Path
) -> None:
    series = make_series(
        name=HOSTILE,
        format=HOSTILE,
        modality=HOSTILE,
        units=HOSTILE,
        reason=HOSTILE,
        model=HOSTILE,
        model_version=HOSTILE,
        model_sha256=HOSTILE,
        engine=HOSTILE,
        notes=(HOSTILE,),
        warnings=(HOSTILE,),
        seconds={HOSTILE: 1.0},
        files=(tmp_path / "<img src=x>.dcm",),
        pictures=(make_picture(caption=HOSTILE),),
    )
    record = make_record(
        series, passed_over=(PassedOver(HOSTILE, HOSTILE),), machine=HOSTILE, started=HOSTILE, version=HOSTILE
    )
    page = render_html(record, tmp_path)
    tree = parse(page)
    assert not list(tree.iter("script"))
    assert "49" not in words(page).split()
    assert len(list(tree.iter("title"))) == 1
    write_report(record, tmp_path)
    parse((tmp_path / "report.html").read_text(encoding="utf-8"))


def test_no_path_of_the_source_is_told(make_record: Any, tmp_path: Path) -> None:
    write_report(make_record(), tmp_path)
    for name in ("report.html", "report.json"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert "DOE" not in text
        assert "archive" not in text
        assert str(tmp_path) not in text


def test_numbers_that_are_missing_or_absurd_do_no_harm(
    make_record: Any, make_series: Any, make_picture: Any, tmp_path: Path
) -> None:
    nan, inf = float("nan"), float("inf")
    for series in (
        make_series(noise_before=None, noise_after=None, spacing=None, pictures=(), seconds={}, files=()),
        make_series(noise_after=None),
        make_series(noise_before=NoiseSummary(0.0, 0.0, 0.0, (0.1, 0.2), (0.0, 0.0))),
        make_series(noise_before=NoiseSummary(nan, nan, inf, (0.1, nan), (inf, 0.1)), seconds={"read": 0.0}),
        make_series(pictures=(make_picture(1, 1, window=(5.0, 5.0), difference_limit=0.0, aspect=nan),)),
        make_series(pictures=(make_picture(2, 3, window=(nan, inf), difference_limit=nan, aspect=0.0),)),
    ):
        page = render_html(make_record(series), tmp_path)
        parse(page)
        assert series.name in page
        _, numbers = write_report(make_record(series), tmp_path)
        # Strict JSON knows neither NaN nor Infinity.
        told = json.loads(numbers.read_text(encoding="utf-8"), parse_constant=pytest.fail)
        assert [one["name"] for one in told["series"]] == [series.name]


def test_a_run_without_series_has_a_page(make_record: Any, tmp_path: Path) -> None:
    record = make_record(make_record().series[0], series=())
    assert "a localizer" in words(render_html(record, tmp_path))


def test_writing_again_gives_the_same_page_and_no_other_file(make_record: Any, tmp_path: Path) -> None:
    record = make_record()
    paths = write_report(record, tmp_path / "new")
    first = [path.read_bytes() for path in paths]
    assert write_report(record, tmp_path / "new") == paths
    assert [path.read_bytes() for path in paths] == first
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["report.html", "report.json"]


def test_a_folder_that_cannot_be_made_is_an_output_error(make_record: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError):
        write_report(make_record(), tmp_path / "file" / "folder")
